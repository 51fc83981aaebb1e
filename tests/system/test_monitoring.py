# SPDX-License-Identifier: Apache-2.0
"""monitoring/: what Prometheus makes of a running engine, what Grafana is given, how logs are shipped.

Grafana, Fluent Bit and Promtail are not in Debian: the dashboard is checked for its structure and every expression in
it by a real Prometheus; the shippers' configuration against every line that a real engine logs.
"""
import datetime
import json
import os
import re
import shutil
import subprocess
import uuid

import pytest
import requests
import yaml

import bridge
import etcd_server
import sandbox
import senders
from appliance import PATIENCE, ROOT, Engine, http_session, wait_for

MONITORING = os.path.join(ROOT, "monitoring")
JOB = "hft-fast-path"

# a broker, an etcd, an engine and a Prometheus have to start for the first of them
pytestmark = pytest.mark.timeout(600)

# the guide's own, to the letter
GUIDE = {"name": "hft_critical", "rules": [
    {"alert": "FastPathLatencyHigh", "expr": "fast_path_process_latency_p99_microseconds > 100", "for": "5m",
     "labels": {"severity": "critical"}, "annotations": {"summary": "Fast Path p99レイテンシが目標超過 ({{ $value }}μs)"}},
    {"alert": "FastPathDropping", "expr": "rate(fast_path_drops_total[1m]) > 0", "for": "1m",
     "labels": {"severity": "warning"}, "annotations": {"summary": "Fast Pathでイベントドロップ発生"}}]}


def read(name):
    with open(os.path.join(MONITORING, name), encoding="utf-8") as file:
        return file.read()


def load(name):
    return yaml.safe_load(read(name))


def rules(name, kind):
    """{name: rule} of one kind, alert or record"""
    return {rule[kind]: rule for group in load(name)["groups"] for rule in group["rules"]}


