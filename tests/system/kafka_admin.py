#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What an operator does to topics, through librdkafka's admin API: run it inside the broker's namespace.

    kafka_admin.py BOOTSTRAP create TOPIC PARTITIONS [KEY=VALUE...]
    kafka_admin.py BOOTSTRAP delete TOPIC
    kafka_admin.py BOOTSTRAP partitions TOPIC TOTAL
    kafka_admin.py BOOTSTRAP configure TOPIC KEY=VALUE...
"""
import ctypes
import sys

RK = ctypes.CDLL("librdkafka.so.1")
TIMEOUT_MS = 20000
RESOURCE_TOPIC = 2

for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_queue_new", "rd_kafka_queue_poll", "rd_kafka_NewTopic_new",
             "rd_kafka_NewPartitions_new", "rd_kafka_DeleteTopic_new", "rd_kafka_ConfigResource_new",
             "rd_kafka_event_CreateTopics_result", "rd_kafka_event_DeleteTopics_result", "rd_kafka_event_CreatePartitions_result",
             "rd_kafka_event_AlterConfigs_result",
             "rd_kafka_CreateTopics_result_topics", "rd_kafka_DeleteTopics_result_topics",
             "rd_kafka_CreatePartitions_result_topics",
             "rd_kafka_AlterConfigs_result_resources"):
    getattr(RK, name).restype = ctypes.c_void_p
for name in ("rd_kafka_event_error_string", "rd_kafka_err2str"):
    getattr(RK, name).restype = ctypes.c_char_p


def client(bootstrap):
    error = ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(RK.rd_kafka_conf_new())
    RK.rd_kafka_conf_set(conf, b"bootstrap.servers", bootstrap.encode(), error, len(error))
    rk = RK.rd_kafka_new(0, conf, error, len(error))
    if not rk:
        sys.exit(error.value.decode())
    return ctypes.c_void_p(rk)


def ask(rk, request, things, result, items, item_error):
    """send the request for `things`, wait for the answer, and fail as it fails"""
    queue = ctypes.c_void_p(RK.rd_kafka_queue_new(rk))
    array = (ctypes.c_void_p * len(things))(*things)
    getattr(RK, request)(rk, array, ctypes.c_size_t(len(things)), None, queue)
    event = RK.rd_kafka_queue_poll(queue, TIMEOUT_MS)
    if not event:
        sys.exit(f"{request}: no answer")
    event = ctypes.c_void_p(event)
    if RK.rd_kafka_event_error(event):
        sys.exit(f"{request}: {RK.rd_kafka_event_error_string(event).decode()}")
    count = ctypes.c_size_t()
    answer = ctypes.c_void_p(getattr(RK, result)(event))
    got = ctypes.cast(getattr(RK, items)(answer, ctypes.byref(count)), ctypes.POINTER(ctypes.c_void_p))
    for i in range(count.value):
        code = item_error(ctypes.c_void_p(got[i]))
        if code:
            sys.exit(f"{request}: {RK.rd_kafka_err2str(code).decode()}")


def create(rk, topic, partitions, *settings):
    error = ctypes.create_string_buffer(512)
    new = RK.rd_kafka_NewTopic_new(topic.encode(), int(partitions), 1, error, len(error))
    for setting in settings:
        key, value = setting.split("=", 1)
        RK.rd_kafka_NewTopic_set_config(ctypes.c_void_p(new), key.encode(), value.encode())
    ask(rk, "rd_kafka_CreateTopics", [new], "rd_kafka_event_CreateTopics_result",
        "rd_kafka_CreateTopics_result_topics", RK.rd_kafka_topic_result_error)


def delete(rk, topic):
    ask(rk, "rd_kafka_DeleteTopics", [RK.rd_kafka_DeleteTopic_new(topic.encode())], "rd_kafka_event_DeleteTopics_result",
        "rd_kafka_DeleteTopics_result_topics", RK.rd_kafka_topic_result_error)


def partitions(rk, topic, total):
    error = ctypes.create_string_buffer(512)
    new = RK.rd_kafka_NewPartitions_new(topic.encode(), ctypes.c_size_t(int(total)), error, len(error))
    ask(rk, "rd_kafka_CreatePartitions", [new], "rd_kafka_event_CreatePartitions_result",
        "rd_kafka_CreatePartitions_result_topics", RK.rd_kafka_topic_result_error)


def configure(rk, topic, *settings):
    resource = RK.rd_kafka_ConfigResource_new(RESOURCE_TOPIC, topic.encode())
    for setting in settings:
        key, value = setting.split("=", 1)
        RK.rd_kafka_ConfigResource_set_config(ctypes.c_void_p(resource), key.encode(), value.encode())
    ask(rk, "rd_kafka_AlterConfigs", [resource], "rd_kafka_event_AlterConfigs_result",
        "rd_kafka_AlterConfigs_result_resources", RK.rd_kafka_ConfigResource_error)


def main(bootstrap, action, *arguments):
    actions = {"create": create, "delete": delete, "partitions": partitions, "configure": configure}
    actions[action](client(bootstrap), *arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
