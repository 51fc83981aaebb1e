/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lock.h"

/* nobody's id: its directory in /tmp is ours to make and remove */
#define STRANGER     64999
#define STRANGER_DIR "/tmp/fastpath-64999"

static char err[LOCK_ERROR_MAX], expected[LOCK_ERROR_MAX];
static char directory[] = "/tmp/fastpath-test-lock-XXXXXX";
static char path[PATH_MAX];
static bool separate; /* in a network namespace of our own */

/* without any address a namespace binds to everything */
static void raise_loopback(void)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	close(fd);
}

static void setup(void)
{
	separate = geteuid() == 0 && unshare(CLONE_NEWNET) == 0;
	if (separate)
		raise_loopback();
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/lock", directory);
}

static void teardown(void)
{
	unlink(path);
	rmdir(directory);
}

/* another process runs take(), says so and waits; returns its pid, or 0 when take() failed */
static pid_t holder(int (*take)(void))
{
	int out[2];
	char answer = 0;
	pid_t pid;

	ck_assert_int_eq(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		answer = take() == 0 ? '+' : '-';
		if (write(out[1], &answer, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(out[0], &answer, 1), 1);
	close(out[0]);
	close(out[1]);
	ck_assert_int_eq(answer, '+');
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static int take_path(void)
{
	static struct lock l;

	return lock_take_file(&l, path, "port x", err);
}

START_TEST(a_second_holder_is_told_the_first)
{
	struct lock l;
	pid_t pid = holder(take_path);

	ck_assert_int_eq(lock_take_file(&l, path, "port x", err), -EBUSY);
	ck_assert_int_eq(l.fd, -1);
	snprintf(expected, sizeof(expected),
	         "port x is held by another engine, pid %d: stop it, or choose another one", pid);
	ck_assert_str_eq(err, expected);
	/* the lock dies with its holder, the file may stay */
	end(pid);
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(lock_take_file(&l, path, "port x", err), 0);
	lock_release(&l);
	ck_assert_int_ne(access(path, F_OK), 0);
	lock_release(&l);
}
END_TEST

START_TEST(a_lock_file_holds_the_pid)
{
	struct lock l;
	struct stat st;
	char text[32] = "";

	ck_assert_int_eq(lock_take_file(&l, path, "port x", err), 0);
	ck_assert_str_eq(l.path, path);
	ck_assert_int_eq(fstat(l.fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_ne(fcntl(l.fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_gt(pread(l.fd, text, sizeof(text) - 1, 0), 0);
	ck_assert_int_eq(atoi(text), getpid());
	lock_release(&l);
	ck_assert_int_eq(l.fd, -1);
}
END_TEST

START_TEST(twice_in_one_process)
{
	struct lock a, b;

	ck_assert_int_eq(lock_take_file(&a, path, "port x", err), 0);
	ck_assert_int_eq(lock_take_file(&b, path, "port x", err), -EBUSY);
	ck_assert_str_eq(err, "port x is used twice in this configuration");
	lock_release(&a);
	ck_assert_int_eq(lock_take_file(&b, path, "port x", err), 0);
	lock_release(&b);
}
END_TEST

/* takes and releases until it is killed; a byte in the pipe for each time somebody else held it too */
static void contend(const char *inside, int out)
{
	struct lock l;

	for (;;) {
		if (lock_take_file(&l, path, "port x", err) < 0)
			continue;
		int fd = open(inside, O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 && write(out, "!", 1) != 1)
			_exit(1);
		if (fd >= 0) {
			close(fd);
			unlink(inside);
			if (write(out, ".", 1) != 1)
				_exit(1);
		}
		lock_release(&l);
	}
}

START_TEST(a_file_that_goes_is_never_held_twice)
{
	char inside[PATH_MAX], seen;
	int out[2], taken = 0;
	pid_t pid[3];

	snprintf(inside, sizeof(inside), "%s/inside", directory);
	ck_assert_int_eq(pipe(out), 0);
	for (int i = 0; i < 3; i++)
		if ((pid[i] = fork()) == 0)
			contend(inside, out[1]);
	for (; taken < 500; taken++) {
		ck_assert_int_eq(read(out[0], &seen, 1), 1);
		if (seen != '.')
			break;
	}
	for (int i = 0; i < 3; i++)
		end(pid[i]);
	unlink(inside);
	ck_assert_int_eq(taken, 500);
}
END_TEST

START_TEST(a_link_is_no_lock_file)
{
	struct lock l;

	ck_assert_int_eq(symlink("/etc/passwd", path), 0);
	ck_assert_int_eq(lock_take_file(&l, path, "port x", err), -ELOOP);
	snprintf(expected, sizeof(expected),
	         "port x: lock file %.200s: Too many levels of symbolic links", path);
	ck_assert_str_eq(err, expected);
}
END_TEST

/* the directory that a user who may not write /run gets; "" with err set */
static void directory_of_stranger(const char *runtime, char out[PATH_MAX])
{
	int answer[2];
	char line[PATH_MAX + LOCK_ERROR_MAX] = "";
	pid_t pid;

	ck_assert_int_eq(pipe(answer), 0);
	pid = fork();
	if (pid == 0) {
		char dir[PATH_MAX];

		if (setresgid(STRANGER, STRANGER, STRANGER) < 0 ||
		    setresuid(STRANGER, STRANGER, STRANGER) < 0)
			_exit(1);
		if (runtime != NULL)
			setenv("XDG_RUNTIME_DIR", runtime, 1);
		else
			unsetenv("XDG_RUNTIME_DIR");
		if (lock_directory(dir, err) < 0)
			strcpy(dir, err);
		_exit(write(answer[1], dir, strlen(dir)) > 0 ? 0 : 1);
	}
	int status = -1;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_gt(read(answer[0], line, sizeof(line) - 1), 0);
	snprintf(out, PATH_MAX, "%.4000s", line);
}

START_TEST(without_run_there_are_other_directories)
{
	char found[PATH_MAX], runtime[PATH_MAX];
	struct stat st;

	rmdir(STRANGER_DIR);
	directory_of_stranger(NULL, found);
	ck_assert_str_eq(found, STRANGER_DIR);
	ck_assert_int_eq(stat(found, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert_uint_eq(st.st_uid, STRANGER);
	ck_assert_int_eq(rmdir(found), 0);

	ck_assert_int_eq(chown(directory, STRANGER, STRANGER), 0);
	directory_of_stranger(directory, found);
	snprintf(runtime, sizeof(runtime), "%s/fastpath", directory);
	ck_assert_str_eq(found, runtime);
	ck_assert_int_eq(rmdir(found), 0);

	/* somebody else was there before */
	ck_assert_int_eq(mkdir(STRANGER_DIR, 0777), 0);
	directory_of_stranger(NULL, found);
	ck_assert_int_eq(rmdir(STRANGER_DIR), 0);
	ck_assert_str_eq(found, STRANGER_DIR " belongs to or can be written by somebody else: "
	                                     "remove it, or make /run/fastpath with mode 0700");
}
END_TEST

static struct config_port port(const char *device)
{
	struct config_port p = {.name = "nic0"};

	snprintf(p.device, sizeof(p.device), "%s", device);
	return p;
}

static int take_lo(void)
{
	static struct lock l;
	struct config_port p = port("net_af_packet7,iface=lo");

	return lock_port(&l, &p, err);
}

START_TEST(one_engine_an_interface)
{
	struct config_port same[] = {port("net_af_packet0,iface=lo,framecnt=64"),
	                             port("net_af_xdp0,iface=lo"), port("net_tap0,remote=lo"),
	                             port("net_pcap0,rx_iface=lo,tx_iface=lo")};
	struct lock l;
	pid_t pid = holder(take_lo);

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		ck_assert_int_eq(lock_port(&l, &same[i], err), -EBUSY);
		snprintf(expected, sizeof(expected),
		         "port nic0 (lo) is held by another engine, pid %d: "
		         "stop it, or choose another one",
		         pid);
		ck_assert_str_eq(err, expected);
		ck_assert_int_eq(lock_check_port(&same[i], err), 0);
	}
	/* lo of another namespace is another interface */
	if (separate) {
		ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
		ck_assert_int_eq(lock_port(&l, &same[0], err), 0);
		ck_assert_int_ge(l.fd, 0);
		lock_release(&l);
	}
	end(pid);
}
END_TEST

START_TEST(an_interface_that_does_not_exist)
{
	struct config_port p = port("net_af_packet0,iface=nosuch0");
	struct if_nameindex *all = if_nameindex();
	struct lock l;
	size_t n;

	ck_assert_int_eq(lock_port(&l, &p, err), -ENODEV);
	ck_assert_int_eq(l.fd, -1);
	n = (size_t)snprintf(expected, sizeof(expected),
	                     "port nic0: interface nosuch0 does not exist; there are ");
	for (struct if_nameindex *i = all; i->if_index != 0; i++)
		n += (size_t)snprintf(expected + n, sizeof(expected) - n, "%s%s",
		                      i == all ? "" : ", ", i->if_name);
	if_freenameindex(all);
	ck_assert_str_eq(err, expected);
	ck_assert_int_eq(lock_check_port(&p, err), -ENODEV);
}
END_TEST

static const struct {
	const char *device, *error;
	int rc;
} bad_devices[] = {
    {"net_nosuch0",
     "port nic0: device net_nosuch0 is neither a PCI address nor a driver's name; "
     "drivers are net_af_packet, net_af_xdp, net_tap, net_tun, net_pcap, "
     "net_vdev_netvsc, net_ring, net_null, net_memif, net_vhost, net_virtio_user, "
     "net_bonding, net_failsafe, net_softnic, net_kni",
     -EINVAL},
    {"net_af_packet0", "port nic0: device net_af_packet0 names no interface: add iface=NAME",
     -EINVAL},
    {"net_af_xdp0,queue_count=1",
     "port nic0: device net_af_xdp0,queue_count=1 names no interface: add iface=NAME", -EINVAL},
    {"net_pcap0,rx_pcap=/nonexistent.pcap",
     "port nic0: file /nonexistent.pcap: No such file or directory", -ENOENT},
};

START_TEST(devices_that_are_none)
{
	struct config_port p = port(bad_devices[_i].device);
	struct lock l;

	ck_assert_int_eq(lock_port(&l, &p, err), bad_devices[_i].rc);
	ck_assert_str_eq(err, bad_devices[_i].error);
}
END_TEST

static const char *const shared[] = {"net_null0", "net_ring0", "net_memif0,role=client",
                                     "net_pcap0,rx_pcap=/proc/self/exe,infinite_rx=1",
                                     "net_tap0,iface=fptap9"};

START_TEST(devices_without_a_lock)
{
	struct config_port p = port(shared[_i]);
	struct lock l;

	ck_assert_int_eq(lock_port(&l, &p, err), 0);
	ck_assert_int_eq(l.fd, -1);
}
END_TEST

START_TEST(a_pci_device_that_does_not_exist)
{
	static const char beginning[] =
	    "port nic0: PCI device 0000:fe:1f.7 does not exist; network devices are ";
	struct config_port p = port("fe:1f.7,mprq_en=1");
	struct lock l;

	ck_assert_int_eq(lock_port(&l, &p, err), -ENODEV);
	ck_assert_msg(strncmp(err, beginning, strlen(beginning)) == 0, "%s", err);
	ck_assert_uint_gt(strlen(err), strlen(beginning));
}
END_TEST

START_TEST(one_engine_a_pci_device)
{
	struct config_port a = port("0000:00:00.0"), b = port("00:00.0,x=1");
	struct lock l, m;

	if (access("/sys/bus/pci/devices/0000:00:00.0", F_OK) < 0) {
		ck_assert_int_eq(lock_port(&l, &a, err), -ENODEV);
		return;
	}
	ck_assert_int_eq(lock_port(&l, &a, err), 0);
	ck_assert_int_ge(l.fd, 0);
	ck_assert_int_eq(lock_port(&m, &b, err), -EBUSY);
	ck_assert_str_eq(err, "port nic0 (0000:00:00.0) is used twice in this configuration");
	lock_release(&l);
}
END_TEST

/* a listener of ours that knows nothing of locks; *tcp_port is the one the kernel chose */
static int listener(struct config *c)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	memset(c, 0, sizeof(*c));
	c->http_address.family = AF_INET;
	c->http_port = ntohs(a.sin_port);
	snprintf(c->http_listen, sizeof(c->http_listen), "0.0.0.0:%u", c->http_port);
	return fd;
}

static struct config http;

static int take_http(void)
{
	static struct lock l;

	return lock_http(&l, &http, err);
}

START_TEST(one_engine_an_http_address)
{
	struct lock l;
	int fd = listener(&http);

	ck_assert_int_eq(lock_http(&l, &http, err), -EADDRINUSE);
	ck_assert_int_eq(l.fd, -1);
	snprintf(expected, sizeof(expected),
	         "http.listen: %s is in use by another program: stop it, or "
	         "set HTTP_LISTEN",
	         http.http_listen);
	ck_assert_str_eq(err, expected);
	close(fd);

	pid_t pid = holder(take_http);
	ck_assert_int_eq(lock_http(&l, &http, err), -EBUSY);
	snprintf(expected, sizeof(expected),
	         "HTTP address %s is held by another engine, pid %d: stop it, "
	         "or choose another one",
	         http.http_listen, pid);
	ck_assert_str_eq(err, expected);
	end(pid);
	ck_assert_int_eq(lock_http(&l, &http, err), 0);
	lock_release(&l);
}
END_TEST

START_TEST(an_address_that_is_not_ours)
{
	struct config c = {.http_listen = "203.0.113.7:0", .http_address = {.family = AF_INET}};
	struct lock l;

	inet_pton(AF_INET, "203.0.113.7", c.http_address.bytes);
	ck_assert_int_eq(lock_http(&l, &c, err), -EADDRNOTAVAIL);
	ck_assert_str_eq(err, "http.listen: 203.0.113.7:0: Cannot assign requested address: set "
	                      "HTTP_LISTEN to an address of this machine");
	/* port 0: everybody gets another one */
	inet_pton(AF_INET, "0.0.0.0", c.http_address.bytes);
	ck_assert_int_eq(lock_http(&l, &c, err), 0);
	ck_assert_int_eq(l.fd, -1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lock");
	TCase *t = tcase_create("lock");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_second_holder_is_told_the_first);
	tcase_add_test(t, a_lock_file_holds_the_pid);
	tcase_add_test(t, twice_in_one_process);
	tcase_add_test(t, a_file_that_goes_is_never_held_twice);
	tcase_add_test(t, a_link_is_no_lock_file);
	if (geteuid() == 0)
		tcase_add_test(t, without_run_there_are_other_directories);
	else
		puts("skipped: without_run_there_are_other_directories: needs root");
	tcase_add_test(t, one_engine_an_interface);
	tcase_add_test(t, an_interface_that_does_not_exist);
	tcase_add_loop_test(t, devices_that_are_none, 0,
	                    sizeof(bad_devices) / sizeof(bad_devices[0]));
	tcase_add_loop_test(t, devices_without_a_lock, 0, sizeof(shared) / sizeof(shared[0]));
	tcase_add_test(t, a_pci_device_that_does_not_exist);
	tcase_add_test(t, one_engine_a_pci_device);
	tcase_add_test(t, one_engine_an_http_address);
	tcase_add_test(t, an_address_that_is_not_ours);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
