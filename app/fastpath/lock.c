/* SPDX-License-Identifier: Apache-2.0 */
#include "lock.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PCI_DEVICES "/sys/bus/pci/devices"

/* how a virtual device names what it stands on */
static const struct driver {
	const char *name;
	const char *interface; /* arguments that name an existing interface */
	const char *file;      /* arguments that name an existing file */
	bool required;         /* one of the interface's arguments must be there */
} drivers[] = {
    {"net_af_packet", "iface", NULL, true},
    {"net_af_xdp", "iface", NULL, true},
    {"net_tap", "remote", NULL, false},
    {"net_tun", NULL, NULL, false},
    {"net_pcap", "iface rx_iface rx_iface_in tx_iface", "rx_pcap", false},
    {"net_vdev_netvsc", "iface", NULL, false},
    {"net_ring", NULL, NULL, false},
    {"net_null", NULL, NULL, false},
    {"net_memif", NULL, NULL, false},
    {"net_vhost", NULL, NULL, false},
    {"net_virtio_user", NULL, NULL, false},
    {"net_bonding", NULL, NULL, false},
    {"net_failsafe", NULL, NULL, false},
    {"net_softnic", NULL, NULL, false},
    {"net_kni", NULL, NULL, false},
    {"eth_", NULL, NULL, false}, /* the drivers' names of old */
};
#define DRIVER_COUNT (sizeof(drivers) / sizeof(drivers[0]))

static int fail(int rc, char err[LOCK_ERROR_MAX], const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(int rc, char err[LOCK_ERROR_MAX], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, LOCK_ERROR_MAX, fmt, ap);
	va_end(ap);
	return rc;
}

/* ours alone, or -errno; made when it is missing */
static int private_directory(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return -EPERM;
	return access(path, W_OK | X_OK) < 0 ? -errno : 0;
}

int lock_directory(char out[PATH_MAX], char err[LOCK_ERROR_MAX])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int rc;

	strcpy(out, "/run/fastpath");
	if (private_directory(out) == 0)
		return 0;
	if (runtime != NULL && runtime[0] == '/' && strlen(runtime) < PATH_MAX - 16) {
		snprintf(out, PATH_MAX, "%s/fastpath", runtime);
		if (private_directory(out) == 0)
			return 0;
	}
	snprintf(out, PATH_MAX, "/tmp/fastpath-%u", geteuid());
	rc = private_directory(out);
	if (rc == -EPERM)
		return fail(rc, err,
		            "%s belongs to or can be written by somebody else: remove it, or "
		            "make /run/fastpath with mode 0700",
		            out);
	if (rc < 0)
		return fail(rc, err, "%s cannot be made: %s: make /run/fastpath with mode 0700",
		            out, strerror(-rc));
	return 0;
}

static int held(int fd, const char *what, char err[LOCK_ERROR_MAX])
{
	char text[32] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	long pid = n > 0 ? strtol(text, NULL, 10) : 0;

	if (pid == getpid())
		return fail(-EBUSY, err, "%s is used twice in this configuration", what);
	if (pid > 0)
		return fail(-EBUSY, err,
		            "%s is held by another engine, pid %ld: stop it, or choose "
		            "another one",
		            what, pid);
	return fail(-EBUSY, err,
	            "%s is held by another engine that is just starting: stop it, or choose "
	            "another one",
	            what);
}

/* a holder that ended between our open and our flock has removed the file: then it is no lock */
static bool is_still(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 && ours.st_dev == there.st_dev &&
	       ours.st_ino == there.st_ino;
}

/* the locked file's descriptor, or -errno; -EWOULDBLOCK: *held_fd is the file to read and close */
static int open_locked(const char *path, int *held_fd)
{
	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
			if (is_still(fd, path))
				return fd;
			close(fd);
			continue;
		}
		int error = errno;
		if (error != EWOULDBLOCK)
			close(fd);
		*held_fd = fd;
		return -error;
	}
}

int lock_take_file(struct lock *l, const char *path, const char *what, char err[LOCK_ERROR_MAX])
{
	char pid[32];
	int len = snprintf(pid, sizeof(pid), "%d\n", getpid());
	int held_fd = -1, rc, fd = open_locked(path, &held_fd);

	l->fd = -1;
	snprintf(l->path, sizeof(l->path), "%s", path);
	if (fd == -EWOULDBLOCK) {
		rc = held(held_fd, what, err);
		close(held_fd);
		return rc;
	}
	if (fd < 0)
		return fail(fd, err, "%s: lock file %.200s: %s", what, path, strerror(-fd));
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)len, 0) != len) {
		rc = fail(errno != 0 ? -errno : -EIO, err, "%s: lock file %.200s: %s", what, path,
		          strerror(errno));
		close(fd);
		return rc;
	}
	l->fd = fd;
	return 0;
}

