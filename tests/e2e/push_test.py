"""From git push to a served page, on one host: the main road and its ditches."""
import os
import unittest

from lib import HostCase, containers


class Push(HostCase):
    def test_push_serves_and_second_push_switches(self):
        h = self.h
        stack = h.name()
        app = h.app("one")
        r = h.push(app, stack)
        self.assertIn("----->", r.err)
        self.assertIn(f"=====> {stack} v1", r.err)
        self.assertEqual((200, "one\n"), h.get(stack + ".apps.test"))
        h.write(app, {"www/index.html": "two\n"})
        h.commit(app)
        h.push(app, stack)
        self.assertEqual((200, "two\n"), h.get(stack + ".apps.test"))
        self.assertEqual([2, 1], [r["n"] for r in h.json("releases", stack)["releases"]])
        r = h.viking("rollback", stack)
        self.assertEqual(0, r.status, r)
        self.assertEqual((200, "one\n"), h.get(stack + ".apps.test"))

    def test_failed_build_keeps_the_old_release(self):
        h = self.h
        stack = h.name()
        app = h.app("good")
        h.push(app, stack)
        h.write(app, {"Dockerfile": "FROM viking-test-base\nCOPY www /www\nRUN exit 3\n"})
        h.commit(app)
        r = h.push(app, stack, check=False)
        self.assertNotEqual(0, r.status)
        self.assertIn("[remote rejected] master -> master", r.err)
        self.assertIn("Dockerfile:3", r.err)
        self.assertEqual((200, "good\n"), h.get(stack + ".apps.test"))

    def test_wrong_branch_is_rejected_with_the_command(self):
        h = self.h
        stack = h.name()
        app = h.app("x")
        h.git(app, "branch", "feature")
        r = h.push(app, stack, branch="feature", check=False)
        self.assertNotEqual(0, r.status)
        self.assertIn("feature:master", r.err)

    def test_unknown_host_is_404(self):
        self.assertEqual(404, self.h.get("nobody.test")[0])

    def test_destroy_leaves_nothing(self):
        h = self.h
        stack = h.name()
        h.push(h.app("gone"), stack)
        self.assertEqual(0, h.viking("stacks:destroy", stack, "--force").status)
        self.assertEqual(404, h.get(stack + ".apps.test")[0])
        self.assertEqual([], [c for c in containers(f"viking.stack={stack}")])
        self.assertEqual(3, h.viking("stacks:info", stack).status)
        # its sources go with the next git of anybody, and are told of once
        repository = h.path("var/lib/viking/repos", stack + ".git")
        self.assertTrue(os.path.exists(repository))
        other = h.name()
        h.push(h.app("stays"), other)
        self.assertFalse(os.path.exists(repository))
        self.assertEqual([other + ".git"], [r for r in os.listdir(os.path.dirname(repository)) if r.startswith((stack, other, "."))])
        self.assertNotIn("/gone/repo/", h.viking("state", "--keys", "/gone").out)


if __name__ == "__main__":
    unittest.main(verbosity=2)
