/* SPDX-License-Identifier: Apache-2.0 */
/* Where it happened: one table for each kind of place. */
import { byId, element, setChildren, setHidden, setText, Table } from "./dom.js";
import * as format from "./format.js";

const name = (title) => ({ title });
const number = (title) => ({ title, number: true });

function table(id, caption, ...columns) {
	return new Table(byId(id), caption, columns);
}

const losses = table("losses-table", "Drops and filters by reason", name("Reason"), name("What became of it"), number("Last 10 s"),
	number("Since the start"), { title: "Meaning", wide: true });
const feeds = table("feeds-table", "Feeds", name("Feed"), name("Port"), number("Messages/s"), number("Messages"),
	number("Datagrams"), number("Last one"));
const ports = table("ports-table", "Ports", name("Port"), name("Link"), number("Frames/s"), number("Rate"), number("Seen"),
	number("Decoded"), number("To host"), number("Filtered"), number("Dropped"), name("Device"));
const lcores = table("lcores-table", "Lcores", name("Lcore"), name("Task"), number("CPU"), number("Busy"), number("Longest poll gap"),
	number("Polls/s"));
const rings = table("rings-table", "Rings and buffers", name("Ring or pool"), number("In use"), number("Most at once"), number("Size"));
const shards = table("journal-table", "Shards of the journal", name("Shard"), number("Lag"), number("Last"), number("Durable"),
	number("Memory log"), number("Files"), number("Size"), number("Keys"), name("State"));
const brokers = table("brokers-table", "Kafka brokers", name("Broker"), name("State"), number("Round trip"), number("Errors"));
const figures = table("figures-table", "Every figure", name("Name"), number("Value"));

function share(used, size) {
	return size > 0 ? used / size : 0;
}

function showLosses({ now }) {
	const all = byId("all-reasons").checked;
	const most = Math.max(1, ...now.reasons.map((reason) => reason.window));
	const shown = now.reasons.filter((reason) => all || reason.total > 0)
		.sort((a, b) => (a.kind > b.kind) - (a.kind < b.kind) || b.window - a.window || b.total - a.total);
	losses.update(shown.map((reason) => [reason.name,
		{ text: `${reason.kind} ${reason.unit}s`, status: reason.kind === "dropped" && reason.window > 0 ? "unhealthy" : undefined },
		{ text: format.count(reason.window), share: reason.window / most }, format.count(reason.total), reason.sentence]),
	"Nothing was dropped or filtered since the start.");
	const { law_frames_balance: frames, law_messages_balance: messages } = now.stats;
	setText(byId("laws"), frames === 0 && messages === 0 ? "Every frame and every message is accounted for." :
		`On their way at this moment: frames ${format.count(Math.max(0, frames))}, messages ${format.count(Math.max(0, messages))}.`);
}

function lastOne(feed, now) {
	if (!feed.last_rx_ms)
		return "never";
	const seconds = (now.now_ms - feed.last_rx_ms) / 1000;
	return seconds < 1 ? "now" : `${format.duration(seconds)} ago`;
}

function isSilent(feed, { now_ms: nowMs, started_ms: startedMs, limits }) {
	return feed.port !== "" && limits.silent_feed_s > 0 &&
		nowMs - (feed.last_rx_ms || startedMs) > limits.silent_feed_s * 1000;
}

function perSecond(engine, pick) {
	const rate = engine.rate(pick);
	return rate === null ? "–" : format.text(format.amount(Math.round(rate)));
}

function showFeeds(engine) {
	const { now } = engine;
	feeds.update(now.feeds.map((feed, i) => [feed.name, feed.port || "HTTP", perSecond(engine, (answer) => answer.feeds[i]?.messages),
		format.count(feed.messages), feed.port ? format.count(feed.datagrams) : "–",
		isSilent(feed, now) ? { text: `silent: ${lastOne(feed, now)}`, status: "degraded" } : lastOne(feed, now)]));
}

function bitRate(bits) {
	const { value, unit } = format.amount(Math.round(bits));
	return `${value} ${unit}bit/s`;
}

/* beyond 2^53 a browser's numbers are not exact: it says so */
function plain(value) {
	if (value === null)
		return "–";
	return typeof value === "number" && !Number.isSafeInteger(value) && Number.isInteger(value) ? `about ${value}` : String(value);
}

function showPorts(engine) {
	ports.update(engine.now.ports.map((port, i) => {
		const bytes = engine.rate((answer) => answer.ports[i]?.bytes);
		const lost = port.loss_known ? format.count(port.dropped) : "loss unknown";
		return [port.name, port.link_up ? { text: "up", status: "healthy" } : { text: "down", status: "unhealthy" },
			perSecond(engine, (answer) => answer.ports[i]?.seen),
			bytes === null ? "–" : bitRate(bytes * 8), format.count(port.seen),
			format.count(port.decoded), format.count(port.to_host), format.count(port.filtered), lost,
			port.driver ? `${port.device} (${port.driver})` : port.device];
	}), "No port: events come by HTTP only.");
}

