"""The part `swarm` of the scoreboard: viking and Docker Swarm on the same three engines of the lab (tests/lab), each at its defaults but for
viking's cluster.host_grace, which is set to what Swarm waits for a silent node (three heartbeats of 5 s). A time runs from the command to the
last container running, as the engines say it."""
import os
import statistics
import sys
import time

import lib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lab"))
from cluster import Cluster  # noqa: E402

SLEEP = ("/bin/busybox", "sleep", "100000")
GRACE_S = 15
NODE = 'deploy:\n  web: {image: base, run: /bin/busybox sleep 100000, healthcheck: none, stop_timeout: 1s}\n'


class Side:
    """A service of one kind of container; `label` finds its containers."""

    def __init__(self, cluster, label):
        self.c, self.label = cluster, label

    def on(self, host):
        return {c["Id"] for c in lib.containers(self.label, self.c.hosts[host]["engine"]) if c["State"] == "running"}

    def running(self, hosts):
        return set().union(*(self.on(h) for h in hosts))

    def time(self, act, done, hosts=None):
        hosts = hosts or self.c.names
        start = time.monotonic()
        act()
        lib.wait_for("all to run", lambda: done(self.running(hosts)), 300)
        return time.monotonic() - start

    def scaled(self, n):
        return self.time(lambda: self.scale(n), lambda now: len(now) == n)

    def updated(self):
        before = self.running(self.c.names)
        return self.time(self.update, lambda now: len(now) == len(before) and not now & before)


class Viking(Side):
    def __init__(self, cluster):
        super().__init__(cluster, "viking.stack=app")
        cluster.push(cluster.tree({"vikingfile": NODE}), "app")

    def scale(self, n):
        self.c.viking("h1", "ps:scale", "app", f"web={n}", check=True)

    def update(self):
        self.c.viking("h1", "config:set", "app", f"AT={time.monotonic_ns()}", check=True)


class Swarm(Side):
    def __init__(self, cluster):
        super().__init__(cluster, "com.docker.swarm.service.name=web")
        self.docker("swarm", "init", "--advertise-addr", cluster.address("h1"))
        token = self.docker("swarm", "join-token", "-q", "worker")
        for h in cluster.names[1:]:
            cluster.lab("exec", h, "docker", "swarm", "join", "--token", token, cluster.address("h1") + ":2377")
        # all new ones before the old go, as viking does
        self.docker("service", "create", "-d", "-q", "--name", "web", "--no-resolve-image", "--stop-grace-period", "1s",
                    "--update-parallelism", "0", "--update-order", "start-first", "base", *SLEEP)

    def docker(self, *words):
        return self.c.lab("exec", "h1", "docker", *words)

    def scale(self, n):
        self.docker("service", "scale", "-d", f"web={n}")

    def update(self):
        self.docker("service", "update", "-d", "-q", "--force", "web")


def rows(row, pairs):
    c = Cluster(3, up=("--swarm",), **{"cluster.host_grace": f"{GRACE_S}s", "deploy.drain": "1s"})
    try:
        sides = Viking(c), Swarm(c)
        for name, goal, n, act in (("scale 1 to 50", 0.8, 50, lambda s: s.scaled(50)), ("rolling update of 20", None, 20, Side.updated)):
            ratios, times = [], ([], [])
            for _ in range(pairs):
                for k, side in enumerate(sides):
                    side.scaled(20 if act is Side.updated else 1)
                    times[k].append(act(side))
                ratios.append(times[0][-1] / times[1][-1])
            row(f"swarm: {name}", statistics.median(ratios), "ratio", goal, pairs, min(ratios), max(ratios),
                f"Docker Swarm {statistics.median(times[1]):.1f} s, viking {statistics.median(times[0]):.1f} s")
        start = time.monotonic()
        for h in ("h1", "h2", "switch"):  # silent, as after a power cut
            c.lab("partition", "h3", h)
        took = {}

        def back():
            for side in sides:
                if side not in took and len(side.running(["h1", "h2"])) == 20:
                    took[side] = time.monotonic() - start
            return len(took) == len(sides)
        lib.wait_for("all replacements", back, 300)
        row("swarm: host lost, all replaced", took[sides[0]] / took[sides[1]], "ratio", 0.5, 1,
            yardstick=f"Docker Swarm {took[sides[1]]:.1f} s, viking {took[sides[0]]:.1f} s, both grace {GRACE_S} s")
    finally:
        c.down()
