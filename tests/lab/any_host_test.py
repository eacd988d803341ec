"""Whichever host is asked: the one that leads answers. Then it dies, and another does."""
import json
import os
import subprocess
import unittest

from cluster import Cluster
from lib import UnixConnection, wait_for

PATIENCE = 120  # seconds, a guard against hanging


class AnyHostTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = Cluster(3)
        cls.addClassCleanup(cls.c.down)

    def socket(self, host, path="api.sock"):
        return os.path.join(self.c.lab.dir, host, "run/viking", path)

    def test_each_host_answers_as_the_leader_does(self):
        self.c.viking("h2", "stacks:create", "shop", check=True)
        for host in self.c.names:
            self.assertEqual(self.c.viking(host, "leader", check=True).out.split()[0], "h1")
            self.assertIn("shop", self.c.viking(host, "stacks", check=True).out)
            self.assertIn("shop", self.c.ssh(host, "stacks", check=True).out)
            wait_for("three hosts at " + host, lambda: self.c.viking(host, "hosts").out.count(" up ") == 3, PATIENCE)

    def test_who_asked_is_known_by_the_host_that_was_asked(self):
        self.c.viking("h3", "stacks:create", "by-root", check=True)
        self.c.ssh("h2", "stacks:create", "by-key", check=True)
        with open(self.c.state("h1", "sched/audit.jsonl")) as f:
            audit = [json.loads(line) for line in f]
        who = {e["params"].get("name"): e["who"] for e in audit if e["verb"] == "POST /v1/stacks"}
        self.assertEqual((who["by-root"], who["by-key"]), ("local:root@h3", "key:admin@h2"))

    def test_rights_are_those_of_the_leader(self):
        key = self.c.make_key("one")
        with open(key + ".pub") as f:
            self.c.viking("h2", "keys:add", "one", "--role", "deploy", "--stacks", "mine", stdin=f, check=True)
        self.assertIn("may not", self.c.ssh("h3", "stacks:destroy", "theirs", "--force", key=key).err)
        self.assertEqual(self.c.api("h2", "GET", "/v1/keys", headers={"Authorization": "Bearer 00"})[0], 403)
        self.assertEqual(self.c.api("h2", "GET", "/v1/keys", headers={"Viking-Role": "agent"})[0], 403)
        self.c.viking("h3", "keys:remove", "one", check=True)
        self.assertIn("Permission denied", self.c.ssh("h2", "stacks", key=key).err)

    def test_a_stream_comes_from_the_leader(self):
        stream = UnixConnection(self.socket("h3"), timeout=PATIENCE)
        self.addCleanup(stream.close)
        stream.request("GET", "/v1/events?follow=1")
        lines = stream.getresponse()
        self.c.viking("h1", "stacks:create", "seen", check=True)
        self.assertTrue(any(json.loads(line).get("stack") == "seen" for line in lines))

    def test_nothing_is_handed_on_twice(self):
        """As h3 would ask h2 if it took it for the leader."""
        c = UnixConnection(self.socket("h3", "hosts/h2/api.sock"))
        self.addCleanup(c.close)
        c.request("GET", "/v1/stacks")
        answer = c.getresponse()
        self.assertEqual((answer.status, json.loads(answer.read())["message"]), (503, "h1 leads this cluster, this host waits"))


class LeaderLostTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = Cluster(3, **{"etcd.lease": "5s"})
        cls.addClassCleanup(cls.c.down)

    def test_another_leads_and_all_hosts_answer(self):
        self.c.viking("h1", "stacks:create", "before", check=True)
        follower = self.c.lab.start("h2", "viking", "events", "-f", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.c.lab("kill", "h1")
        new = self.c.wait_leader(not_="h1", seconds=PATIENCE)
        self.assertIn(new, ("h2", "h3"))
        _, error = follower.communicate(timeout=PATIENCE)
        self.assertIn("lead", error)
        for host in ("h2", "h3"):
            wait_for("an answer at " + host, lambda: "before" in self.c.viking(host, "stacks").out, PATIENCE)
            wait_for("agents", lambda: self.c.viking(host, "hosts").out.count(" up ") == 2, PATIENCE)
        self.c.viking("h2" if new == "h3" else "h3", "stacks:create", "after", check=True)
        self.c.lab("up")
        wait_for("h1 follows", lambda: "after" in self.c.viking("h1", "stacks").out, PATIENCE)
        wait_for("its agent", lambda: self.c.viking("h1", "hosts").out.count(" up ") == 3, PATIENCE)
        self.assertEqual(self.c.leader(), new)


if __name__ == "__main__":
    unittest.main(verbosity=2)
