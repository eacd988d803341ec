"""Faults in a cluster of three: what is killed, stopped, cut off or rebooted while applications serve; after each the invariants of SECURITY
section 4 hold (tests/fault/invariants.py). VIKING_FAULTS=all: every stage and order, not only some of each.
"""
import base64
import contextlib
import ctypes
import http.client
import json
import os
import re
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
from lib import Load, UnixConnection, engine, inspected, wait_for  # noqa: E402

ALL = os.environ.get("VIKING_FAULTS") == "all"
LEASE_S, GRACE_S = 3, 5
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

    def history(self):
        """Every write to etcd since its first: [(revision, key, value or None)]."""
        body = json.dumps({"create_request": {"key": "L3Zpa2luZy8=", "range_end": "L3Zpa2luZzA=", "start_revision": 1}})
        out = self.c.lab("exec", "switch", "curl", "-s", "-m", "2", "-d", body, self.c.etcd.url + "/v3/watch", check=False)
        return [(int(e["kv"]["mod_revision"]), text(e["kv"]["key"])[len("/viking"):], None if e.get("type") == "DELETE" else text(e["kv"]["value"]))
                for line in out.splitlines() for e in json.loads(line)["result"].get("events", [])]


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


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = Cluster(3, **{"etcd.lease": f"{LEASE_S}s", "cluster.host_grace": f"{GRACE_S}s", "deploy.drain": "1s"})
        cls.addClassCleanup(cls.c.down)
        cls.view = View(cls.c)
        for h in cls.c.names:
            wait_for("the registry for " + h, lambda: cls.c.lab("exec", h, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "3",
                                                                "http://127.0.0.1:5000/v2/", check=False) == "401", PATIENCE)
        cls.trees, cls.texts, cls.n = {}, {}, 0
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
        self.started = time.monotonic()

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
        Faults.n += 1
        p = self.c.lab.start(host, "viking", "config:set", "app", f"N={self.n}", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return self.c.finished(p, False) if wait else p

    def accepted(self, not_=()):
        """The next command that a host takes."""
        hosts = [h for h in self.view.on if h not in not_]

        def changed():
            Faults.n += 1
            return any(self.c.viking(h, "hosts:label", "h1", f"r{self.n}").status == 0 for h in hosts)
        wait_for("a command is accepted", changed, PATIENCE)

    def other(self, *hosts):
        return next(h for h in self.c.names if h not in hosts)

    # ---- bad input ----

    def test_0_what_no_host_can_take_is_refused(self):
        for extra, words in (("hosts: [nowhere]", "nowhere"), ("roles: [nobody]", "nobody"), ("cpus: 1000", "cpu on 3 hosts short"),
                             ("scale: 4, spread: hard", "no host for web.4")):
            with self.subTest(extra):
                tree = self.c.tree({"vikingfile": 'deploy:\n  web: {image: "base", run: /bin/busybox sleep 1000, %s}\n' % extra})
                r = self.c.push(tree, "bad", check=False)
                self.assertNotEqual(0, r.status)
                self.assertIn(words, r.err)
        self.steady()

    def test_0_a_group_whose_volumes_are_apart(self):
        one = 'deploy:\n  %s: {image: "base", run: /bin/busybox sleep 1000, volumes: [/data], healthcheck: none, %s}\n'
        tree = self.c.tree({"vikingfile": one % ("a", "hosts: [h1]") + (one % ("b", "hosts: [h2]")).replace("deploy:\n", "")})
        self.c.push(tree, "pins")
        self.addCleanup(self.c.viking, "h1", "stacks:destroy", "pins", "--force")
        self.c.change(tree, {"vikingfile": one % ("a", "group: g") + (one % ("b", "group: g")).replace("deploy:\n", "")})
        r = self.c.push(tree, "pins", check=False)
        self.assertIn("group g cannot be on one host: its volumes are on h1 and h2", r.err)

    # ---- killed ----

    def killed_at(self, stage, host, comm):
        victims = self.view.pids(host, comm)
        self.assertTrue(victims, comm)
        at = AtStage(self.view, stage, lambda: [os.kill(pid, signal.SIGKILL) for pid in victims])
        p = self.deploy(self.other(host), wait=False)
        self.assertTrue(at.hit.wait(PATIENCE), f"stage {stage} was not seen")
        start = time.monotonic()
        self.c.finished(p, False)
        return start

    def test_1_the_leader_is_killed_in_a_deploy(self):
        for stage in ("s8", "s9", "s10", "s11", "s12") if ALL else ("s10",):
            with self.subTest(stage):
                start = self.killed_at(stage, self.c.wait_leader(), "viking-scheduler")
                self.accepted()
                self.say(f"leader killed at {stage}, next command accepted after", time.monotonic() - start)
                self.steady()

    def test_1_an_agent_is_killed_in_a_deploy(self):
        for stage in ("s9", "s10", "s11") if ALL else ("s10",):
            with self.subTest(stage):
                self.killed_at(stage, self.other(self.c.wait_leader()), "viking-agent")
                self.steady()

    def test_1_etcd_is_killed_in_a_deploy(self):
        for stage in ("s8", "s10", "s12") if ALL else ("s10",):
            with self.subTest(stage):
                at = AtStage(self.view, stage, self.c.etcd.kill)
                p = self.deploy(self.c.leader(), wait=False)
                self.assertTrue(at.hit.wait(PATIENCE))
                self.c.etcd.start()
                self.c.finished(p, False)
                self.accepted()
                self.steady()

    # ---- stopped ----

    def test_2_a_leader_that_slept_writes_nothing(self):
        old = self.c.wait_leader()
        epoch = self.c.api(old, "GET", "/v1/cluster")[1]["leader"]["epoch"]
        pid, = self.view.pids(old, "viking-scheduler")
        os.kill(pid, signal.SIGSTOP)
        try:
            self.view.on.remove(old)
            wait_for("another leads", lambda: any(self.leads(h) not in (None, old) for h in self.view.on), PATIENCE)
            late = UnixConnection(os.path.join(self.view.root, old, "run/viking/api.sock"), timeout=60)
            late.request("PATCH", "/v1/stacks/app/config", json.dumps({"set": {"SLEPT": "1"}}))
        finally:
            os.kill(pid, signal.SIGCONT)
            self.view.on.append(old)
        with contextlib.suppress(OSError, http.client.HTTPException):
            # it may have begun to answer before it knew; what it did not do is the change
            answer = late.getresponse()
            self.assertFalse(answer.status == 200 and json.loads(answer.read().split(b"\n")[-2])["end"]["ok"])
        self.steady()
        self.assertNotIn("SLEPT", [key for _, key, _ in self.view.history() if "SLEPT" in key])
        self.assertGreater(self.c.api(self.c.leader(), "GET", "/v1/cluster")[1]["leader"]["epoch"], epoch)

    def not_h3(self):
        """A leader that is not h3. One that is killed leads again at once; one that sleeps does not."""
        if self.c.wait_leader() == "h3":
            pid, = self.view.pids("h3", "viking-scheduler")
            os.kill(pid, signal.SIGSTOP)
            try:
                wait_for("another leads", lambda: self.leads("h1") not in (None, "h3"), PATIENCE)
            finally:
                os.kill(pid, signal.SIGCONT)
        return self.leads("h1")

    def leads(self, host):
        with contextlib.suppress(OSError):
            status, answer = self.c.api(host, "GET", "/v1/cluster")
            return answer["leader"]["host"] if status == 200 else None

    def test_2_etcd_is_silent(self):
        """A lost majority: applications and their restarts go on, changes are refused with the reason."""
        self.c.etcd.kill(signal.SIGSTOP)
        try:
            leader = next(h for h in self.c.names if self.leads(h) == h)
            wait_for("it is noticed", lambda: self.c.api(leader, "GET", "/v1/cluster")[1]["away"], PATIENCE)
            r = self.deploy(leader)
            self.assertEqual(6, r.status, r)
            self.assertIn("nothing can be changed now", r.err)
            path, web = next((path, c) for path in self.view.engines().values() for c in inspected("viking.stack=app", path)
                             if c["Config"]["Labels"].get("viking.node") == "web")
            engine("POST", f"/containers/{web['Id']}/kill", path=path)
            wait_for("its agent starts it again", lambda: [c for c in inspected("viking.stack=app", path) if c["Name"] == web["Name"] and
                                                           c["State"]["Running"] and c["State"]["StartedAt"] != web["State"]["StartedAt"]],
                     PATIENCE)
        finally:
            self.c.etcd.start()
        self.accepted()
        self.steady()

    # ---- cut off ----

    def test_3_the_leader_is_cut_off_from_the_store(self):
        for one_way in ((), ("--one-way",)) if ALL else (("--one-way",),):
            with self.subTest(one_way):
                old = self.c.wait_leader()
                start = time.monotonic()
                self.c.lab("partition", "switch", old, *one_way)
                try:
                    wait_for("another leads", lambda: any(self.leads(h) not in (None, old) for h in self.c.names if h != old), PATIENCE)
                    self.accepted(not_=[old])
                    self.say("leader cut off, next command accepted after", time.monotonic() - start)
                finally:
                    self.c.lab("heal")
                self.steady()

    def test_3_a_host_is_cut_off(self):
        leader = self.not_h3()
        with LabLoad(self.c, leader, "app") as app, LabLoad(self.c, leader, "other") as other:
            for h in ("h1", "h2", "switch"):
                self.c.lab("partition", h, "h3")
            try:
                db = wait_for("h3 is lost", lambda: next((i for i in self.view.json("ps", "app")["instances"]
                                                          if i["node"] == "db" and i["state"] == "delayed"), None), PATIENCE)
                self.assertEqual("pinned to h3, which is lost", db["reason"])
                wait_for("what can go runs elsewhere", lambda: all(i["host"] != "h3" and i["health"] == "healthy" for s in STACKS for i in
                                                                   self.view.json("ps", s)["instances"] if i["node"] == "web"), PATIENCE)
            finally:
                self.c.lab("heal")
            self.steady()
        for load, stack in ((app, "app"), (other, "other")):
            # packets are lost without a word: what was on its way to h3 may fail, but nobody gets another's page
            print(f"{load.failed} of {load.sent} requests failed while h3 was cut off", flush=True)
            wrong = [b for b in load.bodies if any(page.encode() in b for s, page in STACKS.items() if s != stack)]
            self.assertEqual([], wrong, "V9: answers of another")

    # ---- off ----

    def test_4_two_machines_of_one_name(self):
        """h3 as a copy of h2, certificate and all."""
        self.not_h3()
        extra = os.path.join(self.view.root, "h3/etc/viking/conf.d/zz.yml")
        with open(extra, "w") as f:
            f.write("host.name: h2\n")
        self.addCleanup(self.c.lab, "reboot", "h3")
        self.addCleanup(self.c.ca.install, "h3", os.path.join(self.view.root, "h3"))
        self.addCleanup(lambda: os.path.exists(extra) and os.unlink(extra))
        self.c.ca.install("h2", os.path.join(self.view.root, "h3"))
        self.c.lab("reboot", "h3")
        # whichever came first stays: h2's own agent may have been between two connections
        wait_for("one is told why", lambda: any(re.search("another machine (is connected|leads this cluster) as host h2", self.c.log(h, 4000)) for h in ("h3", "h2")), PATIENCE)
        os.unlink(extra)
        self.c.ca.install("h3", os.path.join(self.view.root, "h3"))
        self.c.lab("reboot", "h3")
        self.accepted()
        self.steady(rebooted=True)

    def test_5_reboots_in_any_order(self):
        orders = ("123", "132", "213", "231", "312", "321") if ALL else ("321",)
        with contextlib.ExitStack() as stack:
            loads = [(stack.enter_context(LabLoad(self.c, h, s)), s) for h in self.c.names for s in STACKS]
            for order in orders:
                with self.subTest(order):
                    for h in self.c.names:
                        self.c.lab("off", h)
                    start = time.monotonic()
                    for n in order:
                        self.c.lab("reboot", "h" + n)
                    self.steady(rebooted=True)
                    self.say(f"reboot in order {order}, all back after", time.monotonic() - start)
        for load, s in loads:
            self.assertGreater(load.bodies.get((STACKS[s] + "\n").encode(), 0), 0)
            wrong = [b for b in load.bodies if any(page.encode() in b for other, page in STACKS.items() if other != s)]
            self.assertEqual([], wrong, "V9: answers of another")


if __name__ == "__main__":
    unittest.main(verbosity=2)
