# SPDX-License-Identifier: Apache-2.0
"""k8s/: what the guide types is there, everything fits together, the schemas take it, every overlay builds; and the
drain Job's script and the base's configuration run as they are, with the real programs.

There is no cluster here: what a scheduler, a kubelet or a CNI makes of it is not tested.
"""
import calendar
import glob
import json
import os
import re
import subprocess
import sys
import time

import pytest
import yaml

import bridge
import checks
import etcd_server
import kafka
import sandbox
import senders
from appliance import BUILD, ROOT, wait_for

K8S = os.path.join(ROOT, "k8s")
SCRIPT = os.path.join(ROOT, "scripts", "kubernetes.sh")
NAME, NAMESPACE = "hft-fast-path", "hft-system"
# the guide's `kubectl apply -f`, in its order
TYPED = {"namespace": "Namespace", "priorityclass": "PriorityClass", "configmap": "ConfigMap",
         "pvc": "PersistentVolumeClaim", "service": "Service", "deployment": "Deployment"}
OVERLAYS = sorted(os.path.relpath(os.path.dirname(path), K8S)
                  for path in glob.glob(os.path.join(K8S, "**", "kustomization.yaml"), recursive=True)
                  if yaml.safe_load(open(path, encoding="utf-8"))["kind"] == "Kustomization")
# not of Kubernetes itself: their schemas are their projects'
OTHERS = {"NetworkAttachmentDefinition", "SriovNetworkNodePolicy", "PodMonitor", "Kustomization", "Component",
          "KubeletConfiguration"}


def documents(path):
    with open(os.path.join(K8S, path), encoding="utf-8") as file:
        return [one for one in yaml.safe_load_all(file) if one]


def document(path):
    [one] = documents(path)
    return one


def only(items, kind, name=NAME):
    [one] = [i for i in items if i["kind"] == kind and i["metadata"].get("name") == name]
    return one


def tool(name):
    done = subprocess.run([SCRIPT, "tool", name], capture_output=True, text=True, check=False, timeout=900,
                          stdin=subprocess.DEVNULL)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def build(overlay):
    done = subprocess.run([*tool("kustomize"), os.path.join(K8S, overlay)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def pod(workload):
    return workload["spec"]["template"]["spec"]


def container(workload):
    [one] = pod(workload)["containers"]
    return one


def environment(workload):
    """{name: value, or where it comes from}"""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container(workload)["env"]}


def workloads(items):
    return [i for i in items if i["kind"] in ("Deployment", "StatefulSet", "Job")]


DEPLOYMENT, JOB = document("deployment.yaml"), document("drain-job.yaml")


# ---- what the guide types ----

def test_names_of_the_guide():
    for name, kind in TYPED.items():
        for one in documents(name + ".yaml"):
            assert one["kind"] == kind, name
            if kind not in ("Namespace", "PriorityClass"):
                assert one["metadata"]["namespace"] == NAMESPACE, name
    assert document("namespace.yaml")["metadata"]["name"] == NAMESPACE
    assert document("priorityclass.yaml")["metadata"]["name"] == "high-priority"
    config = document("configmap.yaml")
    assert config["metadata"]["name"] == "hft-config"
    assert {"etcd.endpoints", "kafka.bootstrap.servers", "engine.poll.ms", "owned.keys"} <= set(config["data"])
    assert {one["spec"]["storageClassName"] for one in documents("pvc.yaml")} == {"fast-ssd"}
    service = document("service.yaml")
    assert service["metadata"]["name"] == NAME and [p["port"] for p in service["spec"]["ports"]] == [8080]
    assert DEPLOYMENT["metadata"]["name"] == container(DEPLOYMENT)["name"] == NAME
    assert DEPLOYMENT["spec"]["replicas"] == 3
    assert DEPLOYMENT["spec"]["template"]["metadata"]["labels"]["app"] == NAME
    assert pod(DEPLOYMENT)["nodeSelector"] == {"node-role.kubernetes.io/hft": "true"}
    assert pod(DEPLOYMENT)["priorityClassName"] == "high-priority"
    assert container(DEPLOYMENT)["image"].split(":")[0] == container(JOB)["image"].split(":")[0] == NAME


def test_what_is_typed_is_the_base():
    """k8s/NAME.yaml is k8s/base/NAME.yaml: an edit of one is an edit of both"""
    for path in glob.glob(os.path.join(K8S, "base", "*.yaml")):
        name = os.path.basename(path)
        if name != "kustomization.yaml":
            assert os.path.samefile(os.path.join(K8S, name), path), name
    resources = document("base/kustomization.yaml")["resources"]
    assert set(TYPED) - {"pvc"} <= {os.path.splitext(one)[0] for one in resources}


# ---- everything fits together ----

def selected(selector, labels):
    if "matchExpressions" in selector:
        for one in selector["matchExpressions"]:
            assert one["operator"] == "In"
            if labels.get(one["key"]) not in one["values"]:
                return False
    return all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items())


