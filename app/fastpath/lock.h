/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only one engine of a machine may hold: a port, an HTTP address. A lock is a flock'ed file
 * with the holder's pid inside, so it dies with its holder; a clean end removes the file. Locks of interfaces and
 * addresses carry the network namespace's inode in their name. The journal's lock is the journal
 * directory's own.
 *
 * All functions: start only, before EAL, one thread. They return 0, or -errno with one line in err:
 * -EBUSY (held; names the holder's pid), -ENODEV (no such interface or device; names those there
 * are), -EINVAL (a device that cannot be understood), -EADDRINUSE, -EADDRNOTAVAIL, or another
 * -errno of a system call.
 */
#ifndef FASTPATH_LOCK_H
#define FASTPATH_LOCK_H

#include "config.h"

#define LOCK_ERROR_MAX 512

struct lock {
	int fd; /* -1: nothing is held */
	char path[PATH_MAX];
};

/* Where lock files stand, made when missing: /run/fastpath, else $XDG_RUNTIME_DIR/fastpath, else
 * /tmp/fastpath-<uid>. One that somebody else owns or may write is not used. */
int lock_directory(char out[PATH_MAX], char err[LOCK_ERROR_MAX]);

/* Take the lock file at path; `what` is its name in messages: "port nic0 (fp0)". */
int lock_take_file(struct lock *l, const char *path, const char *what, char err[LOCK_ERROR_MAX]);

/* Does the port's device exist? Takes no lock. */
int lock_check_port(const struct config_port *p, char err[LOCK_ERROR_MAX]);
/* The same, and the lock of its interface or PCI address. A device that others may use too
 * (net_null, net_ring, a pcap file, a memif socket) has none: l->fd is -1 then. */
int lock_port(struct lock *l, const struct config_port *p, char err[LOCK_ERROR_MAX]);

/* The lock of the HTTP address, and whether it can be bound. Port 0 has no lock. */
int lock_http(struct lock *l, const struct config *c, char err[LOCK_ERROR_MAX]);

/* Also removes the file. Harmless on a lock that holds nothing, if its fd is -1. */
void lock_release(struct lock *l);

#endif
