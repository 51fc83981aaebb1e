/* SPDX-License-Identifier: Apache-2.0 */
/* UPDATE=1 writes docs/configuration.md and config/fastpath.ini from the table of keys first */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"

#define PORT "[port nic0]\ndevice = net_null0\naddress = 10.0.0.1/24\n"
#define FEED "[feed ticks]\nport = nic0\nline_a = 239.1.1.1:9000\n"
#define X10  "xxxxxxxxxx"
#define X50  X10 X10 X10 X10 X10
#define X200 X50 X50 X50 X50

/* as Multus writes it, less what is not looked at */
#define STATUS                                                                                     \
	"S=[{\"name\":\"cbr0\",\"interface\":\"eth0\",\"ips\":[\"10.244.1.73\"],\"default\":true," \
	"\"dns\":{}},"                                                                             \
	"{\"name\":\"ns/"                                                                          \
	"a\",\"interface\":\"net1\",\"ips\":[\"10.99.0.5\",\"fd00::5\"],\"dns\":{},"               \
	"\"device-info\":{\"type\":\"pci\",\"version\":\"1.1.0\",\"pci\":{\"pci-address\":"        \
	"\"0000:3b:02.1\"}}},"                                                                     \
	"{\"name\":\"ns/"                                                                          \
	"b\",\"dns\":{},\"device-info\":{\"pci\":{\"pci-address\":\"0000:3b:02.2\"}}},"            \
	"{\"name\":\"ns/b\"},{\"name\":\"ns/c\",\"ips\":[\"239.0.0.1\"]}]"

static struct config c;
static char err[CONFIG_ERROR_MAX];

static int load(const char *text, char *const environ_[])
{
	return config_load_text(&c, "f.ini", text, strlen(text), environ_, err);
}

static void must_load(const char *text, char *const environ_[])
{
	int rc = load(text, environ_);

	ck_assert_msg(rc == 0, "%s", err);
}

