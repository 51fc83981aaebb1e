/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands on a topic, as a read_committed consumer sees it; stays connected and answers on standard output:
 *
 *   kafka_count BOOTSTRAP TOPIC PARTITIONS
 *
 *   end      the sum of the partitions' ends (control records count too): cheap, to see whether anything moves
 *   count    reads from where the last count ended, and prints how many messages came
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#define CALL_MS        10000
#define READ_MS        10000
#define PARTITIONS_MAX 64

static int64_t position[PARTITIONS_MAX];

static void die(const char *what, const char *why)
{
	fprintf(stderr, "kafka_count: %s: %s\n", what, why);
	exit(1);
}

static void check(const char *what, rd_kafka_resp_err_t error)
{
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		die(what, rd_kafka_err2str(error));
}

static rd_kafka_t *create(const char *bootstrap)
{
	static const char *const setting[][2] = {
	    {"group.id", "kafka_count"},        {"isolation.level", "read_committed"},
	    {"enable.auto.commit", "false"},    {"enable.partition.eof", "true"},
	    {"auto.offset.reset", "earliest"},  {"fetch.wait.max.ms", "10"},
	    {"queued.min.messages", "1000000"}, {"check.crcs", "false"}};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[256];
	rd_kafka_t *rk;

	for (size_t i = 0; i < sizeof(setting) / sizeof(setting[0]); i++)
		if (rd_kafka_conf_set(conf, setting[i][0], setting[i][1], why, sizeof(why)) != 0)
			die("setting", why);
	if (rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, why, sizeof(why)) != 0)
		die("setting", why);
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (rk == NULL)
		die("consumer", why);
	rd_kafka_poll_set_consumer(rk);
	return rk;
}

static long long sum_of_ends(rd_kafka_t *rk, const char *topic, int partitions)
{
	long long sum = 0;
	int64_t low, high;

	for (int p = 0; p < partitions; p++) {
		check("end", rd_kafka_query_watermark_offsets(rk, topic, p, &low, &high, CALL_MS));
		sum += high;
	}
	return sum;
}

static void assign(rd_kafka_t *rk, const char *topic, int partitions)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);

	for (int p = 0; p < partitions; p++)
		rd_kafka_topic_partition_list_add(list, topic, p)->offset = position[p];
	check("assign", rd_kafka_assign(rk, list));
	rd_kafka_topic_partition_list_destroy(list);
}

/* to the end of every partition, which librdkafka reports as an error of the message */
static long long count_messages(rd_kafka_t *rk, const char *topic, int partitions)
{
	long long count = 0;
	int ended = 0;

	assign(rk, topic, partitions);
	while (ended < partitions) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, READ_MS);

		if (m == NULL)
			die("count", "no end of the partitions in time");
		if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			ended++;
		else
			check("count", m->err);
		if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			count++;
		position[m->partition] = m->offset + (m->err == RD_KAFKA_RESP_ERR_NO_ERROR);
		rd_kafka_message_destroy(m);
	}
	check("assign nothing", rd_kafka_assign(rk, NULL));
	return count;
}

int main(int argc, char **argv)
{
	char line[32];
	rd_kafka_t *rk;
	int partitions;

	if (argc != 4 || (partitions = atoi(argv[3])) < 1 || partitions > PARTITIONS_MAX)
		die("usage", "kafka_count BOOTSTRAP TOPIC PARTITIONS");
	rk = create(argv[1]);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (strcmp(line, "end\n") == 0)
			printf("%lld\n", sum_of_ends(rk, argv[2], partitions));
		else if (strcmp(line, "count\n") == 0)
			printf("%lld\n", count_messages(rk, argv[2], partitions));
		else
			die("asked for", line);
		fflush(stdout);
	}
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return 0;
}
