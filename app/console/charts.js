/* SPDX-License-Identifier: Apache-2.0 */
/* Small multiples over one time axis, and the distribution of a latency. Drawn by uPlot, which is a global. */
import { element, setHidden, setText } from "./dom.js";
import * as format from "./format.js";

const HEIGHT = 170;
const FONT = "12px system-ui, Roboto, sans-serif";
const DASHES = [[], [6, 3], [2, 2]];

const perSecond = (value) => `${format.text(format.amount(value < 10 ? value : Math.round(value)))}/s`;
const records = (value) => format.text(format.amount(Math.round(value)));
const micros = (value) => format.text(format.micros(value));
const percent = (value) => format.text(format.percent(value));
const latencyLimits = ({ limits }) => [[limits.p99_degraded_us, "degraded"], [limits.p99_unhealthy_us, "unhealthy"]];

/* series: [label, column of the history, colour] */
const OVER_TIME = [
	{ title: "Events", show: perSecond, series: [["journaled", "events_per_second", "--blue"]] },
	{ title: "Drops and filters", show: perSecond, series: [["dropped", "dropped_per_second", "--red"],
		["filtered", "filtered_per_second", "--purple"]] },
	{ title: "Latency", show: micros, log: true, limits: latencyLimits, nothing: "no events in this time",
		series: [["p50", "process_p50_us", "--teal"], ["p99", "process_p99_us", "--blue"], ["p99.9", "process_p999_us", "--purple"]] },
	{ title: "Journal lag", show: records, series: [["records not yet durable", "journal_lag", "--blue"]] },
	{ title: "Disk", show: micros, log: true, nothing: "nothing was written in this time",
		series: [["write p99", "write_p99_us", "--teal"], ["sync p99", "sync_p99_us", "--blue"]] },
	{ title: "Kafka lag", show: records, nothing: "the Kafka bridge is off", series: [["records behind", "kafka_lag", "--blue"]] },
	{ title: "Busiest lcore", show: percent, top: 1, nothing: "no lcore yet", series: [["busy", "busiest_lcore_ratio", "--blue"]] },
];

const DISTRIBUTIONS = [["process", "Process", "receive burst, or POST, to appended in the memory log"],
	["publish", "Publish", "receive burst to ring"], ["write", "Write", "appended to written"], ["sync", "Sync", "appended to durable"]];

let colours = {};

function colour(name) {
	colours[name] ??= getComputedStyle(document.documentElement).getPropertyValue(name).trim();
	return colours[name];
}

function swatch(name, dash) {
	const mark = element("span", { class: "swatch" });
	mark.style.setProperty("--swatch", `var(${name})`);
	mark.dataset.dash = dash;
	return mark;
}

function axis(more) {
	return { stroke: () => colour("--muted"), font: FONT, grid: { stroke: () => colour("--grid"), width: 1 },
		ticks: { show: false }, filter: (u, splits) => splits, ...more };
}

/* 10.0 ms is 10 ms on an axis */
function short(text) {
	return text.replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");
}

function timeLabels(u, splits) {
	const seconds = splits.length > 1 && splits[1] - splits[0] < 60;
	return splits.map((s) => (seconds ? format.at(s * 1000).slice(-8) : format.at(s * 1000).slice(-8, -3)));
}

function decades(low, high) {
	const splits = [];
	for (let e = Math.floor(Math.log10(low) + 1e-9); e <= Math.ceil(Math.log10(high) - 1e-9); e++)
		splits.push(10 ** e);
	return splits;
}

function linearSplits(u, i, low, high) {
	const step = [1, 2, 2.5, 5, 10].map((n) => n * 10 ** Math.floor(Math.log10(high / 3))).find((n) => high / n <= 4);
	const splits = [];
	for (let value = 0; value <= high * 1.0001; value += step)
		splits.push(value);
	return splits;
}

function last(values) {
	for (let i = values.length - 1; i >= Math.max(0, values.length - 3); i--)
		if (values[i] !== null && values[i] !== undefined)
			return values[i];
	return null;
}

