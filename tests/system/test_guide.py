# SPDX-License-Identifier: Apache-2.0
"""DEPLOYMENT.md's commands, typed in order on one machine; of those in a block that begins with `# needs`, what can be
tried without.

A line `#> text` in a block is what the command above it has to print. The Japanese guide has the same blocks. What was
typed and what it printed is kept in build/artifacts/guide: typed.log and dry-run.log.
"""
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess

import pytest
import yaml

import sandbox
import test_kubernetes as manifests
from appliance import BUILD, PATIENCE, ROOT, SANITIZED, wait_for

GUIDES = ("DEPLOYMENT.md", "DEPLOYMENT.ja.md")
NEEDS = "# needs "
LOGS = os.path.join(BUILD, "artifacts", "guide")


@contextlib.contextmanager
def kept(name):
    """note(text), into a file that stays"""
    os.makedirs(LOGS, exist_ok=True)
    with open(os.path.join(LOGS, name), "w", encoding="utf-8") as file:
        def note(text):
            print(text)
            print(text, file=file, flush=True)
        yield note


def text_of(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def blocks(name="DEPLOYMENT.md"):
    """[(line number, text)] of the bash blocks"""
    text = text_of(name)
    return [(text.count("\n", 0, m.start(1)) + 1, m[1]) for m in re.finditer(r"^```bash\n(.*?)^```$", text, re.M | re.S)]


def commands(block):
    """[(command, what it has to print)]: a command goes on behind a backslash; comments belong to no command"""
    out, lines = [], block.replace("\\\n", " ").splitlines()
    for line in lines:
        if line.startswith("#> "):
            out[-1][1].append(line[3:])
        elif line.strip() and not line.startswith("#"):
            out.append((line, []))
    return out


class Terminal:
    """A folder that looks like the working tree with a var/ of its own, in a network of its own"""

    def __init__(self, netns, directory):
        self.tree = directory / "tree"
        self.tree.mkdir()
        for name in os.listdir(ROOT):
            if name not in ("var", "build"):
                (self.tree / name).symlink_to(os.path.join(ROOT, name))
        (self.tree / "build").symlink_to(BUILD)
        clean = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "http_proxy", "https_proxy")}
        self.options = {"cwd": self.tree, "env": clean | {"TMPDIR": str(directory), "FASTPATH_BUILD": str(self.tree / "build")},
                        "stdin": subprocess.DEVNULL, "text": True}
        # what ip netns exec mounts for a process stays until that is gone: all commands share one's
        self.holder = netns.spawn("sleep", "infinity")
        wait_for(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != os.readlink("/proc/self/ns/net"), 10, "the network")
        wait_for(lambda: self._name() == "sleep", 10, "the holder")
        self.log = directory / "run.log"
        self.engine = None

    def _name(self):
        with open(f"/proc/{self.holder.pid}/comm", encoding="ascii") as file:
            return file.read().strip()

    def inside(self, command):
        return ["nsenter", "-t", str(self.holder.pid), "-m", "-n", f"--wd={self.tree}", "bash", "-eo", "pipefail", "-c", command]

    def type(self, command):
        done = subprocess.run(self.inside(command), capture_output=True, timeout=300 * PATIENCE, check=False, **self.options)
        assert done.returncode == 0, f"{command}\nstatus {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def launch(self, command):
        """what stays in the foreground until Ctrl-C"""
        with open(self.log, "wb") as log:
            self.engine = sandbox.spawn(self.inside(command), stdout=log, stderr=log, **self.options)

        def ready():
            assert self.engine.poll() is None, self.log.read_text()
            return "ready: engine" in self.log.read_text()
        wait_for(ready, 300, self.log.read_text)

    def end(self):
        if self.engine is not None and self.engine.poll() is None:
            # the script is bash's child: its process is asked as Ctrl-C and kill ask it
            state = (self.tree / "var" / "state" / "lock").read_text().split()
            os.kill(int(state[-1]), signal.SIGTERM)
            self.engine.wait(timeout=60 * PATIENCE)

    def close(self):
        for process in (self.engine, self.holder):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait(timeout=30)


@pytest.fixture
def terminal(netns, tmp_path):
    one = Terminal(netns, tmp_path)
    yield one
    one.close()


