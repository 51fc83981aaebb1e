# SPDX-License-Identifier: Apache-2.0
"""The operator's console in a real browser. Screenshots stay in build/artifacts/console."""
import hashlib
import json
import os
import re

import pytest

import browser
import checks
import senders
from appliance import BUILD, ROOT, af_packet, wait_for

ARTIFACTS = os.path.join(BUILD, "artifacts", "console")
# a shared machine's latency is no part of these tests
CALM = {"p99_degraded_us": 1e6, "p99_unhealthy_us": 2e6, "silent_feed_s": 0, "disk_free_degraded_mb": 0}
HOSTILE = "<img src=x onerror=alert(1)>&amp;\"'"


@pytest.fixture(scope="session")
def driver():
    refused = browser.fetch()
    if refused:
        pytest.skip(refused)


class Console:
    """the page of one engine, in a browser beside it"""

    def __init__(self, engine, directory):
        self.engine = engine
        self.url = f"http://{engine.address}/"
        self.browser = browser.Browser(engine.netns, directory)
        self.expected = []  # patterns of messages that a test brings about

    def open(self, **options):
        assert self.browser.call("open", url=self.url, **options) == 200
        wait_for(lambda: self.text("#state-title") in ("Healthy", "Degraded", "Unhealthy"), 30, "the page shows a state")
        return self

    def text(self, selector):
        return self.browser.text(selector)

    def evaluate(self, script):
        return self.browser.evaluate(script)

    def press(self, *keys):
        for key in keys:
            self.browser.call("press", key=key)

    def tile(self, name):
        return self.text(f'[data-tile="{name}"]')

    def table(self, name):
        """rows of cells of a table, as they are shown"""
        return self.evaluate(f"[...document.querySelectorAll('#{name} tbody tr')].map((row) => [...row.children].map((cell) => cell.innerText))")

    def wait(self, selector, pattern, seconds=20):
        wait_for(lambda: re.search(pattern, self.text(selector) or ""), seconds,
                 lambda: f"{pattern!r} in {selector}: {self.text(selector)!r}")

    def look_up(self, key):
        self.evaluate("document.getElementById('key-input').focus()")
        self.press("Control+A", "Delete")
        self.browser.call("type", text=key)
        self.press("Enter")

    def shoot(self, name, whole=False):
        os.makedirs(ARTIFACTS, exist_ok=True)
        if whole:
            self.evaluate("scrollTo(0, 0)")
        self.browser.call("screenshot", file=os.path.join(ARTIFACTS, f"{name}.png"), whole=whole)

    def blameless(self):
        """nothing was asked of another host, and the browser had nothing to say"""
        seen = self.browser.call("seen")
        assert seen["requests"] and all(url.startswith(self.url) for url in seen["requests"]), seen["requests"]
        assert seen["errors"] == [], seen["errors"]
        messages = [message["text"] for message in seen["messages"]
                    if not any(re.search(pattern, message["text"]) for pattern in self.expected)]
        assert messages == [], messages


@pytest.fixture
def make_console(driver, tmp_path):
    made = []

    def make(engine):
        made.append(Console(engine, tmp_path / f"browser{len(made)}"))
        return made[-1]
    yield make
    for one in made:
        one.browser.close()


@pytest.fixture
def start(make_engine, wire):
    def run(**sections):
        return make_engine(wire, {"health": CALM, "port nic0": {"device": af_packet(framecnt=32768)}} | sections).start()
    return run


# ---- without a browser ----

def page_files(engine):
    html = engine.get("/").text
    paths = re.findall(r'(?:href|src)="(console/[^"]+)"', html)
    scripts = [path for path in paths if path.endswith(".js")]
    for path in scripts:
        paths += ["console/" + name for name in re.findall(r'from "\./([^"]+)"', engine.get("/" + path).text)]
    return sorted(set(paths))


def test_files(http_engine):
    """served as they are in the repository, to be kept by the client, under a strict policy; nothing names another host"""
    engine = http_engine
    paths = page_files(engine)
    assert len(paths) > 10
    for path in ["", *paths]:
        answer = engine.get("/" + path)
        assert answer.status_code == 200, path
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy, policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-cache"
        again = engine.get("/" + path, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b""), path
        assert again.headers["ETag"] == answer.headers["ETag"]
        kind = {"": "text/html", "html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml",
                "LICENSE": "text/plain"}[path.rpartition(".")[2]]
        assert answer.headers["Content-Type"].split(";")[0] == kind, path
        if "uplot" not in path:
            with open(os.path.join(ROOT, "app", "console", os.path.basename(path) or "index.html"), "rb") as file:
                assert answer.content == file.read(), path
            hosts = set(re.findall(r"https?://[^/\"' ]+", answer.text)) - {"http://www.w3.org"}
            assert not hosts, (path, hosts)
    html = engine.get("/").text
    assert not re.search(r"<script>|<style|\son\w+=|\sstyle=|javascript:", html)
    assert engine.get("/", headers={"If-None-Match": '"another"'}).status_code == 200


