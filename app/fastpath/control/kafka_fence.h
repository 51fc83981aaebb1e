/* SPDX-License-Identifier: Apache-2.0 */
/* Fencing the Kafka producer of an engine that is gone, before its keys get new owners. */
#ifndef CONTROL_KAFKA_FENCE_H
#define CONTROL_KAFKA_FENCE_H

#include "config.h"

/* Takes the engine's transactional.id once, which ends what it left open and shuts its producer out.
 * For ownership_set_fence; arg: the struct config, with kafka on. Blocks for up to 10 s: a helper
 * thread. Returns 0, or -EHOSTUNREACH (no broker answers in time), -EACCES, -EIO; logs why. */
int kafka_fence(void *arg, const char *engine);

#endif
