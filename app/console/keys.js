/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns what, and what this engine knows of one key. */
import { byId, element, setChildren, setHidden, setText, Table } from "./dom.js";
import { fetchJson } from "./engine.js";
import * as format from "./format.js";

const PERIOD_MS = 15000;
const KEY_MAX = 64; /* bytes */

const engines = new Table(byId("engines-table"), "Engines", [{ title: "Engine" }, { title: "Address" },
	{ title: "Keys", number: true }]);
let asked = 0;
let owned = [];

function pathOf(key, encoded) {
	return `keys/${encoded ? key : encodeURIComponent(key)}`;
}

function answerRows({ status, body }) {
	if (status !== 200)
		return [["Answer", `${body?.message ?? `HTTP status ${status}`}`]];
	const owner = body.owned ? "this engine" : body.owner ?? "nobody that is known";
	return [["Key", body.key ?? body.key_encoded], ["Owner", body.owned ? `${owner} (${body.owner})` : owner],
		["Address of the owner", body.url ?? "–"], ["Shard", String(body.shard)],
		["Events since the start", body.seen ? format.count(body.events) : "none seen"],
		["Last sequence number", body.seen ? format.count(body.last_seq) : "–"]];
}

function showRows(rows) {
	const list = element("dl", { class: "pairs" }, ...rows.map(([name, value]) =>
		element("div", {}, element("dt", {}, name), element("dd", {}, value))));
	byId("key-answer").replaceChildren(list);
}

async function lookUp(key, encoded) {
	if (key === "" || (!encoded && new TextEncoder().encode(key).length > KEY_MAX)) {
		showRows([["Answer", `a key is 1 to ${KEY_MAX} bytes`]]);
		return;
	}
	try {
		showRows(answerRows(await fetchJson(pathOf(key, encoded))));
	} catch {
		showRows([["Answer", "the engine does not answer: try again"]]);
	}
}

function showOwnership(ownership) {
	const count = ownership.mode === "all" ? "this engine owns every key" :
		`${format.count(ownership.key_count)} keys owned${ownership.known ? "" : ", not known yet"}`;
	setText(byId("ownership-note"), `mode ${ownership.mode}: ${count}${ownership.truncated ? "; the first 1,000 are listed" : ""}`);
	setHidden(byId("engines"), ownership.engines.length === 0);
	engines.update(ownership.engines.map((one) => [one.id, one.url ?? "–", format.count(one.keys)]));
	owned = ownership.keys.filter((key) => key !== null);
	setHidden(byId("key-list-box"), owned.length === 0);
	showKeys();
}

/* those that hold what is typed */
function showKeys() {
	const part = byId("key-input").value;
	const shown = owned.filter((key) => key.includes(part));
	setChildren(byId("key-list"), shown, () => element("li", {}, element("button", { type: "button", tabIndex: -1 })),
		(item, key) => setText(item.firstElementChild, key));
	setText(byId("key-list-title"), shown.length === owned.length ? "Keys of this engine" :
		`Keys of this engine with “${part}”: ${format.count(shown.length)}`);
	const buttons = [...byId("key-list").querySelectorAll("button")];
	if (buttons.length > 0 && !buttons.some((button) => button.tabIndex === 0))
		buttons[0].tabIndex = 0;
}

/* one stop for all of them, whatever their number; arrows go on from there */
function moveInList(event) {
	const buttons = [...byId("key-list").querySelectorAll("button")];
	const from = buttons.indexOf(event.target);
	const to = { ArrowLeft: from - 1, ArrowUp: from - 1, ArrowRight: from + 1, ArrowDown: from + 1, Home: 0,
		End: buttons.length - 1 }[event.key];
	if (from < 0 || buttons[to] === undefined)
		return;
	event.preventDefault();
	event.target.tabIndex = -1;
	buttons[to].tabIndex = 0;
	buttons[to].focus();
}

/** Asked for rarely: it may be long, and seldom changes. */
export async function refreshOwnership() {
	if (Date.now() - asked < PERIOD_MS)
		return;
	asked = Date.now();
	try {
		const { status, body } = await fetchJson("ownership");
		if (status === 200)
			showOwnership(body);
		else
			asked = 0; // it is starting
	} catch {
		asked = 0; // the engine's silence is shown elsewhere; ask again when it is back
	}
}

export function startKeys() {
	byId("key-form").addEventListener("submit", (event) => {
		event.preventDefault();
		lookUp(byId("key-input").value, byId("key-encoded").checked);
	});
	byId("key-input").addEventListener("input", showKeys);
	byId("key-list").addEventListener("keydown", moveInList);
	byId("key-list").addEventListener("click", (event) => {
		const button = event.target.closest("button");
		if (!button)
			return;
		byId("key-input").value = button.textContent;
		byId("key-encoded").checked = false;
		lookUp(button.textContent, false);
	});
}
