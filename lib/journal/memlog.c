/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_branch_prediction.h>

#include "journal/crc32c.h"
#include "journal/memlog.h"

#define HEADER_SIZE sizeof(struct journal_record)
#define BYTES_AHEAD 1024

/* append writes the fields as words */
static_assert(offsetof(struct journal_record, seq) == 8, "word 0");
static_assert(offsetof(struct journal_record, session) == 32, "word 3");
static_assert(offsetof(struct journal_record, feed) == 42, "word 4");
static_assert(offsetof(struct journal_record, payload_len) == 44, "word 4");
static_assert(offsetof(struct journal_record, key_len) == 48, "word 5");
static_assert(offsetof(struct journal_record, clock) == 50, "word 5");
static_assert(offsetof(struct event_source, feed) ==
                  offsetof(struct event_source, session) + EVENT_SESSION_LEN,
              "read with the session's end");
static_assert(offsetof(struct event_desc, type) == offsetof(struct event_desc, key_len) + 1,
              "read with it");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "as the bytes of the journal are");

int memlog_format(void *base, size_t size, const uint8_t uuid[16], uint32_t shard,
                  uint64_t generation, uint64_t first_seq)
{
	struct memlog_header *h = base;

	if (size < MEMLOG_MIN_SIZE)
		return -EINVAL;
	memset(h, 0, MEMLOG_HEADER_SIZE);
	h->version = MEMLOG_VERSION;
	h->shard = shard;
	memcpy(h->uuid, uuid, sizeof(h->uuid));
	h->generation = generation;
	h->capacity = (size - MEMLOG_HEADER_SIZE) & ~(size_t)7;
	h->first_seq = first_seq;
	h->released_seq = first_seq - 1;
	memcpy(h->magic, MEMLOG_MAGIC, sizeof(h->magic));
	h->crc = memlog_header_crc(h);
	return 0;
}

uint32_t memlog_header_crc(const struct memlog_header *h)
{
	return crc32c(h, offsetof(struct memlog_header, crc));
}

bool memlog_header_valid(const struct memlog_header *h)
{
	return !memcmp(h->magic, MEMLOG_MAGIC, sizeof(h->magic)) && h->crc == memlog_header_crc(h);
}

int memlog_attach(struct memlog *m, void *base)
{
	struct memlog_header *h = base;

	memset(m, 0, sizeof(*m));
	if (!memlog_header_valid(h) || h->version != MEMLOG_VERSION)
		return -EINVAL;
	/* whatever it holds from another process belongs to recovery */
	if (h->published != 0 || h->released != 0)
		return -EINVAL;
	m->marks = calloc(MEMLOG_MARKS, sizeof(*m->marks));
	if (!m->marks)
		return -ENOMEM;
	m->header = h;
	m->data = (uint8_t *)base + MEMLOG_HEADER_SIZE;
	m->capacity = h->capacity;
	m->next_seq = h->first_seq;
	m->limit = m->capacity;
	return 0;
}

void memlog_detach(struct memlog *m)
{
	free(m->marks);
	memset(m, 0, sizeof(*m));
}

/* fill the ring's last bytes, so that the next record starts at its beginning */
static void put_padding(uint8_t *at, uint64_t room)
{
	struct journal_record *pad = (struct journal_record *)at;

	if (room < HEADER_SIZE)
		return;
	memset(pad, 0, sizeof(*pad));
	pad->length = (uint32_t)room;
	pad->type = JOURNAL_PAD;
	pad->crc = crc32c(&pad->length, HEADER_SIZE - offsetof(struct journal_record, length));
}

/* bytes from the head on that may be written as they stand: up to the ring's end, or to what is not released */
static inline uint64_t append_room(const struct memlog *m)
{
	uint64_t to_end = m->capacity - m->head_offset, free = m->limit - m->head;

	return to_end < free ? to_end : free;
}