/* what is wrong in a file, and the line that says so */
static const struct {
	const char *text, *error;
} bad_files[] = {
    /* lines */
    {"[dataplane]\nring_size\n", "f.ini:2: ring_size is not key = value"},
    {"[dataplane]\nring_size: 64\n", "f.ini:2: ring_size: 64 is not key = value"},
    {"[dataplane]\n= 64\n", "f.ini:2: there is no key before '='"},
    {"[dataplane]\nidle = spin\n  adaptive\n", "f.ini:3: adaptive is not key = value"},
    {"[journal]\ndir = " X200 "\n", "f.ini:2: the line has 206 bytes; at most 198 are taken"},
    {"[engine]\nid = a\x01\n", "f.ini:2: byte 7 is a control character (0x01)"},
    {"[engine]\nid = a\rb\n", "f.ini:2: byte 7 is a control character (0x0d)"},
    /* sections */
    {"[dataplan]\n",
     "f.ini:1: unknown section [dataplan]; there are [engine] [eal] [dataplane] [port NAME] "
     "[feed NAME] [ownership] [journal] [http] [health] [log] [kafka] [etcd]"},
    {"[]\n", "f.ini:1: unknown section []; there are [engine] [eal] [dataplane] [port NAME] "
             "[feed NAME] [ownership] [journal] [http] [health] [log] [kafka] [etcd]"},
    {"[dataplane\n", "f.ini:1: the section's ']' is missing"},
    {"[dataplane] enable = 1\n", "f.ini:1: enable = 1 does not belong behind a section"},
    {"[dataplane];x\n", "f.ini:1: ;x does not belong behind a section"},
    {"[log]\n[log]\n", "f.ini:2: duplicate section [log]: it stands at line 1"},
    {PORT PORT, "f.ini:4: duplicate section [port nic0]: it stands at line 1"},
    {PORT FEED FEED, "f.ini:7: duplicate section [feed ticks]: it stands at line 4"},
    {"[port]\n", "f.ini:1: section [port] needs a name, such as [port nic0]"},
    {"[feed]\n", "f.ini:1: section [feed] needs a name, such as [feed ticks]"},
    {"[log x]\n", "f.ini:1: section [log] takes no name"},
    {"[port a b]\n", "f.ini:1: a b is not a name of 1 to 31 letters, digits, '.', '_' or '-'"},
    {"[feed " X10 X10 X10 "xx]\n",
     "f.ini:1: " X10 X10 X10 "xx is not a name of 1 to 31 letters, digits, '.', '_' or '-'"},
    {"[feed http]\n", "f.ini:1: a feed cannot be called http: the journal calls POSTs so"},
    /* keys */
    {"[dataplane]\nring = 64\n",
     "f.ini:2: unknown key ring; [dataplane] has enable, rx_lcores, worker_lcores, idle, "
     "ring_size, burst, mbufs, key_slots"},
    {"[journal]\nring_size = 64\n", "f.ini:2: ring_size belongs in [dataplane]"},
    {"[dataplane]\nmtu = 1500\n", "f.ini:2: mtu belongs in [port NAME]"},
    {"ring_size = 64\n", "f.ini:1: ring_size belongs in [dataplane]"},
    {"nothing = 64\n", "f.ini:1: unknown key nothing before the first section"},
    {"[dataplane]\nburst = 1\nburst = 2\n",
     "f.ini:3: dataplane.burst: duplicate: it stands at line 2"},
    {PORT "mtu = 1500\nmtu = 1500\n", "f.ini:5: port nic0.mtu: duplicate: it stands at line 4"},
    /* numbers */
    {"[dataplane]\nring_size = 1000\n", "f.ini:2: dataplane.ring_size: 1000 is not a power of "
                                        "two between 64 and 1048576"},
    {"[dataplane]\nring_size = 32\n",
     "f.ini:2: dataplane.ring_size: 32 is not a power of two between 64 and 1048576"},
    {"[dataplane]\nkey_slots = 33554432\n",
     "f.ini:2: dataplane.key_slots: 33554432 is not a power of two between 1024 and 16777216"},
    {"[dataplane]\nburst = 0\n",
     "f.ini:2: dataplane.burst: 0 is not a whole number between 1 and 256"},
    {"[dataplane]\nburst = -1\n",
     "f.ini:2: dataplane.burst: -1 is not a whole number between 1 and 256"},
    {"[dataplane]\nburst = 0x10\n",
     "f.ini:2: dataplane.burst: 0x10 is not a whole number between 1 and 256"},
    {"[dataplane]\nburst = 99999999999999999999\n",
     "f.ini:2: dataplane.burst: 99999999999999999999 is not a whole number between 1 and 256"},
    {"[dataplane]\nburst =\n", "f.ini:2: dataplane.burst: the value is missing; it must be a "
                               "whole number between 1 and 256"},
    {"[dataplane]\nmbufs = 5\n",
     "f.ini:2: dataplane.mbufs: 5 is not 0 or a whole number between 1024 and 4194304"},
    {"[journal]\nretain_gb = 1e3\n",
     "f.ini:2: journal.retain_gb: 1e3 is not a number between 0 and 1048576"},
    {"[journal]\nretain_gb = 1.2.3\n",
     "f.ini:2: journal.retain_gb: 1.2.3 is not a number between 0 and 1048576"},
    {"[http]\nbody_max = 8193\n",
     "f.ini:2: http.body_max: 8193 is not a whole number between 1 and 8192"},
    /* choices */
    {"[dataplane]\nenable = yes\n", "f.ini:2: dataplane.enable: yes is not 0 or 1"},
    {"[dataplane]\nidle = lazy\n", "f.ini:2: dataplane.idle: lazy is not spin or adaptive"},
    {"[dataplane]\nidle =\n",
     "f.ini:2: dataplane.idle: the value is missing; it must be spin or adaptive"},
    {"[log]\nlevel = loud\n", "f.ini:2: log.level: loud is not error, warning, info or debug"},
    {"[ownership]\nmode = some\n", "f.ini:2: ownership.mode: some is not all, static or etcd"},
    /* texts and lists */
    {"[engine]\nid = a/b\n",
     "f.ini:2: engine.id: a/b is not 1 to 64 letters, digits, '.', '_' or '-'"},
    {"[engine]\nid = " X50 X10 "xxxxx\n",
     "f.ini:2: engine.id: " X50 X10 "xxxxx is not 1 to 64 letters, digits, '.', '_' or '-'"},
    {"[dataplane]\nrx_lcores = 1,,2\n",
     "f.ini:2: dataplane.rx_lcores: 1,,2 is not a list of lcores such as 1 or 1,2 or 1-3"},
    {"[dataplane]\nrx_lcores = 1,1\n",
     "f.ini:2: dataplane.rx_lcores: 1,1 is not a list of lcores such as 1 or 1,2 or 1-3"},
    {"[dataplane]\nworker_lcores = 3-1\n",
     "f.ini:2: dataplane.worker_lcores: 3-1 is not a list of lcores such as 1 or 1,2 or 1-3"},
    {"[dataplane]\nworker_lcores = 1-33\n",
     "f.ini:2: dataplane.worker_lcores: 1-33 is not a list of lcores such as 1 or 1,2 or 1-3"},
    {"[ownership]\nkeys = a,,b\n",
     "f.ini:2: ownership.keys: a,,b is not a comma-separated list of keys of 1 to 64 bytes"},
    {"[ownership]\nkeys = a, b\nkeys = a\n", "f.ini:3: ownership.keys: key a stands there twice"},
    {"[ownership]\nmode = static\n", "f.ini:2: ownership.mode: static needs keys: set OWNED_KEYS"},
    /* eal */
    {"[eal]\nl = 0-1\n",
     "f.ini:2: eal.l: this option is the engine's: lcores come from eal.lcores"},
    {"[eal]\n--main-lcore = 1\n",
     "f.ini:2: eal.--main-lcore: this option is the engine's: lcores come from eal.lcores"},
    {"[eal]\n--no-pci =\n", "f.ini:2: eal.--no-pci: options are written without dashes"},
    {"[eal]\nm = 64\n", "f.ini:2: eal.m: one-letter options are not taken: use EAL's long name"},
    {"[eal]\nno pci =\n", "f.ini:2: eal.no pci: EAL has no such option"},
    {"[eal]\nno-hugepages =\n", "f.ini:2: eal.no-hugepages: EAL has no such option"},
    {"[eal]\nno-huge = 1\n", "f.ini:2: eal.no-huge: this option takes no value: write no-huge ="},
    {"[eal]\nsocket-mem =\n", "f.ini:2: eal.socket-mem: this option needs a value"},
    {"[eal]\nno-pci =\nno-pci =\n", "f.ini:3: eal.no-pci: duplicate"},
    {"[eal]\nvdev = a\nvdev = a\n", "f.ini:3: eal.vdev: duplicate"},
    {"[eal]\nlcores = auto\nlcores = auto\n",
     "f.ini:3: eal.lcores: duplicate: it stands at line 2"},
    /* http */
    {"[http]\nlisten = localhost:8080\n", "f.ini:2: http.listen: localhost:8080 is not "
                                          "address:port such as 127.0.0.1:8080 or [::]:8080"},
    {"[http]\nlisten = 127.0.0.1\n", "f.ini:2: http.listen: 127.0.0.1 is not address:port such "
                                     "as 127.0.0.1:8080 or [::]:8080"},
    {"[http]\nlisten = ::1:8080\n", "f.ini:2: http.listen: ::1:8080 is not address:port such as "
                                    "127.0.0.1:8080 or [::]:8080"},
    {"[http]\nlisten = 127.0.0.1:65536\n", "f.ini:2: http.listen: 127.0.0.1:65536 is not "
                                           "address:port such as 127.0.0.1:8080 or [::]:8080"},
    {"[http]\ntoken_file = /nonexistent/token\n",
     "f.ini:2: http.token_file: /nonexistent/token: No such file or directory"},
    {"[http]\ntoken_file = /\n", "f.ini:2: http.token_file: / cannot be read: it must be a file"},
    {"[health]\np99_degraded_us = 300\n",
     "f.ini:2: health.p99_degraded_us: p99_unhealthy_us is below p99_degraded_us"},
    {"[health]\ndrops_degraded = 5\ndrops_unhealthy = 4\n",
     "f.ini:3: health.drops_unhealthy: drops_unhealthy is below drops_degraded"},
    {"[health]\nerrors_degraded = 11\n",
     "f.ini:2: health.errors_degraded: errors_unhealthy is below errors_degraded"},
    /* ports */
    {"[port nic0]\naddress = 10.0.0.1/24\n", "f.ini:1: [port nic0] has no device: give it a "
                                             "vdev, a PCI address, env:NAME or env:NAME[i]"},
    {PORT "address = 10.0.0.1\n", "f.ini:4: port nic0.address: 10.0.0.1 is not a unicast "
                                  "address/prefix such as 10.99.0.1/24 or fd00::1/64"},
    {PORT "address = 239.0.0.1/24\n", "f.ini:4: port nic0.address: 239.0.0.1/24 is not a unicast "
                                      "address/prefix such as 10.99.0.1/24 or fd00::1/64"},
    {PORT "address = 10.0.0.1/33\n", "f.ini:4: port nic0.address: 10.0.0.1/33 is not a unicast "
                                     "address/prefix such as 10.99.0.1/24 or fd00::1/64"},
    {PORT "address = 1.1.1.1/8,1.1.1.2/8,1.1.1.3/8,1.1.1.4/8,1.1.1.5/8,1.1.1.6/8,1.1.1.7/8,"
          "1.1.1.8/8\n",
     "f.ini:4: port nic0.address: a port has at most 8 addresses"},
    {PORT "[port nic1]\ndevice = net_null0\n",
     "f.ini:4: [port nic1] has the device of [port nic0]"},
    /* feeds */
    {FEED, "f.ini:1: [feed ticks] names port nic0, which has no section: add [port nic0]"},
    {PORT "[feed t]\nline_a = 239.1.1.1:9000\n",
     "f.ini:4: [feed t] has no port: give it the name of a port"},
    {PORT "[feed t]\nport = nic0\n", "f.ini:4: [feed t] has no line_a: give it group:port such "
                                     "as 239.1.1.1:9000 or [ff15::1]:9000"},
    {PORT "[feed t]\nport = nic0\nline_a = 239.1.1.300:9000\n",
     "f.ini:6: feed t.line_a: 239.1.1.300:9000 is not group:port such as 239.1.1.1:9000 or "
     "[ff15::1]:9000"},
    {PORT "[feed t]\nport = nic0\nline_a = 239.1.1.1:0\n",
     "f.ini:6: feed t.line_a: 239.1.1.1:0 is not group:port such as 239.1.1.1:9000 or "
     "[ff15::1]:9000"},
    {PORT "[feed t]\nline_a = nic1 239.1.1.1:9000\n",
     "f.ini:4: [feed t] names port nic1, which has no section: add [port nic1]"},
    {PORT "[feed t]\nport = nic0\nline_a = 10.0.0.2:9000\n",
     "f.ini:4: [feed t] line_a is neither a multicast group nor an address of port nic0"},
    {PORT FEED "[feed t]\nport = nic0\nline_a = 239.1.1.1:9000\n",
     "f.ini:7: [feed t] has the port, VLAN, group and UDP port of [feed ticks]"},
    {PORT FEED "codec = fixed\n", "f.ini:4: [feed ticks] has no key: codec = fixed needs one"},
    {PORT FEED "key = BTC\n", "f.ini:4: [feed ticks] has a key, which only codec = fixed takes"},
    {PORT FEED "key_field = k\n",
     "f.ini:4: [feed ticks] has a key_field, which only codec = json takes"},
    {PORT FEED "vlan = 4095\n",
     "f.ini:7: feed ticks.vlan: 4095 is not a whole number between 0 and 4094"},
    {PORT FEED "codec = xml\n", "f.ini:7: feed ticks.codec: xml is not keyed, json or fixed"},
    {PORT FEED "framing = tcp\n", "f.ini:7: feed ticks.framing: tcp is not raw"},
    /* what this version has not */
    {PORT FEED "framing = moldudp64\n",
     "f.ini:7: feed ticks.framing: this version has no moldudp64 framing: use raw"},
    {PORT FEED "codec = itch50\n", "f.ini:7: feed ticks.codec: this version has no itch50 codec: "
                                   "use keyed, json or fixed"},
    {PORT FEED "line_b = 239.1.1.2:9000\n",
     "f.ini:7: feed ticks.line_b: this version takes one line a feed: remove line_b"},
    {PORT FEED "request = 10.0.0.9:9100\n",
     "f.ini:7: feed ticks.request: this version has no re-request client: remove request"},
    {"[ownership]\nmode = zookeeper\n",
     "f.ini:2: ownership.mode: zookeeper is not all, static or etcd"},
    {"[ownership]\nassign = auto\n", "f.ini:2: ownership.assign: auto needs ownership.mode = etcd"},
    {"[ownership]\nmoves_per_s = 0\n",
     "f.ini:2: ownership.moves_per_s: 0 is not a whole number between 1 and 1000000"},
    {"[http]\nadvertise = engine1:8080\n",
     "f.ini:2: http.advertise: engine1:8080 is not a URL such as http://engine1:8080"},
    {"[etcd]\nendpoints = http://127.0.0.1:2379, etcd2:2379\n",
     "f.ini:2: etcd.endpoints: etcd2:2379 is not an endpoint such as http://127.0.0.1:2379"},
    {"[etcd]\nendpoints = http://127.0.0.1:2379/v3\n",
     "f.ini:2: etcd.endpoints: http://127.0.0.1:2379/v3 is not an endpoint such as "
     "http://127.0.0.1:2379"},
    {"[etcd]\nendpoints =\n", "f.ini:2: etcd.endpoints: the value is missing; it must be a "
                              "comma-separated list of URLs such as http://127.0.0.1:2379"},
    {"[etcd]\ncert_file = /c\n", "f.ini:2: etcd.cert_file: it needs etcd.key_file too"},
    {"[etcd]\nkey_file = /c\n", "f.ini:2: etcd.key_file: it needs etcd.cert_file too"},
    {"[etcd]\nuser = u\n", "f.ini:2: etcd.user: it needs etcd.password_file too"},
    {"[etcd]\nendpoints = http://e\nuser = u\npassword_file = /nowhere\n",
     "f.ini:4: etcd.password_file: /nowhere: No such file or directory"},
    {"[etcd]\npoll_ms = 1\n",
     "f.ini:2: etcd.poll_ms: 1 is not a whole number between 10 and 3600000"},
    {"[kafka]\nenable = 1\n[journal]\nstore = memory\n",
     "f.ini:2: kafka.enable: 1 needs a journal to read: set journal.store to disk"},
    {"[kafka]\nenable = 2\n", "f.ini:2: kafka.enable: 2 is not 0 or 1"},
    {"[kafka]\npartitions = 0\n",
     "f.ini:2: kafka.partitions: 0 is not a whole number between 1 and 100000"},
    {"[kafka]\ndrain_ms = 30000\n",
     "f.ini:2: kafka.drain_ms: 30000 is not a whole number between 0 and 25000"},
    {"[kafka]\ntopic = a b\n",
     "f.ini:2: kafka.topic: a b is not 1 to 237 letters, digits, '.', '_' or '-'"},
    /* between keys */
    {"[dataplane]\nenable = 1\n", "f.ini:2: dataplane.enable: 1 needs a port: add a [port NAME] "
                                  "section to the configuration file"},
};