void lock_release(struct lock *l)
{
	if (l->fd < 0)
		return;
	/* tidiness only: a file that stays behind is no lock */
	(void)unlink(l->path);
	close(l->fd);
	l->fd = -1;
}

static int take(struct lock *l, const char *name, const char *what, char err[LOCK_ERROR_MAX])
{
	char path[PATH_MAX];
	int rc = lock_directory(path, err);
	size_t n = strlen(path);

	if (rc < 0)
		return rc;
	if (snprintf(path + n, sizeof(path) - n, "/%s", name) >= (int)(sizeof(path) - n))
		return fail(-ENAMETOOLONG, err, "%s: the path of its lock file is too long", what);
	return lock_take_file(l, path, what, err);
}

/* the network namespace: interface indexes and addresses mean something only within it */
static unsigned long namespace_id(void)
{
	struct stat st;

	return stat("/proc/self/ns/net", &st) < 0 ? 0 : (unsigned long)st.st_ino;
}

/* value of name=value behind the device's name; false when it is not there */
static bool argument(const char *device, const char *name, size_t name_len, char *out,
                     size_t out_len)
{
	for (const char *s = strchr(device, ','); s != NULL; s = strchr(s, ',')) {
		size_t len;

		s++;
		if (strncmp(s, name, name_len) != 0 || s[name_len] != '=')
			continue;
		s += name_len + 1;
		len = strcspn(s, ",");
		if (len >= out_len)
			len = out_len - 1;
		memcpy(out, s, len);
		out[len] = '\0';
		return true;
	}
	return false;
}

/* the first of several arguments that is there */
static bool any_argument(const char *device, const char *names, char *out, size_t out_len)
{
	for (const char *s = names; s != NULL && *s != '\0'; s += strspn(s, " ")) {
		size_t len = strcspn(s, " ");

		if (argument(device, s, len, out, out_len))
			return true;
		s += len;
	}
	return false;
}

static void list_interfaces(char *out, size_t len)
{
	struct if_nameindex *all = if_nameindex();
	size_t n = 0;

	out[0] = '\0';
	for (struct if_nameindex *i = all; i != NULL && i->if_index != 0 && n + IFNAMSIZ + 2 < len;
	     i++)
		n += (size_t)snprintf(out + n, len - n, "%s%s", n == 0 ? "" : ", ", i->if_name);
	if (all != NULL)
		if_freenameindex(all);
}

static bool is_network(const char *address)
{
	char path[128], class[16] = "";
	FILE *f;

	snprintf(path, sizeof(path), PCI_DEVICES "/%.32s/class", address);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	bool network = fgets(class, sizeof(class), f) != NULL && strncmp(class, "0x02", 4) == 0;
	fclose(f);
	return network;
}

static void list_pci(char *out, size_t len)
{
	DIR *dir = opendir(PCI_DEVICES);
	size_t n = 0;

	strcpy(out, "none");
	for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL && n + 32 < len;)
		if (strlen(e->d_name) < 16 && is_network(e->d_name))
			n += (size_t)snprintf(out + n, len - n, "%s%s", n == 0 ? "" : ", ",
			                      e->d_name);
	if (dir != NULL)
		closedir(dir);
}

/* 03:00.0 or 0000:03:00.0, before any argument: the long form */
static bool pci_address(const char *device, char out[32])
{
	unsigned int domain = 0, bus, slot, function;
	int n = 0;

	if ((sscanf(device, "%4x:%2x:%2x.%1u%n", &domain, &bus, &slot, &function, &n) != 4 ||
	     n == 0)) {
		n = 0;
		domain = 0;
		if (sscanf(device, "%2x:%2x.%1u%n", &bus, &slot, &function, &n) != 3 || n == 0)
			return false;
	}
	if (device[n] != '\0' && device[n] != ',')
		return false;
	snprintf(out, 32, "%04x:%02x:%02x.%u", domain, bus, slot, function);
	return true;
}

static int check_pci(const struct config_port *p, const char *address, char err[LOCK_ERROR_MAX])
{
	char path[128], there[300];

	snprintf(path, sizeof(path), PCI_DEVICES "/%s", address);
	if (access(path, F_OK) == 0)
		return 0;
	list_pci(there, sizeof(there));
	return fail(-ENODEV, err, "port %s: PCI device %s does not exist; network devices are %s",
	            p->name, address, there);
}

static const struct driver *find_driver(const char *device)
{
	for (size_t i = 0; i < DRIVER_COUNT; i++)
		if (strncmp(device, drivers[i].name, strlen(drivers[i].name)) == 0)
			return &drivers[i];
	return NULL;
}

