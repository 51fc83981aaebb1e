/* SPDX-License-Identifier: Apache-2.0 */
/* The figures that matter most, with their units and what to compare them with. */
import { byId, element, icon, setIcon, setText } from "./dom.js";
import * as format from "./format.js";

function windowOf(reasons, kind) {
	return reasons.filter((reason) => reason.kind === kind).reduce((sum, reason) => sum + reason.window, 0);
}

function kafka(stats) {
	if (stats.kafka_bridge_state === "off")
		return { main: { value: "off", unit: "" }, more: "the bridge is not enabled" };
	return { main: format.amount(stats.kafka_bridge_lag), unit: "records",
		more: `${stats.kafka_bridge_state}, ${format.text(format.micros(stats.kafka_bridge_lag_seconds * 1e6))} behind` };
}

function busiest(lcores) {
	if (lcores.length === 0)
		return { main: { value: "–", unit: "" }, more: "no lcores yet" };
	const one = lcores.reduce((most, lcore) => (lcore.busy > most.busy ? lcore : most));
	const gap = Math.max(...lcores.map((lcore) => lcore.gap_us));
	return { main: format.percent(one.busy), more: `lcore ${one.id}; longest poll gap ${format.text(format.micros(gap))}` };
}

/* part: whose state the tile takes on. show(answer): {main, unit, more, exact} */
const TILES = [
	{ name: "Events", part: "engine", show: ({ stats }) => ({ main: format.amount(stats.events_per_second), unit: "/s",
		more: `${format.count(stats.fast_path_count)} in all`, exact: stats.events_per_second }) },
	{ name: "Latency p99", part: "latency", show: ({ stats, limits }) => (stats.fast_path_process_samples ? {
		main: format.micros(stats.fast_path_process_p99_us),
		more: `p50 ${format.text(format.micros(stats.fast_path_process_p50_us))}, p99.9 ` +
			`${format.text(format.micros(stats.fast_path_process_p999_us))}, limit ${format.text(format.micros(limits.p99_degraded_us))}` } :
		{ main: { value: "–", unit: "" }, more: "none in the last 10\u00a0s" }) },
	{ name: "Dropped", part: "drops", show: ({ stats, reasons }) => ({ main: format.amount(windowOf(reasons, "dropped")),
		unit: "in 10 s", more: `${format.count(stats.fast_path_drops_total)} since the start` +
			(stats.frames_loss_known ? "" : "; a port's loss is unknown") }) },
	{ name: "Filtered", show: ({ stats, reasons }) => ({ main: format.amount(windowOf(reasons, "filtered")),
		unit: "in 10 s", more: `${format.count(stats.fast_path_filtered_total)} since the start` }) },
	{ name: "Journal lag", part: "journal", show: ({ stats }) => ({ main: format.amount(stats.persistence_queue_lag),
		unit: "records", more: `sync p99 ${format.text(format.micros(stats.persistence_queue_sync_p99_us))}, ` +
			`${format.count(stats.persistence_queue_error_count)} errors` }) },
	{ name: "Kafka lag", part: "kafka", show: ({ stats }) => kafka(stats) },
	{ name: "Busiest lcore", part: "lcores", show: ({ lcores }) => busiest(lcores) },
	{ name: "Disk free", part: "disk", show: ({ stats }) => ({ main: format.bytes(stats.disk_free_bytes),
		more: `${format.text(format.percent(stats.disk_free_bytes / stats.disk_size_bytes))} of ` +
			format.text(format.bytes(stats.disk_size_bytes)) }) },
];

let made = null;

function make() {
	return TILES.map((tile) => {
		const parts = { icon: icon("healthy"), value: element("span", { class: "value" }), unit: element("span", { class: "unit" }),
			more: element("p", { class: "more" }), state: element("span", { class: "hidden" }) };
		parts.box = element("article", { class: "tile" },
			element("h3", {}, parts.icon, tile.name, parts.state),
			element("p", { class: "main" }, parts.value, " ", parts.unit), parts.more);
		parts.box.dataset.tile = tile.name;
		byId("tiles").append(parts.box);
		return parts;
	});
}

export function showTiles({ now }) {
	if (!now)
		return;
	made ??= make();
	TILES.forEach((tile, i) => {
		const { main, unit = "", more } = tile.show(now);
		const status = now.health.parts.find((part) => part.part === tile.part)?.status ?? "healthy";
		const tileParts = made[i];
		tileParts.box.dataset.status = status;
		setIcon(tileParts.icon, status);
		setText(tileParts.state, status === "healthy" ? "" : `, ${status}`);
		setText(tileParts.value, main.value);
		setText(tileParts.unit, [main.unit, unit].filter((part) => part).join(unit.startsWith("/") ? "" : " "));
		setText(tileParts.more, more);
	});
}