/* the head moves to `to`, behind what was written from it on */
static inline void append_move(struct memlog *m, const uint8_t *to)
{
	uint64_t offset = (uint64_t)(to - m->data);

	m->head += offset - m->head_offset;
	m->head_offset = offset == m->capacity ? 0 : offset;
}

/* make room for a record of `size` bytes that stands in one piece; false: there is none */
static __attribute__((noinline)) bool append_make_room(struct memlog *m, uint32_t size)
{
	uint64_t to_end = m->capacity - m->head_offset;
	uint64_t need = size <= to_end ? size : to_end + size;

	if (m->head + need > m->limit) {
		m->limit =
		    m->capacity + atomic_load_explicit(&m->header->released, memory_order_acquire);
		if (m->head + need > m->limit)
			return false;
	}
	if (size > to_end) {
		put_padding(m->data + m->head_offset, to_end);
		m->head += to_end;
		m->head_offset = 0;
	}
	return true;
}

static inline void prefetch_to_write(const uint8_t *at)
{
#ifdef __x86_64__
	/* the builtin asks to read only, unless the build names a processor that has this one */
	__asm__ volatile("prefetchw %0" : : "m"(*at));
#else
	__builtin_prefetch(at, 1);
#endif
}

/* what follows was written a turn of the ring ago and read by another processor since: ask for it back early */
static inline void prefetch_ahead(const uint8_t *to, uint32_t size)
{
	const uint8_t *at = to + BYTES_AHEAD;

	prefetch_to_write(at);
	if (size > 64)
		prefetch_to_write(at + 64);
	for (uint32_t i = 128; unlikely(i < size); i += 64)
		prefetch_to_write(at + i);
}

/* the last 8 bytes hold the padding; whatever is not padding is written over afterwards */
static inline void clear_padding(struct journal_record *r, uint32_t size)
{
	memset((uint8_t *)r + size - 8, 0, 8);
}

/* 1 to 7 bytes at `from`, with zeros behind; the last of `total` that may be read, nothing behind them */
static inline uint64_t last_word(const uint8_t *from, uint32_t len, uint32_t total)
{
	uint64_t word = 0;

	if (likely(total >= 8)) {
		memcpy(&word, from + len - 8, 8);
		return word >> 8 * (8 - len);
	}
	memcpy(&word, from, len);
	return word;
}

/* 8 bytes, copied and summed in one go: summing what was just written, in pieces of another size, stalls */
static inline uint64_t copy_word(uint8_t *to, const uint8_t *from, uint64_t crc)
{
	uint64_t word = event_load_word(from);

	memcpy(to, &word, 8);
	return crc32c_word(crc, word);
}

/* the same for `len` bytes, a multiple of 8 */
static inline uint64_t copy_words(uint8_t *to, const uint8_t *from, uint32_t len, uint64_t crc)
{
	const uint8_t *end = from + len, *stop = from + (len & ~31u);

	for (; from != stop; from += 32, to += 32) {
		crc = crc32c_word(crc, event_load_word(from));
		crc = crc32c_word(crc, event_load_word(from + 8));
		crc = crc32c_word(crc, event_load_word(from + 16));
		crc = crc32c_word(crc, event_load_word(from + 24));
		memcpy(to, from, 32);
	}
	for (; from != end; from += 8, to += 8)
		crc = copy_word(to, from, crc);
	return crc;
}

/* the bytes behind the fields, len of them and zeros up to a multiple of 8. to: aligned to 8 bytes */
static inline uint64_t put_body(uint8_t *to, const uint8_t *from, uint32_t len, uint64_t crc)
{
	uint32_t whole = len & ~7u, rest = len & 7;
	uint64_t word;

	if (unlikely(len >= CRC32C_LONG)) {
		memcpy(to, from, whole);
		crc = crc32c_words(crc, from, whole);
	} else {
		crc = copy_words(to, from, whole, crc);
	}
	if (rest == 0)
		return crc;
	word = last_word(from + whole, rest, len);
	memcpy(to + whole, &word, sizeof(word));
	return crc32c_word(crc, word);
}