START_TEST(each_bad_file_has_its_line)
{
	ck_assert_int_eq(load(bad_files[_i].text, NULL), -EINVAL);
	ck_assert_str_eq(err, bad_files[_i].error);
	ck_assert_ptr_null(c.owned_keys);
}
END_TEST

#define ENABLED "[dataplane]\nenable = 1\n"
static const struct {
	const char *variable, *text, *error;
} bad_variables[] = {
    {"FAST_PATH_ENABLE=1", "",
     "FAST_PATH_ENABLE: 1 needs a port: add a [port NAME] section to the configuration file"},
    {"FAST_PATH_ENABLE=on", "", "FAST_PATH_ENABLE: on is not 0 or 1"},
    {"FAST_PATH_ENABLED=1", "",
     "FAST_PATH_ENABLED: unknown variable; there are FAST_PATH_CONFIG, FAST_PATH_ENABLE and "
     "FAST_PATH_METRICS"},
    {"FAST_PATH_METRIC=", "",
     "FAST_PATH_METRIC: unknown variable; there are FAST_PATH_CONFIG, FAST_PATH_ENABLE and "
     "FAST_PATH_METRICS"},
    {"KAFKA_BRIDGE_ENABLE=2", "", "KAFKA_BRIDGE_ENABLE: 2 is not 0 or 1"},
    {"KAFKA_BRIDGE_TOPIC=a b", "",
     "KAFKA_BRIDGE_TOPIC: a b is not 1 to 237 letters, digits, '.', '_' or '-'"},
    {"ETCD_ENDPOINTS=etcd:2379", "",
     "ETCD_ENDPOINTS: etcd:2379 is not an endpoint such as http://127.0.0.1:2379"},
    {"ENGINE_POLL_MS=never", "",
     "ENGINE_POLL_MS: never is not a whole number between 10 and 3600000"},
    {"ENGINE_ID=a\nb", "", "ENGINE_ID: a?b is not 1 to 64 letters, digits, '.', '_' or '-'"},
    {"OWNERSHIP=none", "", "OWNERSHIP: none is not all, static or etcd"},
    {"OWNERSHIP=static", "", "OWNERSHIP: static needs keys: set OWNED_KEYS"},
    {"OWNED_KEYS=a,b,a", "", "OWNED_KEYS: key a stands there twice"},
    {"OWNED_KEYS=" X50 X10 "xxxxx", "",
     "OWNED_KEYS: " X50 X10 "xxxxx is not a comma-separated list of keys of 1 to 64 bytes"},
    {"HTTP_LISTEN=8080", "",
     "HTTP_LISTEN: 8080 is not address:port such as 127.0.0.1:8080 or [::]:8080"},
    {"HTTP_TOKEN_FILE=/nonexistent", "",
     "HTTP_TOKEN_FILE: /nonexistent: No such file or directory"},
    {"LOG_FORMAT=xml", "", "LOG_FORMAT: xml is not text or json"},
    {"NOTHING=1", ENABLED "[port nic0]\ndevice = env:PCIDEVICE_X\n",
     "f.ini:4: port nic0.device: variable PCIDEVICE_X is not set"},
    {"PCIDEVICE_X=0000:03:00.0,0000:03:00.1", ENABLED "[port nic0]\ndevice = env:PCIDEVICE_X[2]\n",
     "f.ini:4: port nic0.device: variable PCIDEVICE_X has no item 2: 0000:03:00.0,0000:03:00.1"},
    {"A=b", ENABLED "[port nic0]\ndevice = env:A[x]\n",
     "f.ini:4: port nic0.device: env:A[x] is not env:NAME or env:NAME[i]"},
    {"A=env:B", ENABLED "[port nic0]\ndevice = env:A\n",
     "f.ini:4: port nic0.device: env:A stands for another reference, env:B"},
    {"A=b", ENABLED "[port nic0]\ndevice = env:A?\n",
     "f.ini:4: port nic0.device: env:A? is not env:NAME or env:NAME[i]"},
    {"A=b", ENABLED "[port nic0]\ndevice = net_null0\naddress = env:A[\n",
     "f.ini:5: port nic0.address: env:A[ is not env:NAME, env:NAME[WHICH], file:PATH or "
     "file:PATH[WHICH]"},
    {"A=b", ENABLED "[port nic0]\ndevice = net_null0\naddress = file:\n",
     "f.ini:5: port nic0.address: file: is not env:NAME, env:NAME[WHICH], file:PATH or "
     "file:PATH[WHICH]"},
    {"A=10.0.0.1/24", ENABLED "[port nic0]\ndevice = net_null0\naddress = env:A[x]\n",
     "f.ini:5: port nic0.address: env:A[x]: variable A holds a list: [x] is no number that begins "
     "at 0"},
    {"A=10.0.0.1/24", ENABLED "[port nic0]\ndevice = net_null0\naddress = env:B?, env:A[1]?\n",
     "f.ini:5: port nic0.address: variable A has no item 1: 10.0.0.1/24"},
    {"A=file:/etc/x", ENABLED "[port nic0]\ndevice = net_null0\naddress = env:A\n",
     "f.ini:5: port nic0.address: env:A stands for another reference, file:/etc/x"},
    {"A=1", ENABLED "[port nic0]\ndevice = net_null0\naddress = file:/nonexistent[x]\n",
     "f.ini:5: port nic0.address: /nonexistent: No such file or directory"},
    {"A=1", ENABLED "[port nic0]\ndevice = net_null0\naddress = file:/dev/null?\n",
     "f.ini:5: port nic0.address: /dev/null is no file"},
    {"A=" X200 X200 X200, ENABLED "[port nic0]\ndevice = net_null0\naddress = env:A\n",
     "f.ini:5: port nic0.address: variable A is longer than 511 bytes"},
    /* network-status */
    {"A=[{", ENABLED "[port nic0]\ndevice = net_null0\naddress = env:A[n]?\n",
     "f.ini:5: port nic0.address: variable A is no network-status: line 1, column 2: string or '}' "
     "expected near end of file"},
    {"A=[]", ENABLED "[port nic0]\ndevice = net_null0\naddress = env:A?\n",
     "f.ini:5: port nic0.address: env:A?: device net_null0 is no PCI address: name the network, "
     "env:A[NETWORK]"},
    {"A=[]", ENABLED "[port nic0]\ndevice = 3b:02.1\naddress = env:A\n",
     "f.ini:5: port nic0.address: variable A has no network 0000:3b:02.1; there are none"},
    {STATUS, ENABLED "[port nic0]\ndevice = net_null0\naddress = env:S[x]\n",
     "f.ini:5: port nic0.address: variable S has no network x; there are cbr0, ns/a "
     "(0000:3b:02.1), ns/b (0000:3b:02.2), ns/b, ns/c"},
    {STATUS, ENABLED "[port nic0]\ndevice = net_null0\naddress = env:S[b]?\n",
     "f.ini:5: port nic0.address: variable S has 2 networks b: name one by its PCI address; there "
     "are cbr0, ns/a (0000:3b:02.1), ns/b (0000:3b:02.2), ns/b, ns/c"},
    {STATUS, ENABLED "[port nic0]\ndevice = 0000:3b:02.2,x=1\naddress = env:S\n",
     "f.ini:5: port nic0.address: variable S: network ns/b has no address: does its ipam give "
     "any?"},
    {STATUS, ENABLED "[port nic0]\ndevice = net_null0\naddress = env:S[c]?\n",
     "f.ini:5: port nic0.address: variable S: network ns/c has 239.0.0.1, which is no unicast "
     "address"},
    {"S=[{\"name\": \"a\", \"ips\": [1]}]",
     ENABLED "[port nic0]\ndevice = net_null0\naddress = env:S[a]\n",
     "f.ini:5: port nic0.address: variable S: network a has no string, which is no unicast "
     "address"},
    {"A=10.0.0.1/24,env:A", ENABLED "[port nic0]\ndevice = net_null0\naddress = env:A\n",
     "f.ini:5: port nic0.address: env:A stands for another reference, 10.0.0.1/24,env:A"},
    {"A=1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8,1.1.1.9",
     ENABLED "[port nic0]\ndevice = net_null0\naddress = env:A\n",
     "f.ini:5: port nic0.address: a port has at most 8 addresses"},
    {"A=10.0.0", ENABLED "[port nic0]\ndevice = net_null0\naddress = env:A\n",
     "f.ini:5: port nic0.address: 10.0.0 is not a unicast address/prefix such as 10.99.0.1/24 "
     "or fd00::1/64"},
};

