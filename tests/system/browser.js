/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives a headless Chromium for browser.py: a JSON object a line on standard input is a command, its answer is a line
 * on standard output: {"value": ...} or {"error": "..."}. Arguments: the folder of node_modules, the browser.
 */
"use strict";

const path = require("node:path");
const readline = require("node:readline");

const [modules, executablePath] = process.argv.slice(2);
const { chromium } = require(path.join(modules, "playwright-core"));

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync"];

let browser, context, page;
let seen = { requests: [], messages: [], errors: [] };

async function open({ url, width = 1600, height = 1000, scheme = "dark", touch = false }) {
	await context?.close();
	seen = { requests: [], messages: [], errors: [] };
	context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, hasTouch: touch, isMobile: touch,
		locale: "en-GB", timezoneId: "UTC" });
	page = await context.newPage();
	page.on("request", (request) => seen.requests.push(request.url()));
	page.on("console", (message) => seen.messages.push({ type: message.type(), text: message.text(), url: message.location().url }));
	page.on("pageerror", (error) => seen.errors.push(String(error.stack ?? error)));
	const answer = await page.goto(url);
	return answer.status();
}

const commands = {
	open,
	seen: async () => seen,
	evaluate: ({ script }) => page.evaluate(script),
	press: ({ key }) => page.keyboard.press(key),
	type: ({ text }) => page.keyboard.type(text),
	click: ({ selector }) => page.locator(selector).click(),
	hover: ({ selector }) => page.locator(selector).hover(),
	reload: async () => (await page.reload()).status(),
	scheme: ({ value }) => page.emulateMedia({ colorScheme: value }),
	size: ({ width, height }) => page.setViewportSize({ width, height }),
	screenshot: async ({ file, whole = false }) => {
		await page.screenshot({ path: file, fullPage: whole });
	},
};

async function answer(line) {
	try {
		const { name, ...options } = JSON.parse(line);
		return { value: (await commands[name](options)) ?? null };
	} catch (error) {
		return { error: String(error.stack ?? error) };
	}
}

async function main() {
	browser = await chromium.launch({ executablePath, headless: true, args: FLAGS, chromiumSandbox: false });
	process.stdout.write(`${JSON.stringify({ value: browser.version() })}\n`);
	for await (const line of readline.createInterface({ input: process.stdin }))
		process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
	await browser.close();
}

main().catch((error) => {
	process.stdout.write(`${JSON.stringify({ error: String(error.stack ?? error) })}\n`);
	process.exitCode = 1;
});