function largest(values) {
	return values.reduce((most, value) => (value !== null && value > most ? value : most), -Infinity);
}

/* ---- behind and before the lines ---- */

function hatch(context) {
	const tile = document.createElement("canvas");
	tile.width = tile.height = 8;
	const pen = tile.getContext("2d");
	pen.strokeStyle = colour("--unhealthy");
	pen.globalAlpha = 0.45;
	pen.lineWidth = 1.5;
	pen.beginPath();
	for (const x of [-8, 0, 8]) {
		pen.moveTo(x, 8);
		pen.lineTo(x + 8, 0);
	}
	pen.stroke();
	return context.createPattern(tile, "repeat");
}

/* the times when it was not healthy; status: 0 healthy, 1 degraded, 2 unhealthy */
function drawHealth(u, times, status) {
	const { ctx, bbox } = u;
	const right = u.scales.x.max;
	ctx.save();
	ctx.beginPath();
	ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
	ctx.clip();
	for (let i = 0; i < times.length; i++) {
		const begin = i;
		while (i + 1 < times.length && status[i + 1] === status[begin])
			i++;
		if (!status[begin])
			continue;
		const from = u.valToPos(times[begin], "x", true);
		const to = u.valToPos(Math.min(right, i + 1 < times.length ? times[i + 1] : times[i] + 1), "x", true);
		ctx.globalAlpha = 0.16;
		ctx.fillStyle = colour(status[begin] === 2 ? "--unhealthy" : "--degraded");
		ctx.fillRect(from, bbox.top, to - from, bbox.height);
		ctx.globalAlpha = 1;
		if (status[begin] === 2) {
			ctx.fillStyle = hatch(ctx);
			ctx.fillRect(from, bbox.top, to - from, bbox.height);
		}
	}
	ctx.restore();
}

function drawLine(u, name, dash, from, to) {
	const { ctx } = u;
	ctx.strokeStyle = colour(name);
	ctx.lineWidth = devicePixelRatio;
	ctx.setLineDash(dash.map((length) => length * devicePixelRatio));
	ctx.beginPath();
	ctx.moveTo(...from);
	ctx.lineTo(...to);
	ctx.stroke();
}

function drawLabel(u, name, text, x, y, align) {
	const { ctx } = u;
	ctx.font = FONT.replace("12px", `${11 * devicePixelRatio}px`);
	ctx.textAlign = align;
	ctx.textBaseline = "alphabetic";
	ctx.fillStyle = colour(name);
	ctx.fillText(text, x, y);
}

function drawLimits(u, limits) {
	const { ctx, bbox } = u;
	ctx.save();
	for (const [i, [value, label]] of limits.entries()) {
		const y = u.valToPos(value, "y", true);
		if (!(y > bbox.top && y < bbox.top + bbox.height))
			continue;
		drawLine(u, `--${label}`, [5, 4], [bbox.left, y], [bbox.left + bbox.width, y]);
		drawLabel(u, `--${label}`, `${label} above ${micros(value)}`, bbox.left + 4 * devicePixelRatio,
			y + (i === 0 ? 12 : -4) * devicePixelRatio, "left"); // the lower one below its line: they never meet
	}
	ctx.restore();
}

function drawRestarts(u, restarts) {
	const { ctx, bbox } = u;
	ctx.save();
	for (const atMs of restarts) {
		const x = u.valToPos(atMs / 1000, "x", true);
		if (!(x > bbox.left && x < bbox.left + bbox.width))
			continue;
		drawLine(u, "--muted", [2, 2], [x, bbox.top], [x, bbox.top + bbox.height]);
		drawLabel(u, "--muted", "restart", x - 4 * devicePixelRatio, bbox.top + 11 * devicePixelRatio, "right");
	}
	ctx.restore();
}

/* ---- one chart ---- */