START_TEST(each_bad_variable_has_its_line)
{
	char *environ_[] = {(char *)(uintptr_t)bad_variables[_i].variable, NULL};

	ck_assert_int_eq(load(bad_variables[_i].text, environ_), -EINVAL);
	ck_assert_str_eq(err, bad_variables[_i].error);
}
END_TEST

START_TEST(a_zero_byte_is_refused)
{
	static const char text[] = "[engine]\nid = a\0b\n";

	ck_assert_int_eq(config_load_text(&c, "f.ini", text, sizeof(text) - 1, NULL, err), -EINVAL);
	ck_assert_str_eq(err, "f.ini:2: byte 7 is a control character (0x00)");
}
END_TEST

START_TEST(defaults_are_those_of_the_table)
{
	must_load("", NULL);
	ck_assert_str_eq(c.engine_id, "e1");
	ck_assert_str_eq(c.lcores, "auto");
	ck_assert(!c.enable && !c.metrics);
	ck_assert_uint_eq(c.rx_lcore_count, 1);
	ck_assert_uint_eq(c.rx_lcore[0], 1);
	ck_assert_uint_eq(c.worker_lcore_count, 1);
	ck_assert_uint_eq(c.worker_lcore[0], 1);
	ck_assert_int_eq(c.idle, CONFIG_IDLE_ADAPTIVE);
	ck_assert_uint_eq(c.ring_size, 4096);
	ck_assert_int_eq(c.ownership, CONFIG_OWNERSHIP_ALL);
	ck_assert_str_eq(c.journal_dir, "./var/journal");
	ck_assert_uint_eq(c.memory_mb, 64);
	ck_assert_int_eq(c.sync, JOURNAL_SYNC_GROUP);
	ck_assert(c.retain_gb == 8.0);
	ck_assert_int_eq(c.damage, JOURNAL_DAMAGE_REFUSE);
	ck_assert_int_eq(c.http_address.family, AF_INET);
	ck_assert_uint_eq(c.http_port, 8080);
	ck_assert_uint_eq(c.drops_unhealthy, 100);
	ck_assert_int_eq(c.log_level, CONFIG_LOG_INFO);
	ck_assert_uint_eq(c.warning_count, 0);
	config_free(&c);
}
END_TEST

