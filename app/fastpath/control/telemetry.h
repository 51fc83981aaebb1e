/* SPDX-License-Identifier: Apache-2.0 */
/* rte_telemetry commands under /fastpath: what dpdk-telemetry.py shows. */
#ifndef CONTROL_TELEMETRY_H
#define CONTROL_TELEMETRY_H

#include "control/figures.h"

/* Once. Commands answer from the last figures that telemetry_update was given. 0 or -errno */
int telemetry_init(void);
/* Control thread, once a second: telemetry's own threads never gather. */
void telemetry_update(const struct figures *f);

#endif