class Figure {
	constructor(parent, title) {
		this.when = element("time", { class: "when" });
		this.legend = element("ul", { class: "legend" });
		this.head = element("figcaption", {}, element("h3", {}, title), this.when, this.legend);
		this.box = element("div", { class: "plot", tabIndex: 0, role: "img" });
		this.nothing = element("p", { class: "nothing", hidden: true });
		parent.append(element("figure", { class: "panel chart" }, this.head, this.box, this.nothing));
		this.plot = null;
		new ResizeObserver(() => this.plot?.setSize({ width: this.box.clientWidth, height: HEIGHT })).observe(this.box);
		this.box.addEventListener("keydown", (event) => this.key(event));
		this.box.addEventListener("blur", () => this.leave());
	}

	entry(label, name, dash) {
		const value = element("span", { class: "value" });
		this.legend.append(element("li", {}, swatch(name, dash), element("span", {}, label), value));
		return value;
	}

	/* arrows go from second to second, as the pointer does */
	key(event) {
		const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
		if (event.key === "Escape")
			this.leave();
		if (!step || !this.plot || this.plot.data[0].length === 0)
			return;
		event.preventDefault();
		const times = this.plot.data[0];
		const from = this.plot.cursor.idx ?? times.length - 1 - Math.sign(step);
		const to = Math.max(0, Math.min(times.length - 1, from + step));
		this.plot.setCursor({ left: this.plot.valToPos(times[to], "x"), top: HEIGHT / 3 });
	}

	leave() {
		this.plot?.setCursor({ left: -10, top: -10 });
	}

	recolour() {
		this.plot?.redraw(false);
	}
}

class OverTime extends Figure {
	constructor(parent, kind) {
		super(parent, kind.title);
		this.kind = kind;
		this.values = kind.series.map(([label, , name], i) => this.entry(label, name, i));
		this.status = [];
		this.restarts = [];
		this.limits = [];
	}

	make(data) {
		const { kind } = this;
		const series = kind.series.map(([label, , name], i) => ({ label, stroke: () => colour(name), width: 1.75, dash: DASHES[i],
			points: { show: false }, fill: kind.series.length === 1 ? () => colour(`${name}-fill`) : undefined }));
		this.plot = new uPlot({
			width: this.box.clientWidth, height: HEIGHT, legend: { show: false }, padding: [8, 22, 0, 0],
			cursor: { sync: { key: "time" }, y: false, drag: { x: false, y: false }, points: { size: 6 } },
			scales: { x: { time: true, range: () => [this.from, this.to] },
				y: { distr: kind.log ? 3 : 1, range: (u, low, high) => this.range(low, high) } },
			axes: [axis({ values: timeLabels, incrs: [15, 30, 60, 120, 300], space: 58, size: 26 }),
				axis({ values: (u, splits) => splits.map((split) => short(kind.show(split))), size: 66, gap: 4,
					splits: kind.log ? (u, i, low, high) => decades(low, high) : linearSplits })],
			series: [{}, ...series],
			hooks: { drawClear: [(u) => drawHealth(u, u.data[0], this.status)],
				draw: [(u) => { drawLimits(u, this.limits); drawRestarts(u, this.restarts); }],
				setCursor: [() => this.showValues()] },
		}, data, this.box);
	}

	range(low, high) {
		const { kind } = this;
		if (!kind.log)
			return [0, kind.top ?? Math.max(5, (high ?? 0) * 1.15)];
		const values = [low, high, this.limits.length ? this.limits[0][0] * 1.1 : null].filter((value) => value > 0);
		if (values.length === 0)
			return [1, 1000];
		const bottom = Math.floor(Math.log10(Math.min(...values)) + 1e-9), top = Math.ceil(Math.log10(Math.max(...values)) - 1e-9);
		return [10 ** bottom, 10 ** Math.max(top, bottom + 1)];
	}