START_TEST(every_key_reaches_its_field)
{
	static const char text[] =
	    "\xef\xbb\xbf; a comment\r\n[engine]\r\nid = e-2.x\r\n"
	    "[eal]\nlcores = 0@0,1@1\nno-pci =\nvdev = net_null7\nvdev = net_null8\n"
	    "[dataplane]\nenable=1\nrx_lcores = 1-2, 4\nworker_lcores = 3\nidle = spin\n"
	    "ring_size = 64 ; small\nburst = 256\nmbufs = 1024\nkey_slots = 1024\n"
	    "[port nic0]\n  device = net_null0\n\taddress = 10.0.0.1/24, fd00::1/64\n"
	    "address = 10.0.0.2/32\nmtu = 9000\nrx_queues = 16\nrx_ring = 64\n"
	    "checksum = trust\nmulticast = groups\n"
	    "[port nic1] ; the other one\ndevice = 0000:03:00.0\n"
	    "[feed a]\nport = nic0\ncodec = fixed\nkey = B T;C\nline_a = nic1 [ff15::1]:65535\n"
	    "vlan = 4094\n"
	    "[feed b]\nport = nic0\nframing = raw\ncodec = json\nkey_field = sym\n"
	    "line_a = 10.0.0.2:1\n"
	    "[ownership]\nmode = static\nkeys = a, b\nkeys = c\n"
	    "[journal]\ndir = /j\nmemory_mb = 1\nsegment_mb = 2\nsync = none\nretain_gb = 0.5\n"
	    "on_damage = quarantine\nstore = memory\n"
	    "[http]\nlisten = [::1]:0\nmetrics = 1\nconnections = 1\nconnections_per_ip = 0\n"
	    "request_timeout_ms = 100\ndurable_timeout_ms = 1\nbody_max = 1\n"
	    "[health]\np99_degraded_us = 1.5\np99_unhealthy_us = 2\ndrops_degraded = 3\n"
	    "drops_unhealthy = 4\nerrors_degraded = 5\nerrors_unhealthy = 6\nsilent_feed_s = 0\n"
	    "disk_free_degraded_mb = 7\n"
	    "[log]\nlevel = debug\nformat = json\n"
	    "[kafka]\nenable = 0\nbootstrap_servers = k:9092\ntopic = t\nconfig_file = /k\n"
	    "partitions = 12\nreplication = 3\ntransaction_events = 7\ndrain_ms = 9\n"
	    "accept_partitions = 16\n"
	    "[etcd]\nendpoints = http://a:1,https://[::1]:2\npoll_ms = 10\nca_file = /ca\n"
	    "cert_file = /cert\nkey_file = /key\nuser = u\npassword_file = /unread";
	char text_address[INET6_ADDRSTRLEN];

	must_load(text, NULL);
	ck_assert_str_eq(c.engine_id, "e-2.x");
	ck_assert(!c.kafka);
	ck_assert_str_eq(c.kafka_bootstrap, "k:9092");
	ck_assert_str_eq(c.kafka_topic, "t");
	ck_assert_str_eq(c.kafka_config_file, "/k");
	ck_assert_uint_eq(c.kafka_partitions, 12);
	ck_assert_uint_eq(c.kafka_replication, 3);
	ck_assert_uint_eq(c.kafka_transaction_events, 7);
	ck_assert_uint_eq(c.kafka_drain_ms, 9);
	ck_assert_uint_eq(c.kafka_accept_partitions, 16);
	ck_assert_str_eq(c.lcores, "0@0,1@1");
	ck_assert_int_eq(c.ownership, CONFIG_OWNERSHIP_STATIC);
	ck_assert_int_eq(c.assign, CONFIG_ASSIGN_MANUAL);
	ck_assert_str_eq(c.etcd_endpoints, "http://a:1,https://[::1]:2");
	ck_assert_uint_eq(c.etcd_poll_ms, 10);
	ck_assert_str_eq(c.etcd_ca_file, "/ca");
	ck_assert_str_eq(c.etcd_cert_file, "/cert");
	ck_assert_str_eq(c.etcd_key_file, "/key");
	ck_assert_str_eq(c.etcd_user, "u");
	ck_assert_uint_eq(c.eal_count, 3);
	ck_assert_str_eq(c.eal[0].key, "no-pci");
	ck_assert_str_eq(c.eal[0].value, "");
	ck_assert_str_eq(c.eal[2].value, "net_null8");
	ck_assert(c.enable);
	ck_assert_uint_eq(c.rx_lcore_count, 3);
	ck_assert_uint_eq(c.rx_lcore[1], 2);
	ck_assert_uint_eq(c.rx_lcore[2], 4);
	ck_assert_uint_eq(c.worker_lcore[0], 3);
	ck_assert_int_eq(c.idle, CONFIG_IDLE_SPIN);
	ck_assert_uint_eq(c.ring_size, 64);
	ck_assert_uint_eq(c.burst, 256);
	ck_assert_uint_eq(c.mbufs, 1024);
	ck_assert_uint_eq(c.key_slots, 1024);
	ck_assert_uint_eq(c.port_count, 2);
	ck_assert_str_eq(c.port[0].name, "nic0");
	ck_assert_str_eq(c.port[0].device, "net_null0");
	ck_assert_uint_eq(c.port[0].address_count, 3);
	ck_assert_uint_eq(c.port[0].address[0].prefix, 24);
	inet_ntop(AF_INET6, c.port[0].address[1].bytes, text_address, sizeof(text_address));
	ck_assert_str_eq(text_address, "fd00::1");
	ck_assert_uint_eq(c.port[0].mtu, 9000);
	ck_assert_uint_eq(c.port[0].rx_queues, 16);
	ck_assert_uint_eq(c.port[0].rx_ring, 64);
	ck_assert_int_eq(c.port[0].checksum, CONFIG_CHECKSUM_TRUST);
	ck_assert_int_eq(c.port[0].multicast, CONFIG_MULTICAST_GROUPS);
	ck_assert_str_eq(c.port[1].device, "0000:03:00.0");
	ck_assert_uint_eq(c.port[1].mtu, 1500);
	ck_assert_uint_eq(c.feed_count, 2);
	ck_assert_uint_eq(c.feed[0].port, 1);
	ck_assert_int_eq(c.feed[0].codec, CONFIG_CODEC_FIXED);
	ck_assert_str_eq(c.feed[0].key, "B T;C");
	ck_assert_uint_eq(c.feed[0].key_len, 5);
	ck_assert_int_eq(c.feed[0].group.family, AF_INET6);
	ck_assert_uint_eq(c.feed[0].udp_port, 65535);
	ck_assert_uint_eq(c.feed[0].vlan, 4094);
	ck_assert_uint_eq(c.feed[1].port, 0);
	ck_assert_str_eq(c.feed[1].key_field, "sym");
	ck_assert_int_eq(c.ownership, CONFIG_OWNERSHIP_STATIC);
	ck_assert_uint_eq(c.owned_key_count, 3);
	ck_assert_str_eq(c.owned_keys[2], "c");
	ck_assert_str_eq(c.journal_dir, "/j");
	ck_assert_uint_eq(c.memory_mb, 1);
	ck_assert_uint_eq(c.segment_mb, 2);
	ck_assert_int_eq(c.sync, JOURNAL_SYNC_NONE);
	ck_assert(c.retain_gb == 0.5);
	ck_assert_int_eq(c.damage, JOURNAL_DAMAGE_QUARANTINE);
	ck_assert_int_eq(c.store, CONFIG_STORE_MEMORY);
	ck_assert_int_eq(c.http_address.family, AF_INET6);
	ck_assert_uint_eq(c.http_port, 0);
	ck_assert(c.metrics);
	ck_assert_uint_eq(c.http_connections, 1);
	ck_assert_uint_eq(c.http_connections_per_ip, 0);
	ck_assert_uint_eq(c.http_request_timeout_ms, 100);
	ck_assert_uint_eq(c.http_durable_timeout_ms, 1);
	ck_assert_uint_eq(c.http_body_max, 1);
	ck_assert(c.p99_degraded_us == 1.5 && c.p99_unhealthy_us == 2.0);
	ck_assert_uint_eq(c.drops_degraded, 3);
	ck_assert_uint_eq(c.drops_unhealthy, 4);
	ck_assert_uint_eq(c.errors_degraded, 5);
	ck_assert_uint_eq(c.errors_unhealthy, 6);
	ck_assert_uint_eq(c.silent_feed_s, 0);
	ck_assert(c.disk_free_degraded_mb == 7.0);
	ck_assert_int_eq(c.log_level, CONFIG_LOG_DEBUG);
	ck_assert_int_eq(c.log_format, CONFIG_LOG_JSON);
	ck_assert_uint_eq(c.warning_count, 1);
	ck_assert_str_eq(c.warning[0], "ownership is static: etcd is not asked");
	config_free(&c);
}
END_TEST