/* the same where the payload does not follow the key, which has a byte at least */
static __attribute__((noinline)) uint64_t
put_parts(struct journal_record *r, const struct event_desc *d, uint32_t size, uint64_t crc)
{
	clear_padding(r, size);
	memcpy(r + 1, event_key(d), d->key_len);
	memcpy((uint8_t *)(r + 1) + d->key_len, event_payload(d), d->payload_len);
	return crc32c_words(crc, r + 1, size - HEADER_SIZE);
}

static inline uint64_t put_field(struct journal_record *r, int field, uint64_t word, uint64_t crc)
{
	memcpy((uint8_t *)r + offsetof(struct journal_record, seq) + 8 * field, &word,
	       sizeof(word));
	return crc32c_word(crc, word);
}

/* the fields from seq on, in whole words, and the sum of the record up to their end */
static inline uint64_t put_fields(struct journal_record *r, const struct event_desc *d,
                                  uint32_t size, uint64_t seq)
{
	const struct event_source *source = d->source;
	uint64_t crc = crc32c_begin(size);
	uint32_t session_end_feed;
	uint16_t key_len_type;

	memcpy(&session_end_feed, source->session + 8, sizeof(session_end_feed));
	memcpy(&key_len_type, &d->key_len, sizeof(key_len_type));
	crc = put_field(r, 0, seq, crc);
	crc = put_field(r, 1, source->rx_time_ns, crc);
	crc = put_field(r, 2, d->feed_seq, crc);
	crc = put_field(r, 3, event_load_word(source->session), crc);
	crc = put_field(r, 4, session_end_feed | (uint64_t)d->payload_len << 32, crc);
	return put_field(r, 5, key_len_type | (uint64_t)source->clock << 16, crc);
}

static inline void put_record(struct journal_record *r, const struct event_desc *d, uint32_t size,
                              uint64_t seq)
{
	uint32_t len = (uint32_t)d->key_len + d->payload_len;
	uint64_t crc = put_fields(r, d, size, seq);

	if (likely(d->key_offset + d->key_len == d->payload_offset))
		crc = put_body((uint8_t *)(r + 1), event_key(d), len, crc);
	else
		crc = put_parts(r, d, size, crc);
	r->length = size;
	r->crc = ~(uint32_t)crc;
}

static inline bool is_too_long(const struct event_desc *d)
{
	return d->payload_len > EVENT_PAYLOAD_MAX || d->key_len > EVENT_KEY_MAX;
}

uint32_t memlog_append_burst(struct memlog *m, const struct event_desc *d, uint32_t n)
{
	const struct event_desc *begin = d, *end = d + n;
	uint8_t *to = m->data + m->head_offset;
	uint8_t *stop = to + append_room(m);
	uint64_t seq = m->next_seq;

	for (; d < end && likely(!is_too_long(d)); d++) {
		uint32_t size = journal_record_size(d->key_len, d->payload_len);

		if (unlikely(size > (size_t)(stop - to))) {
			append_move(m, to);
			bool made = append_make_room(m, size);
			/* also without room: what follows the loop counts from here */
			to = m->data + m->head_offset;
			stop = to + append_room(m);
			if (!made)
				break;
		}
		prefetch_ahead(to, size);
		put_record((struct journal_record *)to, d, size, seq++);
		to += size;
	}
	append_move(m, to);
	m->next_seq = seq;
	return (uint32_t)(d - begin);
}

uint64_t memlog_append(struct memlog *m, const struct event_desc *d)
{
	uint64_t seq = m->next_seq;

	return memlog_append_burst(m, d, 1) == 1 ? seq : 0;
}

