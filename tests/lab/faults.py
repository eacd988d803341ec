"""What the tests of faults share: a cluster as tests/fault/invariants.py sees it, load from outside, something done at a stage of a deploy."""
import base64
import contextlib
import ctypes
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fault"))
import invariants  # noqa: E402
from cluster import Cluster  # noqa: E402
from lib import Load, UnixConnection, inspected, wait_for  # noqa: E402

ALL = os.environ.get("VIKING_FAULTS") == "all"
SETTINGS = {"etcd.lease": "3s", "cluster.host_grace": "5s", "deploy.drain": "1s"}
PATIENCE = 120  # seconds, a guard against hanging
STACKS = {"app": "from app", "other": "from other"}
MANIFEST = """viking: {name: %s}
build:
  src: |
    FROM base
    COPY www /www
    CMD ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]
deploy:
  web: {image: "viking:%s/src", expose: [8080], healthcheck: /, stop_timeout: 1s, scale: 3}
  db: {image: "viking:%s/src", run: /bin/busybox sleep 100000, volumes: [/data], stop_timeout: 1s, healthcheck: none, hosts: [h3]}
"""


class View:
    """A cluster as invariants.py sees it: commands by whoever leads, containers of all engines that are on."""

    domain = "lab.test"

    def __init__(self, cluster):
        self.c, self.root = cluster, cluster.lab.dir
        self.on = list(cluster.names)
        self.since = 1

    def engines(self):
        return {h: self.c.hosts[h]["engine"] for h in self.on}

    def inspected(self, label):
        return [c for path in self.engines().values() for c in inspected(label, path)]

    def json_any(self, *words):
        r = self.c.viking(self.c.wait_leader(), *words, "--json")
        if not r.out:
            raise OSError(f"{words}: {r}")
        return json.loads(r.out)

    json = json_any

    def path(self, *parts):
        return os.path.join(self.root, "h1", *parts)

    def head(self, stack):
        p = subprocess.run(["git", "-c", "safe.directory=*", f"--git-dir={self.path('var/lib/viking/repos', stack)}.git", "rev-parse", "master"],
                           capture_output=True, text=True)
        return p.stdout.strip() or None

    def get(self, domain):
        """As each host that runs an instance answers; the first that is not 200."""
        stack, answer = domain.split(".")[0], (0, "no instance")
        for host in sorted({i["host"] for i in self.json("ps", stack)["instances"] if i["node"] == "web"}):
            body, _, status = self.c.lab("exec", "switch", "curl", "-s", "-m", "10", "-H", "Host: " + domain, "-w", "\n%{http_code}",
                                         f"http://{self.c.address(host)}/", check=False).rpartition("\n")
            answer = int(status or 0), body
            if answer[0] != 200:
                return answer[0], f"{host}: {body}"
        return answer

    def pids(self, host, comm):
        """Out here; of a host's processes."""
        inside = os.stat(f"/proc/{self.c.lab.status()[host]['init']}/ns/pid").st_ino
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as f:
                if f.read().strip() == comm[:15] and os.stat(f"/proc/{pid}/ns/pid").st_ino == inside:
                    found.append(int(pid))
        return found

    def etcd(self, path, **body):
        """One question to the store: the lines of its answer within two seconds."""
        out = self.c.lab(*self.c.etcd_curl(), "-s", "-m", "2", "-d", json.dumps(body), self.c.etcd_url() + path, check=False)
        return [json.loads(line) for line in out.splitlines()]

    def led_since(self):
        """The revision at which who leads now took the lead."""
        return int(self.etcd("/v3/kv/range", key=base64.b64encode(b"/viking/leader").decode())[0]["kvs"][0]["mod_revision"])

    def history(self):
        """Every write to etcd since the first leader here took the lead: [(revision, key, value or None)]."""
        asked = {"key": "L3Zpa2luZy8=", "range_end": "L3Zpa2luZzA=", "start_revision": self.since}
        return [(int(e["kv"]["mod_revision"]), text(e["kv"]["key"])[len("/viking"):], None if e.get("type") == "DELETE" else text(e["kv"]["value"]))
                for line in self.etcd("/v3/watch", create_request=asked) for e in line["result"].get("events", [])]


def text(b64):
    return base64.b64decode(b64).decode(errors="replace")


class LabLoad(Load):
    """Requests at one host of the lab, out of the network of its clients."""

    def __init__(self, cluster, host, stack):
        super().__init__(types.SimpleNamespace(http_address=cluster.address(host), http_port=80), f"{stack}.lab.test", rate=20)
        self.ns = "/run/netns/" + cluster.lab("exec", "switch", "ip", "netns", "identify")

    def run(self):
        with open(self.ns) as f:
            assert ctypes.CDLL(None, use_errno=True).setns(f.fileno(), 0) == 0, ctypes.get_errno()  # of this thread alone
        super().run()