START_TEST(variables_go_over_the_file)
{
	char *environ_[] = {"ENGINE_ID=e9",
	                    "OWNED_KEYS=x , y",
	                    "LOG_LEVEL=error",
	                    "JOURNAL_DIR=",
	                    "HTTP_LISTEN=0.0.0.0:1",
	                    "PATH=/bin",
	                    "KAFKA_BRIDGE_ENABLE=1",
	                    "KAFKA_BOOTSTRAP_SERVERS=k:9092",
	                    "ENGINE_POLL_MS=500",
	                    "FAST_PATH_METRICS=1",
	                    NULL};

	must_load("[engine]\nid = e2\n[ownership]\nkeys = a,b,c\n[journal]\ndir = /j\n", environ_);
	ck_assert_str_eq(c.engine_id, "e9");
	ck_assert_uint_eq(c.owned_key_count, 2);
	ck_assert_str_eq(c.owned_keys[0], "x");
	ck_assert_str_eq(c.owned_keys[1], "y");
	ck_assert_int_eq(c.ownership, CONFIG_OWNERSHIP_STATIC);
	ck_assert_int_eq(c.log_level, CONFIG_LOG_ERROR);
	ck_assert_str_eq(c.journal_dir, "/j");
	ck_assert(c.metrics);
	ck_assert(c.kafka);
	ck_assert_str_eq(c.kafka_bootstrap, "k:9092");
	ck_assert_uint_eq(c.kafka_transaction_events, 10000);
	ck_assert_str_eq(c.http_listen, "0.0.0.0:1");
	ck_assert_uint_eq(c.warning_count, 0);
	config_free(&c);
}
END_TEST

START_TEST(a_kubernetes_service_is_no_misspelling)
{
	char *environ_[] = {"FAST_PATH_SERVICE_HOST=10.0.0.1",
	                    "FAST_PATH_SERVICE_PORT=8080",
	                    "FAST_PATH_SERVICE_PORT_HTTP=8080",
	                    "FAST_PATH_PORT=tcp://10.0.0.1:8080",
	                    "FAST_PATH_PORT_8080_TCP=tcp://10.0.0.1:8080",
	                    "FAST_PATH_PORT_8080_TCP_ADDR=10.0.0.1",
	                    "FAST_PATH_METRICS_PORT_9_UDP_PROTO=udp",
	                    NULL};

	must_load("", environ_);
	config_free(&c);
}
END_TEST

START_TEST(references_are_looked_up_when_ports_are_opened)
{
	static const char text[] = "[port nic0]\ndevice = env:PCI[1]\naddress = env:A\n"
	                           "[feed t]\nport = nic0\nline_a = 10.0.0.1:9000\n";
	char *environ_[] = {"FAST_PATH_ENABLE=1", "PCI=0000:03:00.0, 0000:03:00.1",
	                    "A=10.0.0.1/24,fd00::1/64", NULL};

	must_load(text, environ_);
	ck_assert_str_eq(c.port[0].device, "0000:03:00.1");
	ck_assert_uint_eq(c.port[0].address_count, 2);
	config_free(&c);
	/* the switch that turns it off must work on a machine without the device */
	must_load(text, NULL);
	ck_assert_str_eq(c.port[0].device, "");
	config_free(&c);
}
END_TEST

/* the one address of the port after loading `port` */
static void must_learn(const char *port, const char *first, uint32_t count)
{
	char *environ_[] = {"FAST_PATH_ENABLE=1", "PCI=0000:3b:02.2,0000:3b:02.1", STATUS, NULL};
	char text[1024], got[INET6_ADDRSTRLEN];

	snprintf(text, sizeof(text),
	         "[port nic0]\n%s[feed t]\nport = nic0\nline_a = 239.1.1.1:9000\n", port);
	must_load(text, environ_);
	ck_assert_uint_eq(c.port[0].address_count, count);
	ck_assert_ptr_nonnull(
	    inet_ntop(c.port[0].address[0].family, c.port[0].address[0].bytes, got, sizeof(got)));
	ck_assert_str_eq(got, first);
	config_free(&c);
}

START_TEST(a_pod_learns_its_address_from_network_status)
{
	/* by the device, which may stand below; by name; by PCI address */
	must_learn("address = env:S\ndevice = env:PCI[1]\n", "10.99.0.5", 2);
	must_learn("device = 3b:02.1,mprq_en=1\naddress = 10.0.0.1/24, env:S\n", "10.0.0.1", 3);
	must_learn("device = net_null0\naddress = env:S[a]\n", "10.99.0.5", 2);
	must_learn("device = net_null0\naddress = env:S[ns/a]?\n", "10.99.0.5", 2);
	must_learn("device = net_null0\naddress = env:S[0000:3b:02.1]\n", "10.99.0.5", 2);
	must_learn("device = net_null0\naddress = env:S[cbr0]\n", "10.244.1.73", 1);
	ck_assert_uint_eq(c.port[0].address[0].prefix, 32);
}
END_TEST

START_TEST(a_pods_own_addresses_come_without_a_prefix)
{
	char *environ_[] = {"FAST_PATH_ENABLE=1", "POD_IPS=10.244.1.73,fd00::49", NULL};

	must_load("[port nic0]\ndevice = net_null0\naddress = env:POD_IPS\n"
	          "[feed t]\nport = nic0\nline_a = [fd00::49]:9000\n",
	          environ_);
	ck_assert_uint_eq(c.port[0].address_count, 2);
	ck_assert_uint_eq(c.port[0].address[0].prefix, 32);
	ck_assert_uint_eq(c.port[0].address[1].prefix, 128);
	config_free(&c);
}
END_TEST

START_TEST(a_reference_that_may_give_nothing_warns)
{
	char *environ_[] = {"FAST_PATH_ENABLE=1", STATUS, NULL};

	must_load(
	    "[port nic0]\ndevice = net_null0\naddress = env:A?, file:/nonexistent?, env:S[x]?\n"
	    "address = env:S[0000:3b:02.2]?\n"
	    "[feed t]\nport = nic0\nline_a = 239.1.1.1:9000\n",
	    environ_);
	ck_assert_uint_eq(c.port[0].address_count, 0);
	ck_assert_uint_eq(c.warning_count, 4);
	ck_assert_str_eq(c.warning[0], "port nic0: env:A? gives no address: variable A is not set");
	ck_assert_str_eq(c.warning[1],
	                 "port nic0: file:/nonexistent? gives no address: /nonexistent: No such "
	                 "file or directory");
	ck_assert_str_eq(
	    c.warning[2],
	    "port nic0: env:S[x]? gives no address: variable S has no network x; there are cbr0, "
	    "ns/a (0000:3b:02.1), ns/b (0000:3b:02.2), ns/b, ns/c");
	ck_assert_str_eq(c.warning[3],
	                 "port nic0: env:S[0000:3b:02.2]? gives no address: variable S: network "
	                 "ns/b has no address: does its ipam give any?");
	config_free(&c);
}
END_TEST

START_TEST(a_file_holds_addresses_too)
{
	char path[] = "/tmp/fastpath-test-status-XXXXXX", text[256];
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(dprintf(fd, "%s\n", STATUS + 2), (int)strlen(STATUS + 2) + 1);
	snprintf(text, sizeof(text), "device = net_null0\naddress = file:%s[a]\n", path);
	must_learn(text, "10.99.0.5", 2);
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq((int)pwrite(fd, "10.0.0.1/24\n", 12, 0), 12);
	snprintf(text, sizeof(text), "device = net_null0\naddress = file:%s\n", path);
	must_learn(text, "10.0.0.1", 1);
	for (int i = 0; i < 2; i++) {
		char file[300], *environ_[] = {"FAST_PATH_ENABLE=1", NULL};

		ck_assert_int_eq(ftruncate(fd, i == 0 ? 0 : 65537), 0);
		snprintf(file, sizeof(file), "[port nic0]\n%s", text);
		ck_assert_int_eq(load(file, environ_), -EINVAL);
		ck_assert_ptr_nonnull(strstr(err, i == 0 ? " is empty" : ": File too large"));
	}
	close(fd);
	unlink(path);
}
END_TEST

START_TEST(doubtful_settings_warn)
{
	must_load(PORT "[ownership]\nmode = all\nkeys = a\n", NULL);
	ck_assert_uint_eq(c.warning_count, 2);
	ck_assert_str_eq(c.warning[0], "port nic0 carries no feed");
	ck_assert_str_eq(c.warning[1], "ownership is all: the 1 owned keys are not looked at");
	config_free(&c);
}
END_TEST

