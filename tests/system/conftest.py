# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the system tests: the real programs on real packets in network namespaces.

    wire     one appliance and one feed namespace joined by a veth (make_wire(...) for others)
    engine   make_engine: engine(settings, huge=..., wire=...) gives an appliance.Engine, not yet started
    broker   a real Kafka broker, one for the session
    huge     False and True in turn; True is skipped where there are no hugepages

SOAK=1 runs the full counts; FASTPATH_BUILD names another build directory.
"""
import contextlib
import os
import subprocess
import sys
import uuid

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import appliance  # noqa: E402
import bridge  # noqa: E402
import hugepages  # noqa: E402
import kafka  # noqa: E402
import sandbox  # noqa: E402

SOAK = os.environ.get("SOAK", "0") == "1"
_state = {"refused": None, "no_huge": None}
_open = contextlib.ExitStack()


def pytest_configure(config):
    config.addinivalue_line("markers", "soak: takes long; runs with SOAK=1 only")
    _state["refused"] = sandbox.enter()
    if _state["refused"]:
        _state["no_huge"] = _state["refused"]
    elif hasattr(config, "workerinput"):  # the run has reserved them
        _state["no_huge"] = hugepages.available()
    else:
        _state["no_huge"] = _open.enter_context(hugepages.reserved())


def pytest_unconfigure():
    _open.close()


def pytest_report_header(config):
    return [f"programs: {appliance.BUILD}" + (" (sanitized)" if appliance.SANITIZED else ""),
            f"counts: {'full (SOAK=1)' if SOAK else 'CI'}",
            f"etcd: {os.environ.get('FASTPATH_ETCD', 'as installed')}",
            f"hugepages: {_state['no_huge'] or 'yes'}"]


def pytest_collection_modifyitems(items):
    for item in items:
        if _state["refused"]:
            item.add_marker(pytest.mark.skip(reason=_state["refused"]))
        elif item.get_closest_marker("soak") and not SOAK:
            item.add_marker(pytest.mark.skip(reason="SOAK=1 only"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """a failing test leaves its engines' logs in the report"""
    report = (yield).get_result()
    if report.failed:
        for one in getattr(item, "engines", []):
            for start in range(1, one.starts + 1):
                path = os.path.join(one.directory, f"engine-{start}.log")
                if os.path.exists(path):
                    with open(path, encoding="utf-8", errors="replace") as file:
                        text = file.read()
                    report.sections.append((f"{report.when}: {path}", text[-20000:]))


@pytest.fixture(scope="session")
def soak():
    return SOAK


@pytest.fixture(params=[False, True], ids=["no-huge", "huge"])
def huge(request):
    if request.param and _state["no_huge"]:
        pytest.skip(f"no hugepages: {_state['no_huge']}")
    return request.param


@pytest.fixture(scope="session")
def one_broker(tmp_path_factory):
    """a real Kafka broker; skipped by name and reason where its jars cannot be had, unless REQUIRE_KAFKA=1"""
    refused = kafka.fetch()
    if refused and os.environ.get("REQUIRE_KAFKA") == "1":
        pytest.fail(f"REQUIRE_KAFKA=1: {refused}")
    if refused:
        pytest.skip(refused)
    one = kafka.Broker(tmp_path_factory.mktemp("broker"))
    yield one
    one.close()


@pytest.fixture
def broker(one_broker):
    """it runs, whatever the last test did with it"""
    if one_broker.process.poll() is not None:
        one_broker.start()
    return one_broker


@pytest.fixture
def topic():
    return "t" + uuid.uuid4().hex[:10]


@pytest.fixture
def kwire(make_wire, broker):
    wire = make_wire()
    broker.attach(wire.appliance)
    return wire


@pytest.fixture
def make_wire():
    """make_wire(ports=1, ipv6=False, mtu=1500, queues=1): a Wire, taken down after the test"""
    made = []

    def make(**options):
        made.append(sandbox.Wire(**options))
        return made[-1]
    yield make
    for wire in made:
        wire.close()


@pytest.fixture
def wire(make_wire):
    return make_wire()


@pytest.fixture
def netns():
    """one namespace, without a wire: for tests of HTTP and of starts"""
    one = sandbox.Netns("n")
    yield one
    one.close()


@pytest.fixture
def make_engine(request, tmp_path):
    """make_engine(netns_or_wire, settings, huge=False, environment={}, prefix=[]): not started yet"""
    made = request.node.engines = []

    def make(where, settings=None, **options):
        directory = tmp_path / f"engine{len(made)}"
        made.append(appliance.Engine(getattr(where, "appliance", where), directory, settings, **options))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture
def engine(make_engine, wire):
    """a running appliance with its defaults, on net_af_packet"""
    return make_engine(wire).start()


@pytest.fixture
def quiet(make_engine, netns, broker, topic):
    """a bridge without ports: POST only; not started"""
    broker.attach(netns)
    return make_engine(netns, {"dataplane": {"enable": 0}, "port nic0": None, "feed ticks": None}
                       | bridge.settings(broker, topic))


@pytest.fixture
def http_engine(make_engine, netns):
    """a running appliance without ports: HTTP ingress only"""
    return make_engine(netns, {"dataplane": {"enable": 0}, "port nic0": None, "feed ticks": None}).start()


@pytest.fixture
def faults(tmp_path):
    """(environment for the engine, fault(name, on)): system calls that fail while they are told to"""
    shim = tmp_path / "fault.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", shim,
                    os.path.join(os.path.dirname(os.path.abspath(__file__)), "fault.c")], check=True)
    directory = tmp_path / "faults"
    directory.mkdir()

    def fault(name, on):
        if on:
            (directory / name).touch()
        else:
            (directory / name).unlink()
    environment = {"LD_PRELOAD": str(shim), "FAULT_DIR": str(directory)}
    if appliance.SANITIZED:
        environment["ASAN_OPTIONS"] = "verify_asan_link_order=0:detect_leaks=1:exitcode=99"
    return environment, fault
