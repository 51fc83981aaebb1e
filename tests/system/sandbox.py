# SPDX-License-Identifier: Apache-2.0
"""A mount namespace of the test run's own, network namespaces inside it, and children that die with us.

Everything that a test makes outside its directory (network namespaces, hugetlbfs, /dev/shm, EAL's runtime directory, locks of
engines) lives in private mounts of the pytest process. The kernel takes it all away when the process and
its children are gone, however they went, so nothing has to be reaped. The number of the kernel's hugepages
is the exception: see hugepages.py.
"""
import ctypes
import errno
import itertools
import os
import queue
import signal
import socket
import subprocess
import threading

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)
_count = itertools.count()


def _call(name, *arguments):
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def mount(kind, target, options=""):
    os.makedirs(target, exist_ok=True)
    _call("mount", kind.encode(), target.encode(), kind.encode(), 0, options.encode())


def umount(target):
    _call("umount2", target.encode(), 2)


def enter():
    """Call once, from the main thread. Returns why it cannot be done, or None."""
    if os.geteuid() != 0:
        return "needs root: network namespaces and DPDK ports"
    try:
        _call("unshare", CLONE_NEWNS)
        _call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        for target, mode in (("/run/netns", 755), ("/run/dpdk", 755), ("/run/fastpath", 700), ("/dev/shm", 1777)):
            mount("tmpfs", target, f"mode={mode}")
    except OSError as error:
        return f"no mount namespace of our own ({error})"
    try:
        name = f"fptprobe{os.getpid()}"
        subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True)
        subprocess.run(["ip", "netns", "del", name], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no network namespaces here ({error})"
    return None


def spawn(command, **options):
    """A child that the kernel kills when we go. From the main thread only: the signal follows the thread."""
    assert threading.current_thread() is threading.main_thread()
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)], **options)


class Netns:
    """A network namespace: commands, sockets and HTTP inside it."""

    def __init__(self, role):
        self.name = f"fpt{os.getpid()}x{next(_count)}{role}"
        _ip("netns", "add", self.name)
        self._jobs = queue.Queue()
        self._started = threading.Event()
        threading.Thread(target=self._work, daemon=True).start()
        self.run("ip", "link", "set", "lo", "up")

    def _work(self):
        # a thread of its own is inside the namespace; sockets made by it stay inside, whoever uses them
        descriptor = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call("setns", descriptor, CLONE_NEWNET)
        finally:
            os.close(descriptor)
        while True:
            job = self._jobs.get()
            if job is None:
                return
            function, reply = job
            try:
                reply.put((function(), None))
            except BaseException as error:  # handed to the caller
                reply.put((None, error))
            del job, function, reply

    def call(self, function):
        """Run function() inside the namespace. Keep it short: one thread serves all callers."""
        reply = queue.Queue()
        self._jobs.put((function, reply))
        result, error = reply.get(timeout=60)
        if error is not None:
            raise error
        return result

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, protocol=0):
        return self.call(lambda: socket.socket(family, kind, protocol))

    def connect(self, host, port, timeout=10):
        """A connected TCP socket."""
        s = self.socket()
        try:
            s.settimeout(timeout)
            # a request goes out in two pieces: the second must not wait for the first one's acknowledgement
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.connect((host, port))
        except BaseException:
            s.close()
            raise
        return s

    def command(self, *command):
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def run(self, *command, check=True, timeout=60, **options):
        """subprocess.run inside, output captured as text."""
        options.setdefault("text", True)
        options.setdefault("stdin", subprocess.DEVNULL)
        if "stdout" not in options:
            options["capture_output"] = True
        done = subprocess.run(self.command(*command), timeout=timeout, check=False, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def spawn(self, *command, **options):
        return spawn(self.command(*command), **options)

    def close(self):
        self._jobs.put(None)
        _ip("netns", "del", self.name)


def _ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


class Wire:
    """The appliance's namespace and the feed's, joined by veths fp0-feed0, fp1-feed1 ...

    The appliance's ends carry no address (the ports have no kernel part in this); feed<i> has 10.99.<i>.2/24
    and fd99:<i>::2/64. IPv6 is off on the appliance's ends, so that no MLD report blurs the counts, and on
    for the feed's ends only with ipv6=True (the frames it sends by itself then count as not_udp).
    """

    def __init__(self, ports=1, ipv6=False, mtu=1500, queues=1):
        self.appliance = Netns("a")
        try:
            self.feed = Netns("f")
        except BaseException:
            self.appliance.close()
            raise
        try:
            self._join(ports, ipv6, mtu, queues)
        except BaseException:
            self.close()
            raise

    def _join(self, ports, ipv6, mtu, queues):
        a, f = self.appliance, self.feed
        a.run("sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        off = 0 if ipv6 else 1
        f.run("sysctl", "-q", "-w", f"net.ipv6.conf.all.disable_ipv6={off}", f"net.ipv6.conf.default.disable_ipv6={off}")
        if ipv6:
            # no duplicate address detection, no router solicitations: an address is usable at once
            f.run("sysctl", "-q", "-w", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.router_solicitations=0")
        f.run("sysctl", "-q", "-w", "net.core.wmem_max=4194304", check=False)
        many = ["numtxqueues", str(queues), "numrxqueues", str(queues)] if queues > 1 else []
        for i in range(ports):
            _ip("link", "add", f"fp{i}", "netns", a.name, "mtu", str(mtu), *many, "type", "veth",
                "peer", "name", f"feed{i}", "netns", f.name, "mtu", str(mtu), *many)
            # checksums and fragments are made here, not by a device that a veth has not got
            f.run("ethtool", "-K", f"feed{i}", "tx", "off", "gso", "off", "tso", "off")
            f.run("ip", "address", "add", f"10.99.{i}.2/24", "dev", f"feed{i}")
            a.run("ip", "link", "set", f"fp{i}", "up")
            f.run("ip", "link", "set", f"feed{i}", "up")
            if ipv6:
                f.run("ip", "address", "add", f"fd99:{i}::2/64", "dev", f"feed{i}", "nodad")
        f.run("ip", "route", "add", "224.0.0.0/4", "dev", "feed0")

    def raw(self, port=0):
        """A packet socket on the feed's end: send() puts a frame on the wire as it is."""
        s = self.feed.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        s.bind((f"feed{port}", 0))
        return s

    def udp(self, port=0, ipv6=False):
        """A UDP socket on the feed's end that sends multicast out of feed<port>."""
        if ipv6:
            s = self.feed.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            index = self.feed.call(lambda: socket.if_nametoindex(f"feed{port}"))
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        else:
            s = self.feed.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(f"10.99.{port}.2"))
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        return s

    def close(self):
        self.feed.close()
        self.appliance.close()


def alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except OSError as error:
        return error.errno != errno.ESRCH


def kill_and_wait(process, sig=signal.SIGKILL):
    if process.poll() is None:
        process.send_signal(sig)
    return process.wait(timeout=30)