def test_vendored(http_engine):
    """uPlot is what its checksums say, and comes with its licence"""
    folder = os.path.join(ROOT, "third_party", "uplot")
    with open(os.path.join(folder, "SHA256SUMS"), encoding="ascii") as file:
        sums = dict(reversed(line.split()) for line in file)
    served = {"uPlot.iife.min.js": "uplot.js", "uPlot.min.css": "uplot.css", "LICENSE": "uplot.LICENSE"}
    for name, path in served.items():
        content = http_engine.get(f"/console/{path}").content
        assert hashlib.sha256(content).hexdigest() == sums[name], name
    assert "MIT" in http_engine.get("/console/uplot.LICENSE").text


def test_json(http_engine):
    """what the page asks for: the figures of /stats, and the rows that it has not"""
    engine = http_engine
    for _ in range(5):
        engine.post("A", b"1")
    engine.rest()
    wait_for(lambda: engine.get("/console.json").json()["history"]["last"] >= 3, 20, "three rows")
    answer = engine.get("/console.json").json()
    history = answer["history"]
    columns = history["columns"]
    assert len(history["rows"]) == history["last"] and all(len(row) == len(columns) for row in history["rows"])
    times = [row[columns.index("at_ms")] for row in history["rows"]]
    assert times == sorted(times) and abs(times[-1] - answer["now_ms"]) < 60000
    assert sum(count for _, _, count in answer["histograms"]["process"]) == answer["stats"]["fast_path_process_samples"]
    assert all(low < high for low, high, _ in answer["histograms"]["process"])
    assert {part["part"] for part in answer["health"]["parts"]} == set(engine.health()[1]["parts"])
    later = engine.get(f"/console.json?after={history['last']}").json()["history"]
    assert later["last"] - history["last"] == len(later["rows"])
    # a number of another engine's: all that there is
    assert len(engine.get("/console.json?after=99999999").json()["history"]["rows"]) >= history["last"]


# ---- in the browser ----

# what does not stand still, or is of the last seconds only
MOVING = re.compile(r"uptime_s|_last_rx_ns|lag_seconds|process_|http_|lcore_|disk_|events_per_second|_us$|_samples$|etcd_")


def test_figures(start, make_console, wire):
    """it shows what /stats shows, in its tables and in every figure; idle"""
    engine = start()
    senders.send_keyed(wire, checks.make_events(2000), rate=2000)
    assert engine.post("BTC", b"1").status_code == 200
    stats = engine.rest()
    console = make_console(engine).open()
    console.wait("#state-title", "^Healthy$")
    assert console.text("#engine-id") == stats["engine"]
    console.browser.call("click", selector="#figures-box summary")
    shown = wait_for(lambda: dict(console.table("figures-table")), 10, "every figure")
    now = engine.stats()
    expected = {name: value if isinstance(value, str) else json.dumps(value) for name, value in now.items()}
    assert set(shown) == set(expected)
    assert {k: v for k, v in shown.items() if not MOVING.search(k)} == {k: v for k, v in expected.items() if not MOVING.search(k)}
    assert "2,001 in all" in console.tile("Events")
    assert console.tile("Dropped").split() == "Dropped 0 in 10 s 0 since the start".split()
    feeds = {row[0]: row for row in console.table("feeds-table")}
    assert (feeds["ticks"][3], feeds["http"][3]) == ("2,000", "1")
    port = console.table("ports-table")[0]
    assert (port[0], port[1], port[5]) == ("nic0", "up", "2,000")
    assert console.table("journal-table")[0][2:4] == ["2,001", "2,001"]
    assert console.text("#laws") == "Every frame and every message is accounted for."
    console.evaluate("document.getElementById('figures-box').open = false")
    wait_for(lambda: engine.get("/console.json").json()["history"]["last"] > 20, 40, "a history")
    console.wait(".chart .legend", "0/s")
    console.shoot("idle", whole=True)
    console.browser.call("scheme", value="light")
    console.shoot("idle-light")
    console.blameless()


