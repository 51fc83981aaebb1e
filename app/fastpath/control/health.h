/* SPDX-License-Identifier: Apache-2.0 */
/* How the engine is: rules over its figures. Pure; the windows of the figures make it heal by
 * itself. */
#ifndef CONTROL_HEALTH_H
#define CONTROL_HEALTH_H

#include "config.h"
#include "control/figures.h"

#define HEALTH_REASONS_MAX 64
#define HEALTH_REASON_LEN  224
/* below this many samples p99 is nothing but the slowest: one POST that met a napping lcore is no fault */
#define HEALTH_P99_SAMPLES 100

enum health_status { HEALTH_HEALTHY, HEALTH_DEGRADED, HEALTH_UNHEALTHY };

enum health_part {
	HEALTH_ENGINE,  /* recovered, knows what it owns, not draining */
	HEALTH_LCORES,  /* every lcore polls */
	HEALTH_PORTS,   /* up */
	HEALTH_FEEDS,   /* no line is silent */
	HEALTH_LATENCY, /* p99 of process */
	HEALTH_DROPS,   /* frames and messages lost */
	HEALTH_JOURNAL, /* write errors */
	HEALTH_DISK,    /* free space */
	HEALTH_ETCD,    /* it answers, and we are registered */
	HEALTH_KAFKA,   /* the bridge delivers, and keeps up */
	HEALTH_PARTS
};

struct health {
	enum health_status status; /* the worst of the parts */
	enum health_status part[HEALTH_PARTS];
	uint32_t reason_count; /* sentences; what does not fit is left out */
	char reason[HEALTH_REASONS_MAX][HEALTH_REASON_LEN];
	enum health_part reason_part[HEALTH_REASONS_MAX]; /* which part the sentence is about */
	enum health_status reason_status[HEALTH_REASONS_MAX];
};

void health_judge(struct health *h, const struct figures *f, const struct config *c);
bool health_live(const struct figures *f);
bool health_ready(const struct figures *f);

const char *health_status_name(enum health_status s);
const char *health_part_name(enum health_part p);

#endif
