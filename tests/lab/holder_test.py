"""The host with the repositories and the registry is lost: another takes both, and nothing is to be typed."""
import json
import unittest

from cluster import Cluster
from lib import wait_for

PATIENCE = 120  # seconds, a guard against hanging
ANYWHERE = "build: {src: {dockerfile: Dockerfile}}\ndeploy:\n  web: {boat: src}\n"
SITE = "deploy: {web: {type: website, document_root: ., domains: [site.lab.test]}}\n"


class HolderLostTest(unittest.TestCase):
    """In this order. h1 leads, holds and runs all there is; then it is off."""

    @classmethod
    def setUpClass(cls):
        cls.c = Cluster(3, **{"cluster.host_grace": "8s"})
        cls.addClassCleanup(cls.c.down)
        cls.app = cls.c.app("one", vikingfile=ANYWHERE)
        cls.c.push(cls.app, "app", host="h2")
        cls.c.change(cls.app, {"www/index.html": "two\n"})
        cls.c.push(cls.app, "app", host="h3")
        cls.c.push(cls.c.tree({"index.html": "files\n", "vikingfile": SITE}), "site", host="h1")
        cls.head = cls.c.git(cls.app, "rev-parse", "HEAD").out

    def duty(self, host, what):
        """The hosts that have it, in the eyes of one."""
        r = self.c.viking(host, "hosts", "--json")
        return [h["name"] for h in json.loads(r.out)["hosts"] if h[what]] if r.status == 0 else None

    def pages(self, *hosts):
        return [self.c.get(h, "app.lab.test") for h in hosts]

    def test_1_people_are_told_who_it_is_and_who_has_copies(self):
        self.assertEqual(self.duty("h3", "registry"), ["h1"])
        self.assertIn("git:       h1 (", self.c.viking("h3", "cluster:status", check=True).out)
        wait_for("copies of all images", lambda: self.duty("h3", "copies") == ["h2"], PATIENCE)
        self.assertRegex(self.c.viking("h2", "hosts", check=True).out, r"(?s)h1 +up +leader,git .*h2 +up +copies ")
        self.assertIn("h1 has the repositories and the registry; h2 has copies of all images", self.c.viking("h1", "doctor").out)

    def test_2_without_it_all_goes_on_elsewhere(self):
        self.c.lab("off", "h1")
        wait_for("the other has it", lambda: [self.duty(h, "registry") for h in ("h2", "h3")] == [["h2"]] * 2, PATIENCE)
        wait_for("the application", lambda: self.pages("h2", "h3") == ["two"] * 2, PATIENCE)
        self.c.viking("h3", "rollback", "app", check=True)
        self.assertEqual(self.pages("h2", "h3"), ["one"] * 2)
        self.c.viking("h2", "ps:scale", "app", "web=3", check=True)

    def test_3_nothing_that_was_pushed_is_lost(self):
        self.assertEqual(self.c.git(self.app, "ls-remote", self.c.url("app", "h3"), "master").out.split()[0], self.head.strip())

        self.assertIn("The output of b1 is on h1", self.c.viking("h3", "builds:output", "b1", check=True).out)
        for host in ("h2", "h3"):
            wait_for("the website at " + host, lambda: self.c.get(host, "site.lab.test") == "files", PATIENCE)

    def test_4_pushes_are_accepted_there(self):
        self.c.change(self.app, {"www/index.html": "three\n"})
        self.c.push(self.app, "app", host="h3")
        self.c.push(self.c.app("new", vikingfile=ANYWHERE), "new", host="h2")
        self.assertEqual(self.pages("h2", "h3"), ["three"] * 2)
        wait_for("copies of all images", lambda: self.duty("h2", "copies") == ["h3"], PATIENCE)

    def test_5_it_comes_back_and_holds_nothing(self):
        self.c.lab("up")
        wait_for("h1 is up, with copies", lambda: self.duty("h1", "copies") == ["h1"], PATIENCE)
        self.assertEqual(self.duty("h1", "registry"), ["h2"])
        self.c.change(self.app, {"www/index.html": "four\n"})
        self.c.push(self.app, "app", host="h1")
        self.assertEqual(self.pages(*self.c.names), ["four"] * 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
