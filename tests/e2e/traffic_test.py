"""Policies and certificates by viking-router with the real HAProxy: all of it without a reload."""
import hashlib
import os
import re
import socket
import ssl
import subprocess
import threading
import time
import unittest

from routing import Backends, Load, Site, app, free_port, server


def curl(*words):
    p = subprocess.run(["/usr/bin/curl", "-s", "-m", "10", "-w", "\\n%{http_code} %{http_version}", *words], capture_output=True, text=True,
                       timeout=20)
    body, _, last = p.stdout.rpartition("\n")
    status, version = (last.split() + ["", ""])[:2]
    return int(status or 0), body.strip(), version


def hashes(user, password):
    text = f"{user}:protected:{password}".encode()
    return hashlib.md5(text).hexdigest() + "|" + hashlib.sha256(text).hexdigest()


class Routed(unittest.TestCase):
    settings = {}

    def setUp(self):
        self.s = Site(**self.settings)
        self.addCleanup(self.s.cleanup)
        self.b = Backends("one", "two", "three")
        self.addCleanup(self.b.stop)
        self.s.start("router")
        self.s.haproxy()
        self.worker = self.s.worker()

    def tearDown(self):
        self.assertEqual(self.s.worker(), self.worker, "the worker is the one that was started: no reload")

    def table(self, **stacks):
        answer = self.s.api.ack(self.s.api.put("router", {"stacks": stacks}))
        self.assertEqual(answer["reloads"], 0)
        return answer

    def server(self, name):
        return server(name, self.b.port[name])

    def policy(self, policy, domain="a.com", **more):
        stack = app([], self.server("one"))
        stack["domains"] = {domain: {"to": "web", "policy": policy}, **more}
        answer = self.table(ragnar=stack)
        self.assertEqual(answer["errors"], [])

    def curl(self, host, path="/", *words):
        return curl("-H", f"Host: {host}", f"http://127.0.0.1:{self.s.port}{path}", *words)


