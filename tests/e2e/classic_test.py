"""Seed 000's keys in etcd: what etcdctl shows of a stack, and jobs that are put under /proc with it."""
import json
import subprocess
import unittest

from etcd_test import Etcd
from lib import BASE, Host, containers, wait_for

TABLES = ("/proc/", "/run/", "/deploy/", "/fixed/", "/counter/", "/ports/", "/failed/", "/host/")
SERVE = "sh -c 'mkdir -p /www; echo job > /www/index.html; exec httpd -f -p 8080 -h /www'"


class Classic(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.etcd = Etcd().start()
        cls.h = Host(**cls.etcd.settings())
        cls.h.__enter__()
        cls.stack = cls.h.name("seen")
        cls.h.push(cls.h.app("one"), cls.stack)
        cls.job = cls.h.name("jobs")

    @classmethod
    def tearDownClass(cls):
        cls.h.__exit__(None, None, None)
        cls.etcd.remove()

    def setUp(self):
        self.addCleanup(lambda: (self.ctl("del", "--prefix", f"/proc/{self.job}/"), wait_for("no job", lambda: not self.mine(), 60)))

    def ctl(self, *words):
        r = subprocess.run(["etcdctl", "--endpoints", self.etcd.url, "--cacert", self.etcd.cert, "--cert", self.etcd.cert, "--key",
                            self.etcd.key, *words], capture_output=True, text=True, timeout=60, env={"ETCDCTL_API": "3"}, check=True)
        return r.stdout

    def keys(self, *prefixes):
        return {k: v for p in prefixes for k, v in self.etcd.keys(p).items()}

    def put(self, path, **job):
        self.ctl("put", "/proc/" + path, json.dumps(job))

    def serving(self, node="web", **more):
        return dict({"image": BASE + ":latest", "run": SERVE, "expose": [8080]}, **more)

    def mine(self):
        return {c["Id"] for c in containers("viking.stack=" + self.job)}

    def failed(self, path, back=None):
        got = wait_for("/failed/" + path, lambda: self.etcd.keys("/failed/").get("/failed/" + path), 60)
        self.assertEqual(back, self.etcd.keys("/proc/").get("/proc/" + path))
        return json.loads(got)["reason"]

    def epoch(self):
        return self.h.json("cluster:status")["leader"]["epoch"]

    def test_1_a_stack_is_seen_as_the_view_says(self):
        def shown():
            rows = self.h.json("state", "--keys")["keys"]
            return {r["key"]: r["value"] if isinstance(r["value"], str) else "" for r in rows if r["key"].startswith(TABLES)}

        def equal():
            is_, view = self.keys(*TABLES), shown()
            return set(is_) == set(view) and all(is_[k] == v for k, v in view.items() if v)
        wait_for("the mirror to be the view", equal, 60)
        keys = self.keys(*TABLES)
        host = keys[f"/run/{self.stack}/web/1-1"]
        self.assertIn("/host/" + host, keys)
        self.assertEqual(f"{self.stack}-web-1-1", keys[f"/deploy/{host}/{self.stack}/web/1-1"])
        ports = {k: v for k, v in keys.items() if k.startswith(f"/ports/{self.stack}/web/8080/tcp/")}
        self.assertEqual(1, len(ports), ports)
        self.assertRegex(list(ports.values())[0], r"^[0-9.]+:8080$")
        self.assertEqual(f"{self.stack}-web-1-1\n", self.ctl("get", f"/deploy/{host}/{self.stack}/web/1-1", "--print-value-only"))

    def test_2_what_is_deleted_by_hand_comes_back_and_no_leader_ends(self):
        epoch, key = self.epoch(), f"/proc/{self.stack}/web/1-1"
        wait_for("the key", lambda: key in self.keys("/proc/"), 60)
        before = self.keys("/proc/")[key]
        self.ctl("del", key)
        wait_for("the key again", lambda: self.keys("/proc/").get(key) == before, 60)
        self.put(f"{self.stack}/web/1-1", **self.serving())
        self.assertIn("is deployed by git push", json.loads(wait_for(
            "the reason", lambda: self.etcd.keys("/failed/").get(f"/failed/{self.stack}/web/1-1"), 60))["reason"])
        wait_for("the key again", lambda: self.keys("/proc/").get(key) == before, 60)
        self.ctl("del", f"/failed/{self.stack}/web/1-1")
        self.assertEqual(epoch, self.epoch())

    def test_3_a_job_runs_until_it_is_deleted(self):
        self.put(f"{self.job}/n/1-1", **self.serving())
        first = wait_for("a container", lambda: len(self.mine()) == 1 and self.mine(), 60)
        wait_for("its port", lambda: self.keys(f"/ports/{self.job}/n/8080/"), 60)
        self.assertIn(self.job, self.h.viking("stacks").out)
        self.put(f"{self.job}/n/1-2", **self.serving())
        both = wait_for("two", lambda: len(self.mine()) == 2 and self.mine(), 60)
        self.assertLessEqual(first, both, "a second instance is no reason to replace the first")
        r = self.h.push(self.h.app("two"), self.job, check=False)
        self.assertNotEqual(0, r.status)
        self.assertIn("is made of jobs under /proc", r.err)
        self.ctl("del", "--prefix", f"/proc/{self.job}/")
        wait_for("none", lambda: not self.mine(), 60)
        wait_for("the stack to go", lambda: self.job not in self.h.viking("stacks").out, 60)
        wait_for("its keys to go", lambda: not any(self.job in k for k in self.keys(*TABLES)), 60)

    def test_4_what_may_not_run_is_moved_to_failed_with_the_reason(self):
        epoch = self.epoch()
        for path, job, why in (
                ("bad/n/1-1", self.serving(imgae="x"), "imgae"),
                ("bad/n/1-2", {"run": "x"}, "image is missing"),
                ("bad/n/1-3", self.serving(privileged=True), "privileged"),
                ("bad/n/1-4", self.serving(network_mode="host"), "network"),
                ("bad/n/1-5", self.serving(hosts=["nowhere"]), "there is no host nowhere"),
                ("bad/Not-A-Name!/1", self.serving(), "node name"),
                ("bad/n", self.serving(), "/proc/STACK/NODE/TAG")):
            self.put(path, **job)
            self.assertIn(why, self.failed(path))
        self.ctl("put", "/proc/bad/n/1-6", "{")
        self.assertIn("JSON", self.failed("bad/n/1-6"))
        self.assertFalse(containers("viking.stack=bad"))
        self.assertNotIn("bad", self.h.viking("stacks").out.split())
        self.ctl("del", "--prefix", "/failed/bad/")
        self.assertEqual(epoch, self.epoch())

    def test_5_a_job_that_does_not_come_up_leaves_the_others(self):
        self.put(f"{self.job}/good/1-1", **self.serving())
        good = wait_for("a container", lambda: len(self.mine()) == 1 and self.mine(), 60)
        wait_for("it serves", lambda: self.keys(f"/ports/{self.job}/good/8080/"), 60)
        self.put(f"{self.job}/crash/1-1", image=BASE + ":latest", run="false")
        self.assertIn("crash", self.failed(f"{self.job}/crash/1-1"))
        wait_for("only the good one", lambda: self.mine() == good, 60)
        key = f"/proc/{self.job}/good/1-1"
        serving = self.etcd.keys("/proc/")[key]
        for wrong, why in (("{", "JSON"), (json.dumps({"image": BASE + ":latest", "run": "false"}), "good")):
            self.ctl("put", key, wrong)
            self.assertIn(why, self.failed(f"{self.job}/good/1-1", back=serving))
            self.ctl("del", f"/failed/{self.job}/good/1-1")
        wait_for("the good one as it was", lambda: self.mine() == good, 60)

    def test_6_a_new_leader_takes_over_view_and_jobs(self):
        self.put(f"{self.job}/n/1-1", **self.serving())
        before = wait_for("a container", lambda: len(self.mine()) == 1 and self.mine(), 60)
        wait_for("its port", lambda: self.keys(f"/ports/{self.job}/n/8080/"), 60)
        epoch = self.epoch()
        self.h.kill("scheduler")
        self.ctl("put", f"/proc/{self.job}/n/1-2", json.dumps(self.serving()))
        wait_for("two", lambda: len(self.mine()) == 2, 60)
        self.assertLessEqual(before, self.mine())
        self.assertGreater(self.epoch(), epoch)
        wait_for("both in the mirror", lambda: len(self.keys(f"/run/{self.job}/n/")) == 2, 60)


if __name__ == "__main__":
    unittest.main()
