"""Faults in a cluster whose hosts have the members of its etcd, as `viking join` leaves it: members killed, cut off and lost, clocks that jump.
VIKING_FAULTS=all: every stage and host, not only some of each.
"""
import contextlib
import json
import subprocess
import unittest

from faults import ALL, PATIENCE, SETTINGS, FaultCase, LabLoad
from join_test import Machines
from lib import engine, inspected, wait_for

DAY = 86400
SLOW = {"vikingfile": "deploy: {web: {expose: [8080], drain: 300s, stop_timeout: 1s, traffic: {timeout: 120s}}}\n",
        "Dockerfile": "FROM base\nCOPY www /www\nRUN [\"/bin/busybox\", \"chmod\", \"755\", \"/www/cgi-bin/slow\"]\n"
                      'CMD ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]\n',
        "www/cgi-bin/slow": "#!/bin/busybox sh\nuntil [ -e /go ]; do /bin/busybox sleep 0.2; done\n/bin/busybox printf '\\r\\n\\r\\nslow\\n'\n"}


class Members(FaultCase):
    @classmethod
    def cluster(cls):
        c = Machines(3, up=("--clock",), **SETTINGS)
        try:
            c.joined()
        except BaseException:
            c.down()
            raise
        return c

    def voters(self):
        wait_for("three voters", lambda: self.c.members(self.c.wait_leader()) == dict.fromkeys(self.c.names, "voter"), PATIENCE)

    # ---- lost ----

    def test_1_two_of_three_are_lost(self):
        for third in self.c.names if ALL else ("h3",):
            with self.subTest(third):
                self.alone(third)

    def alone(self, third):
        """Its applications and routes go on from its own copy, changes are refused; one more host, and they are taken."""
        back, last = sorted(set(self.c.names) - {third}, reverse=True)
        self.assertEqual(0, self.deploy(third).status)  # a release is placed anew: an instance on each host
        self.addCleanup(setattr, self.view, "on", self.view.on)
        self.addCleanup(self.c.lab, "up")
        self.view.on = [third]
        for host in (back, last):
            self.c.lab("off", host)
        self.assertEqual("from app", self.c.get(third, "app.lab.test"))
        with LabLoad(self.c, third, "app") as load:
            wait_for("the reason is known", lambda: "nothing can be changed now" in self.deploy(third).err, PATIENCE)
            self.assertEqual(6, self.deploy(third).status)
        self.assertEqual([], load.errors)
        path = self.c.hosts[third]["engine"]
        web = next(c for c in inspected("viking.stack=app", path) if c["Config"]["Labels"]["viking.node"] == "web")
        engine("POST", f"/containers/{web['Id']}/kill", path=path)
        wait_for("its agent starts it again", lambda: [c for c in inspected("viking.stack=app", path) if c["Name"] == web["Name"] and
                                                       c["State"]["Running"] and c["State"]["StartedAt"] != web["State"]["StartedAt"]], PATIENCE)
        self.c.lab("reboot", back)
        self.view.on = [third, back]
        self.accepted()
        # the images are there: neither the registry nor its host is asked, where that is the one still off
        r = self.deploy(third)
        self.assertEqual(0, r.status, r)
        self.c.lab("reboot", last)
        self.view.on = self.c.names
        self.voters()
        self.steady(rebooted=True)

    # ---- killed ----

    def test_2_a_member_is_killed_in_a_deploy(self):
        for stage in ("s8", "s9", "s10", "s11", "s12") if ALL else ("s10",):
            for host in [self.c.wait_leader(), self.other(self.c.leader())][:2 if ALL else 1]:
                with self.subTest(stage, host=host):
                    self.killed_at(stage, host, "etcd")
                    self.accepted()
                    self.voters()
                    self.steady()

    # ---- clocks ----

    def ends(self, stack):
        """Of its containers on all hosts: which, since when."""
        return {c["Name"]: (c["Id"], c["State"]["StartedAt"]) for c in self.view.inspected(f"viking.stack={stack}")}

    def slow_request(self):
        """One that ends when it is told to, of an instance that drains meanwhile: (its process, the instance's host and container)."""
        self.c.push(self.c.tree(SLOW), "slow")
        self.addCleanup(lambda: self.c.viking(self.c.wait_leader(), "stacks:destroy", "slow", "--force"))
        host, path = next((h, path) for h, path in self.view.engines().items() if inspected("viking.stack=slow", path))
        old, = inspected("viking.stack=slow", path)
        p = self.c.lab.start("switch", "curl", "-s", "-m", str(PATIENCE), "-H", "Host: slow.lab.test",
                             f"http://{self.c.address(host)}/cgi-bin/slow", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(p.kill)
        wait_for("it runs", lambda: any("slow" in " ".join(row) for row in engine("GET", f"/containers/{old['Id']}/top", path=path)[1]["Processes"]),
                 PATIENCE)
        self.c.viking(self.c.leader(), "config:set", "slow", "A=1", check=True)
        return p, host, old

    def test_3_clocks_jump(self):
        """By a day ahead and back, of the leader and of another: nothing is lost, stopped or cut off, and changes go on."""
        leader = self.c.wait_leader()
        other, epoch = self.other(leader), self.c.api(leader, "GET", "/v1/cluster")[1]["leader"]["epoch"]
        seen = self.ends("other")
        slow, host, old = self.slow_request()
        with LabLoad(self.c, leader, "other") as at_leader, LabLoad(self.c, other, "app") as at_other:
            for who, seconds in [(who, s) for who in (leader, other) for s in (DAY, -DAY, 0)]:
                self.addCleanup(self.c.lab, "clock", who, "0")
                self.c.lab("clock", who, str(seconds))
                r = self.deploy(leader)
                self.assertEqual(0, r.status, (who, seconds, r))
        for load in (at_leader, at_other):
            self.assertGreater(load.sent, 100)
            self.assertEqual([], load.errors)
        self.assertIsNone(slow.poll(), "its instance was stopped before the end of its drain")
        self.c.lab("exec", host, "docker", "exec", old["Id"], "/bin/busybox", "touch", "/go")
        self.assertEqual("slow", slow.communicate(timeout=PATIENCE)[0].strip())
        self.assertEqual(seen, self.ends("other"))
        now = self.c.api(self.c.leader(), "GET", "/v1/cluster")[1]["leader"]
        self.assertEqual((leader, epoch), (now["host"], now["epoch"]))
        times = [json.loads(e) for e in self.c.viking(leader, "events", "--json").out.splitlines()]
        self.assertEqual([e["seq"] for e in times], sorted(e["seq"] for e in times))
        self.steady()

    # ---- cut off ----

    def test_4_a_member_is_cut_off(self):
        """From the other two, or deaf to them, or unheard by them."""
        for whose in ("leader", "other") if ALL else ("leader",):
            for way in ("both", "deaf", "unheard") if ALL else ("unheard",):
                with self.subTest(whose, way=way):
                    host = self.c.wait_leader() if whose == "leader" else self.other(self.c.wait_leader())
                    for peer in set(self.c.names) - {host}:
                        pair, one = ((peer, host) if way == "deaf" else (host, peer)), (() if way == "both" else ("--one-way",))
                        self.c.lab("partition", *pair, *one)
                    try:
                        self.accepted(not_=[host])
                    finally:
                        self.c.lab("heal")
                    self.voters()
                    self.steady()


if __name__ == "__main__":
    unittest.main(verbosity=2)
