/* SPDX-License-Identifier: Apache-2.0 */
#include "ownership/rendezvous.h"

/* the finalizer of splitmix64 */
static uint64_t mix(uint64_t h)
{
	h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 31;
}

uint64_t rendezvous_hash(const void *data, size_t len)
{
	const uint8_t *b = data;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ b[i]) * UINT64_C(0x100000001b3);
	return mix(h);
}

uint32_t rendezvous_pick(const uint64_t *engine, uint32_t count, uint64_t key)
{
	uint32_t winner = 0;
	uint64_t most = mix(engine[0] ^ key);

	for (uint32_t i = 1; i < count; i++) {
		uint64_t weight = mix(engine[i] ^ key);

		if (weight > most) {
			most = weight;
			winner = i;
		}
	}
	return winner;
}
