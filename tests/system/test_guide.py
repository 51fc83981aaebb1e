# SPDX-License-Identifier: Apache-2.0
"""DEPLOYMENT.md's commands, typed in order on one machine; those that begin with `# needs` are left out.

A line `#> text` in a block is what the command above it has to print. The Japanese guide has the same blocks.
"""
import os
import re
import shutil
import signal
import subprocess

import pytest

import sandbox
from appliance import BUILD, PATIENCE, ROOT, SANITIZED, wait_for

GUIDES = ("DEPLOYMENT.md", "DEPLOYMENT.ja.md")
NEEDS = "# needs "


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
    typed = 0
    for line, block in blocks():
        if block.startswith(NEEDS):
            continue
        for command, expected in commands(block):
            if re.search(r"\bmake run$", command):
                terminal.launch(command)
                continue
            output = terminal.type(command)
            print(f"$ {command}\n{output[:300].rstrip()}")
            for words in expected:
                assert words in output, f"line {line}: {command}\nprints no {words}:\n{output[:3000]}"
            typed += 1
    assert typed >= 15
    terminal.end()
    assert terminal.engine.returncode == 0, terminal.log.read_text()


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
