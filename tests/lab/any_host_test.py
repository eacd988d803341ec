"""Whichever host is asked: the one that leads answers. Then it dies, and another does."""
import json
import os
import re
import subprocess
import unittest

from cluster import Cluster
from lib import UnixConnection, wait_for

PINNED = "build: {src: {dockerfile: Dockerfile}}\ndeploy:\n  web: {boat: src, hosts: [h1]}\n"
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

    def test_who_pushed_is_known_by_the_host_that_was_pushed_to(self):
        """And not by the one where git runs."""
        for host, who in (("h1", "key:admin"), ("h3", "key:admin@h3")):
            self.c.push(self.c.app("one", vikingfile=PINNED), "of-" + host, host=host)
            self.assertEqual(json.loads(self.c.viking("h2", "releases", "of-" + host, "--json", check=True).out)["releases"][0]["who"], who)
        with open(self.c.state("h1", "sched/audit.jsonl")) as f:
            audit = [json.loads(line) for line in f]
        self.assertEqual({e["who"] for e in audit if e["verb"].endswith("/of-h3/push") or e.get("stack") == "of-h3"}, {"key:admin@h3"})

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

    def test_a_push_to_any_host_ends_as_on_the_one_with_the_repositories(self):
        tree = self.c.app("one", vikingfile=PINNED)
        here, there = [self.stages(self.c.push(tree, stack, host=host).err.replace(stack, "STACK").replace(self.c.address(host), "HOST"))
                       for stack, host in (("here", "h1"), ("there", "h2"))]
        self.assertIn("=====> STACK v1 deployed", here)
        self.assertEqual(there, here)
        self.assertEqual(self.c.get("h1", "there.lab.test"), "one")

    @staticmethod
    def stages(output):
        """What does not depend on times and on what was built before."""
        return [line.split(" (")[0].rstrip().replace("remote: ", "") for line in output.splitlines() if re.search("[-=]>|HOST|http", line)]

    def test_what_is_refused_is_refused_with_the_same_words(self):
        tree = self.c.app("one", vikingfile="deploy: [\n")
        here, there = [self.c.push(tree, "bad", host=host, check=False) for host in ("h1", "h3")]
        self.assertIn("vikingfile:2:1", here.err)
        self.assertEqual([x.err.splitlines()[0].rstrip() for x in (here, there)], [here.err.splitlines()[0].rstrip()] * 2)
        key = self.c.make_key("two")
        with open(key + ".pub") as f:
            self.c.viking("h1", "keys:add", "two", "--role", "deploy", "--stacks", "other", stdin=f, check=True)
        self.assertIn("may not", self.c.push(tree, "bad", host="h2", key=key, check=False).err)

    def test_what_was_pushed_to_one_host_is_fetched_from_another(self):
        tree = self.c.app("one", vikingfile=PINNED, big=os.urandom(4 << 20).hex())
        self.c.push(tree, "fetched", host="h3")
        copy = os.path.join(self.c.dir, "copy")
        self.c.git(self.c.dir, "clone", "-q", self.c.url("fetched", "h2"), copy)
        self.assertEqual(*[self.c.git(d, "rev-parse", "HEAD").out for d in (tree, copy)])
        self.assertFalse(os.path.exists(self.c.state("h3", "repos/fetched.git")))

    def test_a_backup_without_the_repositories_is_none(self):
        r = self.c.viking("h2", "backup", self.c.dir + "/backup")
        self.assertEqual((r.status, os.path.exists(self.c.dir + "/backup")), (5, False), r)
        self.assertIn("are on h1, not here", r.err)
        self.assertIn("not in it: repositories", self.c.viking("h2", "backup", "--volumes", self.c.dir + "/backup", check=True).out)
        self.assertIn("repositories, images", self.c.viking("h1", "backup", self.c.dir + "/backup", check=True).out)

    def test_a_client_that_goes_takes_its_git_along(self):
        push = self.c.lab.start("switch", *self.c.ssh_words(), "viking@" + self.c.address("h2"), "git-receive-pack 'gone'",
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(push.stdout.close)
        self.assertIn("0000", push.stdout.readline())  # git on h1 has begun

        def runs():
            return self.c.lab("exec", "h1", "pgrep", "-f", "receive-pack .*gone.git", check=False)
        self.assertTrue(runs())
        push.kill()
        push.communicate(timeout=PATIENCE)
        wait_for("the end of git on h1", lambda: not runs(), PATIENCE)

    def test_doctor_looks_at_the_host_and_asks_the_leader(self):
        said = self.c.viking("h2", "doctor").out
        self.assertRegex(said, r"ok    process        front: pid")
        self.assertRegex(said, r"ok    leader         h1 leads")
        self.assertRegex(said, r"ok    store          h1: etcd, epoch")
        key = self.c.make_key("three")
        with open(key + ".pub") as f:
            self.c.viking("h1", "keys:add", "three", "--role", "deploy", stdin=f, check=True)
        self.assertIn("needs an admin key", self.c.ssh("h2", "doctor", key=key).err)

    def test_nothing_is_handed_on_twice(self):
        """As h3 would ask h2 if it took it for the leader."""
        c = UnixConnection(self.socket("h3", "hosts/h2/api.sock"))
        self.addCleanup(c.close)
        c.request("GET", "/v1/stacks")
        answer = c.getresponse()
        self.assertEqual((answer.status, json.loads(answer.read())["message"]), (503, "h1 leads this cluster, this host waits"))


class SpreadTest(unittest.TestCase):
    """An application on all three hosts."""

    @classmethod
    def setUpClass(cls):
        cls.c = Cluster(3)
        cls.addClassCleanup(cls.c.down)
        cls.tree = cls.c.app("hello", vikingfile=PINNED.replace("hosts: [h1]", "scale: 3"))
        cls.c.push(cls.tree, "app", host="h2")

    def routed(self):
        return [self.c.get(host, "app.lab.test") for host in self.c.names]

    def test_its_instances_are_reached_from_every_host(self):
        places = [line.split()[3] for line in self.c.viking("h3", "ps", "app", check=True).out.splitlines()[1:]]
        self.assertEqual(sorted(places), self.c.names)
        self.assertEqual(self.routed(), ["hello"] * 3)
        for host in self.c.names:
            entered = [self.c.viking(host, "enter", "app", "-p", f"web.{n}", "--", "/bin/busybox", "hostname", check=True).out.strip()
                       for n in (1, 2, 3)]
            self.assertEqual(entered, ["app-web-1-1", "app-web-1-2", "app-web-1-3"])
        self.assertEqual(self.c.ssh("h3", "run", "app", "--", "/bin/busybox", "echo", "ran", check=True).out.strip(), "ran")

    def test_the_key_of_a_port_says_where_every_host_reaches_it(self):
        web = json.loads(self.c.viking("h1", "ps", "app", "--json", check=True).out)["instances"]
        keys = self.c.viking("h2", "state", "--keys", "/ports/app/web/", check=True).out.split("\n")[:-1]
        self.assertEqual(len(keys), len(web))
        for key, value in (line.split(" = ") for line in keys):
            host = next(i["host"] for i in web if i["name"] == key.rsplit("/", 1)[1])
            self.assertEqual(value.split(":")[0], self.c.address(host))
            for asked_from in self.c.names:
                self.assertEqual(self.c.lab("exec", asked_from, "curl", "-s", "-m", "10", "http://" + value), "hello")

    def test_a_website_is_served_by_every_host(self):
        """Its files are on the builder's host alone; the push comes in at another."""
        site = self.c.tree({"index.html": "files\n", "vikingfile": "viking: {name: site}\ndeploy: {web: {type: website, document_root: ., domains: [site.lab.test]}}\n"})
        self.c.push(site, "site", host="h3")
        for host in self.c.names:
            self.assertEqual(self.c.get(host, "site.lab.test"), "files", host)
        self.c.change(site, {"index.html": "more\n"})
        self.c.push(site, "site", host="h2")
        for host in self.c.names:
            self.assertEqual(self.c.get(host, "site.lab.test"), "more", host)

    def test_without_the_store_it_goes_on_and_pushes_are_refused(self):
        self.addCleanup(self.c.etcd.start)
        self.c.etcd.kill()
        self.c.change(self.tree, {"www/index.html": "two\n"})
        for stack in ("app", "new"):
            wait_for("the refusal of " + stack, lambda: "nothing can be changed now: etcd at" in
                     self.c.push(self.tree, stack, host="h3", check=False).err, PATIENCE)
        self.assertEqual(self.routed(), ["hello"] * 3)
        self.assertEqual(self.c.viking("h2", "ps", "app", check=True).out.count("running"), 3)
        self.c.etcd.start()
        wait_for("a push", lambda: self.c.push(self.c.app("two", vikingfile=PINNED), "new", host="h3", check=False).status == 0, PATIENCE)


class LeaderLostTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = Cluster(3, **{"etcd.lease": "5s"})
        cls.addClassCleanup(cls.c.down)

    def test_another_leads_and_all_hosts_answer(self):
        self.c.viking("h1", "stacks:create", "before", check=True)
        follower = self.c.lab.start("h2", "viking", "events", "-f", "--since", "1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(follower.stdout.readline())  # it follows the one that will be gone
        self.c.lab("kill", "h1")
        new = self.c.wait_leader(not_="h1", seconds=PATIENCE)
        self.assertIn(new, ("h2", "h3"))
        out, error = follower.communicate(timeout=PATIENCE)
        self.assertIn(" !     ", error, out)
        self.assertRegex(self.c.viking("h2" if new == "h3" else "h3", "doctor").out, f"ok    leader         {new} leads")
        for host in ("h2", "h3"):
            wait_for("an answer at " + host, lambda: "before" in self.c.viking(host, "stacks").out, PATIENCE)
            wait_for("agents", lambda: self.c.viking(host, "hosts").out.count(" up ") == 2, PATIENCE)
        self.c.viking("h2" if new == "h3" else "h3", "stacks:create", "after", check=True)
        self.c.lab("up")
        wait_for("h1 follows", lambda: "after" in self.c.viking("h1", "stacks").out, PATIENCE)
        wait_for("its agent", lambda: self.c.viking("h1", "hosts").out.count(" up ") == 3, PATIENCE)
        self.assertEqual(self.c.leader(), new)
        # the repositories, the builder and the registry are h1's still
        for host in self.c.names:
            self.c.push(self.c.app(host, vikingfile=PINNED), "by-" + host, host=host)
            self.assertEqual(self.c.get("h1", f"by-{host}.lab.test"), host)


if __name__ == "__main__":
    unittest.main(verbosity=2)
