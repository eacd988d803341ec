"""viking cluster:init: a live host goes from SQLite to an etcd of its own, with traffic on it; and everything killed on the way."""
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import unittest

import lib
from lib import Host, Load, containers, free_port, wait_for

LINES = ("Starting etcd", "Moving the state", "every key is in etcd", "counts from there")


def new_host():
    return Host(**{"etcd.port": free_port(), "etcd.peer_port": free_port(), "etcd.lease": "3s"})


def store(h):
    r = h.viking("cluster:status", "--json")
    return json.loads(r.out)["store"] if r.status == 0 else None


def changes_possible(h):
    return h.viking("config:set", "--no-restart", h.app_name, "PROBE=1").status == 0


def settings_say_etcd(h):
    with contextlib.suppress(FileNotFoundError), open(h.path("etc/viking/conf.d/50-cluster.yml")) as f:
        return "store: etcd" in f.read()
    return False


def keys(h):
    return {k["key"]: k["value"] for k in h.json("state", "--keys")["keys"]
            if not k["key"].startswith(("/leader", "/epoch", "/host", "/run"))}


class Init(unittest.TestCase):
    def setUp(self):
        self.h = new_host()
        self.h.__enter__()
        self.addCleanup(self.h.__exit__, None, None, None)
        self.h.app_name = self.h.name("move")
        self.tree = self.h.app("one")
        self.h.push(self.tree, self.h.app_name)
        self.host = self.h.app_name + ".apps.test"

    def test_applications_and_requests_notice_nothing(self):
        h = self.h
        self.assertEqual(h.viking("config:set", "--no-restart", h.app_name, "SECRET=kept").status, 0)
        before, epoch = keys(h), h.json("cluster:status")["leader"]["epoch"]
        ids = {c["Id"] for c in containers("viking.stack=" + h.app_name)}
        with Load(h, self.host, 100) as load:
            r = h.viking("cluster:init")
            self.assertEqual(r.status, 0, r)
            self.assertIn("keys moved", r.out)
            self.assertEqual("etcd", store(h))  # the next command is answered
            self.assertTrue(os.path.exists(h.path("var/lib/viking/sched/viking.db.moved")))
        self.assertEqual(load.failed, 0, load.errors)
        self.assertEqual({c["Id"] for c in containers("viking.stack=" + h.app_name)}, ids)
        # what agents say is there when they have connected again
        wait_for("the same keys", lambda: keys(h) == before, 60)
        self.assertGreater(h.json("cluster:status")["leader"]["epoch"], epoch)
        self.assertIn("kept", h.viking("config:get", h.app_name, "SECRET").out)
        sched = h.path("var/lib/viking/sched/")
        self.assertFalse(os.path.exists(sched + "viking.db"))
        with contextlib.closing(sqlite3.connect(sched + "viking.db.moved")) as old:
            self.assertEqual([(1,)], old.execute("SELECT count(*) FROM kv WHERE key = ?", ("/stack/" + h.app_name,)).fetchall())

        r = h.viking("cluster:init")
        self.assertEqual(r.status, 5, r)
        self.assertIn("in etcd already", r.err)

        r = h.viking("hosts:invite")
        self.assertEqual(r.status, 5, r)
        self.assertIn("cluster.address is not set", r.err)
        self.assertIn("viking.conf", r.err)

        h.write(self.tree, {"www/index.html": "two\n"})
        h.commit(self.tree)
        h.push(self.tree, h.app_name)
        self.assertEqual(h.get(self.host), (200, "two\n"))

        etcd = h.pid("etcd")
        h.kill("vikingd")
        h.daemon.wait(20)
        h.start()
        self.assertEqual((h.pid("etcd"), store(h)), (etcd, "etcd"))
        self.assertTrue(h.processes()["etcd"]["adopted"])
        os.kill(etcd, signal.SIGKILL)
        wait_for("etcd is started again", lambda: h.pid("etcd") not in (0, etcd), 60)
        wait_for("changes are possible", lambda: changes_possible(h), 60)

    def interrupted(self, line, victim):
        """Runs cluster:init and kills victim once line is printed; then waits until the host can be changed again."""
        h = self.h
        p = subprocess.Popen([lib.STAGE + "/libexec/viking/viking-cluster-init", "--root", h.root], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(os.environ, VIKING_SINGLE_UID="1"))
        for text in p.stdout:
            if line in text:
                break
        if victim == "tool":
            p.kill()
        elif victim != "etcd" or h.processes().get("etcd", {}).get("pid"):
            h.kill(victim)
        p.stdout.read()
        p.wait(120)
        p.stdout.close()
        if victim == "vikingd":
            h.daemon.wait(20)
            h.start()
        wait_for("changes are possible", lambda: changes_possible(h), 60)

    def test_killed_on_the_way_one_store_is_the_truth(self):
        """The tool stops where it is killed; with any other victim it ends in one of the two."""
        moved = []
        cases = [(line, "tool") for line in LINES]
        cases += [(line, victim) for victim in ("scheduler", "etcd", "vikingd") for line in LINES[1:3]]
        for n, (line, victim) in enumerate(cases):
            if moved and moved[-1]:
                self.doCleanups()
                self.setUp()
            h, value = self.h, f"{n}-{victim}"
            with self.subTest(line=line, victim=victim):
                self.assertEqual(h.viking("config:set", "--no-restart", h.app_name, f"LAST={value}").status, 0)
                self.interrupted(line, victim)
                self.assertEqual(store(h), "etcd" if settings_say_etcd(h) else "sqlite")
                self.assertIn(value, h.viking("config:get", h.app_name, "LAST").out)
                self.assertEqual(h.get(self.host), (200, "one\n"))
            moved.append(store(h) == "etcd")
        self.assertEqual((moved[:2], moved[3]), ([False, False], True), "the tool killed before and after the move")


if __name__ == "__main__":
    unittest.main()