def test_keys(start, make_console):
    """one key, by keyboard; keys that are markup stay text; keys of the engine to click on"""
    engine = start(ownership={"mode": "static", "keys": "BTC,ETH"})
    for _ in range(7):
        assert engine.post("BTC", b"1").status_code == 200
    console = make_console(engine).open()
    console.look_up("BTC")
    console.wait("#key-answer", r"Events since the start\s+7\b")
    assert re.search(r"Owner\s+this engine", console.text("#key-answer"))
    console.look_up(HOSTILE)
    console.wait("#key-answer", re.escape(HOSTILE))
    assert console.evaluate("document.querySelectorAll('#key-answer img').length") == 0
    console.look_up("k" * 65)
    console.wait("#key-answer", "1 to 64 bytes")
    console.wait("#ownership-note", "mode static: 2 keys owned")
    keys = "[...document.querySelectorAll('#key-list button')].map((one) => one.innerText).join(' ')"
    console.look_up("E")
    wait_for(lambda: console.evaluate(keys) == "ETH", 5, "those that hold what is typed")
    console.press("Backspace")
    wait_for(lambda: console.evaluate(keys) == "BTC ETH", 5, "all of them")
    # one stop of the tabulator for all of them
    assert console.evaluate("document.querySelectorAll('#key-list button[tabindex=\"0\"]').length") == 1
    console.evaluate("document.querySelector('#key-list button').focus()")
    console.press("ArrowRight", "Enter")
    console.wait("#key-answer", r"Key\s+ETH")
    console.blameless()


def test_keys_that_are_markup(start, make_console):
    """an owned key, a feed's key: whoever sends it does not get to write the page"""
    engine = start()
    assert engine.post(HOSTILE, b"1").status_code == 200
    console = make_console(engine).open()
    console.look_up(HOSTILE)
    console.wait("#key-answer", r"Events since the start\s+1\b")
    assert HOSTILE in console.text("#key-answer")
    console.blameless()


def test_busy(start, make_console, wire):
    """a feed shows as throughput"""
    engine = start()
    feed = senders.Feedsim(wire, count=None, rate=8000)
    console = make_console(engine).open()
    console.evaluate("document.querySelector('#range input[value=\"120\"]').click()")
    wait_for(lambda: engine.get("/console.json").json()["history"]["last"] > 40, 80, "a history")
    console.wait('[data-tile="Events"] .value', r"^[5-9],\d\d\d$")
    console.wait("#feeds-table", r"ticks\s+nic0\s+[5-9],\d\d\d")
    console.shoot("busy", whole=True)
    feed.stop()
    console.blameless()


def test_burst(start, make_console, wire):
    """a burst that a ring cannot take shows as drops, with the reason and since when; it heals"""
    engine = start(dataplane={"ring_size": 256})
    feed = senders.Feedsim(wire, count=None, rate=2000)
    console = make_console(engine).open()
    console.evaluate("document.querySelector('#range input[value=\"120\"]').click()")
    wait_for(lambda: engine.get("/console.json").json()["history"]["last"] > 30, 60, "a history")
    senders.Feedsim(wire, count=400000, rate=0).sent()
    wait_for(lambda: engine.stats()["reason_ring_full"] > 0, 30, "drops")
    console.wait("#state-title", "^Unhealthy$")
    console.wait("#reasons", r"drops[\s\S]*dropped in the last 10 s[\s\S]*since \d\d:\d\d:\d\d")
    console.wait("#announcement", "Unhealthy.*dropped in the last 10 s")
    assert console.evaluate("document.title").startswith("✕ unhealthy")
    assert console.evaluate("document.querySelector('[data-tile=\"Dropped\"]').dataset.status") == "unhealthy"
    last = engine.get("/console.json").json()["history"]["last"]
    wait_for(lambda: engine.get("/console.json").json()["history"]["last"] > last + 3, 20, "a few seconds more")
    console.shoot("unhealthy", whole=True)
    console.browser.call("scheme", value="light")
    console.shoot("unhealthy-light")
    console.browser.call("scheme", value="dark")
    feed.stop()
    stats = engine.rest(60)
    wait_for(lambda: {row[0]: row[3] for row in console.table("losses-table")} ==
             {name: f"{count:,}" for name, count in checks.reasons(stats).items()}, 10, lambda: console.table("losses-table"))
    console.wait("#state-title", "^Healthy$", 40)
    console.wait("#change-list", r"drops\s+healthy[\s\S]*drops\s+unhealthy")
    console.blameless()


