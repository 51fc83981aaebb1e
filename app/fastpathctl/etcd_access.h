/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands about ownership share: their options, and etcd's contents, blocking. */
#ifndef FASTPATHCTL_ETCD_ACCESS_H
#define FASTPATHCTL_ETCD_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "etcd/client.h"
#include "ownership/assignments.h"
#include "ownership/layout.h"

#define ETCD_URL "http://127.0.0.1:2379"
#define ETCD_USAGE                                                               \
	"[--endpoints " ETCD_URL "] [--ca-file F] [--cert-file F --key-file F] " \
	"[--user U --password-file F]"

struct etcd_arguments {
	const char *endpoints, *ca_file, *cert_file, *key_file, *user, *password_file;
	const char *symbols, *engine;
	bool json, dry_run, force;
	int rest; /* index of the first argument that is no option */
};

/* Options as getopt_long takes them. extra: which of "jdfse" (json, dry-run, force, symbols, engine)
 * the command takes beyond etcd's. Returns -1: go on; else the exit status. */
int etcd_arguments_parse(struct etcd_arguments *a, int argc, char **argv, const char *extra,
                         const char *usage);

/* NULL: one line was printed */
struct etcd *etcd_access_open(const struct etcd_arguments *a, const char *command);

/* Engines that are alive, sorted by id; the array is malloc'ed. Returns how many, or -errno with
 * one line printed. */
int etcd_read_engines(struct etcd *c, struct layout_engine **engines);
/* All assignments at one revision. NULL: one line was printed. */
struct assignments *etcd_read_assignments(struct etcd *c, int64_t *revision);

/* "fastpathctl: " and the message, on standard error */
void etcd_complain(const char *message);

#endif
