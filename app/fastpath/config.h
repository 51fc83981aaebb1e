/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The appliance's configuration: environment over INI file over default. docs/configuration.md
 * lists every key. Parsed once at start, before EAL; read-only afterwards.
 */
#ifndef FASTPATH_CONFIG_H
#define FASTPATH_CONFIG_H

#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "event/event.h"
#include "journal/recovery.h"
#include "journal/writer.h"

#define CONFIG_PORTS_MAX     16
#define CONFIG_FEEDS_MAX     256
#define CONFIG_ADDRESSES_MAX 8
#define CONFIG_NAME_MAX      (JOURNAL_FEED_NAME - 1)
#define CONFIG_EAL_MAX       64
#define CONFIG_KEYS_MAX      65536
#define CONFIG_LCORES_MAX    32
#define CONFIG_ERROR_MAX     512
#define CONFIG_WARNINGS_MAX  32
#define CONFIG_TOPIC_MAX     237 /* Kafka's 249 less the longest of our suffixes */
#define CONFIG_WARNING_MAX   256

enum config_idle { CONFIG_IDLE_SPIN, CONFIG_IDLE_ADAPTIVE };
enum config_checksum { CONFIG_CHECKSUM_VERIFY, CONFIG_CHECKSUM_TRUST };
enum config_multicast { CONFIG_MULTICAST_PROMISCUOUS, CONFIG_MULTICAST_GROUPS };
enum config_codec { CONFIG_CODEC_KEYED, CONFIG_CODEC_JSON, CONFIG_CODEC_FIXED };
enum config_ownership { CONFIG_OWNERSHIP_ALL, CONFIG_OWNERSHIP_STATIC, CONFIG_OWNERSHIP_ETCD };
enum config_assign { CONFIG_ASSIGN_MANUAL, CONFIG_ASSIGN_AUTO };
enum config_store { CONFIG_STORE_DISK, CONFIG_STORE_MEMORY };
enum config_log_format { CONFIG_LOG_TEXT, CONFIG_LOG_JSON };
/* syslog's numbers, so that lib code can name a level without this header */
enum config_log_level {
	CONFIG_LOG_ERROR = 3,
	CONFIG_LOG_WARNING = 4,
	CONFIG_LOG_INFO = 6,
	CONFIG_LOG_DEBUG = 7
};

/* an IPv4 or IPv6 address, in network order; IPv4 fills the first four bytes */
struct config_address {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t bytes[16];
	uint8_t prefix; /* of an interface address, else 0 */
};

struct config_port {
	char name[CONFIG_NAME_MAX + 1];
	char device[512]; /* env: already resolved. A vdev string or a PCI address */
	struct config_address address[CONFIG_ADDRESSES_MAX];
	uint32_t address_count;
	uint32_t mtu;       /* 68..9000 bytes */
	uint32_t rx_queues; /* 1..16 */
	uint32_t rx_ring;   /* descriptors per queue, 64..32768 */
	enum config_checksum checksum;
	enum config_multicast multicast;
};

struct config_feed {
	char name[CONFIG_NAME_MAX + 1];
	uint32_t port; /* index into config.port */
	enum config_codec codec;
	struct config_address group; /* line_a */
	uint16_t udp_port;           /* line_a, host order */
	uint16_t vlan; /* 0: any or none; 1..4094: only frames whose innermost tag has it */
	char key[EVENT_KEY_MAX + 1]; /* codec = fixed */
	uint8_t key_len;
	char key_field[EVENT_KEY_MAX + 1]; /* codec = json */
};

struct config_eal_option {
	char key[64];
	char value[512];
};

struct config {
	char file[PATH_MAX]; /* "" when none */
	char engine_id[EVENT_KEY_MAX + 1];

	/* [eal] */
	char lcores[512]; /* "auto" or an EAL --lcores string */
	struct config_eal_option eal[CONFIG_EAL_MAX];
	uint32_t eal_count;

	/* [dataplane] */
	bool enable;
	/* EAL lcore ids, lists such as 1 or 1,2 or 1-3. The two may overlap: such a lcore runs to
	 * completion */
	uint32_t rx_lcore[CONFIG_LCORES_MAX], rx_lcore_count;
	uint32_t worker_lcore[CONFIG_LCORES_MAX],
	    worker_lcore_count; /* one shard each, in this order */
	enum config_idle idle;
	uint32_t ring_size; /* descriptors per producer and worker, a power of two, 64..1048576 */
	uint32_t burst;     /* 1..256 frames */
	uint32_t mbufs;     /* per port; 0: sized from rings and queues */
	uint32_t key_slots; /* keys a worker remembers, a power of two, 1024..16777216 */

	struct config_port port[CONFIG_PORTS_MAX];
	uint32_t port_count;
	struct config_feed feed[CONFIG_FEEDS_MAX];
	uint32_t feed_count;

	/* [ownership] */
	enum config_ownership ownership;
	char (*owned_keys)[EVENT_KEY_MAX + 1]; /* owned_key_count of them, allocated */
	uint32_t owned_key_count;
	enum config_assign assign;
	uint32_t moves_per_s; /* by which auto evens out at most, 1..1000000 */

	/* [etcd] */
	char etcd_endpoints[4096]; /* comma-separated URLs */
	uint32_t etcd_poll_ms;
	char etcd_ca_file[PATH_MAX], etcd_cert_file[PATH_MAX], etcd_key_file[PATH_MAX];
	char etcd_user[65]; /* "" when none */
	char etcd_password_file[PATH_MAX];
	char etcd_password[257];