uint64_t memlog_append_entry(struct memlog *m, const struct journal_entry *e)
{
	uint32_t size = journal_record_size(e->key_len, e->payload_len);
	struct journal_record *r;

	if (e->payload_len > EVENT_PAYLOAD_MAX || e->key_len > EVENT_KEY_MAX)
		return 0;
	if (!append_make_room(m, size))
		return 0;
	r = (struct journal_record *)(m->data + m->head_offset);
	memset(r, 0, sizeof(*r));
	clear_padding(r, size);
	r->length = size;
	r->seq = m->next_seq;
	r->rx_time_ns = e->rx_time_ns;
	r->feed_seq = e->feed_seq;
	if (e->session)
		memcpy(r->session, e->session, sizeof(r->session));
	r->feed = e->feed;
	r->payload_len = e->payload_len;
	r->key_len = e->key_len;
	r->type = e->type;
	r->clock = e->clock;
	if (e->key_len)
		memcpy(r + 1, e->key, e->key_len);
	if (e->payload_len)
		memcpy((uint8_t *)(r + 1) + e->key_len, e->payload, e->payload_len);
	r->crc = crc32c(&r->length, size - offsetof(struct journal_record, length));
	append_move(m, (uint8_t *)r + size);
	return m->next_seq++;
}

void memlog_publish(struct memlog *m, uint64_t now_ns)
{
	uint64_t published = atomic_load_explicit(&m->header->published, memory_order_relaxed);
	uint64_t mark = atomic_load_explicit(&m->marks_head, memory_order_relaxed);

	if (published == m->head)
		return;
	/* first: a writer that is quicker than we are would not find it until the next burst is durable */
	if (mark - atomic_load_explicit(&m->marks_tail, memory_order_acquire) != MEMLOG_MARKS) {
		m->marks[mark & (MEMLOG_MARKS - 1)] = (struct memlog_mark){m->head, now_ns};
		atomic_store_explicit(&m->marks_head, mark + 1, memory_order_release);
	}
	atomic_store_explicit(&m->header->published, m->head, memory_order_release);
}

/* move the tail over padding: it is nobody's record */
static void skip_padding(struct memlog *m)
{
	uint64_t room = m->capacity - m->tail_offset;
	const struct journal_record *r = (const void *)(m->data + m->tail_offset);

	if (room >= HEADER_SIZE && r->type != JOURNAL_PAD)
		return;
	m->tail += room;
	m->tail_offset = 0;
}

size_t memlog_read(struct memlog *m, size_t max, const uint8_t **at)
{
	uint64_t published = atomic_load_explicit(&m->header->published, memory_order_acquire);
	uint64_t room, bytes = 0;

	if (m->tail == published)
		return 0;
	skip_padding(m);
	*at = m->data + m->tail_offset;
	room = m->capacity - m->tail_offset;
	if (published - m->tail <= room && published - m->tail <= max)
		return published - m->tail;
	while (m->tail + bytes < published && room - bytes >= HEADER_SIZE) {
		const struct journal_record *r = (const void *)(*at + bytes);

		if (r->type == JOURNAL_PAD || (bytes > 0 && bytes + r->length > max))
			break;
		bytes += r->length;
	}
	return bytes;
}

void memlog_consume(struct memlog *m, size_t bytes)
{
	m->tail += bytes;
	m->tail_offset += bytes;
	if (m->tail_offset == m->capacity)
		m->tail_offset = 0;
}

void memlog_rewind(struct memlog *m)
{
	m->tail = atomic_load_explicit(&m->header->released, memory_order_relaxed);
	m->tail_offset = m->tail % m->capacity;
}

void memlog_release(struct memlog *m)
{
	atomic_store_explicit(&m->header->released, m->tail, memory_order_release);
}

void memlog_release_to(struct memlog *m, uint64_t seq)
{
	memlog_release(m);
	atomic_store_explicit(&m->header->released_seq, seq, memory_order_release);
}

uint64_t memlog_used(const struct memlog *m)
{
	/* released first: it never passes published, so the difference never wraps */
	uint64_t released = atomic_load_explicit(&m->header->released, memory_order_acquire);

	return atomic_load_explicit(&m->header->published, memory_order_acquire) - released;
}
