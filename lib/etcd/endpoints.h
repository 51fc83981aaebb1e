/* SPDX-License-Identifier: Apache-2.0 */
/* A list of etcd endpoints as users write it. Pure. */
#ifndef ETCD_ENDPOINTS_H
#define ETCD_ENDPOINTS_H

#define ETCD_ENDPOINTS_MAX 16
#define ETCD_ENDPOINT_LEN  256
#define ETCD_MESSAGE_MAX   512

/* Comma-separated http:// or https:// URLs without path, each to an item of out (unless NULL).
 * Returns how many, or -EINVAL with one line in err. */
int etcd_endpoints_split(const char *list, char (*out)[ETCD_ENDPOINT_LEN],
                         char err[ETCD_MESSAGE_MAX]);

#endif
