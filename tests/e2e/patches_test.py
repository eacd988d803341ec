"""viking-router follows its table by patches; the real HAProxy."""
import random
import signal
import unittest

from routing import Backends, Site, app, server, wait_for


class PatchesTest(unittest.TestCase):
    def setUp(self):
        self.s = Site()
        self.addCleanup(self.s.cleanup)
        self.b = Backends("one", "two", "three")
        self.addCleanup(self.b.stop)
        self.s.start("router")
        self.s.haproxy()
        self.s.api.ack(self.s.api.put("router", {"stacks": {
            "ragnar": app(["a.com", "b.com"], server("r-1", self.b.port["one"])),
            "bjorn": app(["c.com"], server("b-1", self.b.port["two"]))}}))

    def patch(self, **stacks):
        return self.s.api.ack(self.s.api.patch({"stacks": stacks}))

    def domains(self, stack="ragnar", **domains):
        return self.patch(**{stack: {"domains": {k.replace("_", "."): v for k, v in domains.items()}}})

    def state(self):
        return self.s.servers(), {m: sorted(self.s.map(m)) for m in
                                  ("hosts.map", "suffix.map", "paths.map", "policies.map", "access.map", "sticky.map", "acme.map")}

    def told_again(self):
        """The whole table, sent as such, changes nothing."""
        before = self.state()
        ack = self.s.api.ack(self.s.api.put("router", self.s.api.docs["router"]))
        self.assertEqual(self.state(), before)
        return ack

    def test_a_domain_comes_and_goes(self):
        worker = self.s.worker()
        self.assertEqual(self.domains(d_com="web", a_com=None)["errors"], [])
        self.assertEqual([self.s.get(h)[:3] for h in ("a.com", "b.com", "d.com")], ["404", "200", "200"])
        with open(self.s.state("hosts.map")) as f:
            lines = [line for line in f.read().splitlines() if line[0] != "#"]
        self.assertEqual(sorted(line.split()[0] for line in lines), ["b.com", "c.com", "d.com"])
        self.domains(a_com={"to": "web", "policy": {"sticky": True}}, **{"*.e.com": "web", "e.com/api": "web"})
        self.assertEqual([self.s.get(*h)[:3] for h in (("a.com",), ("x.e.com",), ("e.com", "/api/x"), ("e.com",))], ["200", "200", "200", "404"])
        self.assertEqual(self.s.worker(), worker)
        self.told_again()

    def test_servers_change(self):
        one, two = server("r-1", self.b.port["one"]), server("r-2", self.b.port["three"])
        self.patch(ragnar={"backends": {"web": {"servers": [{**one, "state": "drain"}, two]}}})
        self.assertEqual(self.s.get("a.com"), "200 three")
        self.patch(ragnar={"backends": {"web": {"servers": [two]}}})
        self.assertEqual(self.s.get("b.com"), "200 three")
        self.assertEqual({k: v for k, v in self.s.rendered().items() if v[2] == "ready"},
                         {k: v for k, v in self.s.servers().items() if v[2] == "ready"})
        self.told_again()

    def test_stacks_come_and_go_and_claim(self):
        self.patch(floki=app(["f.com"], server("f-1", self.b.port["three"])), bjorn=None)
        self.assertEqual([self.s.get(h)[:3] for h in ("f.com", "c.com", "a.com")], ["200", "404", "200"])
        ack = self.domains("floki", a_com="web")
        self.assertEqual([e["stack"] for e in ack["errors"]], ["floki"])
        self.assertEqual(self.s.get("a.com"), "200 one")
        self.assertEqual(self.domains("floki", a_com=None)["errors"], [])
        self.told_again()

    def test_a_gap_asks_for_the_whole(self):
        self.s.api.patch({"stacks": {"ragnar": {"domains": {"lost.com": "web"}}}}, skip=True)
        self.domains(d_com="web")
        self.assertEqual([self.s.get(h)[:3] for h in ("lost.com", "d.com")], ["200", "200"])
        self.assertEqual(self.s.api.watches.count("router"), 2)
        self.domains(lost_com=None)
        self.assertEqual(self.s.get("lost.com")[:3], "404")
        self.assertEqual(self.s.api.watches.count("router"), 2)

    def test_the_router_dies_between_a_patch_and_its_ack(self):
        haproxy, router = self.s.procs["haproxy"], self.s.procs["router"]
        worker = self.s.worker()
        self.s.runtime(f"set map {self.s.state('hosts.map')} b.com b0002")  # what came of a half told patch
        router.send_signal(signal.SIGSTOP)
        rev = self.s.api.patch({"stacks": {"ragnar": {"domains": {"d.com": "web"}}}})
        self.s.kill("router")
        self.assertFalse([a for _, a in self.s.api.acks if a["rev"] == rev])
        self.s.start("router")
        self.s.api.ack(rev)
        self.assertEqual([self.s.get(h) for h in ("b.com", "c.com", "d.com")], ["200 one", "200 two", "200 one"])
        self.assertEqual(self.s.worker(), worker)
        self.assertIsNone(haproxy.poll())
        self.domains(d_com=None)
        self.told_again()

    def test_haproxy_dies_and_comes_back_with_what_was_acknowledged(self):
        self.domains(d_com="web", a_com=None)
        self.patch(ragnar={"backends": {"web": {"servers": [server("r-2", self.b.port["three"])]}}})
        self.s.procs["router"].send_signal(signal.SIGSTOP)  # so that nobody repairs
        self.s.kill("haproxy", signal.SIGTERM)
        self.s.haproxy()
        self.assertEqual([self.s.get(h) for h in ("b.com", "d.com")], ["200 three", "200 three"])
        self.assertEqual(self.s.get("a.com")[:3], "404")
        rev = self.s.api.patch({"stacks": {"ragnar": {"domains": {"e.com": "web"}}}})
        self.s.procs["router"].send_signal(signal.SIGCONT)
        self.s.api.ack(rev)
        self.assertEqual(self.s.get("e.com"), "200 three")
        self.told_again()

    def test_a_key_that_others_changed_is_repaired(self):
        """The patch is read back, and then all is."""
        path = self.s.state("hosts.map")
        self.s.runtime(f"del map {path} c.com")
        self.s.runtime(f"add map {path} d.com b0009")
        self.domains(d_com="web")
        wait_for("repair", lambda: self.s.get("d.com") == "200 one" and self.s.get("c.com") == "200 two")
        self.told_again()

    def test_many_at_once_are_taken_together(self):
        rng = random.Random(5)
        for i in range(300):
            stack = rng.choice(("ragnar", "bjorn"))
            rev = self.s.api.patch({"stacks": {stack: {"domains": {f"{stack}{rng.randrange(40)}.com": rng.choice(("web", "web", None))}}}})
        self.s.api.ack(rev)
        self.told_again()
        domains = {d for s in self.s.api.docs["router"]["stacks"].values() for d in s["domains"]}
        self.assertEqual({k for k, _ in self.s.map("hosts.map")}, domains)


if __name__ == "__main__":
    unittest.main(verbosity=2)
