# SPDX-License-Identifier: Apache-2.0
"""The pipeline: its workflow, and what scripts/deploy.sh does with a cluster, a stand-in for kubectl in the cluster's place.

The stand-in writes down what it is asked, renders overlays with the real kustomize, and forwards a port to an engine that
is well, unwell, or without metrics.
"""
import json
import os
import socket
import subprocess

import pytest
import yaml

from appliance import ROOT
from test_kubernetes import tool

WORKFLOW = os.path.join(ROOT, ".github", "workflows", "deploy.yml")
DEPLOY = os.path.join(ROOT, "scripts", "deploy.sh")
IMAGE, TAG = "ghcr.io/some-org/hft-fast-path", "v1.2.3"

KUBECTL = r'''#!/usr/bin/python3
import http.server, json, os, subprocess, sys
words = [w for w in sys.argv[1:] if not w.startswith("--timeout")]
case = json.loads(os.environ["CLUSTER"])
with open(os.environ["ASKED"], "a") as file:
    file.write(" ".join(words) + "\n")
if words[0] == "kustomize":
    sys.exit(subprocess.run([*case["kustomize"], words[1]]).returncode)
if words[:2] == ["-n", "hft-system"]:
    words = words[2:]
if words[0] == "get" and words[1] == "configmap":
    sys.exit(0 if case["config"] else 1)
if words[0] == "get" and words[1].startswith("deployment/"):
    sys.stdout.write(case["revision"])
    sys.exit(0 if case["revision"] else 1)
if words[0] == "apply":
    for path in [words[i + 1] for i, w in enumerate(words) if w == "-f"]:
        with open(path) as source, open(os.environ["APPLIED"], "a") as file:
            file.write("---\n" + source.read())
if words[:2] == ["rollout", "status"]:
    with open(os.environ["ASKED"]) as file:
        undone = "rollout undo" in file.read()
    sys.exit(0 if undone or case["rolls_out"] else 1)
if words[0] == "port-forward":
    class Engine(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = "fast_path_events_total 7\n" if self.path == "/metrics" and case["metrics"] else '{"status":"x"}\n'
            self.send_response(case["health"] if self.path == "/health" else 200)
            self.end_headers()
            self.wfile.write(body.encode())
        def log_message(self, *_):
            pass
    http.server.HTTPServer(("127.0.0.1", int(words[2].split(":")[0])), Engine).serve_forever()
'''


@pytest.fixture
def deploy(tmp_path):
    """deploy(revision=..., ...): runs it; returns (status, output, [what kubectl was asked], [what was applied])"""
    kustomize = tool("kustomize")
    stand_in = tmp_path / "kubectl"
    stand_in.write_text(KUBECTL)
    stand_in.chmod(0o755)
    # `kubectl kustomize` would find the stand-in
    kustomize[0] = subprocess.run(["which", kustomize[0]], capture_output=True, text=True, check=True).stdout.strip()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]

    def run(overlay="staging", **changes):
        case = {"kustomize": kustomize, "config": True, "revision": "4", "rolls_out": True, "metrics": True, "health": 200} | changes
        done = subprocess.run([DEPLOY, "run", overlay, IMAGE, TAG], capture_output=True, text=True, check=False, timeout=120,
                              env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CLUSTER": json.dumps(case),
                                                "ASKED": str(tmp_path / "asked"), "APPLIED": str(tmp_path / "applied"),
                                                "SMOKE_PORT": str(port)})
        applied = [one for one in yaml.safe_load_all((tmp_path / "applied").read_text()) if one]
        return done.returncode, done.stdout + done.stderr, (tmp_path / "asked").read_text().splitlines(), applied
    return run


def undone(asked):
    return [line for line in asked if "rollout undo" in line]


# ---- the workflow ----

def test_workflow_is_valid():
    done = subprocess.run([*tool("actionlint"), WORKFLOW], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflow_has_the_guides_jobs():
    with open(WORKFLOW, encoding="utf-8") as file:
        text = file.read()
    jobs = yaml.safe_load(text)["jobs"]
    assert list(jobs) == ["build-and-test", "docker-build-push", "deploy-staging", "deploy-production"]
    assert jobs["docker-build-push"]["needs"] == "build-and-test"
    for job, branch, secret in (("deploy-staging", "refactor_consumer_app", "KUBE_CONFIG_STAGING"),
                                ("deploy-production", "main", "KUBE_CONFIG_PRODUCTION")):
        assert jobs[job]["needs"] == "docker-build-push"
        assert jobs[job]["if"] == f"github.ref == 'refs/heads/{branch}'"
        assert "${{ secrets.%s }}" % secret in json.dumps(jobs[job]["steps"])
        assert f"scripts/deploy.sh run {job.split('-')[1]} " in json.dumps(jobs[job]["steps"])
    [kept] = [step for step in jobs["build-and-test"]["steps"] if step.get("uses", "").startswith("actions/upload-artifact@")]
    assert kept["if"] == "always()" and kept["with"]["path"] == "build/artifacts"
    assert "ghcr.io/${OWNER,,}/hft-fast-path" in text and "github.repository_owner" in text


# ---- what it does with a cluster ----

@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_deploys(deploy, overlay):
    status, output, asked, applied = deploy(overlay)
    assert status == 0 and f"deploy: {IMAGE}:{TAG} runs" in output and not undone(asked), output
    [deployment] = [one for one in applied if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    assert {c["image"] for c in pod["containers"] + pod.get("initContainers", [])} == {f"{IMAGE}:{TAG}"}
    assert len(pod["containers"]) == 1
    assert "hft-config" not in [one["metadata"]["name"] for one in applied], "a cluster's own ConfigMap is left alone"
    assert {"Namespace", "PriorityClass", "Service", "NetworkPolicy", "PodDisruptionBudget"} <= {one["kind"] for one in applied}


def test_makes_the_config_where_there_is_none(deploy):
    status, output, _, applied = deploy(config=False)
    assert status == 0, output
    assert "hft-config" in [one["metadata"]["name"] for one in applied]


@pytest.mark.parametrize("wrong, words", [({"health": 503}, "smoke test: /health: "),
                                          ({"metrics": False}, "/metrics has no fast_path_events_total"),
                                          ({"rolls_out": False}, "deploy: rolling back")])
def test_rolls_back(deploy, wrong, words):
    status, output, asked, _ = deploy(**wrong)
    assert status == 1 and words in output and "rolled back to revision 4" in output, output
    assert undone(asked) == ["-n hft-system rollout undo deployment/hft-fast-path --to-revision=4"]


def test_nothing_to_go_back_to(deploy):
    status, output, asked, _ = deploy(revision="", rolls_out=False)
    assert status == 1 and "this was the first rollout" in output and not undone(asked), output


def test_kubeconfig(tmp_path):
    for secret, status, words in (("", 1, "KUBE_CONFIG is empty"), ("%%", 1, "KUBE_CONFIG is not base64"), ("YXBpVmVyc2lvbjogdjEK", 0, "")):
        done = subprocess.run([DEPLOY, "kubeconfig"], capture_output=True, text=True, check=False,
                              env=os.environ | {"HOME": str(tmp_path), "KUBE_CONFIG": secret})
        assert done.returncode == status and words in done.stderr, done.stderr
    assert (tmp_path / ".kube" / "config").read_text() == "apiVersion: v1\n"
    assert (tmp_path / ".kube" / "config").stat().st_mode & 0o777 == 0o600
