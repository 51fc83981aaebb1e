/* SPDX-License-Identifier: Apache-2.0 */
#include "control/history.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/http_answer.h"

/* one row: id, name in JSON */
#define COLUMNS(X)                          \
	X(AT, "at_ms")                      \
	X(STATUS, "status")                 \
	X(EVENTS, "events_per_second")      \
	X(DROPPED, "dropped_per_second")    \
	X(FILTERED, "filtered_per_second")  \
	X(PROCESS_P50, "process_p50_us")    \
	X(PROCESS_P99, "process_p99_us")    \
	X(PROCESS_P999, "process_p999_us")  \
	X(WRITE_P99, "write_p99_us")        \
	X(SYNC_P99, "sync_p99_us")          \
	X(JOURNAL_LAG, "journal_lag")       \
	X(KAFKA_EVENTS, "kafka_per_second") \
	X(KAFKA_LAG, "kafka_lag")           \
	X(KAFKA_LAG_S, "kafka_lag_seconds") \
	X(BUSY, "busiest_lcore_ratio")      \
	X(POLL_GAP, "longest_poll_gap_us")

enum column {
#define X(id, name) COLUMN_##id,
	COLUMNS(X)
#undef X
	    COLUMN_COUNT
};

static const char *const column_name[COLUMN_COUNT] = {
#define X(id, name) name,
    COLUMNS(X)
#undef X
};

struct change {
	uint64_t row; /* number of the row it came with */
	uint64_t at_ms;
	enum health_part part;
	enum health_status from, to;
	char text[HEALTH_REASON_LEN];
};

/* totals of which the rows hold the differences */
struct totals {
	uint64_t at_ns, journaled, dropped, filtered, sent;
};

struct history {
	uint64_t rows, changes; /* ever; the last of them are kept */
	double row[HISTORY_ROWS][COLUMN_COUNT];
	struct change change[HISTORY_CHANGES];
	struct totals last;
	enum health_status status, part[HEALTH_PARTS];
	uint64_t status_since_ms, part_since_ms[HEALTH_PARTS];
};

struct history *history_create(void)
{
	return calloc(1, sizeof(struct history));
}

void history_destroy(struct history *h)
{
	free(h);
}

uint64_t history_status_since_ms(const struct history *h, enum health_status status,
                                 uint64_t now_ms)
{
	return h->rows > 0 && h->status == status ? h->status_since_ms : now_ms;
}

uint64_t history_part_since_ms(const struct history *h, enum health_part part,
                               enum health_status status, uint64_t now_ms)
{
	return h->rows > 0 && h->part[part] == status ? h->part_since_ms[part] : now_ms;
}

static struct totals totals_of(const struct figures *f)
{
	struct totals t = {.at_ns = f->now_ns, .journaled = f->journaled, .sent = f->kafka.sent};

	for (int i = 0; i < REASON_COUNT; i++)
		if (reason_table[i].kind == REASON_KIND_DROPPED)
			t.dropped += f->reason[i];
		else
			t.filtered += f->reason[i];
	return t;
}

/* figures are gathered without a lock, and may seem to step back by a few */
static double rate(uint64_t now, uint64_t before, double seconds)
{
	return now > before ? (double)(now - before) / seconds : 0;
}

static void set_rates(double *row, const struct totals *now, const struct totals *last)
{
	double seconds = ((double)now->at_ns - (double)last->at_ns) / 1e9;

	if (last->at_ns == 0 || seconds <= 0) /* the first, or the clock was set back */
		return;
	row[COLUMN_EVENTS] = rate(now->journaled, last->journaled, seconds);
	row[COLUMN_DROPPED] = rate(now->dropped, last->dropped, seconds);
	row[COLUMN_FILTERED] = rate(now->filtered, last->filtered, seconds);
	row[COLUMN_KAFKA_EVENTS] = rate(now->sent, last->sent, seconds);
}

static double quantile_us(const struct figures *f, enum figures_latency latency, double quantile)
{
	const struct histogram_snapshot *window = &f->latency[latency].window;

	return window->total ? (double)histogram_quantile(window, quantile) / 1000.0 : NAN;
}

