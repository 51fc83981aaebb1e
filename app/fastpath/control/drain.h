/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a stop is, and that somebody asked for one over HTTP. The control loop shows it; main, which does it,
 * writes it. Control thread.
 */
#ifndef CONTROL_DRAIN_H
#define CONTROL_DRAIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/figures.h"

#define DRAIN_TIMEOUT_MAX_S 3600

enum drain_step {
	DRAIN_RUNNING,  /* no stop yet */
	DRAIN_RINGS,    /* nothing new is taken; what the lcores have goes on */
	DRAIN_DISK,     /* until the journal is durable */
	DRAIN_KAFKA,    /* until Kafka has it */
	DRAIN_HANDOVER, /* out of etcd's registry, until all keys have new owners */
	DRAIN_ENDED,    /* message says how */
};

struct drain {
	enum drain_step step;
	bool requested; /* over HTTP: whoever did wants to see how it ends */
	bool told;      /* and has */
	uint32_t
	    timeout_ms; /* for Kafka, and as long for the handover; 0: as the configuration has it */
	bool complete;  /* at the end: nothing is left to anybody */
	char message[512];
};

const char *drain_step_name(enum drain_step step);
/* GET /drain; a new reference, NULL: no memory */
json_t *drain_json(const struct drain *d, const struct figures *f);

#endif
