/* SPDX-License-Identifier: Apache-2.0 */
/* Figures as people read them. Parts are {value, unit}. */

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const clockTime = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const clockZone = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit",
	timeZoneName: "short" });
const dayTime = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit",
	second: "2-digit" });

function known(value) {
	return typeof value === "number" && Number.isFinite(value);
}

/** 1,234,567 */
export function count(value) {
	return known(value) ? whole.format(value) : "–";
}

/** Three digits that say something: 1.23, 12.3, 123 */
function digits(value) {
	if (value === 0)
		return "0";
	if (value >= 99.95)
		return whole.format(value);
	return value.toFixed(value >= 9.995 ? 1 : 2);
}

function scaled(value, steps) {
	if (!known(value))
		return { value: "–", unit: "" };
	const [size, unit] = steps.find(([step]) => Math.abs(value) >= step * 0.9995) ?? steps[steps.length - 1];
	return { value: digits(value / size), unit };
}

/** 12,345 as it is, 1.23 M */
export function amount(value) {
	if (!known(value) || Math.abs(value) < 100000)
		return { value: count(value), unit: "" };
	return scaled(value, [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]);
}

export function micros(value) {
	return value === 0 ? { value: "0", unit: "µs" } : scaled(value, [[1e6, "s"], [1e3, "ms"], [1, "µs"], [1e-3, "ns"]]);
}

export function bytes(value) {
	return scaled(value, [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]]);
}

export function percent(share) {
	if (!known(share))
		return { value: "–", unit: "" };
	const percents = share * 100;
	return { value: percents > 0 && percents < 9.95 ? percents.toFixed(1) : whole.format(percents), unit: "%" };
}

/** 7 s, 3 min 20 s, 2 h 5 min, 3 d 4 h */
export function duration(seconds) {
	const s = Math.max(0, Math.floor(seconds));
	const min = Math.floor(s / 60), h = Math.floor(s / 3600), d = Math.floor(s / 86400);
	if (d > 0)
		return `${d} d ${h % 24} h`;
	if (h > 0)
		return `${h} h ${min % 60} min`;
	if (min > 0)
		return s % 60 ? `${min} min ${s % 60} s` : `${min} min`;
	return `${s} s`;
}

/** The time of day, with the day when that is not today's. */
export function at(ms) {
	const when = new Date(ms);
	const far = when.toDateString() !== new Date().toDateString();
	return (far ? dayTime : clockTime).format(when);
}

export function clock(ms) {
	return clockZone.format(new Date(ms));
}

export function text({ value, unit }) {
	return unit ? `${value} ${unit}` : value;
}
