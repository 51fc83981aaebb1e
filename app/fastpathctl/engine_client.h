/* SPDX-License-Identifier: Apache-2.0 */
/* A running engine over HTTP, for `status`, `top` and `drain`. One thread. */
#ifndef FASTPATHCTL_ENGINE_CLIENT_H
#define FASTPATHCTL_ENGINE_CLIENT_H

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#define ENGINE_URL       "http://127.0.0.1:8080"
#define ENGINE_ERROR_MAX 512

struct engine_client;

/* url: http or https, without path; copied. NULL: one line in err. */
struct engine_client *engine_client_open(const char *url, char err[ENGINE_ERROR_MAX]);
void engine_client_close(struct engine_client *c);

/* What a command does with the engine at url. options: those given to engine_command. Returns 0, EXIT_FOUND with one
 * line in err, or EXIT_USAGE, which it has reported. */
typedef int (*engine_run)(struct engine_client *c, const void *options, char err[ENGINE_ERROR_MAX]);

/* Run it, and report what failed. name: the command's. Returns the exit status. */
int engine_command(const char *name, const char *url, engine_run run, const void *options);

/* GET /stats: an object that is an engine's; a new reference. NULL: one line in err. */
json_t *engine_stats(struct engine_client *c, char err[ENGINE_ERROR_MAX]);
/* GET /health, also when it says 503; a new reference. NULL: one line in err. */
json_t *engine_health(struct engine_client *c, char err[ENGINE_ERROR_MAX]);

/* The bearer token that the next requests carry. Copied. */
void engine_client_token(struct engine_client *c, const char *token);
/* POST /drain; timeout_s 0: the engine's own. A new reference: how far it is; with status 409 it was draining
 * already. NULL: one line in err. */
json_t *engine_drain(struct engine_client *c, unsigned int timeout_s, long *status,
                     char err[ENGINE_ERROR_MAX]);
/* GET /drain; a new reference. NULL: one line in err, *gone: since nobody answers. */
json_t *engine_drain_state(struct engine_client *c, bool *gone, char err[ENGINE_ERROR_MAX]);

/* a member of /stats, 0 or "?" when it is not there; text without control characters, valid until the
 * next call */
uint64_t stats_u64(const json_t *stats, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
double stats_real(const json_t *stats, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *stats_text(const json_t *stats, const char *name);
/* the same for any JSON string */
const char *printable(const char *text);

/* Tables. */
void print_stats(FILE *out, const json_t *stats, const json_t *health);

#endif