class TrafficTest(Routed):
    def test_paths(self):
        stack = {"backends": {"web": {"servers": [self.server("one")]}, "api": {"servers": [self.server("two")]}},
                 "domains": {"a.com": "web", "a.com/api": {"to": "api", "policy": {"strip": True}}, "a.com/api/v2": "web",
                             "*.b.com/x": "api", "only.com/x": "api"}}
        self.assertEqual(self.table(ragnar=stack)["errors"], [])
        for host, path, want in (("a.com", "/", "200 one"), ("a.com", "/api", "200 two"), ("a.com", "/api/x", "200 two"),
                                 ("a.com", "/apix", "200 one"), ("a.com", "/api/v2/x", "200 one"), ("a.com", "//api", "200 two"),
                                 ("a.com", "/%61pi/x", "200 two"), ("n.b.com", "/x/y", "200 two"), ("only.com", "/x", "200 two")):
            self.assertEqual(self.s.get(host, path), want, (host, path))
        self.assertEqual(self.s.get("n.b.com", "/")[:3], "404")
        self.assertEqual(self.s.get("only.com", "/"), "404 404: no application or website of this host has this path")
        self.assertEqual(self.s.get("nobody.com", "/"), "404 404: no application or website has this host name")
        for path in ("/api/../x", "/x/%2e%2e/api", "/a%5cb"):
            self.assertEqual(self.s.get("a.com", path)[:3], "400", path)
        head = self.s.get("a.com", "/api/headers")
        self.assertIn("GET /headers ", head)
        self.assertIn("x-forwarded-prefix: /api", head.lower())

    def test_basic_auth(self):
        self.policy({"auth": {"bob": hashes("bob", "s3:cret"), "eve": hashes("eve", "")}}, **{"open.com": "web"})
        self.assertEqual(self.curl("a.com")[0], 401)
        self.assertEqual(self.curl("a.com", "/", "-u", "bob:s3:cret")[:2], (200, "one"))
        self.assertEqual(self.curl("a.com", "/", "-u", "eve:")[0], 200)
        for wrong in ("bob:s3", "bob:", "eve:x", "bob:s3:cret ", "nobody:s3:cret", ":", "bob"):
            self.assertEqual(self.curl("a.com", "/", "-u", wrong if ":" in wrong else wrong + ":")[0], 401, wrong)
        for header in ("Basic", "Basic ", "Basic !!!", "Bearer x", "Basic " + "A" * 8000):
            self.assertEqual(self.curl("a.com", "/", "-H", "Authorization: " + header)[0], 401, header[:20])
        self.assertEqual(self.curl("open.com")[0], 200)
        seen = self.curl("a.com", "/headers", "-u", "bob:s3:cret", "-H", "X-Forwarded-User: root")[1].lower()
        self.assertIn("x-forwarded-user: bob", seen)
        self.assertNotIn("authorization", seen)
        self.assertNotIn("root", seen)

    def test_digest_auth(self):
        self.policy({"auth_mode": "digest", "auth": {"internal": hashes("internal", "secret")}})
        status, _, _ = self.curl("a.com")
        self.assertEqual(status, 401)
        offer = self.s.request("a.com")[1]["www-authenticate"]
        self.assertTrue(offer.startswith('Digest realm="protected", qop="auth", algorithm='), offer)
        for path in ("/", "/x?a=1,2&b=%20"):
            self.assertEqual(self.curl("a.com", path, "--digest", "-u", "internal:secret")[:2], (200, "one"), path)
        for words in (("--digest", "-u", "internal:no"), ("--digest", "-u", "x:secret"), ("-u", "internal:secret")):
            self.assertEqual(self.curl("a.com", "/", *words)[0], 401, words)
        nonce = re.search('nonce="([^"]*)"', offer).group(1)
        for algorithm, digest in (("MD5", hashlib.md5), ("SHA-256", hashlib.sha256)):
            def h(text):
                return digest(text.encode()).hexdigest()

            def ask(uri="/", signed=None, nonce=nonce, qop="auth", nc="00000001"):
                a2 = h("GET:" + (signed or uri))
                response = h(":".join((h("internal:protected:secret"), nonce, nc, "c", qop, a2)))
                return self.s.request("a.com", uri, headers={"Authorization": (
                    f'Digest username="internal", realm="protected", nonce="{nonce}", uri="{signed or uri}", cnonce="c", nc={nc}, '
                    f'qop={qop}, response="{response}", algorithm={algorithm}')})
            self.assertEqual(ask()[0], 200, algorithm)
            self.assertEqual(ask("/other", signed="/")[0], 401, "a login for one address is none for another")
            self.assertEqual(ask(nonce="1." + "0" * 64)[0], 401, "a nonce that was not made here")
            self.assertEqual(ask(nonce=nonce.split(".")[0] + ".")[0], 401)
            self.assertEqual(ask(qop="auth-int")[0], 401)

    def test_addresses(self):
        for allow, want in ((["127.0.0.0/8"], 200), (["127.0.0.1"], 200), (["10.0.0.0/8", "127.0.0.0/30"], 200), (["10.0.0.0/8"], 403),
                            (["127.0.0.2", "::1"], 403), (["0.0.0.0/1"], 200), (["128.0.0.0/1"], 403)):
            self.policy({"allow": allow})
            self.assertEqual(self.curl("a.com")[0], want, allow)

    def test_bodies_and_times(self):
        self.policy({"max_body": 10, "response_ms": 300})
        self.assertEqual(self.curl("a.com", "/", "-d", "0123456789")[0], 200)
        self.assertEqual(self.curl("a.com", "/", "-d", "0123456789a")[0], 413)
        self.assertEqual(self.curl("a.com", "/", "-d", "0", "-H", "Transfer-Encoding: chunked")[0], 411)
        self.assertEqual(self.curl("a.com", "/slow/2")[0], 504)
        self.policy({"response_ms": 5000})
        self.assertEqual(self.curl("a.com", "/slow/1")[0], 200)

    def test_maintenance(self):
        self.policy({"maintenance": "back at nine; it's \"soon\""}, **{"b.com": "web"})
        status, body, _ = self.curl("a.com")
        self.assertEqual((status, body), (503, '503: back at nine; it\'s "soon"'))
        status, body, _ = self.curl("a.com", "/", "-H", "Accept: text/html")
        self.assertIn("<p>back at nine", body)
        self.policy({"maintenance": "<b>&\"'</b>%[src]"})
        self.assertEqual(self.curl("a.com")[1], "503: <b>&\"'</b>%[src]", "plain text has it as it is")
        self.assertIn("<p>&lt;b&gt;&amp;\"'&lt;/b&gt;%[src]", self.curl("a.com", "/", "-H", "Accept: text/html")[1])
        self.policy({}, **{"b.com": "web"})
        self.assertEqual(self.curl("b.com")[0], 200)
        self.policy({})
        self.assertEqual(self.curl("a.com")[0], 200)

    def test_sticky(self):
        servers = {n: self.server(n) for n in ("one", "two", "three")}

        def put(**states):
            stack = app([], *({**servers[n], "state": states.get(n, "ready")} for n in servers))
            stack["domains"] = {"a.com": {"to": "web", "policy": {"sticky": True}}, "b.com": "web"}
            self.assertEqual(self.table(ragnar=stack)["errors"], [])
        put()
        self.assertNotIn("set-cookie", self.s.request("b.com")[1])
        cookies = {}
        for _ in range(60):
            _, head, body = self.s.request("a.com")
            cookies[body.strip()] = head["set-cookie"].split(";")[0]
        self.assertEqual(set(cookies), set(servers))
        for name, cookie in cookies.items():
            for _ in range(10):
                status, head, body = self.s.request("a.com", headers={"Cookie": "x=1; " + cookie})
                self.assertEqual((status, body.strip()), (200, name))
                self.assertNotIn("set-cookie", head)
        put(one="drain")
        _, head, body = self.s.request("a.com", headers={"Cookie": cookies["one"]})
        self.assertNotEqual(body.strip(), "one")
        self.assertEqual(head["set-cookie"].split(";")[0], cookies[body.strip()])
        for cookie in ("viking_sticky=s2", "viking_sticky=", "viking_sticky=../b0002/s1", "viking_sticky=" + "a" * 4000):
            self.assertEqual(self.s.request("a.com", headers={"Cookie": cookie})[0], 200, cookie[:30])

    def test_canary(self):
        """A part of the requests, drawn by lot; a cookie keeps its version; who is there takes over for a canary that is gone."""
        def put(states, percent, **policy):
            stack = app([], *({**self.server(n), "state": states[n]} for n in states))
            if percent:
                stack["backends"]["web"]["canary"] = percent
            stack["domains"] = {"a.com": {"to": "web", "policy": {"canary": True, **policy}}, "b.com": "web"}
            self.assertEqual(self.table(ragnar=stack)["errors"], [])

        def share(n=400):
            return sum(self.s.get("a.com") == "200 two" for _ in range(n)) / n
        both = {"one": "ready", "two": "canary"}
        put(both, 20)
        self.assertTrue(0.1 < share() < 0.32)
        self.assertEqual([row for row in self.s.map("sticky.map") if "@" in row[0]].__len__(), 20)
        put(both, 80)
        self.assertTrue(0.68 < share() < 0.9)
        put(both, 50, sticky=True)
        for name in ("one", "two"):
            while True:
                _, head, body = self.s.request("a.com")
                if body.strip() == name:
                    break
            cookie = head["set-cookie"].split(";")[0]
            self.assertEqual({self.s.request("a.com", headers={"Cookie": cookie})[2].strip() for _ in range(30)}, {name})
        put({"one": "ready", "two": "ready"}, 0)
        self.assertTrue(0.3 < share(100) < 0.7, "promoted")
        put({"one": "ready", "two": "drain"}, 0)
        self.assertEqual(share(50), 0, "sent back")
        dead = {**self.server("two"), "port": free_port(), "state": "canary"}
        stack = app([], self.server("one"), dead)
        stack["backends"]["web"]["canary"] = 90
        stack["domains"] = {"a.com": {"to": "web", "policy": {"canary": True}}}
        self.assertEqual(self.table(ragnar=stack)["errors"], [])
        self.assertEqual({self.s.get("a.com") for _ in range(5)}, {"200 one"})

    def test_hold(self):
        self.policy({"hold_ms": 8000})
        answers = []
        visitors = [threading.Thread(target=lambda: answers.append((self.curl("a.com")[:2], time.monotonic()))) for _ in range(5)]
        for v in visitors:
            v.start()
        visitors[0].join(1)
        self.assertEqual(answers, [])
        released = time.monotonic()
        self.policy({})
        for v in visitors:
            v.join()
        self.assertEqual([a for a, _ in answers], [(200, "one")] * 5)
        self.assertLess(max(t for _, t in answers), released + 3, "they go on at once")
        self.policy({"hold_ms": 300})
        began = time.monotonic()
        self.assertEqual(self.curl("a.com")[:2], (200, "one"))
        self.assertGreaterEqual(time.monotonic() - began, 0.3)

    def test_a_hold_ends_for_its_own_stack(self):
        def stack(domain, policy):
            return {**app([], self.server("one")), "domains": {domain: {"to": "web", "policy": policy}}}
        self.table(ragnar=stack("a.com", {"hold_ms": 20000}), floki=stack("b.com", {"hold_ms": 20000}))
        answers = []
        visitor = threading.Thread(target=lambda: answers.append(self.curl("a.com")[:2]))
        visitor.start()
        visitor.join(1)
        self.assertEqual(answers, [])
        self.table(ragnar=stack("a.com", {}), floki=stack("b.com", {"hold_ms": 20000}))
        visitor.join(10)
        self.assertEqual(answers, [(200, "one")], "not when that of another ends, which has the same policy")

    def test_another_port(self):
        one, two = self.server("one"), {**self.server("two"), "id": "one"}
        self.table(ragnar={"backends": {"web": {"servers": [one]}, "web:9000": {"servers": [two]}},
                           "domains": {"a.com": "web", "m.com": "web:9000"}})
        self.assertEqual((self.s.get("a.com"), self.s.get("m.com")), ("200 one", "200 two"))

    def test_hostile_values_stop_their_stack_alone(self):
        good = app(["ok.com"], self.server("two"))
        self.table(good=good)
        bad = ({"allow": ["10.0.0.0/8;shutdown sessions"]}, {"allow": ["1.2.3.4\nquit"]}, {"auth": {"a b": hashes("a", "b")}},
               {"auth": {"bob": "x"}}, {"auth": {"bob|x": hashes("b", "c")}}, {"maintenance": "a\nb"},
               {"max_body": -1}, {"max_body": "1;quit"}, {"strip": True}, {"auth": {}}, {"allow": []}, {"auth_mode": "none", "auth": {"b": "x"}})
        stacks = {f"bad-{i}": {"domains": {f"x{i}.com": {"to": "web", "policy": p}}} for i, p in enumerate(bad)}
        for i, place in enumerate(("a.com/x y", "a.com/../b", "a.com/x;y", "a.com/x%00", "a.com//x", "a.com/")):
            stacks[f"place-{i}"] = {"domains": {place: "web"}}
        answer = self.table(good=good, **stacks)
        self.assertEqual(sorted(e["stack"] for e in answer["errors"]), sorted(stacks))
        self.assertEqual(self.s.get("ok.com"), "200 two")
        self.assertEqual([e for e in self.s.map("hosts.map") if e[0] != "ok.com"], [])