	/* [journal] */
	char journal_dir[PATH_MAX];
	uint32_t memory_mb;  /* memlog per worker, 1..65536 */
	uint32_t segment_mb; /* 1..65536 */
	enum journal_sync sync;
	uint32_t sync_ms; /* how long a group may gather */
	double retain_gb; /* 0: keep everything */
	enum journal_damage_policy damage;
	enum config_store store;

	/* [kafka] */
	bool kafka;
	char kafka_bootstrap[4096];
	char kafka_topic[CONFIG_TOPIC_MAX + 1];
	char kafka_config_file[PATH_MAX]; /* "" when none */
	uint32_t kafka_partitions;        /* of the event topic, when it is made */
	uint32_t kafka_replication; /* of all topics, when they are made; 0: the broker's default */
	uint32_t kafka_transaction_events; /* most events of one transaction */
	uint32_t kafka_transaction_ms;     /* age at which one that is not full is committed */
	uint32_t kafka_drain_ms;           /* how long a stop waits for Kafka */
	uint32_t kafka_accept_partitions;  /* 0, or a changed number of partitions that is meant */

	/* [http] */
	bool metrics;
	char http_listen[128]; /* as written */
	struct config_address http_address;
	uint16_t http_port;       /* 0: the kernel picks one; it is logged */
	char http_advertise[256]; /* the URL that others are told; "" : made from http_listen */
	char http_token_file[PATH_MAX];
	char http_token[257];             /* "" when none */
	uint32_t http_connections;        /* most open at once */
	uint32_t http_connections_per_ip; /* 0: no limit */
	uint32_t http_request_timeout_ms; /* absolute, from accept or the end of the last answer */
	uint32_t http_durable_timeout_ms; /* how long a POST waits to be durable: then 504 */
	uint32_t http_body_max;           /* bytes, at most EVENT_PAYLOAD_MAX */

	/* [health] thresholds over the last 10 s */
	double p99_degraded_us, p99_unhealthy_us;
	uint64_t drops_degraded, drops_unhealthy;
	uint64_t errors_degraded, errors_unhealthy;
	uint32_t silent_feed_s;       /* 0: silence is no fault */
	double disk_free_degraded_mb; /* free space of the journal's file system below which health
	                                 is degraded */

	/* [log] */
	enum config_log_level log_level;
	enum config_log_format log_format;

	/* what is allowed but probably not meant; one line each, for the log */
	char warning[CONFIG_WARNINGS_MAX][CONFIG_WARNING_MAX];
	uint32_t warning_count;
};

/* Read everything: defaults, then the file, then environ_. file NULL: the one that FAST_PATH_CONFIG
 * in environ_ names, or none. A variable that is set to nothing counts as not set. Returns 0, or
 * -EINVAL (a bad value) or another -errno with one line in err: file and line or variable, what was
 * wrong, what is allowed. c is freed then. Start only, one thread; touches no device. */
int config_load(struct config *c, const char *file, char *const environ_[],
                char err[CONFIG_ERROR_MAX]);
/* The same with the file's text in memory; name stands for the file in messages. */
int config_load_text(struct config *c, const char *name, const char *text, size_t len,
                     char *const environ_[], char err[CONFIG_ERROR_MAX]);
/* Frees what config_load allocated. */
void config_free(struct config *c);

/* One lcore of the EAL --lcores string that `lcores` stands for; of several CPUs in a group, one. */
struct config_lcore {
	uint32_t id;
	uint32_t cpu;
};
/* What `lcores` means here. auto: lcore i is the i-th of the CPUs that this process may use
 * (sched_getaffinity), in NUMA order, CPUs of one NUMA node together; with only one CPU, lcore 1
 * shares it. Else the string itself, checked. The lowest id is the main lcore; rx_lcores and
 * worker_lcores must name existing ones and never the main one. Writes EAL's --lcores argument to
 * out. Returns 0, or -EINVAL with err set: which lcore or CPU does not exist or may not be used,
 * and which there are. */
int config_lcores(const struct config *c, struct config_lcore lcore[CONFIG_LCORES_MAX * 4],
                  uint32_t *count, char *out, size_t out_len, char err[CONFIG_ERROR_MAX]);

/* All keys, for parsing, --help, docs and tests: section.key, variable or "", default or "",
 * sentence. */
struct config_parse;
struct config_key_info {
	const char *section, *key, *variable, *fallback, *sentence;
	const char *allowed; /* a|b for choices, else words that follow "is not"; NULL: a number */
	const char *example; /* for config/fastpath.ini when there is no default */
	/* config_keys.c only: base is a struct config, config_port or config_feed */
	int (*parse)(struct config_parse *p, const struct config_key_info *k, void *base,
	             const char *value);
	size_t offset, size;
	double min, max;
	uint32_t flags;
};
extern const struct config_key_info config_keys[];
extern const uint32_t config_key_count;

/* What a key's value may be, in words: "a whole number between 1 and 256". */
void config_key_allowed(const struct config_key_info *k, char *out, size_t out_len);
/* The table of all keys as text (--help), as docs/configuration.md and as config/fastpath.ini. */
void config_print_help(FILE *out);
void config_print_markdown(FILE *out);
void config_print_ini(FILE *out);

#endif
