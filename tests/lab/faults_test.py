"""Faults in a cluster of three: what is killed, stopped, cut off or rebooted while applications serve; after each the invariants of SECURITY
section 4 hold (tests/fault/invariants.py). VIKING_FAULTS=all: every stage and order, not only some of each.
"""
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import time
import unittest

from faults import ALL, PATIENCE, STACKS, AtStage, FaultCase, LabLoad
from lib import UnixConnection, engine, inspected, wait_for


class Faults(FaultCase):
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

    # ---- images ----

    def test_0_hosts_pull_at_the_same_time(self):
        """While the registry is silent both hosts without the image are seen to pull it; a host that has it asks nobody."""
        tree = self.c.app("pulled", vikingfile="deploy:\n  web: {scale: 1, spread: hard, healthcheck: /}\n")
        self.c.push(tree, "pulls")
        self.addCleanup(lambda: self.c.viking(self.c.leader(), "stacks:destroy", "pulls", "--force"))
        first, = self.view.json("ps", "pulls")["instances"]
        self.assertIn("@sha256:", self.view.inspected("viking.stack=pulls")[0]["Config"]["Image"])
        image, = {c["Image"] for c in self.view.inspected("viking.stack=pulls")}
        for host, path in self.view.engines().items():
            if host != first["host"]:
                engine("DELETE", f"/images/{image}?force=1", path=path)
        registry, = self.view.pids("h1", "docker-registry")
        os.kill(registry, signal.SIGSTOP)
        try:
            p = self.c.lab.start("h1", "viking", "scale", "pulls", "web=3", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.addCleanup(p.kill)
            wait_for("two hosts pull", lambda: {i["host"] for i in self.view.json("ps", "pulls")["instances"] if i["state"] == "pulling"} ==
                     set(self.c.names) - {first["host"]}, PATIENCE)
            r = self.deploy("h2")
            self.assertEqual(0, r.status, r)
        finally:
            os.kill(registry, signal.SIGCONT)
        self.assertEqual(0, self.c.finished(p, False).status)
        self.steady()

    # ---- killed ----

    def test_1_the_leader_is_killed_in_a_deploy(self):
        for stage in ("s8", "s9", "s10", "s11", "s12") if ALL else ("s10",):
            with self.subTest(stage):
                start = self.killed_at(stage, self.c.wait_leader(), "viking-scheduler")
                self.accepted()
                self.say(f"leader killed at {stage}, next command accepted after", time.monotonic() - start)
                self.steady()

    def test_1_the_leader_is_killed_in_a_push(self):
        for stage in ("s3", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s4", "s12") if ALL else ("s7",):
            with self.subTest(stage):
                self.killed_at(stage, self.c.wait_leader(), "viking-scheduler", self.push)
                self.accepted()
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
            time.sleep(60 if ALL else 0)
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
                self.c.lab("partition", "switch", old, *one_way)
                start = time.monotonic()
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
