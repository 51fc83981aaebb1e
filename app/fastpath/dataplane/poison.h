/* SPDX-License-Identifier: Apache-2.0 */
/* With AddressSanitizer, what lies around a packet inside its buffer is out of bounds while the packet is
 * read. Nothing at all in other builds. */
#ifndef DATAPLANE_POISON_H
#define DATAPLANE_POISON_H

#include <rte_mbuf.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>

static inline void poison_around(const struct rte_mbuf *m)
{
	const char *buffer = m->buf_addr;
	const char *data = buffer + m->data_off;

	/* granules are 8 bytes: the one that the packet starts in stays readable */
	ASAN_POISON_MEMORY_REGION(buffer, (size_t)(data - buffer) & ~(size_t)7);
	ASAN_POISON_MEMORY_REGION(data + m->data_len, m->buf_len - m->data_off - m->data_len);
}

static inline void poison_off(const struct rte_mbuf *m)
{
	ASAN_UNPOISON_MEMORY_REGION(m->buf_addr, m->buf_len);
}
#else
static inline void poison_around(const struct rte_mbuf *m)
{
	(void)m;
}

static inline void poison_off(const struct rte_mbuf *m)
{
	(void)m;
}
#endif
#endif