@pytest.mark.timeout(1200)
@pytest.mark.skipif(SANITIZED, reason="make run builds the programs as shipped")
def test_commands_as_typed(terminal):
    for tool in ("promtool", "jq", "curl"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}: run scripts/deps.sh test")
    with kept("typed.log") as note:
        typed = 0
        for line, block in blocks():
            if block.startswith(NEEDS):
                continue
            note(f"# DEPLOYMENT.md, line {line}")
            for command, expected in commands(block):
                if re.search(r"\bmake run$", command):
                    note(f"$ {command}")
                    terminal.launch(command)
                    note(terminal.log.read_text().rstrip())
                    continue
                output = terminal.type(command)
                note(f"$ {command}\n{output[:2000].rstrip()}")
                for words in expected:
                    assert words in output, f"line {line}: {command}\nprints no {words}:\n{output[:3000]}"
                typed += 1
        assert typed >= 15
        terminal.end()
        assert terminal.engine.returncode == 0, terminal.log.read_text()
        note(f"{typed} commands typed; the engine, ended by SIGTERM, exited with 0")


# ---- what needs a cluster, an engine of containers, or a host of its own: as much of it as can be tried here ----

# no server: kubectl reads the whole command, and fails when it asks
NOWHERE = {"apiVersion": "v1", "kind": "Config", "current-context": "staging",
           "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
           "contexts": [{"name": name, "context": {"cluster": "none", "user": ""}} for name in ("staging", "production")]}


def local(*words, **options):
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120 * PATIENCE,
                          stdin=subprocess.DEVNULL, **options)
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


def schemas(items):
    ours = [("guide", one) for one in items if one["kind"] not in manifests.OTHERS]
    return f"{manifests.validate(ours)} of {len(items)} objects are of Kubernetes itself: valid for 1.28 and the newest schemas"


def names_of_base():
    return {(one["kind"].lower(), one["metadata"]["name"]) for one in manifests.build("base")}


def check_names(command):
    """what a kubectl command names is in the base; returns what was found"""
    short = {"svc": "service", "pods": "pod", "nodes": "node"}
    found = []
    for kind, name in re.findall(r"\b(deployment|svc|configmap)[/ ]([a-z][a-z-]+)", command):
        assert (short.get(kind, kind), name) in names_of_base(), command
        found.append(f"{kind}/{name}")
    for label in re.findall(r"-l app=(\S+)", command):
        assert manifests.DEPLOYMENT["spec"]["template"]["metadata"]["labels"]["app"] == label
        found.append(f"app={label}")
    for space in re.findall(r"-n (\S+)", command):
        # etcd's and Kafka's are whatever the cluster calls them
        assert space in (manifests.NAMESPACE, "etcd-system", "kafka"), command
        if space == manifests.NAMESPACE:
            found.append(f"namespace {space}")
    for container, _ in re.findall(r" ([a-z-]+)=(ghcr\.io/\S+)", command):
        assert manifests.container(manifests.DEPLOYMENT)["name"] == container, command
        found.append(f"container {container}")
    for port in re.findall(r"svc/\S+ (\d+):\d+", command):
        assert [p["port"] for p in manifests.document("service.yaml")["spec"]["ports"]] == [int(port)]
        found.append(f"port {port}")
    for label in re.findall(r"label nodes \S+ (\S+)=true", command):
        assert manifests.pod(manifests.DEPLOYMENT)["nodeSelector"] == {label: "true"}
        found.append(f"the node selector {label}")
    return found


def dry_kubectl(command, tmp_path):
    said = []
    config = tmp_path / "kubeconfig"
    config.write_text(yaml.safe_dump(NOWHERE))
    filled = re.sub(r"<([a-z-]+)>", r"\1", command)
    if shutil.which("kubectl") is None:
        said.append("no kubectl here: its syntax was not read")
    else:
        done = subprocess.run(["bash", "-c", filled], capture_output=True, text=True, check=False, cwd=ROOT,
                              timeout=120 * PATIENCE, stdin=subprocess.DEVNULL, env=os.environ | {"KUBECONFIG": str(config)})
        if " kustomize " in command:
            assert done.returncode == 0 and "kind: Deployment" in done.stdout, done.stderr
            said.append(f"it renders {done.stdout.count(chr(10) + 'kind: ') + done.stdout.startswith('kind: ')} objects")
        else:
            assert done.returncode != 0 and "127.0.0.1:1" in done.stderr and "refused" in done.stderr, done.stderr
            said.append("kubectl takes it as it stands, and asks its server")
    for path in re.findall(r"apply -f (k8s/\S+)", command):
        said.append(schemas(manifests.documents(os.path.relpath(path, "k8s"))))
    for path in re.findall(r"(?:apply -k|kustomize) (k8s/\S+)", command):
        said.append(schemas(manifests.build(os.path.relpath(path, "k8s"))))
    found = check_names(command)
    if found:
        said.append("the manifests have " + ", ".join(found))
    return "; ".join(said)


def dry_heredoc(block, _):
    [text] = re.findall(r"<<EOF \| kubectl apply -f -\n(.*?)^EOF$", block, re.M | re.S)
    item = yaml.safe_load(text)
    assert {c["spec"]["storageClassName"] for c in manifests.documents("pvc.yaml")} == {item["metadata"]["name"]}
    return schemas([item]) + f"; pvc.yaml asks for {item['metadata']['name']}"


