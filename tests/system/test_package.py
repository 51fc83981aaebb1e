# SPDX-License-Identifier: Apache-2.0
"""What is installed: the unit, the manual, completion, `make install`; and the Debian package in a clean system."""
import glob
import os
import re
import shutil
import subprocess
import tempfile

import pytest
import yaml

import checks
import senders
from appliance import BUILD, SANITIZED, Engine, program, wait_for

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
COMPLETION = os.path.join(ROOT, "completions", "fastpath.bash")
PAGES = {"fastpath": "man/fastpath.8", "fastpathctl": "man/fastpathctl.8", "feedsim": "man/feedsim.1"}
JOURNAL = ["ls", "verify", "cat", "stat", "repair"]


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **more)


def needs(tool):
    return pytest.mark.skipif(shutil.which(tool) is None,
                              reason=f"no {tool}: scripts/deps.sh package installs it")


def help_of(name, *command):
    result = run([program(name), *command, "--help"])
    assert result.returncode == 0, result.stderr
    return result.stdout


def commands():
    """of fastpathctl, from its own help"""
    return sorted(set(re.findall(r"^fastpathctl (\S+)", help_of("fastpathctl"), re.M)))


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text))


def options_of(name):
    text = help_of(name)
    if name == "fastpath":
        text = text.split("Configuration,")[0]
    if name == "fastpathctl":
        text += "".join(help_of(name, one) for one in commands()) + help_of(name, "journal", "cat")
    return options_in(text) | {"--help", "--version"}


def complete(*words):
    """what bash offers after these words, the last one begun"""
    script = (f'source "{COMPLETION}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
              '_"$1"; printf "%s\\n" "${COMPREPLY[@]}"')
    result = run(["bash", "--norc", "-c", script, "bash", *words], cwd="/")
    assert result.stderr == ""
    return set(result.stdout.split())


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """`make install` into a folder, as a package does it"""
    top = str(tmp_path_factory.mktemp("install"))
    mine = os.path.join(top, "etc/fastpath")
    os.makedirs(mine)
    with open(os.path.join(mine, "fastpath.ini"), "w", encoding="ascii") as file:
        file.write("; mine\n")
    result = run(["make", "-C", ROOT, "-o", "all", "install", f"BUILD={BUILD}", f"DESTDIR={top}", "PREFIX=/usr"])
    assert result.returncode == 0, result.stderr
    return top


def test_install_layout(tree):
    """every file in its place, one's own configuration left alone, no path of /usr/local left"""
    there = {os.path.relpath(path, tree) for path in glob.glob(tree + "/**/*", recursive=True) if os.path.isfile(path)}
    for path in ["usr/bin/fastpath", "usr/bin/fastpathctl", "usr/bin/feedsim", "usr/lib/systemd/system/fastpath.service",
                 "usr/lib/sysusers.d/fastpath.conf", "usr/share/man/man8/fastpath.8", "usr/share/man/man8/fastpathctl.8",
                 "usr/share/man/man1/feedsim.1", "usr/share/bash-completion/completions/feedsim",
                 "usr/share/fastpath/hugepages.conf", "usr/share/fastpath/fastpath.ini", "etc/default/fastpath"]:
        assert path in there, (path, sorted(there))
    with open(os.path.join(tree, "etc/fastpath/fastpath.ini"), encoding="ascii") as file:
        assert file.read() == "; mine\n"
    with open(os.path.join(tree, "usr/lib/systemd/system/fastpath.service"), encoding="ascii") as file:
        unit = file.read()
    assert "ExecStart=/usr/bin/fastpath --config /etc/fastpath/fastpath.ini\n" in unit
    assert "/usr/local" not in unit


@needs("systemd-analyze")
def test_unit_is_valid(tree):
    """systemd has nothing to say about the unit, and rates its exposure as more than halved"""
    root = ["systemd-analyze", "--man=no", f"--root={tree}"]
    # --root takes a whole system: the targets that the unit names are this machine's
    for path in ["usr/lib/systemd/system", "bin"]:
        os.makedirs(os.path.join(tree, path), exist_ok=True)
    for name in os.listdir("/lib/systemd/system"):
        target = os.path.join(tree, "usr/lib/systemd/system", name)
        source = os.path.join("/lib/systemd/system", name)
        if name.endswith(".target") and os.path.isfile(source) and not os.path.lexists(target):
            shutil.copy(source, target)
    shutil.copy("/bin/sh", os.path.join(tree, "bin/sh"))
    result = run(root + ["verify", "fastpath.service"])
    said = [line for line in (result.stdout + result.stderr).splitlines() if "fastpath" in line]
    assert result.returncode == 0 and said == [], result.stdout + result.stderr
    rated = run(["systemd-analyze", "security", "--offline=true", "--threshold=50",
                 os.path.join(tree, "usr/lib/systemd/system/fastpath.service")])
    assert rated.returncode == 0, rated.stdout
    print(rated.stdout.strip().splitlines()[-1])


