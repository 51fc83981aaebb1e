/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "doctor.h"
#include "etcd/client.h"
#include "kafka/client.h"
#include "ownership/layout.h"

#define TIMEOUT_MS 5000

static void etcd_reachable(struct doctor *d)
{
	static const char remedy[] =
	    "etcd.endpoints (ETCD_ENDPOINTS; in Kubernetes etcd.endpoints of the ConfigMap), and "
	    "whether a firewall or NetworkPolicy lets it through";
	const struct config *c = d->config;
	struct etcd_options o = {
	    .endpoints = c->etcd_endpoints,
	    .ca_file = c->etcd_ca_file,
	    .cert_file = c->etcd_cert_file,
	    .key_file = c->etcd_key_file,
	    .user = c->etcd_user,
	    .password = c->etcd_password,
	    .timeout_ms = TIMEOUT_MS,
	};
	struct etcd_bytes registry = ETCD_TEXT(LAYOUT_REGISTRY);
	char end[sizeof(LAYOUT_REGISTRY)], err[ETCD_MESSAGE_MAX];
	struct etcd_answer a = {0};
	struct etcd *e;

	if (c->ownership != CONFIG_OWNERSHIP_ETCD) {
		doctor_add(d, "etcd", DOCTOR_OK, NULL, "not used: ownership.mode is not etcd");
		return;
	}
	if ((e = etcd_create(&o, err)) == NULL) {
		doctor_add(d, "etcd", DOCTOR_FAIL, remedy, "%s", err);
		return;
	}
	if (etcd_ask(e, ETCD_RANGE, etcd_range(registry, etcd_prefix_end(registry, end), 0, 0), &a,
	             err) < 0)
		doctor_add(d, "etcd", DOCTOR_FAIL, remedy, "%s", err);
	else
		doctor_add(d, "etcd", DOCTOR_OK, NULL, "%s answers, %u engines are registered",
		           etcd_endpoint(e), (unsigned int)a.kv_count);
	etcd_answer_free(&a);
	etcd_destroy(e);
}

static void quiet(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	/* the answer says whether it went well; librdkafka would print every attempt */
	(void)rk, (void)level, (void)facility, (void)text;
}

static void kafka_reachable(struct doctor *d)
{
	static const char remedy[] =
	    "kafka.bootstrap_servers (KAFKA_BOOTSTRAP_SERVERS; in Kubernetes "
	    "kafka.bootstrap.servers of the ConfigMap), TLS and SASL in kafka.config_file, and "
	    "whether a firewall or NetworkPolicy lets it through";
	const struct config *c = d->config;
	struct kafka_properties *properties = NULL;
	const struct rd_kafka_metadata *answer;
	struct kafka_client_options o = {
	    .type = RD_KAFKA_PRODUCER,
	    .bootstrap_servers = c->kafka_bootstrap,
	    .log = quiet,
	};
	char err[KAFKA_ERROR_MAX];
	rd_kafka_resp_err_t code;
	rd_kafka_t *rk = NULL;

	if (!c->kafka) {
		doctor_add(d, "kafka", DOCTOR_OK, NULL, "not used: kafka.enable is 0");
		return;
	}
	if (kafka_properties_read(&properties, c->kafka_config_file, err) == 0) {
		o.properties = properties;
		rk = kafka_client_create(&o, err);
	}
	if (rk == NULL) {
		doctor_add(d, "kafka", DOCTOR_FAIL, remedy, "%s", err);
		kafka_properties_free(properties);
		return;
	}
	code = rd_kafka_metadata(rk, 0, NULL, &answer, TIMEOUT_MS);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
		doctor_add(d, "kafka", DOCTOR_FAIL, remedy, "%.400s: %s", c->kafka_bootstrap,
		           rd_kafka_err2str(code));
	} else {
		doctor_add(d, "kafka", DOCTOR_OK, NULL, "%.400s answers, %d brokers",
		           c->kafka_bootstrap, answer->broker_cnt);
		rd_kafka_metadata_destroy(answer);
	}
	kafka_client_destroy(rk);
	kafka_properties_free(properties);
}

void doctor_network(struct doctor *d)
{
	etcd_reachable(d);
	kafka_reachable(d);
}