START_TEST(limits_of_counts)
{
	char *text = calloc(1, 65536), *at = text;

	for (int i = 0; i < 17; i++)
		at += sprintf(at, "[port n%d]\ndevice = net_null%d\n", i, i);
	ck_assert_int_eq(load(text, NULL), -EINVAL);
	ck_assert_str_eq(err, "f.ini:33: there are more than 16 port sections");
	at = text + sprintf(text, PORT);
	for (int i = 0; i < 257; i++)
		at += sprintf(at, "[feed n%d]\nline_a = nic0 239.0.0.1:%d\n", i, i + 1);
	ck_assert_int_eq(load(text, NULL), -EINVAL);
	ck_assert_str_eq(err, "f.ini:516: there are more than 256 feed sections");
	at = text + sprintf(text, "[eal]\n");
	for (int i = 0; i < 65; i++)
		at += sprintf(at, "vdev = net_null%d\n", i);
	ck_assert_int_eq(load(text, NULL), -EINVAL);
	ck_assert_str_eq(err, "f.ini:66: eal.vdev: there are more than 64 EAL options");
	free(text);
}
END_TEST

static char token_path[] = "/tmp/fastpath-test-token-XXXXXX";

static int load_token(const char *bytes, size_t len, mode_t mode)
{
	char text[128];
	FILE *f = fopen(token_path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	fclose(f);
	ck_assert_int_eq(chmod(token_path, mode), 0);
	snprintf(text, sizeof(text), "[http]\ntoken_file = %s\n", token_path);
	return load(text, NULL);
}

START_TEST(tokens)
{
	char expected[256], longest[258];

	close(mkstemp(token_path));
	ck_assert_int_eq(load_token(" secret-1\n", 10, 0600), 0);
	ck_assert_str_eq(c.http_token, "secret-1");
	config_free(&c);
	memset(longest, 'x', sizeof(longest));
	ck_assert_int_eq(load_token(longest, 256, 0600), 0);
	config_free(&c);
	snprintf(expected, sizeof(expected),
	         "f.ini:2: http.token_file: %s does not hold a token of 1 "
	         "to 256 printable bytes",
	         token_path);
	ck_assert_int_eq(load_token(longest, 257, 0600), -EINVAL);
	ck_assert_str_eq(err, expected);
	ck_assert_int_eq(load_token("\n", 1, 0600), -EINVAL);
	ck_assert_str_eq(err, expected);
	ck_assert_int_eq(load_token("two words", 9, 0600), -EINVAL);
	ck_assert_str_eq(err, expected);
	ck_assert_int_eq(load_token("a\0b", 3, 0600), -EINVAL);
	ck_assert_str_eq(err, expected);
	ck_assert_int_eq(load_token("secret", 6, 0644), -EINVAL);
	snprintf(expected, sizeof(expected),
	         "f.ini:2: http.token_file: %s can be read by everyone: "
	         "chmod 600 it (a Kubernetes secret: defaultMode 0400)",
	         token_path);
	ck_assert_str_eq(err, expected);
	unlink(token_path);
}
END_TEST

START_TEST(files_that_cannot_be_read)
{
	char *environ_[] = {"FAST_PATH_CONFIG=/nonexistent.ini", NULL};

	ck_assert_int_eq(config_load(&c, "/nonexistent.ini", NULL, err), -ENOENT);
	ck_assert_str_eq(err, "/nonexistent.ini: No such file or directory: name a readable "
	                      "configuration file");
	ck_assert_int_eq(config_load(&c, NULL, environ_, err), -ENOENT);
	ck_assert_str_eq(err,
	                 "FAST_PATH_CONFIG: /nonexistent.ini: No such file or directory: name a "
	                 "readable configuration file");
	ck_assert_int_eq(config_load(&c, "/", NULL, err), -EISDIR);
	ck_assert_str_eq(err, "/: Is a directory: name a readable configuration file");
	ck_assert_int_eq(config_load(&c, "/dev/zero", NULL, err), -EFBIG);
	ck_assert_str_eq(err, "/dev/zero: File too large: name a readable configuration file");
}
END_TEST

START_TEST(the_development_profile_loads)
{
	char *environ_[] = {"FAST_PATH_ENABLE=1", NULL};

	ck_assert_msg(config_load(&c, "config/dev.ini", environ_, err) == 0, "%s", err);
	ck_assert_str_eq(c.port[0].device, "net_af_packet0,iface=fp0,framecnt=16384");
	ck_assert_uint_eq(c.feed_count, 2);
	ck_assert_uint_eq(c.warning_count, 0);
	config_free(&c);
}
END_TEST

static struct config_lcore lcore[CONFIG_LCORES_MAX * 4];
static uint32_t lcore_count;
static char eal_list[1024];

static int lcores(const char *text)
{
	must_load(text, NULL);
	int rc = config_lcores(&c, lcore, &lcore_count, eal_list, sizeof(eal_list), err);
	config_free(&c);
	return rc;
}

/* the first CPU that this process may use, and one that it may not */
static unsigned int first_cpu(void)
{
	cpu_set_t set;
	unsigned int cpu = 0;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	while (!CPU_ISSET(cpu, &set))
		cpu++;
	return cpu;
}

START_TEST(auto_shares_a_single_cpu)
{
	cpu_set_t one, before;
	unsigned int cpu = first_cpu();
	char expected[64];

	sched_getaffinity(0, sizeof(before), &before);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	int rc = lcores("");
	sched_setaffinity(0, sizeof(before), &before);
	ck_assert_int_eq(rc, 0);
	snprintf(expected, sizeof(expected), "0@%u,1@%u", cpu, cpu);
	ck_assert_str_eq(eal_list, expected);
	ck_assert_uint_eq(lcore_count, 2);
	ck_assert_uint_eq(lcore[1].id, 1);
	ck_assert_uint_eq(lcore[1].cpu, cpu);
}
END_TEST

START_TEST(auto_numbers_all_usable_cpus)
{
	cpu_set_t set;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	ck_assert_int_eq(lcores(""), 0);
	ck_assert_uint_eq(lcore_count, CPU_COUNT(&set) > 1 ? (unsigned int)CPU_COUNT(&set) : 2);
	for (uint32_t i = 0; i < lcore_count; i++) {
		ck_assert_uint_eq(lcore[i].id, i);
		ck_assert(CPU_ISSET(lcore[i].cpu, &set));
		for (uint32_t j = 0; j < i && CPU_COUNT(&set) > 1; j++)
			ck_assert_uint_ne(lcore[i].cpu, lcore[j].cpu);
	}
}
END_TEST

START_TEST(lcores_that_are_given)
{
	unsigned int cpu = first_cpu();
	char text[256], expected[128];

	snprintf(text, sizeof(text),
	         "[eal]\nlcores = 5@%u, 2@%u,9@%u\n[dataplane]\nworker_lcores = 5,9\n", cpu, cpu,
	         cpu);
	ck_assert_int_eq(lcores(text), 0);
	snprintf(expected, sizeof(expected), "5@%u,2@%u,9@%u", cpu, cpu, cpu);
	ck_assert_str_eq(eal_list, expected);
	ck_assert_uint_eq(lcore_count, 3);
	ck_assert_uint_eq(lcore[0].id, 2);
	ck_assert_uint_eq(lcore[2].id, 9);
}
END_TEST

START_TEST(lcores_in_groups)
{
	char text[256], expected[128];
	cpu_set_t set;
	unsigned int a = first_cpu(), b = a + 1;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	while (b < CPU_SETSIZE && !CPU_ISSET(b, &set))
		b++;
	if (b == CPU_SETSIZE)
		b = a;
	snprintf(text, sizeof(text), "[eal]\nlcores = 0@%u,(1-3)@(%u)\n", a, a);
	ck_assert_int_eq(lcores(text), 0);
	snprintf(expected, sizeof(expected), "0@%u,1@%u,2@%u,3@%u", a, a, a, a);
	ck_assert_str_eq(eal_list, expected);
	if (b == a)
		return;
	snprintf(text, sizeof(text), "[eal]\nlcores = 0@%u,(1,4)@(%u,%u)\n", a, a, b);
	ck_assert_int_eq(lcores(text), 0);
	snprintf(expected, sizeof(expected), "0@%u,1@(%u,%u),4@(%u,%u)", a, a, b, a, b);
	ck_assert_str_eq(eal_list, expected);
	ck_assert_uint_eq(lcore_count, 3);
	ck_assert_uint_eq(lcore[1].cpu, b);
	ck_assert_uint_eq(lcore[2].cpu, a);
}
END_TEST

START_TEST(lcores_that_do_not_exist)
{
	unsigned int cpu = first_cpu();
	cpu_set_t one, before;
	char text[256], expected[256];

	sched_getaffinity(0, sizeof(before), &before);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);

	ck_assert_int_eq(lcores("[dataplane]\nworker_lcores = 7\n"), -EINVAL);
	ck_assert_str_eq(err, "dataplane.worker_lcores: lcore 7 does not exist; there are 1 "
	                      "(eal.lcores can put several on one CPU)");
	ck_assert_int_eq(lcores("[dataplane]\nworker_lcores = 0\n"), -EINVAL);
	ck_assert_str_eq(err,
	                 "dataplane.worker_lcores: lcore 0 is the main lcore, which serves HTTP; "
	                 "use one of 1");
	ck_assert_int_eq(lcores("[dataplane]\nenable = 1\nrx_lcores = 2\n" PORT), -EINVAL);
	ck_assert_str_eq(err,
	                 "dataplane.rx_lcores: lcore 2 does not exist; there are 1 (eal.lcores "
	                 "can put several on one CPU)");
	/* without ports nothing polls them */
	ck_assert_int_eq(lcores("[dataplane]\nrx_lcores = 2\n"), 0);
	snprintf(text, sizeof(text), "[eal]\nlcores = 0@%u,1@1000\n", cpu);
	ck_assert_int_eq(lcores(text), -EINVAL);
	snprintf(expected, sizeof(expected),
	         "eal.lcores: lcore 1: CPU 1000 does not exist or may not "
	         "be used; there are %u",
	         cpu);
	ck_assert_str_eq(err, expected);
	snprintf(text, sizeof(text), "[eal]\nlcores = 0@%u\n", cpu);
	ck_assert_int_eq(lcores(text), -EINVAL);
	snprintf(expected, sizeof(expected),
	         "eal.lcores: 0@%u is one lcore; a second one has to do "
	         "the work, such as 0@0,1@0",
	         cpu);
	ck_assert_str_eq(err, expected);
	sched_setaffinity(0, sizeof(before), &before);
}
END_TEST