	show(engine, from, to) {
		const first = engine.rows.at_ms.findIndex((ms) => ms >= from * 1000);
		const rows = (column) => (first < 0 ? [] : engine.rows[column].slice(first));
		const data = [rows("at_ms").map((ms) => ms / 1000), ...this.kind.series.map(([, column]) => rows(column))];
		[this.from, this.to] = [from, to];
		this.status = rows("status");
		this.restarts = engine.restarts;
		this.limits = this.kind.limits?.(engine.now) ?? [];
		if (this.plot)
			this.plot.setData(data);
		else if (this.box.clientWidth > 0)
			this.make(data);
		this.describe(data, to - from);
		this.showValues();
	}

	describe(data, seconds) {
		const empty = data.slice(1).every((values) => values.every((value) => value === null));
		setHidden(this.nothing, !empty || !this.kind.nothing);
		setText(this.nothing, empty ? this.kind.nothing ?? "" : "");
		const parts = this.kind.series.map(([label], i) => {
			const now = last(data[i + 1]), most = largest(data[i + 1]);
			return now === null ? `${label}: nothing` : `${label}: ${this.kind.show(now)}, at most ${this.kind.show(most)}`;
		});
		this.box.setAttribute("aria-label", `${this.kind.title}, the last ${format.duration(seconds)}. ${parts.join(". ")}. ` +
			"Arrow keys read single seconds.");
	}

	showValues() {
		if (!this.plot)
			return;
		const { data, cursor } = this.plot;
		const at = cursor.left >= 0 ? cursor.idx : null;
		setText(this.when, at !== null && at !== undefined && data[0][at] ? format.at(data[0][at] * 1000) : "");
		this.values.forEach((node, i) => {
			const value = at === null || at === undefined ? last(data[i + 1]) : data[i + 1][at];
			setText(node, value === null || value === undefined ? "–" : this.kind.show(value));
		});
	}
}

/* ---- the distribution ---- */

/* a quarter of a power of two is a bar, as the engine makes them: its number, and back */
function barOf(ns) {
	if (ns < 64)
		return 23;
	const power = Math.floor(Math.log2(ns));
	return power * 4 + Math.floor((ns / 2 ** power - 1) * 4);
}

function placeOf(ns) {
	const power = Math.floor(Math.log2(Math.max(64, ns)));
	return power * 4 + (Math.max(64, ns) / 2 ** power - 1) * 4 - 0.5;
}

class Distribution extends Figure {
	constructor(parent) {
		super(parent, "Latency distribution, last 10 s");
		this.which = "process";
		this.bars = [];
		this.marks = [];
		const choices = DISTRIBUTIONS.map(([value, label]) => element("label", {},
			element("input", { type: "radio", name: "distribution", value, checked: value === this.which }), element("span", {}, label)));
		this.choice = element("fieldset", { class: "switch" }, element("legend", { class: "hidden" }, "Which latency"), ...choices);
		this.legend.replaceWith(this.choice);
		this.when.classList.add("about");
		this.choice.addEventListener("change", (event) => {
			this.which = event.target.value;
			this.show(this.engine);
		});
	}

	make(data) {
		this.plot = new uPlot({
			width: this.box.clientWidth, height: HEIGHT, legend: { show: false }, padding: [16, 22, 0, 0],
			cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
			scales: { x: { time: false, range: (u, low, high) => [Math.min(low, placeOf(900)) - 1, Math.max(high, placeOf(110000)) + 1] },
				y: { distr: 3, range: (u, low, high) => [0.5, 10 ** Math.ceil(Math.log10(Math.max(10, high) * 1.3))] } },
			axes: [axis({ size: 26, splits: (u, i, low, high) => decades(100, 1e11).map(placeOf).filter((p) => p > low && p < high),
				values: (u, splits) => splits.map((p) => short(micros(10 ** Math.round(Math.log10(this.nsAt(p))) / 1000))) }),
			axis({ size: 66, gap: 4, splits: (u, i, low, high) => decades(1, high), values: (u, splits) => splits.map(records) })],
			series: [{}, { stroke: () => colour("--blue"), fill: () => colour("--blue-bar"), width: 1,
				paths: uPlot.paths.bars({ size: [0.9, 100], align: 0 }), points: { show: false }, fillTo: 0.5 }],
			hooks: { draw: [(u) => this.drawMarks(u)], setCursor: [() => this.showValues()] },
		}, data, this.box);
	}

