# SPDX-License-Identifier: Apache-2.0
"""POST /events beside nginx that answers 200 to the same request and does nothing: for scale."""
import contextlib
import os
import subprocess

import appliance
import cpu
import sandbox
from row import Row

GROUP = "7. HTTP"
ENGINE, NGINX = "127.0.0.1:8080", "127.0.0.1:8081"

NGINX_CONF = """\
daemon off;
worker_processes auto;
pid {directory}/pid;
error_log {directory}/error.log;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 100000000;
    server {{
        listen {address} backlog=2048;
        location / {{ default_type application/json; return 200 '{{"shard":0,"seq":1,"durable":true}}\\n'; }}
    }}
}}
"""


class Servers:
    def __init__(self, context, sync):
        self.context, self.nginx, self.engine = context, None, None
        self.wrk, nginx = context.tool("wrk"), context.unpacked("usr/sbin/nginx")
        self.netns = sandbox.Netns("h")
        try:
            self._start_nginx(nginx)
            self.engine = appliance.Engine(self.netns, context.folder("engine"), {
                "eal": {"lcores": "0@(0-1),1@(0-1)"}, "dataplane": {"enable": 0, "rx_lcores": "1", "worker_lcores": "1"},
                "port nic0": None, "feed ticks": None, "http": {"listen": ENGINE},
                "journal": {"memory_mb": 64, "segment_mb": 64, "sync": sync}}, huge=context.no_huge is None)
            self.engine.start(60)
        except BaseException:
            self.close()
            raise

    def _start_nginx(self, program):
        folder = self.context.folder("nginx")
        conf = os.path.join(folder, "nginx.conf")
        with open(conf, "w", encoding="utf-8") as file:
            file.write(NGINX_CONF.format(directory=folder, address=NGINX))
        # its workers outlive a master that is killed, but not their process namespace; without -e it wants a
        # folder that is there only where it is installed
        self.nginx = self.netns.spawn("unshare", "--pid", "--fork", "--kill-child", program, "-e",
                                      os.path.join(folder, "error.log"), "-p", folder, "-c", conf,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def answers():
            assert self.nginx.poll() is None, f"nginx ended with status {self.nginx.returncode}"
            return self.netns.run("curl", "-s", "-o", os.devnull, f"http://{NGINX}/", check=False).returncode == 0
        appliance.wait_for(answers, 30, "nginx answers")

    def load(self, address, connections):
        seconds = 5 if self.context.full else 3
        begin = cpu.Sample()
        done = self.netns.run(self.wrk, "-t", "1", "-c", connections, "-d", f"{seconds}s", "-s",
                              os.path.join(os.path.dirname(os.path.abspath(__file__)), "post.lua"), f"http://{address}",
                              timeout=seconds + 60)
        busy, took = cpu.Sample().since(begin)
        [figures] = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("figures ")]
        requests, us, errors, p50, p99 = (float(f) for f in figures)
        assert errors == 0, f"{errors:.0f} of {requests:.0f} requests failed\n{done.stdout}"
        return {"value": requests / us * 1e6, "p50 us": p50, "p99 us": p99, "busy CPUs": busy / took}

    def close(self):
        if self.engine:
            self.engine.close()
        if self.nginx:
            sandbox.kill_and_wait(self.nginx)
        self.netns.close()


@contextlib.contextmanager
def servers(context, sync):
    made = Servers(context, sync)
    try:
        yield made
    finally:
        made.close()


def post_row(context, connections, sync, full_only, factor):
    what = "durable" if sync == "group" else "journaled, sync = none"
    return Row(f"POST /events, {what}, {connections} connections", "requests/s",
               a=lambda made: made.load(ENGINE, connections), b=lambda made: made.load(NGINX, connections),
               b_label="nginx, return 200", setup=lambda: servers(context, sync), full_only=full_only,
               factor=("connections", connections) if factor else None)


def rows(context):
    yield post_row(context, 64, "group", False, True)
    yield post_row(context, 64, "none", True, False)
    for connections in (1, 16, 256):
        yield post_row(context, connections, "group", True, True)