static const char *const bad_lists[] = {
    "0@0,", ",0@0",   "0@0,,1@0", "0@0,0@0", "0@",   "@0", "(0,1@0", "0,1)@0", "0@(0",
    "()@0", "(0,1)@", "0-1@0",    "128@0",   "0@-1", "x",  "0 1",    "0@0@1"};

START_TEST(lists_that_are_none)
{
	char text[128], expected[256];

	snprintf(text, sizeof(text), "[eal]\nlcores = %s\n", bad_lists[_i]);
	ck_assert_int_eq(lcores(text), -EINVAL);
	snprintf(expected, sizeof(expected),
	         "eal.lcores: %s is not auto or a list of different lcores "
	         "below 128 such as 0@0,1@1,2@1 or 0-3",
	         bad_lists[_i]);
	ck_assert_str_eq(err, expected);
}
END_TEST

/* a file is what the table prints */
static void in_step(const char *path, void (*print)(FILE *))
{
	char *wanted = NULL, *found = calloc(1, 1 << 20);
	size_t len = 0;
	FILE *f = open_memstream(&wanted, &len);

	print(f);
	fclose(f);
	if (getenv("UPDATE") != NULL) {
		f = fopen(path, "w");
		ck_assert_ptr_nonnull(f);
		ck_assert_uint_eq(fwrite(wanted, 1, len, f), len);
		ck_assert_int_eq(fclose(f), 0);
	}
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	ck_assert_uint_lt(fread(found, 1, (1 << 20) - 1, f), (1 << 20) - 1);
	fclose(f);
	ck_assert_msg(strcmp(wanted, found) == 0,
	              "%s is not in step: run UPDATE=1 build/unit/test_config", path);
	free(wanted);
	free(found);
}

START_TEST(the_documentation_is_in_step)
{
	in_step("docs/configuration.md", config_print_markdown);
}
END_TEST

/* every line of config/fastpath.ini taken in, but those that this version refuses */
static char *uncommented(const char *path)
{
	char line[512], *out = calloc(1, 1 << 20), *at = out;
	FILE *f = fopen(path, "r");

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		bool key = line[0] == ';' && line[1] != ' ';
		bool refused =
		    strncmp(line, ";line_b", 7) == 0 || strncmp(line, ";request =", 10) == 0 ||
		    strncmp(line, ";endpoints", 10) == 0 || strncmp(line, ";token_file", 11) == 0 ||
		    strncmp(line, ";key =", 6) == 0 || strncmp(line, ";key_field", 10) == 0;

		if (!refused)
			at += sprintf(at, "%s", line + key);
	}
	fclose(f);
	return out;
}

START_TEST(the_example_is_in_step_and_loads)
{
	char *text;

	in_step("config/fastpath.ini", config_print_ini);
	ck_assert_msg(config_load(&c, "config/fastpath.ini", NULL, err) == 0, "%s", err);
	config_free(&c);
	text = uncommented("config/fastpath.ini");
	must_load(text, NULL);
	ck_assert_uint_eq(c.port_count, 1);
	ck_assert_uint_eq(c.feed_count, 1);
	ck_assert_uint_eq(c.owned_key_count, 2);
	config_free(&c);
	free(text);
}
END_TEST

START_TEST(help_names_every_key)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	config_print_help(f);
	fclose(f);
	for (uint32_t i = 0; i < config_key_count; i++) {
		ck_assert_ptr_nonnull(strstr(text, config_keys[i].sentence));
		ck_assert_ptr_nonnull(strstr(text, config_keys[i].variable));
	}
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("config");
	TCase *t = tcase_create("errors");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, each_bad_file_has_its_line, 0,
	                    sizeof(bad_files) / sizeof(bad_files[0]));
	tcase_add_loop_test(t, each_bad_variable_has_its_line, 0,
	                    sizeof(bad_variables) / sizeof(bad_variables[0]));
	tcase_add_test(t, a_zero_byte_is_refused);
	tcase_add_test(t, limits_of_counts);
	tcase_add_test(t, tokens);
	tcase_add_test(t, files_that_cannot_be_read);
	suite_add_tcase(s, t);
	t = tcase_create("values");
	tcase_add_test(t, defaults_are_those_of_the_table);
	tcase_add_test(t, every_key_reaches_its_field);
	tcase_add_test(t, variables_go_over_the_file);
	tcase_add_test(t, a_kubernetes_service_is_no_misspelling);
	tcase_add_test(t, references_are_looked_up_when_ports_are_opened);
	tcase_add_test(t, a_pod_learns_its_address_from_network_status);
	tcase_add_test(t, a_pods_own_addresses_come_without_a_prefix);
	tcase_add_test(t, a_reference_that_may_give_nothing_warns);
	tcase_add_test(t, a_file_holds_addresses_too);
	tcase_add_test(t, doubtful_settings_warn);
	tcase_add_test(t, the_development_profile_loads);
	suite_add_tcase(s, t);
	t = tcase_create("lcores");
	tcase_add_test(t, auto_shares_a_single_cpu);
	tcase_add_test(t, auto_numbers_all_usable_cpus);
	tcase_add_test(t, lcores_that_are_given);
	tcase_add_test(t, lcores_in_groups);
	tcase_add_test(t, lcores_that_do_not_exist);
	tcase_add_loop_test(t, lists_that_are_none, 0, sizeof(bad_lists) / sizeof(bad_lists[0]));
	suite_add_tcase(s, t);
	t = tcase_create("documents");
	tcase_add_test(t, the_documentation_is_in_step);
	tcase_add_test(t, the_example_is_in_step_and_loads);
	tcase_add_test(t, help_names_every_key);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