def test_selectors():
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    drain = JOB["spec"]["template"]["metadata"]["labels"]
    assert selected(DEPLOYMENT["spec"]["selector"], labels)
    assert selected({"matchLabels": document("service.yaml")["spec"]["selector"]}, labels)
    assert not selected({"matchLabels": document("service.yaml")["spec"]["selector"]}, drain), "a drain Job is no server"
    assert selected(document("pdb.yaml")["spec"]["selector"], labels)
    for one in (labels, drain):
        assert selected(document("networkpolicy.yaml")["spec"]["podSelector"], one)
    assert selected(document("components/podmonitor/podmonitor.yaml")["spec"]["selector"], labels)
    target = document("components/autoscaling/hpa.yaml")["spec"]["scaleTargetRef"]
    assert (target["apiVersion"], target["kind"], target["name"]) == ("apps/v1", "Deployment", NAME)
    # an engine and a drain Job keep each other away from a node, and each its own kind
    for workload in (DEPLOYMENT, JOB):
        [term] = pod(workload)["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        assert selected(term["labelSelector"], labels) and selected(term["labelSelector"], drain)


@pytest.mark.parametrize("workload", [DEPLOYMENT, JOB], ids=["deployment", "drain-job"])
def test_variables_and_volumes(workload):
    with open(os.path.join(ROOT, "docs", "configuration.md"), encoding="utf-8") as file:
        known = set(re.findall(r"`([A-Z][A-Z_]+)`", file.read()))
    data = document("configmap.yaml")["data"]
    names = [one["name"] for one in container(workload)["env"]]
    assert len(names) == len(set(names))
    assert set(names) - known <= {"POD_IP"}
    for value in environment(workload).values():
        if isinstance(value, dict) and "configMapKeyRef" in value:
            assert value["configMapKeyRef"]["name"] == "hft-config"
            assert value["configMapKeyRef"]["key"] in data
    mounts = {m["name"] for m in container(workload)["volumeMounts"]}
    assert mounts == {v["name"] for v in pod(workload)["volumes"]}
    [config] = [v["configMap"] for v in pod(workload)["volumes"] if "configMap" in v]
    assert {item["key"] for item in config["items"]} <= set(data)


def test_journal_and_id_stay_with_the_node():
    """what the next pod of a node finds, and the drain Job too"""
    def paths(workload):
        return {v["name"]: v["hostPath"]["path"] for v in pod(workload)["volumes"] if "hostPath" in v}
    assert environment(DEPLOYMENT)["ENGINE_ID"] == environment(JOB)["ENGINE_ID"] == \
        {"fieldRef": {"fieldPath": "spec.nodeName"}}
    assert environment(DEPLOYMENT)["JOURNAL_DIR"] == environment(JOB)["JOURNAL_DIR"]
    assert paths(DEPLOYMENT).items() <= paths(JOB).items()
    assert environment(DEPLOYMENT)["OWNERSHIP_ASSIGN"] == "auto"
    assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_time_to_stop_and_to_start():
    with open(os.path.join(ROOT, "app", "fastpath", "main.c"), encoding="utf-8") as file:
        source = file.read()
    [deadline] = re.findall(r"#define DRAIN_DEADLINE_NS \((\d+) \* CLOCK_NS_PER_S\)", source)
    # rings, disk and requests; and Kafka
    waits = len(re.findall(r"\bwait_until\(e, ", source)) + len(re.findall(r"\bwait_within\(e, RTE_MAX\(DRAIN_DEADLINE_NS,", source))
    assert waits == 4
    for workload in (DEPLOYMENT, JOB):
        assert pod(workload)["terminationGracePeriodSeconds"] > waits * int(deadline)
    one = container(DEPLOYMENT)
    assert one["startupProbe"]["httpGet"]["path"] == one["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert one["readinessProbe"]["httpGet"]["path"] == "/health/ready"

    def patience(probe):
        return probe["periodSeconds"] * probe["failureThreshold"]
    assert patience(one["startupProbe"]) >= 600 and patience(one["livenessProbe"]) >= 60
    assert DEPLOYMENT["spec"]["progressDeadlineSeconds"] > patience(one["startupProbe"])


def test_privileges_are_the_images():
    with open(os.path.join(ROOT, "docker-compose.yml"), encoding="utf-8") as file:
        compose = yaml.safe_load(file)["services"]["hft-app"]
    for workload in (DEPLOYMENT, JOB):
        context = container(workload)["securityContext"]
        assert context["privileged"] is context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is compose["read_only"] is True
        assert context["capabilities"]["drop"] == compose["cap_drop"] == ["ALL"]
        assert set(context["capabilities"]["add"]) <= set(compose["cap_add"])
        assert pod(workload)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod(workload).get("hostNetwork") and not pod(workload).get("hostPID")
    assert set(container(DEPLOYMENT)["securityContext"]["capabilities"]["add"]) == set(compose["cap_add"])
    mounted = {m["mountPath"] for m in container(DEPLOYMENT)["volumeMounts"]}
    assert {"/var/lib/fastpath", "/dev/shm", "/run", "/tmp"} <= mounted


def test_probes_and_scrapes_reach_the_same_port():
    [port] = container(DEPLOYMENT)["ports"]
    assert port == {"name": "http", "containerPort": 8080, "protocol": "TCP"}
    assert environment(DEPLOYMENT)["HTTP_LISTEN"] == "0.0.0.0:8080"
    assert environment(DEPLOYMENT)["FAST_PATH_METRICS"] == "1"
    assert document("service.yaml")["spec"]["ports"][0]["targetPort"] == "http"
    assert DEPLOYMENT["spec"]["template"]["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/metrics"}
    [endpoint] = document("components/podmonitor/podmonitor.yaml")["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")


def test_network_policy():
    """who gets in and where it gets out; the feeds' ports are those of the configuration"""
    spec = document("networkpolicy.yaml")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    http, feeds = spec["ingress"]
    assert [p["port"] for p in http["ports"]] == [8080]
    assert {"kubernetes.io/metadata.name": "monitoring"} in [f.get("namespaceSelector", {}).get("matchLabels") for f in http["from"]]
    lines = re.findall(r"line_a = \S+:(\d+)", document("configmap.yaml")["data"]["fastpath.ini"])
    assert {(p["protocol"], p["port"]) for p in feeds["ports"]} == {("UDP", int(line)) for line in lines}
    out = {(p["protocol"], p["port"]) for rule in spec["egress"] for p in rule["ports"]}
    assert {("UDP", 53), ("TCP", 53), ("TCP", 2379), ("TCP", 9092)} <= out


def test_statefulset_adopts_the_claims():
    [template] = [op["value"][0] for patch in document("overlays/statefulset/kustomization.yaml")["patches"]
                  for op in yaml.safe_load(patch["patch"]) if op["path"] == "/spec/volumeClaimTemplates"]
    claims = documents("pvc.yaml")
    assert [c["metadata"]["name"] for c in claims] == [f"{template['metadata']['name']}-{NAME}-{i}" for i in range(3)]
    for claim in claims:
        assert claim["spec"] == template["spec"]


# ---- SR-IOV: one resource, named in five places ----

def test_sriov_resource():
    policies = documents("cluster/sriov-operator/mlx5.yaml") + documents("cluster/sriov-operator/vfio.yaml")
    [listed] = json.loads(document("cluster/sriov-device-plugin/configmap.yaml")["data"]["config.json"])["resourceList"]
    resource = f"{listed['resourcePrefix']}/{listed['resourceName']}"
    assert {p["spec"]["resourceName"] for p in policies} == {listed["resourceName"]}
    assert {p["spec"]["deviceType"]: p["spec"]["isRdma"] for p in policies} == {"netdevice": True, "vfio-pci": False}
    network = document("overlays/sriov/common/network.yaml")
    assert network["metadata"]["annotations"]["k8s.v1.cni.cncf.io/resourceName"] == resource
    cni = json.loads(network["spec"]["config"])
    assert (cni["type"], cni["trust"]) == ("sriov", "on")
    patch = document("overlays/sriov/common/deployment.yaml")
    assert container(patch)["resources"]["requests"][resource] == "1"
    assert patch["spec"]["template"]["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] == network["metadata"]["name"]
    variable = "PCIDEVICE_" + re.sub(r"[./]", "_", resource.upper())
    assert f"device = env:{variable}[0]\n" in document("overlays/sriov/common/config.yaml")["data"]["fastpath.ini"]


def test_base_address(tmp_path):
    """the pod's own address: a line may be unicast to it"""
    config = tmp_path / "fastpath.ini"
    text = document("configmap.yaml")["data"]["fastpath.ini"]
    config.write_text(text.replace("239.1.1.1:9000", "10.244.1.73:9000").replace("iface=eth0", "iface=lo"))
    assert environment(DEPLOYMENT)["POD_IP"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    for address, words in (("10.244.1.73", "configuration is good"), ("10.244.1.74", "nor an address of port nic0")):
        done = subprocess.run([os.path.join(BUILD, "fastpath"), "--check-config", "--config", str(config)],
                              env=dict(os.environ, FAST_PATH_ENABLE="1", POD_IP=address, JOURNAL_DIR=str(tmp_path / "journal"),
                                       HTTP_LISTEN="127.0.0.1:0"), capture_output=True, text=True, check=False)
        assert words in done.stdout + done.stderr


STATUS = [
    {"name": "cbr0", "interface": "eth0", "ips": ["10.244.1.73"], "default": True, "dns": {}},
    {"name": f"{NAMESPACE}/hft-nic0", "interface": "net1", "ips": ["10.99.0.5"], "mac": "20:04:0f:f1:88:01", "dns": {},
     "device-info": {"type": "pci", "version": "1.1.0", "pci": {"pci-address": "0000:3b:02.1"}}}]


@pytest.mark.parametrize("variant", ["mlx5", "vfio"])
def test_sriov_address(variant, tmp_path):
    """the pod finds its VF's address in network-status: volume, path and reference of the built overlay, read by
    fastpath from a file as Multus writes it"""
    items = build(f"overlays/sriov/{variant}")
    deployment = only(items, "Deployment")
    [volume] = [v for v in pod(deployment)["volumes"] if "downwardAPI" in v]
    [item] = volume["downwardAPI"]["items"]
    assert item["fieldRef"]["fieldPath"] == "metadata.annotations['k8s.v1.cni.cncf.io/network-status']"
    [mount] = [m for m in container(deployment)["volumeMounts"] if m["name"] == volume["name"]]
    path = os.path.join(mount["mountPath"], item["path"])
    ini = only(items, "ConfigMap", "hft-config")["data"]["fastpath.ini"]
    assert f"address = file:{path}?\n" in ini
    here = tmp_path / "network-status"
    config = tmp_path / "fastpath.ini"
    # unicast to the pod's address: refused unless it was found
    config.write_text("[eal]\nlcores = 0@0,1@0,2@0\n" + ini.replace(path, str(here)).replace("239.1.1.1:9000", "10.99.0.5:9000"))
    env = dict(os.environ, FAST_PATH_ENABLE="1", FAST_PATH_CONFIG=str(config), JOURNAL_DIR=str(tmp_path / "journal"),
               HTTP_LISTEN="127.0.0.1:0", PCIDEVICE_OPENSHIFT_IO_HFT_NIC0="0000:3b:02.1")

    def check():
        done = subprocess.run([os.path.join(BUILD, "fastpath"), "--check-config"], env=env, capture_output=True,
                              text=True, check=False)
        assert done.returncode == 2, done
        [line] = done.stderr.splitlines()
        return line
    unknown = "[feed ticks] line_a is neither a multicast group nor an address of port nic0"
    assert check().endswith(unknown), "the file is not there yet"
    here.write_text(json.dumps(STATUS[:1]))
    assert check().endswith(unknown), "no network of this device"
    here.write_text(json.dumps(STATUS, indent=4))
    # as far as a machine without that VF gets
    assert "0000:3b:02.1" in check() and unknown not in check()


@pytest.mark.parametrize("delay", [0, 0.5], ids=["there", "late"])
def test_sriov_waits_for_network_status(delay, tmp_path):
    """the init container's command as it stands, the folder aside"""
    deployment = only(build("overlays/sriov/mlx5"), "Deployment")
    [one] = pod(deployment)["initContainers"]
    assert one["image"] == container(deployment)["image"]
    assert one["resources"]["requests"] == one["resources"]["limits"]
    assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert one["securityContext"]["readOnlyRootFilesystem"] and not one["securityContext"]["privileged"]
    [mount] = one["volumeMounts"]
    here = tmp_path / "network-status"
    command = [word.replace(mount["mountPath"], str(tmp_path)) for word in one["command"]]
    if delay == 0:
        here.write_text(json.dumps(STATUS))
    else:
        here.write_text("")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        if delay:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=delay)
            here.write_text(json.dumps(STATUS))
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")
    here.unlink()
    never = [word.replace("timeout 30", "timeout 0.1") for word in command]
    done = subprocess.run(never, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0 and "does Multus make this pod's networks?" in done.stderr


# ---- overlays ----

@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_builds(overlay):
    items = build(overlay)
    assert items
    for one in workloads(items):
        resources = container(one)["resources"]
        assert resources["requests"] == resources["limits"], "guaranteed: memory and CPUs of its own"
        assert re.fullmatch(r"[1-9]\d*", resources["requests"]["cpu"]), "the static CPU manager wants whole CPUs"
        names = {v["name"] for v in pod(one)["volumes"]} | \
                {t["metadata"]["name"] for t in one["spec"].get("volumeClaimTemplates", [])}
        assert {m["name"] for m in container(one)["volumeMounts"]} == names
        # lcores 0 to the highest one that is named, a CPU each
        ini = only(items, "ConfigMap", "hft-config")["data"]["fastpath.ini"]
        lcores = [int(n) for n in re.findall(r"^(?:rx|worker)_lcores = (\d+)$", ini, re.M)]
        assert len(lcores) == 2 and max(lcores) < int(resources["requests"]["cpu"])


def test_overlays_differ_where_they_should():
    vfio, mlx5 = (only(build(f"overlays/sriov/{one}"), "Deployment") for one in ("vfio", "mlx5"))
    assert set(container(vfio)["securityContext"]["capabilities"]["add"]) == {"IPC_LOCK", "SYS_NICE"}
    assert set(container(mlx5)["securityContext"]["capabilities"]["add"]) == {"NET_RAW", "NET_ADMIN", "IPC_LOCK", "SYS_NICE"}
    production = build("overlays/production")
    assert "replicas" not in only(production, "Deployment")["spec"], "the autoscaler's"
    assert only(production, "PodMonitor") and only(production, "HorizontalPodAutoscaler")
    for overlay in ("overlays/staging", "overlays/production"):
        assert re.fullmatch(r"ghcr\.io/[a-z0-9-]+/hft-fast-path:[a-z0-9.]+", container(only(build(overlay), "Deployment"))["image"])
    stateful = build("overlays/statefulset")
    assert not [i for i in stateful if i["kind"] == "Deployment"]
    assert environment(only(stateful, "StatefulSet"))["ENGINE_ID"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_gigabyte_pages(tmp_path):
    """the component goes over both variants"""
    for variant in ("mlx5", "vfio"):
        overlay = tmp_path / variant
        overlay.mkdir()
        (overlay / "kustomization.yaml").write_text(yaml.safe_dump({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
            "resources": [os.path.relpath(os.path.join(K8S, "overlays/sriov", variant), overlay)],
            "components": [os.path.relpath(os.path.join(K8S, "components/hugepages-1gi"), overlay)]}))
        requests = container(only(build(str(overlay)), "Deployment"))["resources"]["requests"]
        assert requests["hugepages-1Gi"] == "2Gi" and "hugepages-2Mi" not in requests


# ---- schemas ----

def validate(items):
    """against 1.28, the oldest that we promise to work with, and the newest that the package has; returns how many"""
    [folder] = tool("schemas")
    program = ("import json, sys\nimport kubernetes_validate as k\nitems = json.load(sys.stdin)\n"
               "for version in ('1.28', k.latest_version()):\n"
               "    for name, one in items:\n"
               "        try:\n            k.validate(one, version, strict=True)\n"
               "        except Exception as error:\n"
               "            sys.exit(f'{name}: {one[\"kind\"]} {one[\"metadata\"].get(\"name\")}: {version}: {error}')\n")
    done = subprocess.run([sys.executable, "-c", program], input=json.dumps(items), capture_output=True, text=True,
                          check=False, env=os.environ | {"PYTHONPATH": folder})
    assert done.returncode == 0, done.stderr[-3000:]
    return len(items)


def test_files_against_the_schemas():
    paths = [path for path in glob.glob(os.path.join(K8S, "**", "*.yaml"), recursive=True)
             if os.path.basename(path) not in ("kustomization.yaml", "prometheus-adapter-values.yaml")]
    items = [(os.path.relpath(path, K8S), one) for path in paths for one in documents(path) if one["kind"] not in OTHERS]
    assert validate([i for i in items if "/sriov/common/" not in "/" + i[0]]) > 15


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_against_the_schemas(overlay):
    items = [(overlay, one) for one in build(overlay) if one["kind"] not in OTHERS]
    # the operator's policies are no kind of Kubernetes itself
    assert validate(items) > 0 or overlay == "cluster/sriov-operator"


def test_the_schemas_find_mistakes():
    """a check that never fails is none"""
    broken = json.loads(json.dumps(DEPLOYMENT))
    pod(broken)["terminationGracePeriod"] = 5
    with pytest.raises(AssertionError, match="terminationGracePeriod"):
        validate([("broken", broken)])


# ---- the drain Job's script, as it stands there, with the real programs and a real broker ----

def run_drain(engine, tmp_path, **changes):
    """what the Job's container runs, in the namespace of the engine whose journal it takes; returns (status, output)"""
    variables = {name: value for name, value in environment(JOB).items() if isinstance(value, str)} | {
        "ENGINE_ID": engine.settings["engine"]["id"], "FAST_PATH_CONFIG": engine.ini_path, "JOURNAL_DIR": engine.journal_dir,
        "KAFKA_BOOTSTRAP_SERVERS": engine.settings["kafka"]["bootstrap_servers"],
        "PATH": BUILD + os.pathsep + os.environ["PATH"]} | changes
    [shell, option] = container(JOB)["command"]
    [script] = container(JOB)["args"]
    log = tmp_path / "drain.log"
    with open(log, "wb") as out:
        process = sandbox.spawn(engine.netns.command(shell, option, script), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                env=variables, cwd=str(tmp_path))
        try:
            status = process.wait(timeout=120)
        finally:
            if process.poll() is None:
                process.kill()
    return status, log.read_text(encoding="utf-8", errors="replace")


def kafka_away(engine):
    """its bridge finds no broker from the next start on; returns what brings it back"""
    good = engine.settings["kafka"]["bootstrap_servers"]
    engine.configure({"kafka": {"bootstrap_servers": "127.0.0.1:1", "drain_ms": 100}, "ownership": {"mode": None},
                      "http": {"listen": "127.0.0.1:8080"}})
    engine.environment["OWNERSHIP"] = "all"
    return lambda: engine.configure({"kafka": {"bootstrap_servers": good}})


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_drain_job_delivers_what_a_node_holds(quiet, broker, topic, tmp_path, how):
    """a node's engine left 300 events that Kafka has not; the Job delivers them, once, and ends"""
    back = kafka_away(quiet)
    quiet.start()
    bridge.post(quiet, 300)
    if how == "stopped":
        assert "300 records wait for the next start" in quiet.stop()
    else:
        quiet.kill9()
    back()
    status, log = run_drain(quiet, tmp_path)
    assert status == 0 and "drain: everything is delivered\n" in log, log
    events = checks.events(quiet.journal())
    assert len(events) == 300
    kafka.exactly_once(broker.read(topic), events, quiet.settings["engine"]["id"], bridge.PARTITIONS)
    # the node gets an engine again: it goes on, and nothing is sent twice
    bridge.running(quiet.start())
    bridge.post(quiet, 10, start=300)
    bridge.delivered(quiet)
    quiet.stop()
    kafka.exactly_once(broker.read(topic), checks.events(quiet.journal()), quiet.settings["engine"]["id"], bridge.PARTITIONS)


def nanoseconds(text):
    """since the epoch, of a time as `journal cat` prints it"""
    seconds, fraction = text.rstrip("Z").split(".")
    return calendar.timegm(time.strptime(seconds, "%Y-%m-%dT%H:%M:%S")) * 10 ** 9 + int(fraction.ljust(9, "0"))


@pytest.mark.parametrize("what", ["cut off", "killed while cut off", "lease held"])
def test_drain_job_and_a_lease(quiet, broker, topic, tmp_path, what):
    """events from a time without a lease are not the Job's to send"""
    back = kafka_away(quiet)
    quiet.start()
    bridge.post(quiet, 5)
    quiet.stop()
    last = max(nanoseconds(event["time"]) for event in checks.events(quiet.journal()))
    gone = [{"from_ns": last - 10, "to_ns": last + 10, "revision": 7}] if what == "cut off" else []
    with open(os.path.join(quiet.journal_dir, "lease.json"), "w", encoding="ascii") as file:
        json.dump({"version": 1, "lease_end_ns": last - 1 if what == "killed while cut off" else last + 1, "revision": 7,
                   "cut_off": gone}, file, indent=1)
    back()
    status, log = run_drain(quiet, tmp_path)
    if what == "lease held":
        assert status == 0 and "drain: everything is delivered\n" in log, log
        kafka.exactly_once(broker.read(topic), checks.events(quiet.journal()), quiet.settings["engine"]["id"], bridge.PARTITIONS)
    else:
        assert status == 3 and "let an engine run on this node again" in log, log


def test_drain_job_of_an_empty_node(quiet, tmp_path):
    kafka_away(quiet)()
    status, log = run_drain(quiet, tmp_path)
    assert status == 0 and "drain: everything is delivered\n" in log, log


def test_drain_job_beside_an_engine(quiet, tmp_path):
    """anti-affinity keeps them apart; should it fail, the journal's lock does"""
    kafka_away(quiet)()
    quiet.configure({"http": {"listen": "127.0.0.1:8081"}})
    quiet.start()
    status, log = run_drain(quiet, tmp_path)
    assert status == 2 and str(quiet.pid) in log and "drain: not everything was delivered" in log, log


# ---- the base's configuration, as it stands there, on an interface eth0 ----

def test_the_base_runs(make_wire, make_engine):
    """the Deployment's variables and the ConfigMap's files, with a real etcd: ready, and takes what it owns"""
    _, refused = etcd_server.fetch()
    if refused:
        pytest.skip(refused)
    wire = make_wire()
    for words in (["down"], ["name", "eth0"], ["up"]):
        wire.appliance.run("ip", "link", "set", "fp0" if words != ["up"] else "eth0", *words)
    engine = make_engine(wire)
    data = document("configmap.yaml")["data"]
    with open(engine.ini_path, "w", encoding="utf-8") as file:
        file.write(data["fastpath.ini"] + "\n[eal]\nlcores = 0@0,1@1\n")
    for name, value in environment(DEPLOYMENT).items():
        if isinstance(value, dict):
            value = data.get(value.get("configMapKeyRef", {}).get("key"), engine.settings["engine"]["id"])
        engine.environment[name] = value.replace("$(POD_IP)", "10.1.2.3")
    engine.environment |= {"FAST_PATH_CONFIG": engine.ini_path, "JOURNAL_DIR": engine.journal_dir, "POD_IP": "10.1.2.3",
                           "ETCD_ENDPOINTS": "http://127.0.0.1:2379", "KAFKA_BRIDGE_ENABLE": "0"}
    etcd = etcd_server.Etcd(wire.appliance, "k8s-" + engine.settings["engine"]["id"])
    try:
        etcd.assign(["K1"], engine.settings["engine"]["id"])
        engine.start()
        [registered] = etcd.engines().values()
        assert registered["http"] == "http://10.1.2.3:8080"
        senders.send_keyed(wire, [(b"K1", b"one"), (b"other", b"not ours")])
        wait_for(lambda: engine.stats()["fast_path_count"] == 1, 30, engine.stats)
        assert engine.stats()["reason_not_owner"] == 1
        engine.stop()
    finally:
        etcd.close()
    assert [e["payload"] for e in checks.events(engine.journal())] == [b"one"]