def test_degraded(start, make_console, wire):
    """Kafka away: amber, not red; the reason says what it is and how much waits, and events go on"""
    engine = start(kafka={"enable": 1, "bootstrap_servers": "127.0.0.1:1"})
    feed = senders.Feedsim(wire, count=None, rate=3000)
    console = make_console(engine).open()
    console.evaluate("document.querySelector('#range input[value=\"120\"]').click()")
    wait_for(lambda: engine.get("/console.json").json()["history"]["last"] > 40, 80, "a history")
    console.wait("#state-title", "^Degraded$")
    console.wait("#reasons", r"kafka[\s\S]*127\.0\.0\.1:1[\s\S]*since \d\d:\d\d:\d\d")
    assert console.evaluate("document.title").startswith("▲ degraded")
    assert console.evaluate("document.getElementById('state').dataset.status") == "degraded"
    assert console.evaluate("document.querySelector('[data-tile=\"Dropped\"]').dataset.status") != "unhealthy"
    console.shoot("degraded", whole=True)
    console.browser.call("scheme", value="light")
    console.shoot("degraded-light")
    phone = make_console(engine).open(width=390, height=844, touch=True)
    phone.wait("#state-title", "^Degraded$")
    phone.wait("#reasons", "127\\.0\\.0\\.1:1")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    phone.shoot("degraded-phone")
    feed.stop()
    # on its way out: whoever watches sees that it is meant
    engine.http.post(f"http://{engine.address}/drain?timeout=600", timeout=20)
    console.wait("#reasons", "draining before a stop")
    console.wait("#facts", r"Ready\s+draining")
    console.shoot("draining")
    engine.process.kill()
    console.expected = phone.expected = ["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"]
    console.blameless()
    phone.blameless()


def test_restart(start, make_console):
    """says that the engine is away, and since when; goes on by itself when it is back"""
    engine = start()
    for _ in range(3):
        engine.post("A", b"1")
    console = make_console(engine).open()
    console.wait('[data-tile="Events"]', "3 in all")
    console.expected = ["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"]
    engine.http.close()
    engine.stop()
    console.wait("#state-title", "^No answer from the engine$")
    console.wait("#state-since", r"Since \d\d:\d\d:\d\d, for \d+ s: the connection failed")
    console.wait("#announcement", "No answer from the engine")
    assert console.evaluate("document.body.classList.contains('stale')")
    assert console.evaluate("document.title").startswith("? no answer")
    console.shoot("away")
    engine.start()
    console.wait("#state-title", "^Healthy$", 30)
    console.wait('[data-tile="Events"]', "0 in all")
    console.wait("#change-list", r"engine\s+restarted")
    assert not console.evaluate("document.body.classList.contains('stale')")
    engine.post("A", b"1")
    console.wait('[data-tile="Events"]', "1 in all")
    assert engine.post("A", b"1").json()["seq"] == 5
    console.look_up("A")
    console.wait("#key-answer", r"Last sequence number\s+5")
    console.shoot("back")
    console.blameless()


FOCUSED = """(() => {
    const one = document.activeElement;
    const style = getComputedStyle(one.matches(".switch input") ? one.nextElementSibling : one);
    const name = one.getAttribute("aria-label") || [one.labels?.[0], one].map((node) => node?.innerText).find((text) => text?.trim()) ||
        document.getElementById(one.getAttribute("aria-labelledby") ?? "")?.innerText || "";
    return { tag: one.tagName, name: name.trim(), outline: style.outlineStyle + " " + style.outlineWidth, y: one.getBoundingClientRect().top + scrollY };
})()"""


def test_keyboard(start, make_console):
    """all of it without a pointer: every stop has a name and shows its focus"""
    engine = start()
    engine.post("A", b"1")
    console = make_console(engine).open()
    console.press("Tab")
    assert console.evaluate("document.activeElement.innerText") == "Skip to the figures"
    stops = []
    for _ in range(80):
        console.press("Tab")
        stop = console.evaluate(FOCUSED)
        if stop["tag"] == "BODY":
            break
        stops.append(stop)
    assert len(stops) > 25 and stops[-1]["name"] == "uPlot", stops
    for stop in stops:
        assert stop["name"] and stop["outline"] == "solid 3px", stop
    # switches: arrows choose
    before = console.evaluate("getComputedStyle(document.body).backgroundColor")
    console.evaluate("document.querySelector('#theme input:checked').focus()")
    console.press("ArrowRight")
    assert console.evaluate("document.documentElement.dataset.theme") == "light"
    assert console.evaluate("getComputedStyle(document.body).backgroundColor") != before
    console.press("ArrowRight")
    assert console.evaluate("document.documentElement.dataset.theme") == "dark"
    # charts: arrows read single seconds
    wait_for(lambda: engine.get("/console.json").json()["history"]["last"] > 5, 20, "a history")
    console.evaluate("document.querySelector('.plot').focus()")
    console.press("ArrowLeft", "ArrowLeft")
    console.wait(".chart .when", r"^\d\d:\d\d:\d\d$")
    console.press("Escape")
    wait_for(lambda: console.text(".chart .when") == "", 5, "the latest again")
    console.blameless()


