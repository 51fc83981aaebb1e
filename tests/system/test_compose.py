# SPDX-License-Identifier: Apache-2.0
"""The compose files: by the specification's schema, by docker-compose itself, and by running what they say.

compose-spec.json is the Compose Specification's schema, (C) 2020 The Compose Specification Authors, Apache License 2.0,
as in compose-go 2.4.7.
"""
import json
import os
import re
import shutil
import socket
import subprocess

import pytest

import container
import etcd_server
import kafka
import sandbox
from appliance import PATIENCE, ROOT, wait_for
from test_image import image, lan, run  # noqa: F401: fixtures

pytestmark = pytest.mark.timeout(1800)
FILES = ["docker-compose.yml", "docker-compose.monitoring.yml"]
HERE = os.path.dirname(os.path.abspath(__file__))
yaml = pytest.importorskip("yaml", reason="there is no python3-yaml: run scripts/deps.sh container")


def load(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return yaml.safe_load(file)


@pytest.mark.parametrize("name", FILES)
def test_schema(name):
    jsonschema = pytest.importorskip("jsonschema", reason="there is no python3-jsonschema: run scripts/deps.sh container")
    with open(os.path.join(HERE, "compose-spec.json"), encoding="utf-8") as file:
        schema = json.load(file)
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    validator(schema).validate(load(name))
    with pytest.raises(jsonschema.ValidationError):
        broken = load(name)
        broken["services"]["hft-app"]["cap_add"] = "NET_RAW"
        validator(schema).validate(broken)


@pytest.mark.parametrize("name", FILES)
def test_docker_compose_takes_it(name):
    if shutil.which("docker-compose") is None:
        pytest.skip("there is no docker-compose: run scripts/deps.sh container")
    done = subprocess.run(["docker-compose", "-f", os.path.join(ROOT, name), "--profile", "feedsim", "config"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # `extends` as it follows it is `extends` as these tests follow it
    services = yaml.safe_load(done.stdout)["services"]
    mine = container.compose(name)
    assert set(services) == set(mine)
    for key in ("cap_add", "cap_drop", "read_only", "security_opt", "environment", "tmpfs", "image"):
        theirs, ours = services["hft-app"].get(key), mine["hft-app"].get(key)
        assert (sorted(theirs) == sorted(ours)) if isinstance(ours, list) else theirs == ours, key


def test_stack_is_whole():
    """the guide's names and ports; tags pinned; each service has a health check that the others wait for"""
    services = container.compose("docker-compose.monitoring.yml")
    assert set(services) == {"hft-app", "prometheus", "grafana", "kafka", "etcd", "feedsim"}
    for name, port in (("hft-app", "8080:8080"), ("prometheus", "9090:9090"), ("grafana", "3000:3000")):
        assert services[name]["ports"] == [port]
    app = services["hft-app"]["environment"]
    assert app["OWNERSHIP"] == "all" and app["KAFKA_BRIDGE_ENABLE"] == "1"
    assert services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == "admin"
    for name, keys in services.items():
        tag = keys["image"].rsplit(":", 1)[1]
        assert keys["image"] == "hft-fast-path:latest" or re.fullmatch(r"v?\d+\.\d+\.\d+", tag), keys["image"]
        for other, how in keys.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in services[other] or other == "hft-app", f"{name} waits for {other}"
    assert set(services["hft-app"]["depends_on"]) == {"etcd", "kafka"}
    assert set(services["feedsim"]["depends_on"]) == {"hft-app"} and services["feedsim"]["profiles"] == ["feedsim"]


def test_monitoring_fits():
    """the files that are mounted exist, and name the services and folders of this stack"""
    services = container.compose("docker-compose.monitoring.yml")
    mounts = dict(text.split(":")[:2] for keys in services.values() for text in keys.get("volumes", [])
                  if text.startswith("./"))
    assert len(mounts) == 5
    for source in mounts:
        assert os.path.exists(os.path.join(ROOT, source)), source
    prometheus = load("monitoring/prometheus.yml")
    for name in prometheus["rule_files"]:
        assert mounts[f"./monitoring/{name}"] == f"/etc/prometheus/{name}"
    targets = {target for job in prometheus["scrape_configs"] for static in job["static_configs"]
               for target in static["targets"]}
    assert "hft-app:8080" in targets
    for name in os.listdir(os.path.join(ROOT, "monitoring/grafana/provisioning/dashboards")):
        for provider in load(f"monitoring/grafana/provisioning/dashboards/{name}")["providers"]:
            assert provider["options"]["path"] == mounts["./monitoring/grafana/dashboards"]
    for name in os.listdir(os.path.join(ROOT, "monitoring/grafana/provisioning/datasources")):
        for source in load(f"monitoring/grafana/provisioning/datasources/{name}")["datasources"]:
            assert source["url"] == "http://prometheus:9090"


# ---- the stack, without Docker: the same image, a real Kafka and a real etcd as the file configures them ----

def kafka_settings(service):
    """KAFKA_A_B of the image's variables is a.b of the broker's configuration"""
    return [k[len("KAFKA_"):].lower().replace("_", ".") + "=" + v for k, v in service["environment"].items()
            if k not in ("KAFKA_LOG_DIRS",)]


class Stack:
    def __init__(self, lan, directory):  # noqa: F811
        services = container.compose("docker-compose.monitoring.yml")
        self.directory = str(directory)
        self.kafka, self.etcd_host = lan.host(), lan.host()
        self.hosts = {"kafka": self.kafka.address, "etcd": self.etcd_host.address}
        # `ip netns exec` puts it over /etc/hosts
        sandbox.mount("tmpfs", "/etc/netns", "mode=755")
        os.makedirs(f"/etc/netns/{self.kafka.name}")
        with open(f"/etc/netns/{self.kafka.name}/hosts", "w", encoding="ascii") as file:
            file.write(f"127.0.0.1 localhost\n{self.kafka.address} {socket.gethostname()}\n" +
                       "".join(f"{a} {n}\n" for n, a in self.hosts.items()))
        self.process = self.etcd = None
        sets = [word for line in kafka_settings(services["kafka"]) for word in ("--set", line)]
        try:
            self.etcd = etcd_server.Etcd(self.etcd_host, "compose", host=self.etcd_host.address)
            self.kafka.run(kafka.SCRIPT, "prepare", "--dir", self.directory, "--address", self.kafka.address,
                           "--port", "9092", *sets, timeout=120 * PATIENCE)
            self.process = self.kafka.spawn(kafka.SCRIPT, "run", "--dir", self.directory, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_for(self._answers, 120, "the broker answers")
        except BaseException:
            self.close()
            raise

    def _answers(self):
        assert self.process.poll() is None, open(os.path.join(self.directory, "log"), encoding="utf-8").read()[-3000:]
        return self.kafka.run(kafka.SCRIPT, "status", "--dir", self.directory, check=False).returncode == 0

    def consumed(self, topic):
        """the keys that a read_committed consumer sees"""
        done = self.kafka.run("kcat", "-C", "-q", "-e", "-o", "beginning", "-b", "kafka:9092", "-t", topic,
                              "-X", "isolation.level=read_committed", "-f", "%k\n")
        return done.stdout.split()

    def close(self):
        if self.process is not None:
            sandbox.kill_and_wait(self.process)
        if self.etcd is not None:
            self.etcd.close()
        sandbox.umount("/etc/netns")


GUIDE = [
    ("curl http://localhost:8080/health", '"status"'),
    ("""curl "http://localhost:8080/events?key=BTC" \
  -X POST -H "Content-Type: application/json" \
  -d '{"price": 50000}'""", '"durable":true'),
    ("curl http://localhost:8080/stats", '"fast_path_count"'),
    ("curl http://localhost:8080/metrics", "fast_path_events_total"),
    ("curl http://localhost:8080/metrics | grep fast_path", "fast_path_process_latency_p99_microseconds"),
]


def test_stack(run, lan, tmp_path):  # noqa: F811
    """hft-app as docker-compose.monitoring.yml has it: the guide's curl commands, a feed, Kafka, etcd"""
    refused = kafka.fetch()
    if refused:
        pytest.skip(refused)
    for tool in ("etcd", "kcat"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}: run scripts/deps.sh test kafka")
    stack = Stack(lan, tmp_path / "kafka")
    try:
        app = run(file="docker-compose.monitoring.yml", hosts=stack.hosts).start()
        for command, wanted in GUIDE:
            done = app.netns.run("sh", "-c", command)
            assert wanted in done.stdout.replace(" ", ""), f"{command}: {done.stdout}"
        sender = run("feedsim", "docker-compose.monitoring.yml").launch()
        wait_for(lambda: app.stats()["fast_path_count"] > 2000, 30, "2000 events")
        count = json.loads(sender.stop())["sent"] + 1
        wait_for(lambda: app.stats()["fast_path_count"] == count, 30, lambda: f"{count} events: {app.stats()}")
        assert app.get("/health").status_code == 200
        keys = wait_for(lambda: len(seen := stack.consumed("fast-path-events")) >= count and seen, 60,
                        lambda: f"{count} events in Kafka: {app.stats()}")
        assert len(keys) == count and keys.count("BTC") == 1
        app.stop()
        # the line that the file's comment is about
        shared = run(file="docker-compose.monitoring.yml", hosts=stack.hosts,
                     environment={"OWNERSHIP": "etcd", "KAFKA_BRIDGE_ENABLE": "0"}).start()
        assert list(stack.etcd.engines()) == ["e1"]
        assert "NOT_OWNER" in shared.exec("curl", "-s", "-d", "x", "http://localhost:8080/events?key=BTC").stdout
        shared.stop()
        assert list(stack.etcd.engines()) == []
    finally:
        stack.close()
