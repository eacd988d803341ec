"""Automatic certificates: orders at a real authority (pebble), renewal, a failing and a lying authority, kill -9 at each step."""
import hashlib
import json
import os
import signal
import socket
import ssl
import unittest

from authority import Authority, self_signed
from lib import BASE, Host, wait_for

MANIFEST = """deploy:
  web:
    image: {base}:latest
    run: sh -c 'mkdir -p /w/.well-known/acme-challenge && echo web > /w/index.html && echo mine > /w/.well-known/acme-challenge/x && exec httpd -f -p 8080 -h /w'
    expose: [8080]
    domains: [{domains}]
"""


class Acme(unittest.TestCase):
    def setUp(self):
        self.h = Host()
        self.stack = self.h.name("acme")
        self.d = self.stack + ".example.org"
        self.tree = None

    def serve(self, *domains, seconds=90 * 86400, **settings):
        """viking, an authority, and one stack with these domains."""
        self.ca = Authority(self.h.http_port, seconds)
        self.addCleanup(self.ca.__exit__, None, None, None)
        self.ca.__enter__()
        self.h.configure(**self.ca.settings(), **settings)
        self.h.__enter__()
        self.addCleanup(self.h.__exit__, None, None, None)
        self.deploy(*domains)

    def deploy(self, *domains):
        files = {"vikingfile": MANIFEST.format(base=BASE, domains=", ".join(domains))}
        if self.tree is None:
            self.tree = self.h.tree(files)
        else:
            self.h.write(self.tree, files)
            self.h.commit(self.tree)
        self.h.push(self.tree, self.stack)

    def shown(self, name, ca=None):
        """What a client that trusts the authority gets: the certificate, None without one, "bad" for one not to trust."""
        context = ssl.create_default_context(cafile=ca or self.ca.dir + "/roots.pem")
        try:
            with socket.create_connection(("127.0.0.1", self.h.https_port), timeout=10) as s, context.wrap_socket(s, server_hostname=name) as t:
                return hashlib.sha256(t.getpeercert(True)).hexdigest()
        except ssl.SSLCertVerificationError:
            return "bad"
        except OSError:
            return None

    def auto(self, domain):
        """What is told of a domain; None while the scheduler is away."""
        r = self.h.viking("certs", self.stack, "--json")
        return next((a for a in json.loads(r.out)["auto"] if a["domain"] == domain), None) if r.status == 0 else None

    def failed(self, domain, words):
        def look():
            a = self.auto(domain)
            return a if a and a["failures"] > 0 and words in a["error"] else None
        return wait_for(f"{domain} to fail of: {words} ({self.auto(domain)})", look, seconds=60)

    def clients(self, domain):
        """Running uacmes of this domain."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"/uacme") and domain.encode() in words and self.h.root.encode() in b" ".join(words):
                found.append(int(pid))
        return found

    def test_order_serve_and_renew(self):
        a, b = "a." + self.d, "b." + self.d
        self.serve(f"{{host: {a}, tls: auto, redirect: https}}", b, seconds=45)
        first = wait_for("the first certificate", lambda: self.shown(a) or None, seconds=60)
        self.assertNotEqual(first, "bad")
        self.assertIsNone(self.shown(b), "nobody asked for it")
        self.assertEqual(308, self.h.get(a)[0], "a challenge goes before the redirect, all else does not")
        info = self.h.viking("certs:info", self.stack, a)
        self.assertIn("renewed from", info.out)
        self.assertIn("added by   acme", info.out)
        # by command, for another domain
        self.assertEqual(1, self.h.viking("certs:auto", self.stack, "nobody.example.org").status // 3)
        r = self.h.viking("certs:auto", self.stack, b)
        self.assertEqual(0, r.status, r)
        wait_for("the other certificate", lambda: self.shown(b), seconds=60)
        self.assertEqual(0, self.h.viking("certs:auto", self.stack, b, "--off").status)
        # a renewal, and HTTPS without a gap
        wrong = []

        def renewed():
            now = self.shown(a)
            if now in (None, "bad"):
                wrong.append(now)
            return now not in (None, "bad", first)
        wait_for("the second certificate", renewed, seconds=120)
        self.assertEqual([], wrong)
        self.assertEqual(1, sum(1 for c in self.h.json("certs", self.stack)["certs"] if c["names"] == [a]), "the old one is gone")
        self.assertEqual([], [x for x in os.listdir(self.h.path("run/viking/certs")) if not x.endswith(".lock")] if not self.clients(a) else [])
        with open(self.h.path("var/lib/viking/sched/viking.db"), "rb") as f:
            self.assertNotIn(b"PRIVATE KEY", f.read())
        self.assertNotIn("PRIVATE KEY", self.h.viking("state", "--keys", "/").out)

    def test_authorities_that_fail_and_lie(self):
        a, b = "a." + self.d, "b." + self.d
        self.serve(f"{{host: {a}, tls: auto}}")
        good = wait_for("the first certificate", lambda: self.shown(a) or None, seconds=60)
        with self.subTest("the name does not lead here"):
            self.ca.dns("set-servfail", host=b)
            self.deploy(f"{{host: {a}, tls: auto}}", f"{{host: {b}, tls: auto}}")
            fault = self.failed(b, "the authority")
            self.assertIn(b, fault["hint"])
            self.assertIn("dig", fault["hint"])
            doctor = self.h.viking("doctor").out
            self.assertIn(f"no new certificate of {self.stack} for {b}", doctor)
            self.assertIn(f"none for {b}: ", self.h.viking("events", self.stack).out)
            info = self.h.viking("certs:info", self.stack, b).out
            self.assertIn("failed, again from", info)
            self.assertIn(fault["error"], info)
            self.ca.dns("clear-servfail", host=b)
        modes = [("down", "does not answer|no directory"), ("garbage", "no directory|authority"), ("limit", "too many certificates"), ("endless", "authority|uacme|longer"),
                 ("silent", "did not come to an end")]
        self.h.configure(**{"acme.timeout": "10s"})
        self.h.kill("certs")
        for mode, words in modes:
            with self.subTest(mode):
                before = self.auto(b)["failures"] if self.auto(b) else 0
                self.ca.mode = mode
                self.again(b, before, words)
                self.ca.mode = "pass"
        other, key = self.ca.dir + "/other", self.ca.dir + "/mine"
        self_signed(other, "DNS:victim.example.org")
        self_signed(key, "DNS:" + b)
        for name, words in ((other, "not taken: the private key is not that"), (key, "not taken: the private key is not that")):
            with self.subTest("a certificate of " + name):
                with open(name + ".crt", "rb") as f:
                    self.ca.certificate = f.read()
                self.ca.mode = "certificate"
                self.again(b, self.auto(b)["failures"], words)
        self.ca.certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" * 1000
        self.again(b, self.auto(b)["failures"], "")
        self.ca.mode = "pass"
        self.assertEqual(good, self.shown(a), "what there was is still shown")
        self.assertIsNone(self.shown(b))
        wait_for("a good one at last", lambda: self.h.viking("certs:auto", self.stack, b).status == 0 and self.shown(b), seconds=60)
        self.assertEqual("", self.auto(b)["error"])

    def again(self, domain, failures, words):
        """One failure more, with one of these words."""
        def look():
            a = self.auto(domain)
            if a is None:
                return None
            if a["state"] != "ordering" and a["failures"] <= failures:
                self.h.viking("certs:auto", self.stack, domain)
            return a if a["failures"] > failures or (a["failures"] > 0 and any(w in a["error"] for w in words.split("|"))) else None
        fault = wait_for(f"another failure of {domain}", look, seconds=90)
        self.assertTrue(any(w in fault["error"] for w in words.split("|")), fault)
        self.assertNotEqual("", fault["hint"], fault)
        self.assertNotIn("\n", fault["error"])

    def test_kill_at_each_step(self):
        """kill -9 of each process with the order at its challenge, its finalization and its certificate: one certificate, and
        never two orders for the name at once."""
        self.serve("plain." + self.d)
        most = 0
        for n, (step, who) in enumerate([("/chalZ/", "uacme"), ("/chalZ/", "certs"), ("/chalZ/", "scheduler"), ("/finalize-order/", "certs"),
                                         ("/certZ/", "scheduler"), ("/certZ/", "uacme"), ("/chalZ/", "router"), ("/certZ/", "vikingd")]):
            with self.subTest(f"{who} at {step}"):
                d = f"k{n}.{self.d}"
                self.ca.seen.clear()
                self.ca.hold = step
                self.deploy("plain." + self.d, f"{{host: {d}, tls: auto}}")
                wait_for("the order to come to " + step, lambda: any(step in path for _, path in self.ca.seen), seconds=60)
                self.assertEqual((404, "404: no such challenge"), self.h.get(d, "/.well-known/acme-challenge/x")[:2])
                self.assertEqual("mine\n", self.h.get("plain." + self.d, "/.well-known/acme-challenge/x")[1])
                if who == "uacme":
                    os.kill(self.clients(d)[0], signal.SIGKILL)
                elif who == "vikingd":
                    self.h.daemon.kill()
                    self.h.daemon.wait()
                    self.h.start()
                else:
                    self.h.kill(who)
                self.ca.hold = None

                def done():
                    nonlocal most
                    most = max(most, len(self.clients(d)))
                    return self.shown(d)
                self.assertNotEqual("bad", wait_for("the certificate", done, seconds=90))
                certs = [c for c in self.h.json("certs", self.stack)["certs"] if c["names"] == [d]]
                self.assertEqual(1, len(certs), certs)
        self.assertLessEqual(most, 1)
        wait_for("no keys to be left behind", lambda: [x for x in os.listdir(self.h.path("run/viking/certs")) if not x.endswith(".lock")] == [])

    def test_wildcard_by_dns(self):
        d = self.d
        self.serve(f"{{host: '*.{d}', tls: auto}}")
        blocked = self.auto("*." + d)
        self.assertEqual("blocked", blocked["state"])
        self.assertIn("acme: {dns_hook:", blocked["hint"])
        r = self.h.viking("certs:auto", self.stack, "*." + d)
        self.assertEqual(4, r.status, r)
        self.h.configure(**{"acme.dns_hook": "/bin/false"})
        self.h.kill("scheduler")
        self.h.kill("certs")
        fault = self.failed("*." + d, "the DNS hook /bin/false")
        self.assertIn("sudo -u viking-certs", fault["hint"])
        self.h.configure(**{"acme.dns_hook": self.ca.dns_hook()})
        self.h.kill("certs")
        wait_for("a certificate by DNS", lambda: self.h.viking("certs:auto", self.stack, "*." + d).status == 0 and self.shown("any." + d), seconds=60)
        self.assertIsNone(self.shown("a.b." + d), "one label only")


if __name__ == "__main__":
    unittest.main()