class Ipv6Test(Routed):
    settings = {"http.address": "::"}

    def test_addresses_of_both_kinds(self):
        for allow, four, six in ((["127.0.0.0/8"], 200, 403), (["::1"], 403, 200), (["::/25", "127.0.0.1"], 200, 200), (["2001:db8::/33"], 403, 403)):
            self.policy({"allow": allow})
            for address, want in (("127.0.0.1", four), ("[::1]", six)):
                self.assertEqual(curl("-H", "Host: a.com", f"http://{address}:{self.s.port}/")[0], want, (allow, address))
        self.policy({})
        for address in ("127.0.0.1", "[::1]"):
            self.assertIn("x-forwarded-for: " + address.strip("[]"), curl("-H", "Host: a.com", f"http://{address}:{self.s.port}/headers")[1].lower())


class CertificateTest(Routed):
    def make(self, ident, *names, days=30):
        base = os.path.join(self.s.root, ident)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", str(days),
                        "-subj", f"/CN={ident}", "-addext", "subjectAltName=" + ",".join("DNS:" + n for n in names), "-keyout",
                        base + ".key", "-out", base + ".crt"], check=True, capture_output=True)
        with open(base + ".crt") as c, open(base + ".key") as k:
            self.s.api.certs[ident] = c.read() + k.read()

    def handshake(self, name):
        """The certificate shown for a name, None when the connection is refused."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with socket.create_connection(("127.0.0.1", self.s.https_port), timeout=5) as raw:
                with context.wrap_socket(raw, server_hostname=name) as s:
                    return s.getpeercert(True)
        except ssl.SSLError:
            return None

    def shown(self, name):
        """Its common name."""
        der = self.handshake(name)
        if der is None:
            return None
        p = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-subject"], input=der, capture_output=True)
        return p.stdout.decode().strip().rsplit("= ", 1)[-1]

    def with_certs(self, certs, policy=None):
        stack = app([], self.server("one"))
        stack["domains"] = {"a.com": {"to": "web", "policy": policy or {}}, "*.b.com": "web"}
        stack["certs"] = certs
        self.assertEqual(self.table(ragnar=stack)["errors"], [])

    def https(self, host, *words):
        return curl("-k", "--resolve", f"{host}:{self.s.https_port}:127.0.0.1", f"https://{host}:{self.s.https_port}/", *words)

    def test_certificates_come_and_go(self):
        one, two, three = "1" * 24, "2" * 24, "3" * 24
        self.assertIsNone(self.shown("a.com"))
        self.make(one, "a.com", "victim.com")
        self.with_certs({one: ["a.com"]})
        self.assertEqual(self.shown("a.com"), one)
        self.assertIsNone(self.shown("victim.com"), "a name in the certificate is not enough: it must be the stack's")
        self.assertEqual(self.https("a.com"), (200, "one", "2"))
        self.assertEqual(self.https("a.com", "--http1.1"), (200, "one", "1.1"))
        self.make(two, "a.com")
        self.make(three, "*.b.com")
        self.with_certs({two: ["a.com"], three: ["*.b.com"]})
        self.assertEqual([self.shown(n) for n in ("a.com", "x.b.com", "b.com")], [two, three, None])
        self.assertEqual(sorted(os.listdir(self.s.state("certs"))), [two + ".pem", three + ".pem"])
        self.assertEqual(os.stat(self.s.state("certs/" + two + ".pem")).st_mode & 0o777, 0o600)
        self.with_certs({})
        self.assertIsNone(self.shown("a.com"))

    def test_a_killed_haproxy_has_them_again(self):
        self.make("4" * 24, "a.com")
        self.with_certs({"4" * 24: ["a.com"]})
        self.s.kill("haproxy")
        self.s.haproxy()
        self.worker = self.s.worker()
        self.assertEqual(self.shown("a.com"), "4" * 24)

    def test_a_certificate_that_cannot_be_had_stops_nothing(self):
        self.make("4" * 24, "a.com")
        self.with_certs({"4" * 24: ["a.com"]})
        for missing in ("5" * 24, "5" * 23 + "1"):
            self.with_certs({missing: ["a.com"]})
            self.assertEqual(self.s.get("a.com"), "200 one")
            self.assertEqual(self.shown("a.com"), "4" * 24, "the one before stays: a replaced one cannot be fetched any more")
        self.s.api.certs["6" * 24] = "-----BEGIN CERTIFICATE-----\n\nshutdown sessions\n"
        self.with_certs({"6" * 24: ["a.com"]})
        self.assertEqual(self.s.get("a.com"), "200 one")
        self.make("7" * 24, "a.com")
        self.with_certs({"7" * 24: ["a.com"]})
        self.assertEqual(self.shown("a.com"), "7" * 24)
        self.assertEqual(os.listdir(self.s.state("certs")), ["7" * 24 + ".pem"])
        self.with_certs({})
        self.assertIsNone(self.shown("a.com"))

    def test_old_protocols_are_refused(self):
        self.make("7" * 24, "a.com")
        self.with_certs({"7" * 24: ["a.com"]})
        for words, ok in ((["-tls1_1"], False), (["-tls1_2"], True), (["-tls1_3"], True), (["-tls1_2", "-cipher", "AES128-SHA"], False)):
            p = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.s.https_port}", "-servername", "a.com", *words],
                               input=b"", capture_output=True, timeout=10)
            self.assertEqual(b"Cipher is (NONE)" not in p.stdout and p.returncode == 0, ok, words)

    def test_redirect_and_hsts(self):
        self.make("8" * 24, "a.com")
        self.with_certs({"8" * 24: ["a.com"]}, {"https": True, "hsts": 86400})
        status, head, _ = self.s.request("a.com", "/x?y=1")
        self.assertEqual((status, head["location"]), (308, f"https://a.com:{self.s.https_port}/x?y=1"))
        self.assertNotIn("strict-transport-security", head)
        self.assertIn("max-age=86400", self.https("a.com", "-i")[1])

    def test_changes_under_load(self):
        """Another certificate and another policy all the time, with connections being opened on both ports."""
        self.make("9" * 24, "a.com")
        self.with_certs({"9" * 24: ["a.com"]})
        plain = Load(self.s.port, "a.com", 5, connections=4)
        seen, stop = [], threading.Event()

        def visit():
            while not stop.is_set():
                seen.append(self.handshake("a.com"))
        visitor = threading.Thread(target=visit)
        visitor.start()
        changes = 0
        while plain.proc.poll() is None:
            ident = f"{changes:024d}"
            self.make(ident, "a.com")
            self.with_certs({ident: ["a.com"]}, {"hsts": changes})
            self.assertEqual(self.shown("a.com"), ident)
            changes += 1
        stop.set()
        visitor.join()
        self.assertEqual(plain.result()["errors"], 0)
        self.assertNotIn(None, seen)
        self.assertGreater(len(seen), 20)
        self.assertGreater(changes, 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
