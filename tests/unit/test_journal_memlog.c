/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "journal/crc32c.h"
#include "journal_fixture.h"

static void *region;
static struct memlog m;

static void setup(void)
{
	static const uint8_t uuid[16] = {1, 2, 3};

	region = aligned_alloc(4096, MEMLOG_SIZE);
	ck_assert_ptr_nonnull(region);
	memset(region, 0xa5, MEMLOG_SIZE); /* a memzone need not be clean */
	ck_assert_int_eq(memlog_format(region, MEMLOG_SIZE, uuid, 3, 7, 1), 0);
	ck_assert_int_eq(memlog_attach(&m, region), 0);
}

static void teardown(void)
{
	memlog_detach(&m);
	free(region);
}

static uint64_t append(uint32_t payload_len)
{
	static const uint8_t payload[EVENT_PAYLOAD_MAX];
	struct journal_entry e = {
	    .type = JOURNAL_EVENT, .key_len = 3, .key = "BTC", .payload = payload};

	e.payload_len = payload_len;
	return memlog_append_entry(&m, &e);
}

/* RFC 3720, appendix B.4 */
START_TEST(crc_vectors)
{
	uint8_t bytes[32];
	uint8_t read10[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,
	                      0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
	                      0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0};

	memset(bytes, 0, 32);
	ck_assert_uint_eq(crc32c(bytes, 32), 0x8a9136aa);
	ck_assert_uint_eq(crc32c_table(bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, 32);
	ck_assert_uint_eq(crc32c(bytes, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	ck_assert_uint_eq(crc32c(bytes, 32), 0x46dd794e);
	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)(31 - i);
	ck_assert_uint_eq(crc32c(bytes, 32), 0x113fdb5c);
	ck_assert_uint_eq(crc32c(read10, 48), 0xd9963a56);
	ck_assert_uint_eq(crc32c("123456789", 9), 0xe3069283);
}
END_TEST

/* both ways agree at every length and alignment */
START_TEST(crc_table_agrees)
{
	uint8_t bytes[2048]; /* beyond two long blocks and a short one, times three */

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37 + i / 256 * 11 + 11);
	for (size_t at = 0; at < 8; at++) {
		for (size_t len = 0; len + at <= sizeof(bytes); len += len < 900 ? 1 : 13)
			ck_assert_uint_eq(crc32c(bytes + at, len), crc32c_table(bytes + at, len));
	}
}
END_TEST

START_TEST(format_refuses_small)
{
	uint8_t uuid[16] = {0};

	ck_assert_int_eq(memlog_format(region, MEMLOG_MIN_SIZE - 4096, uuid, 0, 1, 1), -EINVAL);
}
END_TEST

START_TEST(attach_refuses_foreign_or_used)
{
	struct memlog again;

	append(10);
	memlog_publish(&m, 1);
	ck_assert_int_eq(memlog_attach(&again, region), -EINVAL); /* has records: recovery's */
	memset(region, 0, 8);
	ck_assert_int_eq(memlog_attach(&again, region), -EINVAL);
}
END_TEST

START_TEST(descriptor_becomes_record)
{
	struct {
		struct event_source source;
		char bytes[64];
	} s = {.source = {.rx_time_ns = 123456789, .feed = 5, .clock = EVENT_CLOCK_NIC}};
	struct event_desc d = {
	    .source = &s.source,
	    .feed_seq = 77,
	    .key_offset = sizeof(struct event_source),
	    .key_len = 3,
	    .payload_offset = sizeof(struct event_source) + 3,
	    .payload_len = 9,
	    .type = JOURNAL_EVENT,
	};
	const struct journal_record *r;
	const uint8_t *at;

	memcpy(s.source.session, "SESSION001", 10);
	memcpy(s.bytes, "BTC{\"p\":50}!", 12);
	ck_assert_uint_eq(memlog_append(&m, &d), 1);
	ck_assert_uint_eq(memlog_read(&m, 4096, &at), 0); /* invisible until published */
	memlog_publish(&m, 1);
	ck_assert_uint_eq(memlog_read(&m, 4096, &at), 72);
	r = (const void *)at;
	ck_assert(segment_record_valid(r, 72));
	ck_assert_uint_eq(r->seq, 1);
	ck_assert_uint_eq(r->rx_time_ns, 123456789);
	ck_assert_uint_eq(r->feed_seq, 77);
	ck_assert_uint_eq(r->feed, 5);
	ck_assert_uint_eq(r->clock, EVENT_CLOCK_NIC);
	ck_assert_mem_eq(r->session, "SESSION001", 10);
	ck_assert_mem_eq(journal_record_key(r), "BTC", 3);
	ck_assert_mem_eq(journal_record_payload(r), "{\"p\":50}!\0\0\0", 12);
}
END_TEST

/* key and payload behind each other, or apart: the same record, byte for byte, as from an entry */
START_TEST(every_length_makes_the_same_record)
{
	static struct both {
		struct event_source source;
		uint8_t apart[EVENT_KEY_MAX + 1];
		uint8_t joined[EVENT_KEY_MAX + 1100];
	} s;
	struct event_desc d = {.source = &s.source, .key_offset = offsetof(struct both, joined)};
	struct journal_entry e = {.type = JOURNAL_EVENT, .key = s.joined};
	const uint8_t *at;

	for (size_t i = 0; i < sizeof(s.joined); i++)
		s.joined[i] = (uint8_t)(i * 29 + i / 256 + 1);
	for (uint32_t len = 0; len < 1100; len += len < 300 ? 1 : 7) {
		uint32_t size;

		d.key_len = e.key_len = (uint8_t)(1 + len % EVENT_KEY_MAX);
		d.payload_len = (uint16_t)len;
		d.payload_offset = (uint16_t)(d.key_offset + d.key_len);
		e.payload_len = len;
		e.payload = s.joined + d.key_len;
		size = journal_record_size(d.key_len, len);
		teardown(); /* the next memory is not clean either */
		setup();
		ck_assert_uint_ne(memlog_append(&m, &d), 0);
		memcpy(s.apart, s.joined, d.key_len);
		d.key_offset = offsetof(struct both, apart);
		ck_assert_uint_ne(memlog_append(&m, &d), 0);
		d.key_offset = offsetof(struct both, joined);
		ck_assert_uint_ne(memlog_append_entry(&m, &e), 0);
		memlog_publish(&m, 1);
		ck_assert_uint_eq(memlog_read(&m, 65536, &at), 3 * size);
		for (uint32_t i = 0; i < 3; i++) {
			struct journal_record *r = (void *)(m.data + (at - m.data) + i * size);

			ck_assert(segment_record_valid(r, size));
			r->seq = 0;
			r->crc = 0;
			ck_assert_mem_eq(r, at, size);
		}
	}
}
END_TEST

START_TEST(sizes_beyond_the_limits_are_refused)
{
	struct journal_entry e = {.type = JOURNAL_EVENT, .payload_len = EVENT_PAYLOAD_MAX + 1};
	struct event_source source = {0};
	struct event_desc d = {.source = &source, .key_len = EVENT_KEY_MAX + 1};

	ck_assert_uint_eq(memlog_append_entry(&m, &e), 0);
	ck_assert_uint_eq(memlog_append(&m, &d), 0);
	d.key_len = 1;
	d.payload_len = EVENT_PAYLOAD_MAX + 1;
	ck_assert_uint_eq(memlog_append(&m, &d), 0);
	ck_assert_uint_eq(append(0), 1);
}
END_TEST

START_TEST(full_until_released)
{
	uint64_t count = 0;
	const uint8_t *at;
	size_t bytes;

	while (append(1000))
		count++;
	ck_assert_uint_eq(count, m.capacity / journal_record_size(3, 1000));
	memlog_publish(&m, 1);
	ck_assert_uint_eq(append(1000), 0);
	bytes = memlog_read(&m, 1, &at); /* at least one record */
	ck_assert_uint_eq(bytes, journal_record_size(3, 1000));
	memlog_consume(&m, bytes);
	ck_assert_uint_eq(append(1000), 0); /* read, but not durable */
	memlog_release(&m);
	ck_assert_uint_ne(append(0), 0);
}
END_TEST

START_TEST(rewind_reads_again)
{
	const uint8_t *first, *again;
	size_t bytes;

	for (int i = 0; i < 10; i++)
		append(100);
	memlog_publish(&m, 1);
	bytes = memlog_read(&m, 1 << 20, &first);
	memlog_consume(&m, bytes);
	ck_assert_uint_eq(memlog_used(&m), bytes);
	ck_assert_uint_eq(memlog_read(&m, 1 << 20, &again), 0);
	memlog_rewind(&m);
	ck_assert_uint_eq(memlog_read(&m, 1 << 20, &again), bytes);
	ck_assert_ptr_eq(first, again);
	memlog_consume(&m, bytes);
	memlog_release_to(&m, 10);
	ck_assert_uint_eq(memlog_used(&m), 0);
	ck_assert_uint_eq(m.header->released_seq, 10);
}
END_TEST

/* read everything there is in pieces of at most max bytes; checks order and wholeness */
static void read_all(uint64_t *next, size_t max)
{
	const uint8_t *at;
	size_t bytes;

	while ((bytes = memlog_read(&m, max, &at)) > 0) {
		for (size_t i = 0; i < bytes;) {
			const struct journal_record *r = (const void *)(at + i);

			ck_assert(segment_record_valid(r, bytes - i));
			ck_assert_uint_eq(r->seq, (*next)++);
			i += r->length;
		}
		memlog_consume(&m, bytes);
	}
	memlog_release(&m);
}

/* every way a record can meet the ring's end: fits exactly, leaves less than a header, needs padding */
START_TEST(wraps_at_every_remainder)
{
	uint64_t next = 1, wraps = 0, last_offset = 0;
	uint32_t step = 0;

	while (wraps < 400) {
		uint32_t len = (step * 8 + (step / 7) * 40) % 3000;

		ck_assert_uint_ne(append(len), 0);
		if (m.head_offset < last_offset)
			wraps++;
		last_offset = m.head_offset;
		ck_assert_uint_eq(m.head % m.capacity, m.head_offset);
		if (++step % 13 == 0) {
			memlog_publish(&m, step);
			read_all(&next, step % 2 ? 1 << 20 : 700);
			ck_assert_uint_eq(m.tail % m.capacity, m.tail_offset);
		}
	}
	memlog_publish(&m, step);
	read_all(&next, 1 << 20);
	ck_assert_uint_eq(next, m.next_seq);
	ck_assert_uint_eq(memlog_used(&m), 0);
}
END_TEST

START_TEST(fits_to_the_last_byte)
{
	const uint32_t big = 8000, size = journal_record_size(3, 8000);
	uint64_t next = 1;
	uint32_t left;

	while (m.capacity - m.head_offset >= 2 * size)
		append(big);
	left = (uint32_t)(m.capacity - m.head_offset) - size;
	/* two records that end exactly at the end */
	ck_assert_uint_ne(append(big), 0);
	ck_assert_uint_ne(append(left - 56 - 3), 0);
	ck_assert_uint_eq(m.head_offset, 0);
	memlog_publish(&m, 1);
	read_all(&next, 1 << 20);
	ck_assert_uint_eq(m.tail_offset, 0);
	ck_assert_uint_ne(append(big), 0);
	memlog_publish(&m, 2);
	read_all(&next, 1 << 20);
	ck_assert_uint_eq(next, m.next_seq);
}
END_TEST

/* a burst of descriptors, each with a payload of its own length */
#define BURST 48
static struct {
	struct event_source source;
	uint8_t key_and_payload[3 + 1024];
} events[BURST];

static void describe(struct event_desc d[BURST], uint32_t round)
{
	for (uint32_t i = 0; i < BURST; i++) {
		memset(events[i].key_and_payload, (int)(i + round),
		       sizeof(events[i].key_and_payload));
		events[i].source.rx_time_ns = round * BURST + i;
		d[i] = (struct event_desc){
		    .source = &events[i].source,
		    .key_offset = sizeof(struct event_source),
		    .key_len = 3,
		    .payload_offset = sizeof(struct event_source) + 3,
		    .payload_len = (uint16_t)((i * 37 + round * 11) % 1024),
		};
	}
}

/* whatever stops a burst, the rest of it goes in behind a release, dense and whole, at every offset of the ring */
START_TEST(a_burst_goes_on_where_it_stopped)
{
	struct event_desc d[BURST];
	uint64_t next = 1;
	uint32_t stopped = 0;

	for (uint32_t round = 0; stopped < 300; round++) {
		uint32_t done = 0;

		describe(d, round);
		for (;;) {
			uint64_t first = m.next_seq;
			uint32_t n = memlog_append_burst(&m, d + done, BURST - done);

			done += n;
			ck_assert_uint_eq(m.next_seq, first + n);
			ck_assert_uint_eq(m.head % m.capacity, m.head_offset);
			if (done == BURST)
				break;
			stopped++;
			ck_assert_uint_eq(memlog_append_burst(&m, d + done, BURST - done), 0);
			ck_assert_uint_eq(m.head % m.capacity, m.head_offset);
			memlog_publish(&m, round);
			read_all(&next, 1 << 20);
		}
	}
	memlog_publish(&m, 1);
	read_all(&next, 1 << 20);
	ck_assert_uint_eq(next, m.next_seq);
}
END_TEST

START_TEST(marks_are_bounded)
{
	for (int i = 0; i < 10; i++) {
		ck_assert_uint_ne(append(0), 0);
		memlog_publish(&m, (uint64_t)i);
		memlog_publish(&m, (uint64_t)i); /* nothing new: no mark */
	}
	ck_assert_uint_eq(m.marks_head, 10);
	m.marks_head = MEMLOG_MARKS; /* as if the writer had not looked for long */
	ck_assert_uint_ne(append(0), 0);
	memlog_publish(&m, 11);
	ck_assert_uint_eq(m.marks_head, MEMLOG_MARKS);
	ck_assert_uint_eq(m.marks[0].now_ns, 0);
	ck_assert_uint_eq(m.marks[1].position, 2 * journal_record_size(3, 0));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("journal memlog");
	TCase *t = tcase_create("memlog");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, crc_vectors);
	tcase_add_test(t, crc_table_agrees);
	tcase_add_test(t, format_refuses_small);
	tcase_add_test(t, attach_refuses_foreign_or_used);
	tcase_add_test(t, descriptor_becomes_record);
	tcase_add_test(t, every_length_makes_the_same_record);
	tcase_add_test(t, sizes_beyond_the_limits_are_refused);
	tcase_add_test(t, full_until_released);
	tcase_add_test(t, rewind_reads_again);
	tcase_add_test(t, wraps_at_every_remainder);
	tcase_add_test(t, fits_to_the_last_byte);
	tcase_add_test(t, a_burst_goes_on_where_it_stopped);
	tcase_add_test(t, marks_are_bounded);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_run(suite());
}