CONTRAST = """(() => {
    const style = getComputedStyle(document.documentElement);
    const light = (name) => {
        const hex = style.getPropertyValue(name).trim();
        const channel = (i) => { const c = parseInt(hex.slice(i, i + 2), 16) / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
        return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
    };
    const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
    const pairs = [];
    for (const ground of ["--ground", "--surface", "--raised"])
        for (const ink of ["--text", "--muted"])
            pairs.push([ink, ground]);
    for (const status of ["healthy", "degraded", "unhealthy", "silent"])
        for (const ground of ["--surface", `--${status}-ground`])
            pairs.push([`--${status}`, ground], ["--text", `--${status}-ground`], ["--muted", `--${status}-ground`]);
    return pairs.map(([ink, ground]) => [`${ink} on ${ground}`, ratio(ink, ground)]);
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours(start, make_console, scheme):
    """follows the system's colours; all text has the contrast of WCAG 2, AA"""
    console = make_console(start()).open(scheme=scheme)
    body = console.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", body))) > 384) == (scheme == "light"), body
    for pair, ratio in console.evaluate(CONTRAST):
        assert ratio >= 4.5, (pair, ratio)
    # a choice holds, also after a reload
    other = "dark" if scheme == "light" else "light"
    console.evaluate(f"document.querySelector('#theme input[value={other}]').click()")
    assert console.evaluate("getComputedStyle(document.body).backgroundColor") != body
    assert console.browser.call("reload") == 200
    wait_for(lambda: console.evaluate(f"document.querySelector('#theme input[value={other}]').checked"), 20, "the choice is kept")
    assert console.evaluate("getComputedStyle(document.body).backgroundColor") != body
    console.blameless()


def test_phone(start, make_console, wire):
    """nothing is wider than a phone's screen, and what is to be hit is large enough"""
    engine = start()
    senders.send_keyed(wire, checks.make_events(1000), rate=2000)
    console = make_console(engine).open(width=390, height=844, touch=True)
    wait_for(lambda: engine.get("/console.json").json()["history"]["last"] > 10, 30, "a history")
    console.wait(".chart .legend", "/s")
    assert console.evaluate("document.documentElement.scrollWidth") <= 390
    top = json.loads(console.evaluate("JSON.stringify([...document.querySelectorAll('#state, #tiles')].map((one) => one.getBoundingClientRect().top))"))
    assert max(top) < 844, "the state and the first figures are on the first screen"
    small = console.evaluate("[...document.querySelectorAll('button, .switch label, nav a')].filter((one) => one.offsetParent)"
                             ".filter((one) => one.getBoundingClientRect().height < 24).map((one) => one.innerText)")
    assert small == []
    console.shoot("phone")
    console.shoot("phone-whole", whole=True)
    console.blameless()


def test_policy_bites(start, make_console):
    """if something got into the page all the same, the browser would not let it do anything"""
    console = make_console(start()).open()
    console.evaluate("""(() => {
        window.seen = [];
        document.addEventListener("securitypolicyviolation", (event) => window.seen.push(event.effectiveDirective));
        const image = document.createElement("img");
        image.src = "http://198.51.100.1/x.png";
        const script = document.createElement("script");
        script.append("window.pwned = 1");
        const styled = document.createElement("p");
        styled.setAttribute("style", "color: red");
        document.body.append(image, styled);
        try { document.body.append(script); } catch (error) { window.seen.push("trusted"); }
        try { styled.innerHTML = "<b>x</b>"; } catch (error) { window.seen.push("trusted"); }
    })()""")
    wait_for(lambda: {"img-src", "trusted"} <= set(console.evaluate("window.seen")), 10, lambda: console.evaluate("window.seen"))
    assert any("style" in directive for directive in console.evaluate("window.seen"))
    assert console.evaluate("window.pwned") is None
    assert console.browser.call("seen")["errors"] == []