def unit_values(key):
    with open(os.path.join(ROOT, "config/fastpath.service"), encoding="ascii") as file:
        return re.findall(rf"^{key}=(.*)$", file.read(), re.M)


def test_unit_stops_after_the_drain():
    """the rings' 30 s, the disk's 30 s and kafka.drain_ms fit into TimeoutStopSec; 2 is not tried again"""
    drain = int(re.search(r"^  drain_ms .* Default: (\d+)\.", help_of("fastpath"), re.M)[1])
    assert int(unit_values("TimeoutStopSec")[0]) > 30 + 30 + drain / 1000
    assert unit_values("RestartPreventExitStatus") == ["2"] and unit_values("Restart") == ["on-failure"]


@pytest.fixture
def service(make_wire, request):
    """an engine as the unit runs it: another user, the unit's capabilities and no others; not started"""
    capabilities = unit_values("AmbientCapabilities")[0]
    assert unit_values("CapabilityBoundingSet") == [capabilities]
    assert unit_values("LimitMEMLOCK") == ["infinity"]
    some = ",".join("+" + one.removeprefix("CAP_").lower() for one in capabilities.split())
    limit = ["prlimit", "--memlock=unlimited"]
    if run([*limit, "true"]).returncode != 0:
        # this machine lets nobody raise it; the capability has the same effect
        limit, some = [], some + ",+ipc_lock"
    prefix = [*limit, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
              f"--bounding-set=-all,{some}", f"--inh-caps=-all,{some}", f"--ambient-caps=-all,{some}", "--no-new-privs"]
    seen = run([*prefix, program("fastpath"), "--version"])
    if seen.returncode != 0:
        pytest.skip(f"user 65534 cannot run {program('fastpath')}: {seen.stderr.strip()}")
    directory = tempfile.mkdtemp(prefix="fastpath-service.")
    wire = make_wire()
    one = Engine(wire.appliance, directory, prefix=prefix, environment={"XDG_RUNTIME_DIR": directory})
    request.node.engines = [one]
    for path in [directory, *glob.glob(directory + "/*")]:
        os.chown(path, 65534, 65534)
    yield wire, one
    one.close()
    shutil.rmtree(directory)


@needs("setpriv")
def test_unit_privileges_are_enough(service):
    """with exactly the unit's capabilities, under another user, an engine opens its port, receives and journals"""
    wire, engine = service
    engine.start()
    senders.send_keyed(wire, checks.make_events(500), rate=5000)
    wait_for(lambda: engine.stats()["fast_path_count"] >= 500, 30, lambda: engine.stats())
    with open(f"/proc/{engine.pid}/status", encoding="ascii") as file:
        status = dict(line.split(":", 1) for line in file)
    assert status["Uid"].split() == ["65534"] * 4
    assert int(status["CapEff"], 16) == 0, "it keeps none of them"
    engine.stop()


@needs("mandoc")
@pytest.mark.parametrize("page", PAGES.values())
def test_manual_is_clean(page):
    """neither mandoc nor groff has anything to say"""
    result = run(["mandoc", "-T", "lint", "-W", "warning", os.path.join(ROOT, page)])
    assert result.stdout + result.stderr == ""
    if shutil.which("man") is None:
        pytest.skip("no man: mandoc has nothing to say; scripts/deps.sh package installs it")
    result = run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", os.path.join(ROOT, page)],
                 env={**os.environ, "MANROFFSEQ": "", "MANWIDTH": "80"})
    assert result.returncode == 0 and result.stderr == ""