class AtStage(threading.Thread):
    """Does something when a deploy of the stack comes to a stage."""

    def __init__(self, view, stage, act):
        super().__init__(daemon=True)
        self.stage, self.act, self.hit = stage, act, threading.Event()
        leader = view.c.leader()
        past = view.c.viking(leader, "events", "--json").out.split("\n")
        self.connection = UnixConnection(os.path.join(view.root, leader, "run/viking/api.sock"), timeout=PATIENCE)
        self.connection.request("GET", f"/v1/events?follow=1&stack=app&since={max(json.loads(e)['seq'] for e in past if e)}")
        self.answer = self.connection.getresponse()
        self.start()

    def run(self):
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            for line in self.answer:
                e = json.loads(line)
                if e.get("type") == "stage" and e.get("what", "").split()[0] == self.stage:
                    self.act()
                    self.hit.set()
                    return


class FaultCase(unittest.TestCase):
    """A cluster of three with two stacks; setUp and steady() of each test."""

    @classmethod
    def cluster(cls):
        return Cluster(3, **SETTINGS)

    @classmethod
    def setUpClass(cls):
        cls.c = cls.cluster()
        cls.addClassCleanup(cls.c.down)
        cls.view = View(cls.c)
        cls.view.since = cls.view.led_since()
        for h in cls.c.names:
            wait_for("the registry for " + h, lambda: cls.c.lab("exec", h, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "3",
                                                                "http://127.0.0.1:5000/v2/", check=False) == "401", PATIENCE)
        cls.trees, cls.texts, cls.numbers = {}, {}, itertools.count(1)
        for stack, page in STACKS.items():
            cls.trees[stack] = cls.c.tree({"vikingfile": MANIFEST % (stack, stack, stack), "www/index.html": page + "\n"})
            cls.texts[stack] = {cls.c.git(cls.trees[stack], "rev-parse", "HEAD").out.strip(): page}
            cls.c.push(cls.trees[stack], stack)
        cls.writers = invariants.Writers(cls.view.engines)
        cls.writers.start()
        cls.addClassCleanup(cls.writers.over.set)
        for h in cls.c.names:
            cls.c.lab("exec", h, "docker", "run", "-d", "--label", "foreign-of=" + cls.view.root.replace("/", "_"), "base", "/bin/busybox",
                      "sleep", "100000")

    def setUp(self):
        self.watched = invariants.Watched(self.view, "app")

    def say(self, figure, seconds):
        print(f"{figure}: {seconds:.1f} s", flush=True)

    def breaches(self):
        try:
            bad = [b for s in STACKS for b in invariants.v1(self.view, s, self.texts[s]) + invariants.v4(self.view, s)]
            return bad + invariants.v8(self.view, "app")
        except (OSError, ValueError, KeyError, http.client.HTTPException) as e:
            return [f"not steady yet: {e!r}"]

    def steady(self, rebooted=False):
        """After a fault: everything is back, and nothing was breached meanwhile."""
        bad = ["never looked"]
        end = time.monotonic() + PATIENCE
        while bad and time.monotonic() < end:
            bad = self.breaches()
            time.sleep(0.2 if bad else 0)
        self.assertEqual([], bad + self.writers.v7() + invariants.v6(self.view.history()) +
                         ([] if rebooted else invariants.v10(self.watched)), self.c.log(self.c.leader() or "h1"))

    def deploy(self, host, wait=True):
        """A release that replaces every instance; a process, or its end."""
        p = self.c.lab.start(host, "viking", "config:set", "app", f"N={next(self.numbers)}", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return self.c.finished(p, False) if wait else p

    def accepted(self, not_=()):
        """The next command that a host takes."""
        hosts = [h for h in self.view.on if h not in not_]

        def changed():
            label = f"r{next(self.numbers)}"
            return any(self.c.viking(h, "hosts:label", "h1", label).status == 0 for h in hosts)
        wait_for("a command is accepted", changed, PATIENCE)

    def other(self, *hosts):
        return next(h for h in self.c.names if h not in hosts)

    def push(self, host):
        """One that builds anew and shows the same page; the process."""
        tree = self.trees["app"]
        self.c.change(tree, {"www/n": f"{next(self.numbers)}\n"})
        self.texts["app"][self.c.git(tree, "rev-parse", "HEAD").out.strip()] = STACKS["app"]
        return self.c.push_begin(tree, "app", host)

    def killed_at(self, stage, host, comm, begin=None):
        victims = self.view.pids(host, comm)
        self.assertTrue(victims, comm)
        at = AtStage(self.view, stage, lambda: [os.kill(pid, signal.SIGKILL) for pid in victims])
        p = begin(self.other(host)) if begin else self.deploy(self.other(host), wait=False)
        self.assertTrue(at.hit.wait(PATIENCE), f"stage {stage} was not seen")
        start = time.monotonic()
        self.c.finished(p, False)
        return start

    def leads(self, host):
        with contextlib.suppress(OSError):
            status, answer = self.c.api(host, "GET", "/v1/cluster")
            return answer["leader"]["host"] if status == 200 else None
