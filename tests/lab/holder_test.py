"""The host with the repositories and the registry is lost: another takes both."""
import json
import unittest

from cluster import Cluster
from lib import wait_for

PATIENCE = 120  # seconds, a guard against hanging
ELSEWHERE = "build: {src: {dockerfile: Dockerfile}}\ndeploy:\n  web: {boat: src, hosts: [h2, h3]}\n"


class HolderLostTest(unittest.TestCase):
    """In this order. h1 leads and holds; then it is off."""

    @classmethod
    def setUpClass(cls):
        cls.c = Cluster(3, **{"etcd.lease": "5s", "cluster.host_grace": "8s"})
        cls.addClassCleanup(cls.c.down)
        cls.app = cls.c.app("one", vikingfile=ELSEWHERE)
        cls.c.push(cls.app, "app", host="h2")

    def holder(self, host):
        r = self.c.viking(host, "hosts", "--json")
        return [h["name"] for h in json.loads(r.out)["hosts"] if h["registry"]] if r.status == 0 else None

    def test_1_people_are_told_who_it_is(self):
        self.assertEqual(self.holder("h3"), ["h1"])
        self.assertRegex(self.c.viking("h2", "hosts", check=True).out, r"h1 +up +leader,git ")
        self.assertIn("git:       h1 (", self.c.viking("h3", "cluster:status", check=True).out)

    def test_2_while_it_is_off_pushes_are_refused_and_what_runs_goes_on(self):
        self.c.lab("off", "h1")
        self.c.wait_leader(not_="h1", seconds=PATIENCE)
        wait_for("h1 is lost", lambda: " lost " in self.c.viking("h2", "hosts").out, PATIENCE)
        self.assertEqual([self.c.get(h, "app.lab.test") for h in ("h2", "h3")], ["one"] * 2)
        self.c.change(self.app, {"www/index.html": "two\n"})
        self.assertIn("host h1, which has the repositories, does not answer", self.c.push(self.app, "app", host="h3", check=False).err)

    def test_3_it_is_removed_and_another_takes_pushes(self):
        refused = self.c.viking("h3", "hosts:remove", "h1")
        self.assertEqual(refused.status, 5, refused)
        self.assertIn("hosts:remove h1 --data-lost", refused.err)
        self.assertRegex(self.c.viking("h3", "hosts:remove", "h1", "--data-lost", check=True).out, "h2 has the repositories and the registry now")
        wait_for("a push to the other", lambda: self.c.push(self.app, "app", host="h3", check=False).status == 0, PATIENCE)
        self.assertEqual([self.c.get(h, "app.lab.test") for h in ("h2", "h3")], ["two"] * 2)
        self.assertEqual((self.holder("h2"), self.holder("h3")), (["h2"], ["h2"]))
        new = self.c.app("new", vikingfile=ELSEWHERE)
        self.c.push(new, "new", host="h2")
        self.assertEqual(self.c.get("h3", "new.lab.test"), "new")

    def test_4_who_was_removed_accepts_nothing_when_it_comes_back(self):
        self.c.lab("up")
        self.c.change(self.app, {"www/index.html": "three\n"})
        pushed = wait_for("an answer", lambda: (lambda r: r if "refused" not in r.err else None)(
            self.c.push(self.app, "app", host="h1", check=False)), PATIENCE)
        self.assertNotEqual(pushed.status, 0, pushed)
        self.assertEqual(self.c.get("h2", "app.lab.test"), "two")
        self.c.push(self.app, "app", host="h2")


if __name__ == "__main__":
    unittest.main(verbosity=2)