	nsAt(position) {
		const power = Math.floor((position + 0.5) / 4);
		return 2 ** power * (1 + (position + 0.5 - power * 4) / 4);
	}

	drawMarks(u) {
		const { ctx, bbox } = u;
		ctx.save();
		let labelled = -Infinity;
		this.marks.forEach(([label, us], i) => {
			const x = u.valToPos(placeOf(us * 1000), "x", true);
			drawLine(u, "--text", DASHES[i], [x, bbox.top], [x, bbox.top + bbox.height]);
			if (x - labelled < 34 * devicePixelRatio)
				return; // two labels on one spot say nothing
			labelled = x;
			drawLabel(u, "--text", label, x, bbox.top - 4 * devicePixelRatio, "center");
		});
		ctx.restore();
	}

	show(engine) {
		this.engine = engine;
		const bars = engine.now?.histograms[this.which] ?? [];
		const numbers = bars.map(([low]) => barOf(low));
		const first = numbers[0] ?? 0, lastBar = numbers[numbers.length - 1] ?? -1;
		const positions = Array.from({ length: lastBar - first + 1 }, (_, i) => first + i);
		const counts = positions.map(() => null);
		bars.forEach(([, , count], i) => { counts[numbers[i] - first] = count; });
		this.bars = bars;
		this.marks = this.quantiles(engine.now);
		if (this.plot)
			this.plot.setData([positions, counts]);
		else if (this.box.clientWidth > 0)
			this.make([positions, counts]);
		setHidden(this.nothing, bars.length > 0);
		setText(this.nothing, bars.length ? "" : "nothing in the last 10 s");
		this.describe();
		this.showValues();
	}

	quantiles(now) {
		const stem = { process: "fast_path_process", publish: "fast_path_publish", write: "persistence_queue_write",
			sync: "persistence_queue_sync" }[this.which];
		if (!now || !now.stats[`${stem}_samples`])
			return [];
		return [["p50", now.stats[`${stem}_p50_us`]], ["p99", now.stats[`${stem}_p99_us`]], ["p99.9", now.stats[`${stem}_p999_us`]]];
	}

	describe() {
		const [, label, meaning] = DISTRIBUTIONS.find(([value]) => value === this.which);
		const marks = this.marks.map(([name, us]) => `${name} ${micros(us)}`).join(", ");
		this.box.setAttribute("aria-label", `Distribution of ${label.toLowerCase()} latency (${meaning}) over the last 10 s. ` +
			`${marks || "Nothing in this time"}. Arrow keys read single bars.`);
	}

	showValues() {
		const at = this.plot?.cursor.left >= 0 ? this.plot.cursor.idx : null;
		const number = at === null || at === undefined ? null : this.plot.data[0][at];
		const bar = this.bars.find(([low]) => barOf(low) === number);
		const [, , meaning] = DISTRIBUTIONS.find(([value]) => value === this.which);
		setText(this.when, bar ? `${micros(bar[0] / 1000)} to ${micros(bar[1] / 1000)}: ${format.count(bar[2])} events` : meaning);
	}
}

export class Charts {
	constructor(parent) {
		this.seconds = 300;
		this.all = [];
		for (const kind of OVER_TIME) {
			this.all.push(new OverTime(parent, kind));
			if (kind.title === "Latency")
				this.distribution = new Distribution(parent);
		}
	}

	setRange(seconds) {
		this.seconds = seconds;
	}

	show(engine) {
		if (!engine.now || !engine.rows || engine.rows.at_ms.length === 0)
			return;
		const silentS = engine.silentSince === null ? 0 : (Date.now() - engine.answeredAt) / 1000;
		const to = engine.now.now_ms / 1000 + silentS;
		for (const chart of this.all)
			chart.show(engine, to - this.seconds, to);
		this.distribution.show(engine);
	}

	recolour() {
		colours = {};
		for (const chart of [...this.all, this.distribution])
			chart.recolour();
	}
}