static int no_driver(const struct config_port *p, char err[LOCK_ERROR_MAX])
{
	char there[300];
	size_t n = 0;

	for (size_t i = 0; i + 1 < DRIVER_COUNT; i++)
		n += (size_t)snprintf(there + n, sizeof(there) - n, "%s%s", i == 0 ? "" : ", ",
		                      drivers[i].name);
	return fail(-EINVAL, err,
	            "port %s: device %.80s is neither a PCI address nor a driver's name; "
	            "drivers are %s",
	            p->name, p->device, there);
}

/* *interface: 0, or the index of the interface that the device stands on */
static int check_vdev(const struct config_port *p, unsigned int *interface, char *name,
                      size_t name_len, char err[LOCK_ERROR_MAX])
{
	const struct driver *d = find_driver(p->device);
	char there[300], file[512];

	*interface = 0;
	if (d == NULL)
		return no_driver(p, err);
	if (any_argument(p->device, d->interface, name, name_len)) {
		*interface = if_nametoindex(name);
		if (*interface == 0) {
			list_interfaces(there, sizeof(there));
			return fail(-ENODEV, err,
			            "port %s: interface %.60s does not exist; there are %s",
			            p->name, name, there);
		}
	} else if (d->required) {
		return fail(-EINVAL, err,
		            "port %s: device %.80s names no interface: add iface=NAME", p->name,
		            p->device);
	}
	if (any_argument(p->device, d->file, file, sizeof(file)) && access(file, R_OK) < 0)
		return fail(-errno, err, "port %s: file %.200s: %s", p->name, file,
		            strerror(errno));
	return 0;
}

int lock_check_port(const struct config_port *p, char err[LOCK_ERROR_MAX])
{
	char text[64];
	unsigned int interface;

	if (pci_address(p->device, text))
		return check_pci(p, text, err);
	return check_vdev(p, &interface, text, sizeof(text), err);
}

int lock_port(struct lock *l, const struct config_port *p, char err[LOCK_ERROR_MAX])
{
	char text[64], name[128], what[160];
	unsigned int interface;
	int rc;

	l->fd = -1;
	l->path[0] = '\0';
	if (pci_address(p->device, text)) {
		rc = check_pci(p, text, err);
		snprintf(name, sizeof(name), "pci-%s", text);
	} else {
		rc = check_vdev(p, &interface, text, sizeof(text), err);
		if (rc == 0 && interface == 0)
			return 0;
		snprintf(name, sizeof(name), "port-%lu-%u", namespace_id(), interface);
	}
	if (rc < 0)
		return rc;
	snprintf(what, sizeof(what), "port %s (%s)", p->name, text);
	return take(l, name, what, err);
}

/* a socket that is closed again: another program's listener shows before EAL starts */
static int try_bind(const struct config *c, char err[LOCK_ERROR_MAX])
{
	const struct config_address *a = &c->http_address;
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(c->http_port)};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(c->http_port)};
	bool is_six = a->family == AF_INET6;
	int fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1, rc;

	if (fd < 0)
		return fail(-errno, err, "http.listen: %s: %s", c->http_listen, strerror(errno));
	memcpy(&four.sin_addr, a->bytes, sizeof(four.sin_addr));
	memcpy(&six.sin6_addr, a->bytes, sizeof(six.sin6_addr));
	rc = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (rc == 0)
		rc = is_six ? bind(fd, (struct sockaddr *)&six, sizeof(six))
		            : bind(fd, (struct sockaddr *)&four, sizeof(four));
	rc = rc < 0 ? errno : 0;
	close(fd);
	if (rc == EADDRINUSE)
		return fail(-rc, err,
		            "http.listen: %s is in use by another program: stop it, or set "
		            "HTTP_LISTEN",
		            c->http_listen);
	if (rc != 0)
		return fail(-rc, err,
		            "http.listen: %s: %s: set HTTP_LISTEN to an address of this machine",
		            c->http_listen, strerror(rc));
	return 0;
}

int lock_http(struct lock *l, const struct config *c, char err[LOCK_ERROR_MAX])
{
	char name[128], what[160];
	int rc = 0;

	l->fd = -1;
	l->path[0] = '\0';
	if (c->http_port != 0) {
		snprintf(name, sizeof(name), "http-%lu-%.64s", namespace_id(), c->http_listen);
		snprintf(what, sizeof(what), "HTTP address %s", c->http_listen);
		rc = take(l, name, what, err);
	}
	if (rc == 0)
		rc = try_bind(c, err);
	if (rc < 0)
		lock_release(l);
	return rc;
}
