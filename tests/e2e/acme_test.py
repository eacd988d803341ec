"""Automatic certificates: orders at a real authority (pebble), renewal, a failing and a lying authority, kill -9 at each step."""
import hashlib
import os
import signal
import socket
import ssl
import subprocess
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

    def serve(self, *domains, seconds=90 * 86400, **settings):
        """viking, an authority, and one stack with these domains."""
        self.ca = Authority(self.h.http_port, seconds)
        self.addCleanup(self.ca.__exit__, None, None, None)
        self.ca.__enter__()
        self.h.configure(**self.ca.settings(), **settings)
        self.addCleanup(self.h.__exit__, None, None, None)
        self.h.__enter__()
        self.deploy(*domains)

    def deploy(self, *domains):
        self.h.push(self.h.tree({"vikingfile": MANIFEST.format(base=BASE, domains=", ".join(domains))}), self.stack)

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
        return next((a for a in self.h.json("certs", self.stack)["auto"] if a["domain"] == domain), None)

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


if __name__ == "__main__":
    unittest.main()
