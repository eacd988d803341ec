"""The checker of invariants must see each breach that is planted."""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from invariants import Watched, Writers, foreign_container, v1, v2_v3, v4, v5_v9, v6, v8, v10  # noqa: E402
from lib import BASE, ENGINE, Host, Load, engine  # noqa: E402


class Checker(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.h = Host()
        cls.h.__enter__()
        cls.stack = cls.h.name("checked")
        cls.app = cls.h.app("right")
        cls.head = cls.h.git(cls.app, "rev-parse", "HEAD").out.strip()
        cls.h.push(cls.app, cls.stack)

    @classmethod
    def tearDownClass(cls):
        cls.h.__exit__(None, None, None)

    def breached(self, name, found):
        self.assertTrue(any(b.startswith(name) for b in found), f"{name} not seen: {found}")

    def test_good_state_is_good(self):
        w = Watched(self.h, self.stack)
        self.assertEqual([], v1(self.h, self.stack, {self.head: "right"}) + v2_v3(self.h, self.stack, 0, None, self.head)
                         + v4(self.h, self.stack) + v8(self.h, self.stack) + v10(w))

    def test_wrong_page_and_refs(self):
        self.breached("V1", v1(self.h, self.stack, {self.head: "another"}))
        self.breached("V2", v2_v3(self.h, self.stack, 0, None, "1" * 40))
        self.breached("V3", v2_v3(self.h, self.stack, 1, "1" * 40, "2" * 40))

    def test_unwanted_container(self):
        # without viking.root the agent leaves it alone, but nothing wants it
        body = {"Image": BASE, "Cmd": ["sleep", "60"], "Labels": {"viking.stack": self.stack}}
        cid = engine("POST", "/containers/create?name=" + self.stack + "-stray", body)[1]["Id"]
        try:
            self.breached("V4", v4(self.h, self.stack))
        finally:
            engine("DELETE", f"/containers/{cid}?force=1")

    def test_left_quarantine(self):
        d = self.h.path(f"var/lib/viking/repos/{self.stack}.git/objects/tmp_objdir-incoming-abc")
        os.mkdir(d)
        try:
            self.breached("V4", v4(self.h, self.stack))
        finally:
            os.rmdir(d)

    def test_failed_and_wrong_answers(self):
        load = Load(self.h, self.stack + ".apps.test")
        load.sent, load.failed, load.bodies = 10, 1, {b"right\n": 9}
        self.breached("V5", v5_v9(load, {"right"}))
        load.failed, load.bodies = 0, {b"right\n": 9, b"stolen\n": 1}
        self.breached("V9", v5_v9(load, {"right"}))

    def test_broken_repository(self):
        repo = self.h.path(f"var/lib/viking/repos/{self.stack}.git")
        ref = repo + "/refs/heads/planted"
        with open(ref, "w") as f:
            f.write("1" * 40 + "\n")
        try:
            self.breached("V8", v8(self.h, self.stack))
        finally:
            os.unlink(ref)

    def test_a_write_without_a_leader(self):
        def lead(n):
            return json.dumps({"epoch": n})
        good = [(1, "/leader", lead(1)), (1, "/epoch", lead(1)), (2, "/stack/a", "{}"), (3, "/leader", None), (4, "/leader", lead(2)),
                (5, "/stack/a", None)]
        self.assertEqual([], v6(good))
        self.breached("V6 revision 4: ['/stack/a']", v6(good[:4] + [(4, "/stack/a", "{}")]))
        self.breached("V6 revision 4: epoch 1", v6(good[:4] + [(4, "/leader", lead(1))]))

    def test_two_writers(self):
        w = Writers(lambda: {"one": ENGINE})
        body = {"Image": BASE, "Cmd": ["sleep", "60"], "Labels": {"viking.stack": self.stack + "-v7"},
                "HostConfig": {"Mounts": [{"Type": "volume", "Target": "/data"}]}}
        cid = engine("POST", "/containers/create", body)[1]["Id"]
        try:
            engine("POST", f"/containers/{cid}/start")
            w.look()
            self.assertEqual([], w.v7())
            w.engines = lambda: {"two": ENGINE}
            w.look()
            self.breached("V7", w.v7())
        finally:
            engine("DELETE", f"/containers/{cid}?force=1&v=1")

    def test_foreign_container_touched(self):
        cid = foreign_container(self.h)
        try:
            w = Watched(self.h, self.stack)
            self.assertEqual([], v10(w))
            engine("POST", f"/containers/{cid}/restart?t=0")
            self.breached("V10", v10(w))
        finally:
            engine("DELETE", f"/containers/{cid}?force=1")


if __name__ == "__main__":
    unittest.main(verbosity=2)
