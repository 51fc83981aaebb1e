/* SPDX-License-Identifier: Apache-2.0 */
/* The first thing to see: is it fine, what is wrong, since when. */
import { byId, element, icon, setChildren, setHidden, setIcon, setText } from "./dom.js";
import * as format from "./format.js";

const TITLES = { healthy: "Healthy", degraded: "Degraded", unhealthy: "Unhealthy", silent: "No answer from the engine" };
const MARKS = { healthy: "✓", degraded: "▲", unhealthy: "✕", silent: "?" };

const fields = {
	state: byId("state"), title: byId("state-title"), since: byId("state-since"), top: byId("top-state"),
	reasons: byId("reasons"), parts: byId("parts"), facts: byId("facts"), announcement: byId("announcement"),
	stateIcon: document.querySelector("#state .state-icon"), topIcon: document.querySelector("#top-state .icon"),
	topText: document.querySelector("#top-state span"),
};
let announced = null;
let firstVersion = null;

/* a part that is switched off is neither well nor ill */
function isOff(part, stats) {
	return (part === "kafka" && stats.kafka_bridge_state === "off") ||
		(part === "etcd" && stats.etcd_endpoint === undefined);
}

function ago(sinceMs, nowMs) {
	return sinceMs > 0 ? `since ${format.at(sinceMs)}, for ${format.duration((nowMs - sinceMs) / 1000)}` : "";
}

function showReasons(health, nowMs) {
	const since = Object.fromEntries(health.parts.map((part) => [part.part, part.since_ms]));
	setHidden(fields.reasons, health.reasons.length === 0);
	setChildren(fields.reasons, health.reasons,
		() => element("li", {}, icon("degraded"), element("b"), element("span", { class: "why" }), element("span", { class: "when" })),
		(item, reason) => {
			item.dataset.status = reason.status;
			setIcon(item.children[0], reason.status);
			setText(item.children[1], reason.part);
			setText(item.children[2], reason.text);
			setText(item.children[3], ago(since[reason.part], nowMs));
		});
}

function showParts(health, stats) {
	setChildren(fields.parts, health.parts, () => element("li", {}, icon("off"), element("span"), element("span", { class: "hidden" })),
		(item, part) => {
			const status = isOff(part.part, stats) ? "off" : part.status;
			item.dataset.status = status;
			setIcon(item.children[0], status);
			setText(item.children[1], part.part);
			setText(item.children[2], status === "off" ? ": not used" : `: ${status}`);
		});
}

function readiness(health) {
	if (health.draining)
		return "draining";
	if (health.ready)
		return "yes";
	const missing = [[health.recovered, "recovery"], [health.ports_up, "ports"], [health.ownership_known, "ownership"]];
	return `no: ${missing.filter(([there]) => !there).map(([, what]) => what).join(", ")}`;
}

function showFacts({ health, stats }) {
	const facts = [["Ready", readiness(health)], ["Up", format.duration(stats.uptime_s)], ["Version", stats.version],
		["Huge pages", stats.huge_pages]];
	setChildren(fields.facts, facts, () => element("div", {}, element("dt"), element("dd")), (pair, [name, value]) => {
		setText(pair.children[0], name);
		setText(pair.children[1], value);
	});
}

function announce(status, text) {
	if (announced !== null && announced !== status)
		setText(fields.announcement, text);
	announced = status;
}

function showStatus(status, since) {
	for (const node of [fields.state, fields.top])
		node.dataset.status = status;
	setIcon(fields.stateIcon, status);
	setIcon(fields.topIcon, status);
	setText(fields.title, TITLES[status]);
	setText(fields.topText, status === "silent" ? "No answer" : TITLES[status]);
	setText(fields.since, since);
}

function silentText(engine) {
	const forSeconds = (Date.now() - engine.silentSince) / 1000;
	const last = engine.answeredAt ? ` What is shown is from ${format.at(engine.answeredAt)}.` : "";
	return `Since ${format.at(engine.silentSince)}, for ${format.duration(forSeconds)}: ${engine.failure}.` +
		` It is asked again every few seconds.${last}`;
}

export function showState(engine) {
	const answer = engine.now;
	const silent = engine.silentSince !== null;
	const status = silent ? "silent" : answer?.health.status ?? "silent";

	document.body.classList.toggle("stale", silent);
	setHidden(byId("try-now"), !silent);
	if (silent)
		showStatus("silent", silentText(engine));
	if (!answer)
		return;
	const { health, stats } = answer;
	if (!silent)
		showStatus(status, health.since_ms ? `S${ago(health.since_ms, answer.now_ms).slice(1)}` : "");
	announce(status, silent ? TITLES.silent : `${TITLES[status]}. ${health.reasons.map((reason) => reason.text).join(". ")}`);
	document.title = `${MARKS[status]} ${silent ? "no answer" : status} · ${stats.engine} · Fast Path`;
	setText(byId("engine-id"), stats.engine);
	showReasons(health, answer.now_ms);
	showParts(health, stats);
	showFacts(answer);
	setText(byId("identity"), `Engine ${stats.engine}, journal ${stats.journal_uuid}, version ${stats.version}.`);
	firstVersion ??= stats.version;
	setHidden(byId("upgraded"), stats.version === firstVersion);
}

/** Between answers, once a second: how long it has been silent. */
export function showSilence(engine) {
	if (engine.silentSince !== null)
		setText(fields.since, silentText(engine));
}
