"""The part `swarm` of the scoreboard: viking and Docker Swarm on the same three engines of the lab (tests/lab), each at its defaults. Both run a
service without ports whose instances find each other by name: a stack's network of viking's, an overlay network of Swarm's (as `docker stack
deploy` makes one for each stack). A time runs from the command to the moment at which the engines run what is wanted, as their events say it.
"""
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse

import lib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lab"))
from cluster import Cluster  # noqa: E402

SLEEP = ("/bin/busybox", "sleep", "100000")
NODE = 'deploy:\n  worker: {image: base, run: /bin/busybox sleep 100000, healthcheck: none, stop_timeout: 1s}\n'


class Running:
    """The running containers of a label, host by host, as the engines' events tell: listing them time and again would load what is measured."""

    def __init__(self, label, hosts):
        self.now, self.changed = {h: set() for h in hosts}, threading.Condition()
        for h, host in hosts.items():
            events = lib.UnixConnection(host["engine"], timeout=None)
            events.request("GET", "/events?filters=" + urllib.parse.quote(json.dumps(
                {"type": ["container"], "label": [label], "event": ["start", "die"]})))
            answer = events.getresponse()
            self.now[h] = {c["Id"] for c in lib.containers(label, host["engine"]) if c["State"] == "running"}
            threading.Thread(target=self.follow, args=(self.now[h], answer), daemon=True).start()

    def follow(self, now, answer):
        with contextlib.suppress(OSError, http.client.HTTPException):  # the engine ends with the lab
            for line in answer:
                event = json.loads(line)
                with self.changed:
                    (now.add if event["Action"] == "start" else now.discard)(event["Actor"]["ID"])
                    self.changed.notify_all()

    def on(self, hosts):
        return set().union(*(self.now[h] for h in hosts))

    def wait(self, hosts, done, start):
        """Seconds since start when done(those that run)."""
        with self.changed:
            assert self.changed.wait_for(lambda: done(self.on(hosts)), 300), f"after 300 s {len(self.on(hosts))} run"
        return time.monotonic() - start


class Side:
    """A service of one kind of container; `label` finds its containers."""

    def __init__(self, cluster, label):
        self.c, self.running = cluster, Running(label, cluster.hosts)

    def time(self, words, done):
        """To the moment at which the engines run what is wanted; a command that goes on for longer is waited for, not counted."""
        start = time.monotonic()
        p = self.c.lab.start("h1", *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        took = self.running.wait(self.c.names, done, start)
        self.c.finished(p, check=True)
        return took

    def scaled(self, n):
        return self.time(self.scale(n), lambda now: len(now) == n)

    def spread(self):
        """20 on all hosts; one that has just come back is perhaps not used at once."""
        lib.wait_for("20 on all hosts", lambda: self.scaled(1) and self.scaled(20) and all(self.running.now.values()), 300)

    def lost(self, host):
        """Silent, as after a power cut, to the last replacement on the others."""
        others = [h for h in self.c.names if h != host]
        start = time.monotonic()
        for h in (*others, "switch"):
            self.c.lab("partition", host, h)
        took = self.running.wait(others, lambda now: len(now) == 20, start)
        self.c.lab("heal")
        return took

    def updated(self):
        before = self.running.on(self.c.names)
        return self.time(self.update(), lambda now: len(now) == len(before) and not now & before)


class Viking(Side):
    def __init__(self, cluster):
        super().__init__(cluster, "viking.stack=app")
        cluster.push(cluster.tree({"vikingfile": NODE}), "app")

    def scale(self, n):
        return "viking", "ps:scale", "app", f"worker={n}"

    def update(self):
        return "viking", "config:set", "app", f"AT={time.monotonic_ns()}"


class Swarm(Side):
    def __init__(self, cluster):
        super().__init__(cluster, "com.docker.swarm.service.name=worker")
        self.docker("swarm", "init", "--advertise-addr", cluster.address("h1"))
        token = self.docker("swarm", "join-token", "-q", "worker")
        for h in cluster.names[1:]:
            cluster.lab("exec", h, "docker", "swarm", "join", "--token", token, cluster.address("h1") + ":2377")
        self.docker("network", "create", "-d", "overlay", "app")
        # all new ones before the old go, as viking does; dnsrr: a virtual IP needs IPVS, which not every kernel has
        self.docker("service", "create", "-d", "-q", "--name", "worker", "--network", "app", "--endpoint-mode", "dnsrr", "--no-resolve-image",
                    "--stop-grace-period", "1s", "--update-parallelism", "0", "--update-order", "start-first", "base", *SLEEP)

    def docker(self, *words):
        return self.c.lab("exec", "h1", "docker", *words)

    def scale(self, n):
        return "docker", "service", "scale", "-d", f"worker={n}"

    def update(self):
        return "docker", "service", "update", "-d", "-q", "--force", "worker"


def rows(row, pairs):
    c = Cluster(3, up=("--swarm",))
    try:
        sides = Viking(c), Swarm(c)
        for name, goal, before, act in (
                ("scale 1 to 50", 0.8, lambda s: s.scaled(1), lambda s: s.scaled(50)),
                ("rolling update of 20", None, lambda s: s.scaled(20), Side.updated),
                ("host lost, 20 run again", 0.5, Side.spread, lambda s: s.lost("h3"))):
            ratios, times = [], ([], [])
            for _ in range(pairs):
                for k, side in enumerate(sides):
                    before(side)
                    times[k].append(act(side))
                    side.scaled(1)
                ratios.append(times[0][-1] / times[1][-1])
            row(f"swarm: {name}", statistics.median(ratios), "ratio", goal, pairs, min(ratios), max(ratios),
                f"Docker Swarm {statistics.median(times[1]):.1f} s, viking {statistics.median(times[0]):.1f} s")
    finally:
        c.down()
