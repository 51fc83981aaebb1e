/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rendezvous (highest random weight) hashing: which of several engines a key belongs to. When an
 * engine goes, only its own keys move; when one comes, only keys that go to it. Engines and the
 * command line must agree on it, so the weights are part of the contract and never change. Pure.
 */
#ifndef OWNERSHIP_RENDEZVOUS_H
#define OWNERSHIP_RENDEZVOUS_H

#include <stddef.h>
#include <stdint.h>

/* Hash of an engine's id or of a key: FNV-1a, 64 bits, mixed. */
uint64_t rendezvous_hash(const void *data, size_t len);

/* Index of the winner among `count` (at least 1) engines, by the hashes of their ids; of equal
 * weights the first, so give them sorted by id. */
uint32_t rendezvous_pick(const uint64_t *engine, uint32_t count, uint64_t key);

#endif