static void set_row(double *row, const struct figures *f, const struct health *health)
{
	for (int i = 0; i < COLUMN_COUNT; i++)
		row[i] = NAN;
	row[COLUMN_AT] = (double)(f->now_ns / 1000000);
	row[COLUMN_STATUS] = health->status;
	row[COLUMN_PROCESS_P50] = quantile_us(f, LATENCY_PROCESS, 0.5);
	row[COLUMN_PROCESS_P99] = quantile_us(f, LATENCY_PROCESS, 0.99);
	row[COLUMN_PROCESS_P999] = quantile_us(f, LATENCY_PROCESS, 0.999);
	row[COLUMN_WRITE_P99] = quantile_us(f, LATENCY_WRITE, 0.99);
	row[COLUMN_SYNC_P99] = quantile_us(f, LATENCY_SYNC, 0.99);
	row[COLUMN_JOURNAL_LAG] = (double)f->lag;
	if (f->kafka.state != KAFKA_OFF) {
		row[COLUMN_KAFKA_LAG] = (double)f->kafka.lag;
		row[COLUMN_KAFKA_LAG_S] = f->kafka.lag_s;
	}
	for (uint32_t i = 0; i < f->lcore_count; i++) {
		row[COLUMN_BUSY] = fmax(row[COLUMN_BUSY], f->lcore[i].busy_ratio);
		row[COLUMN_POLL_GAP] =
		    fmax(row[COLUMN_POLL_GAP], (double)f->lcore[i].longest_gap_ns / 1000.0);
	}
}

/* the sentence that says most about a part; "" when it is well */
static const char *worst_reason(const struct health *health, enum health_part part)
{
	for (uint32_t i = 0; i < health->reason_count; i++)
		if (health->reason_part[i] == part &&
		    health->reason_status[i] == health->part[part])
			return health->reason[i];
	return "";
}

static void note_changes(struct history *h, const struct health *health, uint64_t at_ms)
{
	bool first = h->status_since_ms == 0;

	if (first || health->status != h->status)
		h->status_since_ms = at_ms;
	h->status = health->status;
	for (int i = 0; i < HEALTH_PARTS; i++) {
		enum health_status from = h->part[i], to = health->part[i];

		if (first || from != to)
			h->part_since_ms[i] = at_ms;
		h->part[i] = to;
		if (from == to)
			continue;
		struct change *c = &h->change[h->changes++ % HISTORY_CHANGES];

		*c = (struct change){
		    .row = h->rows, .at_ms = at_ms, .part = i, .from = from, .to = to};
		snprintf(c->text, sizeof(c->text), "%s", worst_reason(health, i));
	}
}

void history_add(struct history *h, const struct figures *f, const struct health *health)
{
	struct totals now = totals_of(f);
	double *row = h->row[h->rows++ % HISTORY_ROWS];

	set_row(row, f, health);
	set_rates(row, &now, &h->last);
	h->last = now;
	note_changes(h, health, f->now_ns / 1000000);
}

static json_t *number_json(double value)
{
	if (isnan(value))
		return json_null();
	if (value == floor(value))
		return json_integer((json_int_t)value);
	return json_real(round(value * 1000) / 1000);
}

static json_t *rows_json(const struct history *h, uint64_t after)
{
	uint64_t kept = h->rows > HISTORY_ROWS ? h->rows - HISTORY_ROWS : 0;
	json_t *rows = json_array();

	for (uint64_t n = after > kept ? after : kept; n < h->rows; n++) {
		json_t *row = json_array();

		for (int i = 0; i < COLUMN_COUNT; i++)
			json_array_append_new(row, number_json(h->row[n % HISTORY_ROWS][i]));
		json_array_append_new(rows, row);
	}
	return rows;
}

static json_t *changes_json(const struct history *h, uint64_t after)
{
	uint64_t kept = h->changes > HISTORY_CHANGES ? h->changes - HISTORY_CHANGES : 0;
	json_t *changes = json_array();

	for (uint64_t n = kept; n < h->changes; n++) {
		const struct change *c = &h->change[n % HISTORY_CHANGES];

		if (c->row <= after)
			continue;
		json_array_append_new(
		    changes,
		    json_pack("{s:I, s:s, s:s, s:s, s:o}", "at_ms", (json_int_t)c->at_ms, "part",
		              health_part_name(c->part), "from", health_status_name(c->from), "to",
		              health_status_name(c->to), "text", http_text_json(c->text)));
	}
	return changes;
}

json_t *history_json(const struct history *h, uint64_t after)
{
	json_t *columns = json_array();

	if (after > h->rows)
		after = 0;
	for (int i = 0; i < COLUMN_COUNT; i++)
		json_array_append_new(columns, json_string(column_name[i]));
	return json_pack("{s:I, s:o, s:o, s:o}", "last", (json_int_t)h->rows, "columns", columns,
	                 "rows", rows_json(h, after), "changes", changes_json(h, after));
}
