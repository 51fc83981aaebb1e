/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal that lives through random work, faults, kills and power losses, beside a model of what it
 * promised. JOURNAL_SEED repeats a run, SOAK makes it longer.
 */
#include <time.h>

#include "journal_faults.h"

static struct {
	uint64_t published; /* last sequence number that was published */
	uint64_t durable;   /* last one that was called durable */
	uint64_t random;
	int clean, killed, powerless, faulty;
} model;

/* xorshift64*: the same numbers everywhere */
static uint64_t draw(uint64_t below)
{
	model.random ^= model.random >> 12;
	model.random ^= model.random << 25;
	model.random ^= model.random >> 27;
	return (model.random * 2685821657736338717u >> 33) % below;
}

static void setup(void)
{
	const char *seed = getenv("JOURNAL_SEED");

	fx_setup();
	faults_setup();
	memset(&model, 0, sizeof(model));
	model.random = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 1000003u;
	printf("JOURNAL_SEED=%llu\n", (unsigned long long)model.random);
	fflush(stdout);
	model.random |= 1;
	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN;
}

static void start(void)
{
	faults.fail_first = faults.fail_last = 0;
	faults.unnamed_count = faults.dirty_count = 0;
	fx.options.group_bytes = (uint32_t)(1 + draw(1 << 16));
	fx_start();
}

static void work(void)
{
	const struct journal_writer_status *status = journal_writer_status(fx.writer);

	for (uint64_t i = draw(60); i > 0; i--) {
		for (uint64_t n = draw(30); n > 0 && fx_append(); n--)
			model.published++;
		memlog_publish(&fx.memlog, fx.now);
		if (draw(15) == 0) {
			faults.fail_first = faults.count + 1 + (int)draw(6);
			faults.fail_last = faults.fail_first + (int)draw(3);
			faults.partial = draw(2);
			faults.error = draw(2) ? EIO : ENOSPC;
			model.faulty++;
		}
		for (uint64_t steps = draw(4); steps > 0; steps--) {
			journal_writer_step(fx.writer);
			fx.now += draw(3) * 60000000;
		}
		ck_assert_uint_ge(status->durable_seq, model.durable);
		ck_assert_uint_le(status->durable_seq, model.published);
		model.durable = status->durable_seq;
	}
}

static void stop_cleanly(void)
{
	faults.fail_first = faults.fail_last = 0;
	fx.now += 1000000000;
	fx_drain();
	ck_assert_int_eq(journal_writer_close(fx.writer), 0);
	fx.writer = NULL;
	model.durable = model.published;
	model.clean++;
}

/* of what was not synced any page may be missing, and any file whose name was not synced */
static void lose_power(void)
{
	char path[PATH_MAX];

	for (int i = 0; i < faults.dirty_count; i++) {
		off_t at = faults.dirty[i].offset, end = at + (off_t)faults.dirty[i].length;

		while (at < end) {
			off_t next = (at & ~(off_t)511) + 512;

			next = next < end ? next : end;
			if (draw(2))
				fault_drop(i, at, (size_t)(next - at));
			at = next;
		}
	}
	for (int i = 0; i < faults.unnamed_count; i++) {
		if (draw(2))
			unlinkat(fx.d.fd, faults.unnamed[i], 0);
	}
	journal_memlog_path(path, fx.memory, &fx.d, 0);
	ck_assert_int_eq(unlink(path), 0);
	model.powerless++;
}

static void check(bool power_lost)
{
	uint64_t next = fx.report.shard[0].next_seq;

	if (power_lost)
		ck_assert_uint_gt(next, model.durable);
	else
		ck_assert_uint_eq(next, model.published + 1);
	ck_assert_uint_le(next, model.published + 1);
	ck_assert_uint_eq(fx_read(next > 2000 ? next - 2000 : 0), next - 1);
	model.published = model.durable = next - 1;
}

START_TEST(keeps_its_promises)
{
	int rounds = getenv("SOAK") ? 3000 : 150;

	for (int i = 0; i < rounds; i++) {
		bool power_lost = false;

		start();
		if (i > 0)
			ck_assert_uint_eq(fx.report.shard[0].next_seq, model.published + 1);
		work();
		switch (draw(5)) {
		case 0:
			stop_cleanly();
			break;
		case 1:
		case 2:
			lose_power();
			power_lost = true;
			break;
		default:
			model.killed++;
		}
		fx_kill();
		start();
		check(power_lost);
		fx_kill();
	}
	ck_assert_uint_eq((fx_start(), fx_read(0)), model.published);
	ck_assert_int_gt(model.clean, rounds / 20);
	ck_assert_int_gt(model.killed, rounds / 10);
	ck_assert_int_gt(model.powerless, rounds / 10);
	ck_assert_int_gt(model.faulty, rounds / 10);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("journal crash");
	TCase *t = tcase_create("crash");

	tcase_add_checked_fixture(t, setup, fx_teardown);
	tcase_set_timeout(t, 600);
	tcase_add_test(t, keeps_its_promises);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_run(suite());
}
