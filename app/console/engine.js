/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's figures, asked for once a second, and what is remembered of them. */

const PERIOD_MS = 1000;
const HIDDEN_PERIOD_MS = 5000; /* nobody looks; the engine keeps the seconds in between */
const LONGEST_PAUSE_MS = 4000;
const PATIENCE_MS = 4000;
const ROWS_KEPT = 1800;
const CHANGES_KEPT = 200;

export async function fetchJson(path) {
	const answer = await fetch(path, { cache: "no-store", credentials: "same-origin",
		signal: AbortSignal.timeout(PATIENCE_MS) });
	const type = answer.headers.get("Content-Type") ?? "";
	const body = type.startsWith("application/json") ? await answer.json() : null;
	return { status: answer.status, body };
}

function because(error) {
	if (error.name === "TimeoutError")
		return `no answer within ${PATIENCE_MS / 1000} s`;
	return error instanceof TypeError ? "the connection failed" : error.message;
}

/**
 * now: the last answer, null before the first. previous: the one before it, for rates. rows: {column: [...]}, of the
 * engine's history and, across its restarts, of this page's. silentSince: ms, null while the engine answers.
 */
export class Engine {
	constructor(changed) {
		this.changed = changed;
		this.now = null;
		this.previous = null;
		this.answeredAt = null;
		this.silentSince = null;
		this.failure = "";
		this.failures = 0;
		this.rows = null;
		this.restarts = [];
		this.changes = [];
		this.last = 0;
		this.timer = 0;
		this.asking = false;
	}

	start() {
		document.addEventListener("visibilitychange", () => {
			if (!document.hidden)
				this.ask();
		});
		window.addEventListener("online", () => this.ask());
		this.ask();
	}

	async ask() {
		if (this.asking)
			return;
		this.asking = true;
		clearTimeout(this.timer);
		const begin = performance.now();
		try {
			let answer = await this.get();
			if (this.now && answer.started_ms !== this.now.started_ms) {
				this.restarted(answer.started_ms);
				answer = await this.get();
			}
			this.take(answer);
		} catch (error) {
			this.failed(because(error));
		}
		this.asking = false;
		try {
			this.changed(this);
		} finally {
			this.timer = setTimeout(() => this.ask(), Math.max(100, this.pause() - (performance.now() - begin)));
		}
	}

	pause() {
		if (this.failures > 0)
			return Math.min(LONGEST_PAUSE_MS, PERIOD_MS * this.failures);
		return document.hidden ? HIDDEN_PERIOD_MS : PERIOD_MS;
	}

	async get() {
		const { status, body } = await fetchJson(`console.json?after=${this.last}`);
		if (status !== 200)
			throw new Error(`it answered ${status}${body?.error ? ` ${body.error}` : ""}`);
		if (typeof body?.stats !== "object" || !Array.isArray(body.history?.rows))
			throw new Error("what answers there is no engine");
		return body;
	}

	failed(why) {
		this.failures++;
		this.failure = why;
		this.silentSince ??= this.answeredAt ?? Date.now();
	}

	/* its own history begins anew; what this page has seen stays */
	restarted(startedMs) {
		this.last = 0;
		this.previous = null;
		this.now = null;
		this.restarts.push(startedMs);
		this.changes.push({ at_ms: startedMs, restart: true });
	}

	take(answer) {
		this.failures = 0;
		this.silentSince = null;
		this.answeredAt = Date.now();
		this.previous = this.now;
		this.now = answer;
		this.append(answer.history);
		this.changes.push(...answer.history.changes);
		this.changes.splice(0, this.changes.length - CHANGES_KEPT);
		this.last = answer.history.last;
	}

	append({ columns, rows }) {
		this.rows ??= Object.fromEntries(columns.map((name) => [name, []]));
		const times = this.rows.at_ms;
		for (const row of rows) {
			const atMs = row[columns.indexOf("at_ms")];
			const before = times[times.length - 1];
			if (before !== undefined && atMs <= before)
				continue; // the clock was set back
			if (before !== undefined && atMs - before > 3500)
				this.push(columns, columns.map((name) => (name === "at_ms" ? before + 1 : null))); // a hole is shown as one
			this.push(columns, row);
		}
		for (const name of columns)
			this.rows[name].splice(0, this.rows[name].length - ROWS_KEPT);
	}

	push(columns, row) {
		columns.forEach((name, i) => this.rows[name]?.push(row[i]));
	}

	/** By how much a counter grew in a second; null: not known yet. pick(answer) gives the counter or undefined. */
	rate(pick) {
		if (!this.previous)
			return null;
		const seconds = (this.now.now_ms - this.previous.now_ms) / 1000;
		const before = pick(this.previous), after = pick(this.now);
		return seconds > 0 && before !== undefined && after !== undefined ? Math.max(0, after - before) / seconds : null;
	}
}