@pytest.mark.parametrize("name", PAGES)
def test_manual_has_every_option(name):
    """the manual names the options of --help, all of them and no others"""
    with open(os.path.join(ROOT, PAGES[name]), encoding="utf-8") as file:
        text = file.read()
    named = {"--" + one for one in re.findall(r"Fl -([a-z][a-z-]*)", text)}
    hidden = {"--help-markdown"} if name == "fastpath" else set()
    assert named - hidden == options_of(name)
    if name == "fastpathctl":
        for one in commands():
            assert re.search(rf"^\.It Cm {one}\b", text, re.M), one


@pytest.mark.parametrize("name", PAGES)
def test_completion_has_every_option(name):
    """each option of --help is offered somewhere, and nothing else"""
    if name == "fastpathctl":
        offered = complete(name, "--")
        for one in commands():
            offered |= complete(name, one, "--")
        for one in JOURNAL:
            offered |= complete(name, "journal", one, "--")
        assert complete(name, "") - {"--help", "--version"} == set(commands())
        assert complete(name, "journal", "") - {"--help"} == set(JOURNAL)
        for one in commands():
            if one != "journal":
                missing = options_in(help_of(name, one)) - complete(name, one, "--")
                assert missing == set(), one
    else:
        offered = complete(name, "--")
    assert {one for one in offered if one.startswith("--")} - {"--help-markdown"} == options_of(name)


def test_completion_of_values():
    """begun words are finished, values follow their options, and nothing is offered where anything may stand"""
    assert complete("fastpathctl", "assi") == {"assign", "assignments"}
    assert complete("fastpathctl", "status", "--u") == {"--url"}
    assert complete("feedsim", "--codec", "j") == {"json"}
    assert "lo" in complete("feedsim", "--interface", "l")
    assert complete("fastpath", "--config", "/etc/pass") >= {"/etc/passwd"}
    assert complete("feedsim", "--rate", "") == set()


def test_release_workflow():
    """it starts at version tags only, its commands are shell, and the scripts that it calls are here"""
    with open(os.path.join(ROOT, ".github/workflows/release.yml"), encoding="utf-8") as file:
        flow = yaml.safe_load(file)
    # YAML takes `on` for a truth value
    assert flow[True] == {"push": {"tags": ["v[0-9]*"]}}
    assert flow["permissions"] == {"contents": "read"} and flow["jobs"]["release"]["needs"] == "build"
    commands_run = [step["run"] for job in flow["jobs"].values() for step in job["steps"] if "run" in step]
    for one in commands_run:
        assert run(["bash", "-n", "-c", one]).returncode == 0, one
        for script in re.findall(r"scripts/[\w-]+\.sh", one):
            assert os.access(os.path.join(ROOT, script), os.X_OK), script
    assert any("make deb" in one for one in commands_run) and any("git archive" in one for one in commands_run)


def package():
    """the one of the last commit; an older one says nothing about it"""
    made = glob.glob(os.path.join(ROOT, "build/deb/fastpath_*.deb"))
    head = run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"]).stdout.strip()
    changelogs = glob.glob(os.path.join(ROOT, "build/deb/fastpath-*/debian/changelog"))
    if not made or not changelogs:
        return None
    with open(changelogs[0], encoding="utf-8") as file:
        return made[0] if f"Built from {head}." in file.read() else None


@pytest.mark.skipif(SANITIZED, reason="the package is never sanitized")
@pytest.mark.skipif(os.environ.get("SOAK", "0") != "1" and package() is None,
                    reason="no package of the last commit in build/deb: `make deb` builds it, SOAK=1 does so here")
@pytest.mark.timeout(1200)
def test_package_in_a_clean_system():
    """built, clean to lintian, installed by apt in a new debootstrap root, it runs there; and goes when purged"""
    if package() is None:
        for tool in ["dpkg-buildpackage", "dh", "lintian"]:
            if shutil.which(tool) is None:
                pytest.skip(f"no {tool}: scripts/deps.sh package installs it")
        built = subprocess.run(["make", "-C", ROOT, "deb"], capture_output=True, text=True, timeout=900, check=False)
        assert built.returncode == 0, built.stdout + built.stderr
    result = subprocess.run([os.path.join(ROOT, "scripts/check-deb.sh"), package()], capture_output=True, text=True,
                            timeout=900, check=False)
    print(result.stdout)
    if result.returncode == 77:
        pytest.skip(result.stdout.strip().splitlines()[-1])
    assert result.returncode == 0, result.stdout + result.stderr
    assert "check-deb: systemd-analyze verify: ok" in result.stdout