function showLcores(engine) {
	lcores.update(engine.now.lcores.map((lcore, i) => [String(lcore.id),
		lcore.moving ? lcore.task : { text: `${lcore.task}: does not poll`, status: "unhealthy" }, String(lcore.cpu),
		{ text: format.text(format.percent(lcore.busy)), share: lcore.busy }, format.text(format.micros(lcore.gap_us)),
		perSecond(engine, (answer) => answer.lcores[i]?.polls)]), "No lcore polls yet.");
}

function showRings({ now }) {
	const rows = now.rings.map((ring) => [`${ring.producer} to worker ${ring.worker}`,
		{ text: format.count(ring.used), share: share(ring.used, ring.size) }, format.count(ring.high_water), format.count(ring.size)]);
	rows.push(...now.pools.map((pool) => [`buffers ${pool.name}`,
		{ text: format.count(pool.used), share: share(pool.used, pool.size) }, "–", format.count(pool.size)]));
	rings.update(rows, "No rings yet.");
}

function showJournal({ now: { stats } }) {
	const rows = [];
	for (let i = 0; i < (stats.shard_count ?? 0); i++) {
		const figure = (what) => stats[`shard_${i}_${what}`];
		const failing = figure("failing_errno");
		rows.push([String(i), format.count(figure("lag")), format.count(figure("last_seq")), format.count(figure("durable_seq")),
			{ text: format.text(format.bytes(figure("memlog_used_bytes"))), share: share(figure("memlog_used_bytes"), figure("memlog_size_bytes")) },
			format.count(figure("segments")), format.text(format.bytes(figure("bytes"))), format.count(figure("keys")),
			failing ? { text: `cannot be written: errno ${failing}`, status: "unhealthy" } : { text: "well", status: "healthy" }]);
	}
	shards.update(rows, "No shard yet.");
	setText(byId("journal-note"), `write p99 ${format.text(format.micros(stats.persistence_queue_write_p99_us))}, ` +
		`sync p99 ${format.text(format.micros(stats.persistence_queue_sync_p99_us))}`);
}

function showKafka({ now }) {
	const { stats } = now;
	const off = stats.kafka_bridge_state === "off";
	const pairs = off ? [] : [["Behind", `${format.count(stats.kafka_bridge_lag)} records`],
		["Age of the oldest", format.text(format.micros(stats.kafka_bridge_lag_seconds * 1e6))],
		["Delivered", format.count(stats.kafka_bridge_send_count)],
		["Transactions", format.count(stats.kafka_bridge_transactions_total)],
		["Aborted", format.count(stats.kafka_bridge_transactions_aborted_total)],
		["Errors", format.count(stats.kafka_bridge_send_error_count)],
		["Dead letters", format.count(stats.kafka_bridge_dead_letters_total)]];
	setText(byId("kafka-note"), off ? "off: set KAFKA_BRIDGE_ENABLE=1" :
		[stats.kafka_bridge_state, stats.kafka_bridge_reason].filter((part) => part).join(": "));
	setChildren(byId("kafka-pairs"), pairs, () => element("div", {}, element("dt"), element("dd")), (pair, [title, value]) => {
		setText(pair.children[0], title);
		setText(pair.children[1], value);
	});
	setHidden(byId("brokers"), now.brokers.length === 0);
	brokers.update(now.brokers.map((broker) => [broker.name, broker.up ? { text: "connected", status: "healthy" } :
		{ text: "away", status: "degraded" }, format.text(format.micros(broker.rtt_us)), format.count(broker.errors)]));
}

function showFigures({ now: { stats } }) {
	if (!byId("figures-box").open)
		return;
	const part = byId("figures-filter").value.trim().toLowerCase();
	figures.update(Object.entries(stats).filter(([key]) => key.toLowerCase().includes(part))
		.map(([key, value]) => [key, plain(value)]), "No figure has a name like that.");
}

export function showTables(engine) {
	if (!engine.now)
		return;
	for (const show of [showLosses, showFeeds, showPorts, showLcores, showRings, showJournal, showKafka, showFigures])
		show(engine);
}

function changeText(change) {
	if (change.restart)
		return "the engine started again";
	return change.text || `${change.to} again`;
}

export function showChanges({ changes, now }) {
	const list = changes.length || !now ? [...changes].reverse() : [{ at_ms: now.started_ms, quiet: true }];
	setChildren(byId("change-list"), list,
		() => element("li", {}, element("time"), element("b"), element("span", { class: "what" }), element("span")), (item, change) => {
			const status = change.restart ? "silent" : change.to ?? "off";
			item.dataset.status = status;
			setText(item.children[0], format.at(change.at_ms));
			item.children[0].dateTime = new Date(change.at_ms).toISOString();
			setText(item.children[1], change.restart || change.quiet ? "engine" : change.part);
			setText(item.children[2], change.restart ? "restarted" : change.quiet ? "started" : change.to);
			setText(item.children[3], change.quiet ? "nothing has changed since" : changeText(change));
		});
}
