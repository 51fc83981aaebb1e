/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memlog: a ring of journal records in memory that outlives the process (a file in hugetlbfs or
 * /dev/shm). One worker appends; one journal writer reads, and releases what is durable. Positions
 * are byte counts that only grow; position % capacity is where the byte stands. Nothing in it is a
 * pointer.
 *
 * Threads: append and publish belong to the worker, read and release to the journal writer. Neither
 * ever waits for the other.
 */
#ifndef JOURNAL_MEMLOG_H
#define JOURNAL_MEMLOG_H

#include <stdalign.h>
#include <stdatomic.h>

#include "journal/record.h"

#define MEMLOG_MAGIC       "FPMEMLOG"
#define MEMLOG_VERSION     1
#define MEMLOG_HEADER_SIZE 4096
#define MEMLOG_MIN_SIZE    (MEMLOG_HEADER_SIZE + 256 * 1024) /* smallest useful region, bytes */

struct memlog_header {
	char magic[8];
	uint32_t version;
	uint32_t shard;
	uint8_t uuid[16];    /* of the journal directory */
	uint64_t generation; /* grows with every start that formats it */
	uint64_t capacity;   /* bytes behind the header, a multiple of 8 */
	uint64_t first_seq;  /* of the record at position 0 */
	uint32_t crc;        /* CRC32C of all fields above */
	uint32_t reserved;
	/* worker: position behind the last whole record */
	alignas(64) _Atomic uint64_t published;
	/* writer: position up to which segments are durable, and a number up to which they hold at least all, which may
	 * lag behind it */
	alignas(64) _Atomic uint64_t released;
	_Atomic uint64_t released_seq;
};
static_assert(sizeof(struct memlog_header) <= MEMLOG_HEADER_SIZE, "records follow at a page");
static_assert(offsetof(struct memlog_header, crc) == 56, "memlog version 1");
static_assert(offsetof(struct memlog_header, published) == 64, "memlog version 1");
static_assert(offsetof(struct memlog_header, released) == 128, "memlog version 1");

/* when the burst that ended at `position` was appended: feeds the persistence latencies */
struct memlog_mark {
	uint64_t position;
	uint64_t now_ns;
};
#define MEMLOG_MARKS 4096 /* a power of two; with none free a burst goes unmeasured */

/* the process-local handle; zeroed and whole after memlog_attach */
struct memlog {
	struct memlog_header *header;
	uint8_t *data;
	uint64_t capacity;
	struct memlog_mark *marks; /* MEMLOG_MARKS, SP/SC */
	/* worker */
	alignas(64) uint64_t head; /* position of the next record, >= published */
	uint64_t head_offset;      /* head % capacity */
	uint64_t next_seq;
	uint64_t limit; /* the worker's last look at released + capacity */
	_Atomic uint64_t marks_head;
	_Atomic uint64_t urgent; /* somebody waits until all in front of this position is durable */
	/* journal writer */
	alignas(64) uint64_t tail; /* position of the next record to read */
	uint64_t tail_offset;      /* tail % capacity */
	_Atomic uint64_t marks_tail;
};

/* What to append when there is no descriptor: control records. Pointers are borrowed for the call.
 */
struct journal_entry {
	enum journal_type type;
	enum event_clock clock;
	uint16_t feed;
	uint8_t key_len;
	uint32_t payload_len;
	uint64_t rx_time_ns;
	uint64_t feed_seq;
	const uint8_t *session; /* EVENT_SESSION_LEN bytes, or NULL for zeros */
	const void *key;
	const void *payload;
};

/* Make an empty memlog of `size` bytes at `base` (page aligned, size a multiple of 4096).
 * Returns 0, or -EINVAL if size is below MEMLOG_MIN_SIZE. */
int memlog_format(void *base, size_t size, const uint8_t uuid[16], uint32_t shard,
                  uint64_t generation, uint64_t first_seq);

/* Attach to a memlog that memlog_format made in this process. Allocates the marks.
 * Returns 0, -EINVAL (not a memlog), -ENOMEM. */
int memlog_attach(struct memlog *m, void *base);
void memlog_detach(struct memlog *m);

/* Worker. Append one record; returns its sequence number, or 0 when there is no room. What is
 * appended is invisible to everyone, recovery included, until memlog_publish. */
uint64_t memlog_append(struct memlog *m, const struct event_desc *d);
/* Worker. The same for n descriptors, in their order, up to the first for which there is no room or that is longer
 * than EVENT_KEY_MAX or EVENT_PAYLOAD_MAX allow. Returns how many were appended; the first has the sequence number that
 * m->next_seq was. */
uint32_t memlog_append_burst(struct memlog *m, const struct event_desc *d, uint32_t n);
uint64_t memlog_append_entry(struct memlog *m, const struct journal_entry *e);
/* Worker. Make what was appended visible; once a burst. now_ns: any steady clock, also the
 * writer's. */
void memlog_publish(struct memlog *m, uint64_t now_ns);

/* Worker, before it publishes. Somebody waits for what was appended last to be durable. */
static inline void memlog_urge(struct memlog *m)
{
	atomic_store_explicit(&m->urgent, m->head, memory_order_relaxed);
}

/* Journal writer. Somebody waits for what it has not released yet. */
static inline bool memlog_urged(const struct memlog *m)
{
	return atomic_load_explicit(&m->urgent, memory_order_relaxed) >
	       atomic_load_explicit(&m->header->released, memory_order_relaxed);
}

/* Journal writer. Whole records from m->tail on that stand one behind the other, at most max bytes
 * (but at least one record). Returns their number of bytes and sets *at, or 0 when there is
 * nothing. Moves the tail over padding, not over records. */
size_t memlog_read(struct memlog *m, size_t max, const uint8_t **at);
/* Journal writer. The tail moves over `bytes` that memlog_read returned. */
void memlog_consume(struct memlog *m, size_t bytes);
/* Journal writer. Read again from the last release: after a failed write. */
void memlog_rewind(struct memlog *m);
/* Journal writer. All up to the tail is durable: the worker may reuse it. */
void memlog_release(struct memlog *m);
/* Journal writer. The same, and the header tells recovery that segments end no earlier than seq. */
void memlog_release_to(struct memlog *m, uint64_t seq);

/* any thread: bytes published and not yet released */
uint64_t memlog_used(const struct memlog *m);

/* Whether 4096 bytes hold a memlog's header: magic and CRC (not the version). */
bool memlog_header_valid(const struct memlog_header *h);
uint32_t memlog_header_crc(const struct memlog_header *h);

#endif
