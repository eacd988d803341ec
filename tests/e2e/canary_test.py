"""A release on trial: a part of the requests, promoted or aborted; what other commands and dead processes make of it."""
import http.client
import unittest

from lib import HostCase, Load, containers, engine, wait_for

MANIFEST = """rollout: {%s}
deploy:
  web: {expose: [8080], %s}
"""


class Canary(HostCase):
    def setUp(self):
        self.stack = self.h.name()
        self.host = self.stack + ".apps.test"
        self.app = self.h.app("one", vikingfile=MANIFEST % ("canary: 40%", "scale: 1"))

    def push(self, text=None, rollout=None, node="scale: 1", **more):
        if text is not None:
            self.h.write(self.app, {"www/index.html": text + "\n"})
        if rollout is not None:
            self.h.write(self.app, {"vikingfile": MANIFEST % (rollout, node)})
        if self.h.git(self.app, "status", "--porcelain").out.strip():
            self.h.commit(self.app)
        return self.h.push(self.app, self.stack, **more)

    def bodies(self, n=60):
        count = {}
        for _ in range(n):
            try:
                answer = self.h.get(self.host)
            except OSError as e:
                answer = (0, type(e).__name__)
            count[answer] = count.get(answer, 0) + 1
        return count

    def share(self, n=100):
        return self.bodies(n).get((200, "two\n"), 0) / n

    def releases(self):
        return {r["n"]: r for r in self.h.json("releases", self.stack)["releases"]}

    def ps(self):
        return [(p["release"], p.get("canary"), p["state"]) for p in self.h.json("ps", self.stack)["instances"]]

    def viking(self, *words, status=0):
        r = self.h.viking(*words)
        self.assertEqual(status, r.status, r)
        return r

    def test_promote(self):
        h = self.h
        r = self.push()
        self.assertIn("v1 deployed", r.err, "the first release has nothing to stand beside")
        r = self.push("two")
        self.assertIn("v2 gets 40 % of the requests, v1 the others", r.err)
        self.assertIn(f"viking releases:promote {self.stack}", r.err)
        self.assertTrue(0.15 < self.share() < 0.65)
        head = h.git(self.app, "rev-parse", "HEAD").out.split()[0]
        self.assertIn(head, h.git(self.app, "ls-remote", h.url(self.stack)).out, "the ref has moved with the push")
        self.assertEqual([(1, None, "running"), (2, 40, "running")], sorted(self.ps()))
        self.assertEqual(("current", "canary", 40), (self.releases()[1]["outcome"], self.releases()[2]["outcome"], self.releases()[2]["percent"]))
        self.assertIn("canary 40%", h.viking("releases", self.stack).out)
        self.assertIn("v2 canary 40%", h.viking("ps", self.stack).out)
        for words in (("config:set", self.stack, "A=1"), ("redeploy", self.stack)):
            r = self.viking(*words, status=5)
            self.assertIn("releases:promote", r.err)
        self.viking("ps:scale", self.stack, "web=2")
        wait_for("two of each", lambda: sorted(self.ps()) == [(1, None, "running")] * 2 + [(2, 40, "running")] * 2)
        self.viking("ps:restart", self.stack)
        self.assertTrue(0.15 < self.share() < 0.65)
        with Load(h, self.host, rate=50) as load:
            r = self.viking("releases:promote", self.stack)
        self.assertEqual([], load.errors)
        self.assertIn("v2 promoted", r.out)
        self.assertEqual({(200, "two\n"): 30}, self.bodies(30))
        self.assertEqual("superseded current".split(), [self.releases()[n]["outcome"] for n in (1, 2)])
        wait_for("the old ones are gone", lambda: self.ps() == [(2, None, "running")] * 2)
        self.viking("rollback", self.stack)
        self.assertEqual({(200, "one\n"): 10}, self.bodies(10))

    def test_abort_and_what_follows(self):
        self.push()
        self.push("two", "canary: 30%")
        r = self.viking("releases:abort", self.stack)
        self.assertIn("v2 aborted, all requests are v1's again", r.out)
        self.assertEqual({(200, "one\n"): 30}, self.bodies(30))
        self.assertEqual(("aborted", "by command"), (self.releases()[2]["outcome"], self.releases()[2]["cause"]))
        self.viking("rollback", self.stack, "v2", status=3)
        for words in (("releases:abort", self.stack), ("releases:promote", self.stack)):
            self.assertIn("has no canary", self.viking(*words, status=3).err)
        self.assertIn("releases:promote", self.viking("releases:promot", self.stack, status=2).err)
        self.push("three", "canary: 30%")
        self.push("two", "canary: 60%")
        self.assertEqual("aborted", self.releases()[3]["outcome"])
        self.assertEqual({(200, "one\n"), (200, "two\n")}, set(self.bodies()))
        wait_for("the first canary is gone", lambda: sorted(self.ps()) == [(1, None, "running"), (4, 60, "running")])
        r = self.viking("rollback", self.stack)
        self.assertIn("v4 aborted", r.out)
        self.push("four", "canary: 30%")
        r = self.push("five", "watch: 5s")
        self.assertIn("v6 deployed", r.err)
        self.assertEqual({(200, "five\n"): 20}, self.bodies(20))
        wait_for("one instance is left", lambda: self.ps() == [(6, None, "running")])
        self.push("six", "canary: 10%")
        self.viking("stacks:destroy", self.stack, "--force")
        self.assertEqual([], containers(f"viking.stack={self.stack}"))

    def receipts_app(self, status, rollout):
        self.h.write(self.app, {"vikingfile": MANIFEST % (rollout, "scale: 1"), "www/cgi-bin/x": f"#!/bin/sh\nprintf 'Status: {status}\\r\\n\\r\\nx\\n'\n",
                                "Dockerfile": "FROM viking-test-base\nCOPY www /www\nRUN chmod +x /www/cgi-bin/x\nEXPOSE 8080\n"
                                "CMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n"})
        self.h.commit(self.app)
        return self.h.push(self.app, self.stack)

    def ask(self, n, path="/cgi-bin/x"):
        return [self.h.get(self.host, path)[0] for _ in range(n)]

    def receipt(self, n, closed=True):
        return wait_for(f"the receipt of v{n}", lambda: (lambda r: r if r and closed == ("until_ms" not in r) else None)(
            self.h.json("releases:info", self.stack, f"v{n}").get("receipt")))

    def test_receipts_and_auto_rollback(self):
        h = self.h
        rule = "watch: 50s, auto_rollback: {error_rate: 20%, requests: 10}"
        self.receipts_app("200 OK", "watch: 4s")
        self.assertEqual([200] * 20, self.ask(20))
        first = self.receipt(1)
        self.assertEqual((4, 1, 20, 0, None), (first["seconds"], *(first["new"][k] for k in ("release", "requests", "errors")), first["old"]))
        self.assertGreaterEqual(first["new"]["p95_ms"], 0)
        self.assertIn("v1: 0 of 20 requests failed (0.0 %), p95", h.viking("releases:info", self.stack, "v1").out)
        self.receipts_app("500 No", rule)
        self.assertEqual([500] * 9, self.ask(9))
        wait_for("nine are counted", lambda: self.receipt(2, closed=False)["new"]["errors"] == 9)
        self.assertEqual(2, h.json("stacks:info", self.stack)["release"], "too few to judge by")
        self.ask(5)
        wait_for("it goes back by itself", lambda: self.releases().get(3, {}).get("outcome") == "current")
        self.assertIn("rollback to v1: ", self.releases()[3]["why"])
        self.assertIn("requests failed, more than 20.0 %", self.releases()[3]["why"])
        second = self.receipt(2)
        self.assertEqual(("rollback", 1, True, 20), (second["acted"], second["old"]["release"], second["old"]["earlier"], second["old"]["requests"]))
        self.assertIn("auto_rollback: rolled back", h.viking("releases:info", self.stack, "v2").out)
        self.assertEqual([200] * 20, self.ask(20))
        r = self.receipts_app("502 No", "canary: 60%, " + rule)
        self.assertIn("gets 60 %", r.err)
        for _ in range(20):
            self.ask(10)
            if self.releases()[4]["outcome"] == "aborted":
                break
        wait_for("it aborts the canary by itself", lambda: self.releases()[4]["outcome"] == "aborted")
        self.assertEqual([200] * 20, self.ask(20))
        fourth = self.receipt(4)
        self.assertEqual(("abort", 3, 0), (fourth["acted"], fourth["old"]["release"], fourth["old"]["errors"]))
        self.assertNotIn("earlier", fourth["old"])
        self.assertGreater(fourth["old"]["requests"], 0)
        self.assertEqual(4, len(self.releases()), "it acted once")
        self.assertIn("v4: ", " ".join(e["what"] for e in h.events() if e.get("type") == "receipt" and e.get("stack") == self.stack))

    def test_dead_processes(self):
        h = self.h
        self.push()
        self.push("two")
        for name in ("scheduler", "router", "haproxy", "agent"):
            old = h.pid(name)
            h.kill(name)
            wait_for(f"another {name}", lambda n=name, o=old: h.pid(n) not in (None, o))
            wait_for("both serve", lambda: set(self.bodies(20)) == {(200, "one\n"), (200, "two\n")})
            self.assertTrue(0.1 < self.share(60) < 0.75, name)
        canary = next(c for c in containers(f"viking.stack={self.stack}") if any("-2-1" in n for n in c["Names"]))
        engine("POST", f"/containers/{canary['Id']}/kill")
        self.assertEqual({200}, {status for status, _ in self.bodies(40)}, "who is left takes over")
        wait_for("the canary is back", lambda: (200, "two\n") in self.bodies(20))
        self.viking("releases:promote", self.stack)
        self.assertEqual({(200, "two\n"): 20}, self.bodies(20))

    def test_cookies_keep_their_version(self):
        self.push(rollout="canary: 50%", node="traffic: {sticky: true}")
        self.push("two")
        cookies = {}

        def ask(cookie=None):
            c = http.client.HTTPConnection("127.0.0.1", self.h.http_port, timeout=10)
            c.request("GET", "/", headers={"Host": self.host, **({"Cookie": cookie} if cookie else {})})
            r = c.getresponse()
            answer = r.read().decode().strip(), r.headers.get("Set-Cookie")
            c.close()
            return answer
        for _ in range(200):
            body, cookie = ask()
            cookies[body] = cookie.split(";")[0]
            if len(cookies) == 2:
                break
        self.assertEqual({"one", "two"}, set(cookies))
        for body, cookie in cookies.items():
            self.assertEqual({body}, {ask(cookie)[0] for _ in range(20)})
        self.viking("releases:abort", self.stack)
        body, cookie = ask(cookies["two"])
        self.assertEqual(("one", cookies["one"]), (body, cookie.split(";")[0]))

    def test_what_cannot_be_tried(self):
        volume = "  pg: {image: viking-test-base, run: [sleep, '999'], volumes: [/data]}\n"
        self.h.write(self.app, {".dockerignore": "vikingfile\n"})
        self.h.commit(self.app)
        self.push()
        manifest = MANIFEST % ("canary: 10%", "scale: 1")
        self.h.write(self.app, {"vikingfile": manifest + volume, "www/index.html": "two\n"})
        self.h.commit(self.app)
        r = self.h.push(self.app, self.stack, check=False)
        self.assertNotEqual(0, r.status)
        self.assertIn("a canary cannot bring node pg: it is new, and has a volume", r.err)
        self.h.write(self.app, {"vikingfile": manifest + volume.replace(", volumes: [/data]", ""), "www/index.html": "one\n"})
        self.h.commit(self.app)
        r = self.h.push(self.app, self.stack)
        self.assertIn("no canary", r.err)
        self.assertEqual(2, len(self.ps()))
        r = self.push(rollout="canary: 10%", node=f"volumes: [/data], domains: [{self.host}]")
        self.assertIn("web is not tried: it has a volume or a published port", r.err)
        self.assertIn("no canary", r.err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