ALERTS = rules("prometheus-alerts.yml", "alert")
RECORDS = rules("prometheus-rules.yml", "record")
DASHBOARD = json.loads(read("grafana/dashboards/hft-fast-path.json"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = {f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]}


def promtool(*arguments):
    if shutil.which("promtool") is None:
        pytest.skip("no promtool here: run scripts/deps.sh run")
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---- files ----

def test_prometheus_takes_configuration_and_rules():
    """configuration, with the rules that it names"""
    assert "2 rule files found" in promtool("check", "config", os.path.join(MONITORING, "prometheus.yml"))
    targets = [s["targets"] for c in load("prometheus.yml")["scrape_configs"] for s in c["static_configs"]]
    assert ["hft-app:8080"] in targets


def test_kubernetes_configuration(tmp_path):
    """Debian's Prometheus is built without Kubernetes: pods as its discovery describes them take its place. Promtool
    shows what becomes of them: one that asks for it is scraped under its own name, one that does not is left alone"""
    config = load("prometheus-kubernetes.yml")
    scrape, = config["scrape_configs"]
    discovery, = scrape.pop("kubernetes_sd_configs")
    assert discovery["role"] == "pod" and discovery["namespaces"]["names"] == ["hft-system"]
    pod = {"__meta_kubernetes_pod_ip": "10.0.0.1", "__meta_kubernetes_pod_name": "hft-fast-path-x",
           "__meta_kubernetes_namespace": "hft-system", "__meta_kubernetes_pod_node_name": "n1"}
    asked = {"scrape": "true", "port": "8080", "path": "/metrics"}
    asked = {f"__meta_kubernetes_pod_annotation_prometheus_io_{k}": v for k, v in asked.items()}
    scrape["static_configs"] = [{"targets": ["10.0.0.1:9999"], "labels": pod | asked},
                                {"targets": ["10.0.0.2:8080"], "labels": pod}]
    for name in config["rule_files"]:
        shutil.copy(os.path.join(MONITORING, name), tmp_path)
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    promtool("check", "config", path)
    found = json.loads(promtool("check", "service-discovery", "--timeout=2s", path, JOB))
    taken, = [one["labels"] for one in found if one["labels"]]
    assert {k: v for k, v in taken.items() if k in ("__address__", "__metrics_path__", "instance", "job", "namespace", "node")} == {
        "__address__": "10.0.0.1:8080", "__metrics_path__": "/metrics", "instance": "hft-fast-path-x", "job": JOB,
        "namespace": "hft-system", "node": "n1"}
    assert len(found) == 2


def test_alerts_fire_when_they_should():
    """promtool's unit tests: each alert fires after its time, not before, and not for the engine that is well"""
    promtool("test", "rules", os.path.join(MONITORING, "prometheus-tests.yml"))


def test_every_rule_has_a_unit_test():
    tests = load("prometheus-tests.yml")["tests"]
    fires, waits = set(), set()
    for one in tests:
        for case in one.get("alert_rule_test", []):
            (fires if case.get("exp_alerts") else waits).add(case["alertname"])
        if one.get("alert_rule_test") and one["name"] in ALERTS and one["name"] != "FastPathEngineMissing":
            assert any('instance="good:8080"' in s["series"] for s in one["input_series"]), one["name"]
    assert fires == set(ALERTS)
    slow = {name for name, rule in ALERTS.items() if rule["for"] != "0m"}
    assert slow - waits == set(), "no test that they wait"
    recorded = {case["expr"] for one in tests for case in one.get("promql_expr_test", [])}
    assert recorded == set(RECORDS)


def test_the_guides_alerts_are_there_to_the_letter():
    assert [group for group in load("prometheus-alerts.yml")["groups"] if group["name"] == GUIDE["name"]] == [GUIDE]


def test_every_alert_has_a_runbook():
    """docs/monitoring.md has a heading for each, and no other; what operators read says who to look at"""
    with open(os.path.join(ROOT, "docs", "monitoring.md"), encoding="utf-8") as file:
        headings = re.findall(r"^### (\w+)$", file.read(), re.M)
    assert sorted(headings) == sorted(ALERTS) and len(ALERTS) == len(set(ALERTS))
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        if name not in [r["alert"] for r in GUIDE["rules"]]:
            assert rule["annotations"]["runbook"] == f"docs/monitoring.md#{name.lower()}"


# ---- the dashboard ----

UNITS = {"µs", "s", "eps", "mps", "pps", "ops", "Bps", "bytes", "percentunit", "short"}


def test_dashboard_structure():
    """what Grafana would trip over: ids, places, data source, units"""
    assert DASHBOARD["title"] == "HFT Fast Path" and DASHBOARD["id"] is None and DASHBOARD["schemaVersion"] >= 39
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] >= 0 and at["x"] + at["w"] <= 24 and at["w"] > 0 and at["h"] > 0, panel["title"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]
    for panel in PANELS:
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["targets"] and len({t["refId"] for t in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            if "microseconds" in target["expr"]:
                assert panel["fieldConfig"]["defaults"]["unit"] == "µs", panel["title"]
            if "ALERTS" not in target["expr"]:
                assert 'instance=~"$instance"' in target["expr"], panel["title"]
    assert [v["name"] for v in DASHBOARD["templating"]["list"]] == ["instance"]


def test_dashboard_has_the_guides_panels_first():
    titles = [panel["title"] for panel in DASHBOARD["panels"]]
    assert titles[:8] == ["Fast Path Processing Latency (p50/p99/p999)", "Fast Path Throughput", "Fast Path p99 Gauge",
                          "Drop Rate", "Persistence Queue Write Latency", "Persistence Queue Lag", "Process Memory", "Threads"]
    gauge = PANELS[2]
    assert gauge["type"] == "gauge" and gauge["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] == 100
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Health", "Lcores", "Feeds", "Journal and disk", "Kafka", "Ownership", "DPDK ports"]


def test_dashboard_is_provisioned():
    """the data source that it names is the one that is provisioned, and asks for what is scraped"""
    source, = load("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    scrape, = [c for c in load("prometheus.yml")["scrape_configs"] if c["job_name"] == JOB]
    assert source["jsonData"]["timeInterval"] == scrape["scrape_interval"]
    uids = {panel["datasource"]["uid"] for panel in PANELS} | {t["datasource"]["uid"] for p in PANELS for t in p["targets"]}
    uids.add(DASHBOARD["templating"]["list"][0]["datasource"]["uid"])
    assert uids == {source["uid"]}
    provider, = load("grafana/provisioning/dashboards/fast-path.yml")["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"


# ---- a real Prometheus and a real engine ----

# in a group of its own with the CPU controller: `ip netns exec` hides the machine's cgroups behind a new /sys
IN_GROUP = """
set -e
mount -t tmpfs cgroups /sys/fs/cgroup
if [ "$1" = v1 ]; then
    mkdir /sys/fs/cgroup/cpu
    mount -t cgroup -o cpu cgroup /sys/fs/cgroup/cpu
    mkdir -p "/sys/fs/cgroup/cpu/$2"
    echo $$ > "/sys/fs/cgroup/cpu/$2/cgroup.procs"
else
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir -p "/sys/fs/cgroup/$2"
    echo $$ > "/sys/fs/cgroup/$2/cgroup.procs"
fi
shift 2
exec "$@"
"""
WHOSE = {"etcd": "fast_path_etcd_", "kafka": "kafka_bridge_broker_", "cgroup": "fast_path_cgroup_"}


def cpu_controller():
    """(v1, v2 or None, where groups are made)"""
    if os.path.isdir("/sys/fs/cgroup/cpu"):
        return "v1", "/sys/fs/cgroup/cpu"
    try:
        with open("/sys/fs/cgroup/cgroup.subtree_control", encoding="ascii") as file:
            return ("v2" if "cpu" in file.read().split() else None), "/sys/fs/cgroup"
    except OSError:
        return None, None


class Scraped:
    """An engine under load that a Prometheus with our configuration looks at, a second apart."""

    def __init__(self, directory, broker, refused):
        self.lacks = dict(refused)  # what this machine cannot show: {"kafka": reason, ...}
        self.wire = sandbox.Wire()
        self._close = [self.wire.close]
        self.session = http_session(self.wire.appliance)
        self.engine = None
        try:
            settings = {"health": bridge.PATIENT["health"]}
            if broker:
                broker.attach(self.wire.appliance)
                settings |= bridge.settings(broker, "t" + uuid.uuid4().hex[:10])
            self.broker, self.etcd = broker, None
            if "etcd" not in self.lacks:
                self.etcd = etcd_server.Etcd(self.wire.appliance, f"m{os.getpid()}")
                self._close.append(self.etcd.close)
                settings |= {"ownership": {"mode": "etcd"}, "etcd": {"endpoints": self.etcd.urls}}
            self.engine = Engine(self.wire.appliance, directory / "engine", settings, prefix=self._group())
            if self.etcd:
                # half of the feed's keys: the other half is somebody else's
                self.etcd.assign([f"K{i:04d}" for i in range(50)], self.engine.settings["engine"]["id"])
            self.engine.start()
            self._close.append(self.engine.close)
            self.feed = senders.Feedsim(self.wire, rate=2000, keys=100)
            self._close.append(lambda: sandbox.kill_and_wait(self.feed.process))
            wait_for(lambda: self.engine.stats()["fast_path_count"] > 1000, 60, lambda: self.engine.stats())
            if broker:
                bridge.running(self.engine)
            self._prometheus(directory / "prometheus")
        except BaseException:
            self.close()
            raise

    def _group(self):
        version, base = cpu_controller()
        if version is None:
            self.lacks["cgroup"] = "no CPU controller for cgroups below the root here"
            return ()
        name = f"fpt{os.getpid()}m"
        self._close.append(lambda: os.path.isdir(f"{base}/{name}") and os.rmdir(f"{base}/{name}"))
        return ["sh", "-c", IN_GROUP, "sh", version, name]

    def _prometheus(self, directory):
        directory.mkdir()
        for name in ("prometheus.yml", "prometheus-alerts.yml", "prometheus-rules.yml"):
            text = read(name).replace("hft-app:8080", "127.0.0.1:8080")
            text = re.sub(r"\b(\w*interval|scrape_timeout): \d+s$", r"\1: 1s", text, flags=re.M)
            (directory / name).write_text(text, encoding="utf-8")
        with open(directory / "log", "wb") as log:
            self.prometheus = self.wire.appliance.spawn(
                "prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data",
                "--web.listen-address=127.0.0.1:9090", "--log.level=warn", stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._close.append(lambda: sandbox.kill_and_wait(self.prometheus))

        def ready():
            assert self.prometheus.poll() is None, (directory / "log").read_text()
            try:
                return self.session.get("http://127.0.0.1:9090/-/ready", timeout=5).status_code == 200
            except requests.RequestException:
                return False
        wait_for(ready, 60, lambda: (directory / "log").read_text())

    def api(self, path, **parameters):
        answer = self.session.get(f"http://127.0.0.1:9090/api/v1/{path}", params=parameters, timeout=30 * PATIENCE).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression):
        return self.api("query", query=expression)["result"]

    def data(self, expression):
        """what comes of it, waited for; skipped where this machine cannot have it"""
        for lack, reason in self.lacks.items():
            if WHOSE[lack] in expression:
                pytest.skip(f"{lack}: {reason}")
        return wait_for(lambda: self.query(expression), 30, lambda: f"data for {expression}\n{self.engine.log()[-2000:]}")

    def close(self):
        while self._close:
            self._close.pop()()


@pytest.fixture(scope="module")
def scraped(request, tmp_path_factory):
    if shutil.which("prometheus") is None:
        pytest.skip("no Prometheus here: run scripts/deps.sh run")
    refused, broker = {}, None
    try:
        broker = request.getfixturevalue("one_broker")
    except pytest.skip.Exception as skip:
        refused["kafka"] = str(skip)
    _, reason = etcd_server.fetch()
    if reason:
        refused["etcd"] = reason
    one = Scraped(tmp_path_factory.mktemp("monitoring"), broker, refused)
    yield one
    one.close()


def concrete(expression):
    """a panel's expression as Grafana sends it"""
    out = expression.replace("$__rate_interval", "20s").replace("$instance", ".*")
    assert "$" not in out, out
    return out


def compared(expression):
    """an alert's expression without its comparisons"""
    out = re.sub(r"\s+(>|<|==)\s+[\d.]+", "", expression)
    out = re.sub(r"^absent\((.*)\)$", r"\1", out)
    assert not re.search(r"[^=!]=[^=~\"]|[<>]", out), out
    return out


def test_scrapes_answer(scraped):
    """both targets are up, and the variable of the dashboard has a value"""
    wait_for(lambda: all(float(r["value"][1]) == 1 for r in scraped.query("up")) and len(scraped.query("up")) == 2, 30,
             lambda: scraped.query("up"))
    assert {r["metric"]["instance"] for r in scraped.data("fast_path_build_info")} == {"127.0.0.1:8080"}


@pytest.mark.parametrize("panel", TARGETS)
def test_panel_shows_data(scraped, panel):
    scraped.data(concrete(TARGETS[panel]))


@pytest.mark.parametrize("alert", ALERTS)
def test_alert_has_data(scraped, alert):
    """the expression without its comparison: what is compared exists"""
    scraped.data(compared(ALERTS[alert]["expr"]))


@pytest.mark.parametrize("record", RECORDS)
def test_rule_records_data(scraped, record):
    scraped.data(record)


def test_rules_are_evaluated_without_error(scraped):
    def evaluated():
        found = [rule for group in scraped.api("rules")["groups"] for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else None
    found = wait_for(evaluated, 30, lambda: scraped.api("rules"))
    assert {rule["name"] for rule in found} == set(ALERTS) | set(RECORDS)
    assert [rule for rule in found if rule["health"] != "ok" or rule.get("lastError")] == []


def test_figures_are_right(scraped):
    """throughput is what the feed sends, half of it another engine's when etcd says so; latencies are of this world"""
    def value(expression):
        return sum(float(r["value"][1]) for r in scraped.query(expression))
    wait_for(lambda: 1700 < value("rate(fast_path_messages_total[20s])") < 2300, 60,
             lambda: value("rate(fast_path_messages_total[20s])"))
    share = 0.5 if "etcd" not in scraped.lacks else 1
    wait_for(lambda: abs(value("rate(fast_path_events_total[20s]) / rate(fast_path_messages_total[20s])") - share) < 0.05, 60,
             lambda: value("rate(fast_path_events_total[20s])"))
    for name in ("fast_path_process_latency_p50_microseconds", "fast_path_process_latency_p999_microseconds",
                 "persistence_queue_sync_latency_p99_microseconds"):
        assert 0.01 < value(name) < 1e7, name
    assert value("process_threads") == len(os.listdir(f"/proc/{scraped.engine.pid}/task"))
    assert value("changes(process_start_time_seconds[1m])") == 0
    assert value("fast_path_feed_silent_seconds") < 2
    if "kafka" not in scraped.lacks:
        assert value('kafka_bridge_state{state="running"}') == 1 and value("kafka_bridge_events_total") > 0


@pytest.mark.parametrize("fault, alert", [("etcd dies", "FastPathEtcdAway"), ("the broker dies", "FastPathKafkaAway"),
                                          ("the engine ends", "FastPathEngineDown")])
def test_alert_notices_a_fault(scraped, fault, alert):
    """the last ones, since they break what the others look at: the alert waits for its time, then it would fire"""
    def states():
        return {r["metric"]["alertstate"] for r in scraped.query(f'ALERTS{{alertname="{alert}"}}')}
    needs = {"etcd dies": "etcd", "the broker dies": "kafka"}.get(fault)
    if needs in scraped.lacks:
        pytest.skip(f"{needs}: {scraped.lacks[needs]}")
    assert states() == set()
    if needs == "etcd":
        scraped.etcd.kill()
    elif needs == "kafka":
        scraped.broker.kill9()
    else:
        scraped.feed.stop()
        wait_for(lambda: scraped.query("fast_path_feed_silent_seconds > 3"), 30, "silence in fast_path_feed_silent_seconds")
        scraped.engine.stop(seconds=60)
    wait_for(lambda: states() & {"pending", "firing"}, 60, lambda: f"{alert}: {scraped.query(compared(ALERTS[alert]['expr']))}")


# ---- logs ----

def fluent(name):
    """[(section, {key: value})] of a file in Fluent Bit's classic format"""
    out = []
    for line in read(f"fluent-bit/{name}").splitlines():
        line = line.strip()
        if line.startswith("["):
            out.append((line.strip("[]"), {}))
        elif line and not line.startswith("#"):
            key, value = line.split(None, 1)
            assert key.lower() not in out[-1][1], line
            out[-1][1][key.lower()] = value
    return out


@pytest.fixture(scope="module")
def log_lines(tmp_path_factory):
    """all that a real engine writes with LOG_FORMAT=json, from its start to its end, DPDK's and librdkafka's words too"""
    wire = sandbox.Wire()
    # nothing listens there: warnings. Without a lease Kafka is not asked, so each is away in a run of its own
    kafka = {"kafka": {"enable": 1, "bootstrap_servers": "127.0.0.1:1"}}
    etcd = {"ownership": {"mode": "etcd", "keys": "A"}, "etcd": {"endpoints": "http://127.0.0.1:1"}}
    lines = []
    try:
        for settings, away in ((kafka, "kafka: away"), (kafka | etcd, "etcd: away")):
            engine = Engine(wire.appliance, tmp_path_factory.mktemp("log"), settings,
                            environment={"LOG_FORMAT": "json", "LOG_LEVEL": "debug"})
            try:
                engine.start()
                wait_for(lambda: away in engine.log(), 60, engine.log)
                lines += engine.stop().splitlines()
            finally:
                engine.close()
        return lines
    finally:
        wire.close()


def test_log_names_endpoint_and_setting(log_lines):
    """who is away, and where its address is set: the variable and the key of Kubernetes' ConfigMap"""
    warnings = [r["message"] for r in map(json.loads, log_lines) if r["level"] == "warning"]
    for away in (r"etcd: away; .*http://127\.0\.0\.1:1\b.* check ETCD_ENDPOINTS \(ConfigMap key etcd\.endpoints\), now http://127\.0\.0\.1:1;",
                 r"kafka: away: .* check KAFKA_BOOTSTRAP_SERVERS \(ConfigMap key kafka\.bootstrap\.servers\), now 127\.0\.0\.1:1;"):
        assert any(re.search(away, warning) for warning in warnings), warnings


def test_every_log_line_is_a_record(log_lines):
    records = [json.loads(line) for line in log_lines]
    assert {record["level"] for record in records} >= {"info", "warning"}
    assert all(list(record) == ["time", "level", "engine", "message"] for record in records)
    # the container runtimes cut longer ones
    assert max(map(len, log_lines)) < 16384


@pytest.mark.parametrize("name", ["fluent-bit.conf", "fluent-bit-systemd.conf"])
def test_fluent_bit_fits_the_log(log_lines, name):
    """its parser's time format reads every line's time; every field that is made a label is there"""
    parser = dict(fluent("parsers.conf"))["PARSER"]
    assert parser["format"] == "json" and parser["time_keep"] == "on"
    sections = fluent(name)
    assert [s["parsers_file"] for kind, s in sections if kind == "SERVICE"] == ["parsers.conf"]
    used = [s["parser"] for kind, s in sections if kind == "FILTER" and s["name"] == "parser"]
    assert used == [parser["name"]]
    tags = {s["tag"] for kind, s in sections if kind == "INPUT"}
    assert all(s["match"] in tags for kind, s in sections if kind in ("FILTER", "OUTPUT"))
    output, = [s for kind, s in sections if kind == "OUTPUT"]
    labels = re.findall(r"=\$(\w+)", output["labels"])
    assert {"level", "engine"} <= set(labels) <= {"level", "engine", "kubernetes"}
    # Fluent Bit's %L is the fraction of a second
    time_format = parser["time_format"].replace("%L", "%f")
    for line in log_lines:
        record = json.loads(line)
        assert all(record[label] for label in labels if label != "kubernetes")
        when = datetime.datetime.strptime(record[parser["time_key"]], time_format)
        age = datetime.datetime.now(datetime.timezone.utc) - when.replace(tzinfo=datetime.timezone.utc)
        assert 0 <= age.total_seconds() < 3600


def test_promtail_fits_the_log(log_lines):
    scrape, = load("loki/promtail.yml")["scrape_configs"]
    stages = {name: value for stage in scrape["pipeline_stages"] for name, value in stage.items()}
    assert list(stages) == ["cri", "json", "timestamp", "labels", "output"]
    fields = stages["json"]["expressions"]
    assert {stages["timestamp"]["source"], stages["output"]["source"], *stages["labels"]} <= set(fields)
    assert stages["timestamp"]["format"] == "RFC3339Nano"
    for line in log_lines:
        record = json.loads(line)
        assert all(source in record for source in fields.values())
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z", record[fields["time"]])
