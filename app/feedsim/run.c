/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define NS_PER_S       UINT64_C(1000000000)
#define TICK_NS        UINT64_C(250000)
#define RETRY_NS       UINT64_C(100000)    /* until a full socket buffer is tried again */
#define LATE_NS        UINT64_C(100000000) /* that --rate may be behind when --duration ends */
#define UNPACED_EVENTS 4096                /* between two looks at the clock */
#define PROGRESS_NS    (NS_PER_S / 4)

struct engine {
	const struct options *o;
	struct source *source;
	struct sink *sink;
	const volatile sig_atomic_t *stop;
	struct run_summary *out;
	struct batch batch;
	uint64_t start_ns;    /* CLOCK_MONOTONIC */
	uint64_t events;      /* taken from the source: sent or kept back */
	uint32_t tick_events; /* most events in a tick */
	bool paced;           /* by --rate */
	bool over;
	uint64_t progress_ns; /* when to show it next, since the start */
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* since the start */
static uint64_t now_ns(const struct engine *e)
{
	return clock_ns(CLOCK_MONOTONIC) - e->start_ns;
}

/* a signal ends the sleep early: the caller looks at *stop */
static void sleep_until(const struct engine *e, uint64_t at_ns)
{
	uint64_t at = e->start_ns + at_ns;
	struct timespec t = {(time_t)(at / NS_PER_S), (long)(at % NS_PER_S)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* splitmix64: whether event i is kept back depends on seed and i alone */
static bool is_lost(const struct options *o, uint64_t event)
{
	uint64_t z =
	    o->seed * UINT64_C(0xd1342543de82ef95) + (event + 1) * UINT64_C(0x9e3779b97f4a7c15);

	if (o->loss == 0)
		return false;
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	z ^= z >> 31;
	return (double)(z >> 11) * 0x1p-53 < o->loss;
}

static void show_progress(struct engine *e, bool last)
{
	uint64_t now = now_ns(e);
	double seconds = (double)now / 1e9;

	if (!e->o->progress || (!last && now < e->progress_ns))
		return;
	e->progress_ns = now + PROGRESS_NS;
	fprintf(stderr, "\rfeedsim: %llu sent", (unsigned long long)e->out->sent);
	if (e->o->count > 0 && e->o->replay == NULL)
		fprintf(stderr, " of %llu", (unsigned long long)e->o->count);
	fprintf(stderr, ", %.0f/s, %.0f s\033[K%s", (double)e->out->sent / seconds, seconds,
	        last ? "\n" : "");
}

/* has the last event been sent, if the next one is due then? */
static bool is_over(const struct engine *e, uint64_t next_ns)
{
	uint64_t limit_ns = e->o->duration > 0 ? (uint64_t)(e->o->duration * 1e9) : UINT64_MAX;

	if (next_ns == UINT64_MAX || next_ns >= limit_ns)
		return true;
	if (e->o->count > 0 && e->events >= e->o->count)
		return true;
	/* without a pace, or when it cannot be kept, nothing but the clock ends it */
	return e->sink->real_time && limit_ns != UINT64_MAX &&
	       now_ns(e) >= limit_ns + (e->paced ? LATE_NS : 0);
}

/* fill the batch with events that are due by `until`, at most `most`; *next: when the one after is
 * due */
static int fill(struct engine *e, uint64_t until, uint32_t most, uint64_t *next,
                char err[OPTIONS_ERROR_MAX])
{
	struct batch *b = &e->batch;

	b->count = 0;
	while (b->count < most) {
		if (e->source->peek(e->source, next, err) != 0)
			return -1;
		e->over = is_over(e, *next);
		if (e->over || *next > until)
			break;
		if (is_lost(e->o, e->events++)) {
			e->source->take(e->source, NULL);
			e->out->lost_on_purpose++;
		} else {
			e->source->take(e->source, &b->datagram[b->count++]);
		}
	}
	return 0;
}

static void note_sent(struct engine *e, uint32_t from, uint32_t count)
{
	const struct datagram *d = &e->batch.datagram[from];
	uint64_t first, last;

	if (e->sink->real_time) {
		first = last = clock_ns(CLOCK_REALTIME);
		e->out->elapsed_ns = now_ns(e);
	} else {
		first = RUN_FILE_EPOCH_NS + d[0].due_ns;
		last = RUN_FILE_EPOCH_NS + d[count - 1].due_ns;
		e->out->elapsed_ns = d[count - 1].due_ns;
	}
	if (e->out->sent == 0)
		e->out->first_time_ns = first;
	e->out->last_time_ns = last;
	e->out->sent += count;
	for (uint32_t i = 0; i < count; i++)
		e->out->bytes += d[i].len;
}

static int deliver(struct engine *e, char err[OPTIONS_ERROR_MAX])
{
	uint32_t from = 0;

	while (from < e->batch.count) {
		int sent = e->sink->send(e->sink, &e->batch, from, err);

		if (sent < 0)
			return -1;
		if (sent > 0) {
			note_sent(e, from, (uint32_t)sent);
			from += (uint32_t)sent;
		} else {
			e->out->retries++;
			if (*e->stop)
				return 0;
			sleep_until(e, now_ns(e) + RETRY_NS);
		}
	}
	return 0;
}

/* what is due now, but no more than a tick's share: who falls behind catches up at twice the rate,
 * not in a burst that no network would bring */
static int do_tick(struct engine *e, char err[OPTIONS_ERROR_MAX])
{
	uint64_t now = e->sink->real_time ? now_ns(e) : UINT64_MAX - 1;
	uint32_t left = e->tick_events;
	uint64_t next = 0;

	while (left > 0 && !e->over && !*e->stop) {
		int filled = fill(e, now, left < BATCH_MAX ? left : BATCH_MAX, &next, err);

		/* what was read before a file turned out to be torn still goes out */
		if (deliver(e, err) != 0 || filled != 0)
			return -1;
		left -= e->batch.count;
		if (next > now)
			break;
	}
	show_progress(e, false);
	if (e->over || !e->sink->real_time)
		return 0;
	if (next > now)
		sleep_until(e, next > now + TICK_NS ? next : now + TICK_NS);
	else if (e->paced)
		sleep_until(e, now + TICK_NS);
	return 0;
}

static int prepare(struct engine *e, char err[OPTIONS_ERROR_MAX])
{
	uint8_t *room = malloc((size_t)BATCH_MAX * DATAGRAM_MAX);

	if (room == NULL) {
		snprintf(err, OPTIONS_ERROR_MAX, "no memory for a batch: %s", strerror(errno));
		return -1;
	}
	for (uint32_t i = 0; i < BATCH_MAX; i++)
		e->batch.datagram[i].data = room + (size_t)i * DATAGRAM_MAX;
	e->paced = e->o->rate > 0 && (e->o->replay == NULL || e->o->has_rate);
	e->tick_events = UNPACED_EVENTS;
	if (e->paced)
		e->tick_events = 1 + (uint32_t)(2 * e->o->rate * (double)TICK_NS / NS_PER_S);
	/* the kernel rounds sleeps up by 50 us otherwise */
	(void)prctl(PR_SET_TIMERSLACK, 1UL);
	e->start_ns = clock_ns(CLOCK_MONOTONIC);
	return 0;
}

int run(const struct options *o, struct source *source, struct sink *sink,
        const volatile sig_atomic_t *stop, struct run_summary *out, char err[OPTIONS_ERROR_MAX])
{
	struct engine e = {.o = o, .source = source, .sink = sink, .stop = stop, .out = out};
	int result = prepare(&e, err);

	memset(out, 0, sizeof(*out));
	if (result != 0)
		return result;
	while (result == 0 && !e.over && !*stop)
		result = do_tick(&e, err);
	show_progress(&e, true);
	out->interrupted = *stop != 0;
	free(e.batch.datagram[0].data);
	return result;
}