def dry_compose(command, _):
    path = re.findall(r"-f (\S+\.yml)", command)[0]
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = yaml.safe_load(file)
    words = shlex.split(command.split(" # ")[0])
    for service in [words[-1]] if "logs" in words else []:
        assert service in text["services"], command
    for profile in re.findall(r"--profile (\S+)", command):
        assert any(profile in one.get("profiles", []) for one in text["services"].values()), command
    if shutil.which("docker-compose") is None:
        return f"{path} has what it names; no docker-compose here to read it (test_compose.py holds it against the specification)"
    local("docker-compose", "-f", path, "config", "-q")
    return f"docker-compose reads {path}, which has what the command names"


def dry_branch(command, _):
    with open(os.path.join(ROOT, ".github", "workflows", "deploy.yml"), encoding="utf-8") as file:
        flow = file.read()
    if "feature/" not in command:
        assert "refactor_consumer_app" in command and "refactor_consumer_app" in flow
    return "deploy.yml deploys from refactor_consumer_app to staging"


def dry_files(command, _):
    paths = re.findall(r"(?<!\S)(?:k8s/)?[\w.-]+\.ya?ml|hugepages\.conf", command)
    assert paths and all(os.path.exists(os.path.join(ROOT, path)) for path in paths), command
    said = ", ".join(paths) + " to be edited" if command.startswith("vim") else ""
    if "hugepages.conf" in command:
        said = "sysctl would set: " + local("sysctl", "--dry-run", "-p", "hugepages.conf").strip()
    return said


def dry_make(command, _):
    target = re.search(r"make (\w+)", command)[1]
    assert local("make", "-n", target).strip()
    return f"make -n {target} knows what to do" + ("; typed.log has it run" if target == "run" else "")


def dry_history(command, _):
    if not os.path.exists(os.path.join(ROOT, ".git")):
        return "no repository here"
    return "it would print or take " + local("git", "log", "--oneline", "-1").strip()


DRY = (
    (r"^kubectl ", dry_kubectl),
    (r"^docker-compose ", dry_compose),
    (r"^docker build ", lambda *_: "make image builds the same Dockerfile (test_image.py)"),
    (r"^docker (images|push) ", lambda *_: "nothing to try without the engine"),
    (r"^git (checkout|merge|push)[^<]*(refactor_consumer_app|feature/)", dry_branch),
    (r"^(vim|cp) ", dry_files),
    (r"\bmake \w+$", dry_make),
    (r"^git clone |^cd ", lambda *_: "this is the clone"),
    (r"^git (log --oneline|checkout <commit-hash>)$", dry_history),
)


@pytest.mark.timeout(900)
def test_what_needs_more_is_tried_as_far_as_it_goes(tmp_path):
    """no command of the guide is left without a look: names, files, flags, schemas"""
    count = 0
    with kept("dry-run.log") as note:
        for line, block in blocks():
            if not block.startswith(NEEDS):
                continue
            note(f"# DEPLOYMENT.md, line {line}: {block.splitlines()[0][2:]}")
            if "<<EOF" in block:
                note(f"$ {block.split(chr(10), 1)[1].rstrip()}\n  dry run: {dry_heredoc(block, tmp_path)}")
                count += 1
                continue
            for command, _ in commands(block):
                [look] = [function for pattern, function in DRY if re.search(pattern, command)][:1] or [None]
                assert look is not None, f"line {line}: nothing looks at: {command}"
                note(f"$ {command}\n  dry run: {look(command, tmp_path)}")
                count += 1
        assert count >= 40
        note(f"{count} commands tried without a cluster")


def test_both_languages_have_the_same_commands():
    """comments may differ, the commands and what they need may not"""
    def bare(name):
        return [(block.startswith(NEEDS), commands(re.sub(r"\s+# .*", "", block))) for _, block in blocks(name)]
    assert bare(GUIDES[0]) == bare(GUIDES[1])


@pytest.mark.parametrize("name", GUIDES)
def test_what_it_names_is_there(name):
    """every file that a command or a link names"""
    text = text_of(name)
    named = set(re.findall(r"apply -[fk] (\S+)", text)) | set(re.findall(r"docker-compose -f (\S+)", text))
    named |= {link.split("#")[0] for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)}
    named |= set(re.findall(r"\b(?:tests|monitoring|config)/[\w./-]+\.(?:py|yml|ini)\b", text))
    named -= {"-"}
    missing = sorted(path for path in named if not os.path.exists(os.path.join(ROOT, path)))
    assert not missing, missing
