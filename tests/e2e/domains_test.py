"""Certificates, policies, paths and ports of domains, and maintenance: manifest and commands through the whole of viking."""
import os
import signal
import socket
import subprocess
import threading
import time
import unittest

import exposition
from lib import BASE, HostCase, free_port, wait_for

MANIFEST = """deploy:
  web:
    image: {base}:latest
    run: sh -c 'mkdir -p /w /x && echo web > /w/index.html && echo admin > /x/index.html && httpd -p 9000 -h /x && exec httpd -f -p 8080 -h /w'
    expose: [8080, {{name: admin, port: 9000}}]
    domains:
      - {d}
      - {{host: "admin.{d}", port: admin}}
      - {{host: "secret.{d}", auth: {{internal: secret}}}}
      - {{host: {d}, path: /api, port: admin, strip: true}}
    traffic: {{max_body: 1k}}
"""


class Domains(HostCase):
    def reloads(self):
        with open(self.h.root + "/vikingd.log", errors="replace") as f:
            return f.read().count("haproxy-reloaded")

    def curl(self, host, path="/", *words):
        p = subprocess.run(["/usr/bin/curl", "-sk", "-m", "10", "-w", "\n%{http_code}", "--resolve", f"{host}:{self.h.https_port}:127.0.0.1",
                            "-H", f"Host: {host}", *words, f"http://127.0.0.1:{self.h.http_port}{path}"], capture_output=True, text=True)
        body, _, status = p.stdout.rpartition("\n")
        return int(status or 0), body.strip()

    def https(self, host):
        p = subprocess.run(["/usr/bin/curl", "-sk", "-m", "10", "-w", "\n%{http_code}", "--resolve", f"{host}:{self.h.https_port}:127.0.0.1",
                            f"https://{host}:{self.h.https_port}/"], capture_output=True, text=True)
        return p.stdout.split()

    def certificate(self, *names, days="90"):
        base = os.path.join(self.h.root, names[0])
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", days, "-subj",
                        "/CN=test", "-addext", "subjectAltName=" + ",".join("DNS:" + n for n in names), "-keyout", base + ".key", "-out",
                        base + ".crt"], check=True, capture_output=True)
        return base + ".crt", base + ".key"

    def test_tcp_ports_and_http2(self):
        """Ports of the host: one reload for a listener, none for its servers; refused where they are another's."""
        h, stack, other = self.h, self.h.name("tcp"), self.h.name("tcp")
        front = free_port()
        manifest = ("deploy:\n  db:\n    image: %s:latest\n    run: nc -ll -p 7000 -e echo %%s\n    expose: [{name: pg, port: 7000}]\n    tcp: {%d: pg}\n"
                    "  rpc: {image: \"%s:latest\", run: nc -ll -p 7001 -e echo, expose: [{name: grpc, port: 7001}]}\n" % (BASE, front, BASE))

        def ask():
            with socket.create_connection(("127.0.0.1", front), timeout=10) as s:
                return s.recv(100)
        tree = h.tree({"vikingfile": manifest % "one"})
        before = self.reloads()
        h.push(tree, stack)
        self.assertEqual(ask(), b"one\n")
        h.write(tree, {"vikingfile": manifest % "two"})
        h.commit(tree)
        h.push(tree, stack)
        self.assertEqual(ask(), b"two\n")
        self.assertEqual(self.reloads(), before + 1)
        r = h.push(tree, other, check=False)
        self.assertIn(f"host port {front}/tcp belongs to {stack}", r.err)
        for port, why in ((h.ssh_port, "is viking's own (ssh.port)"), (80, "policy.publish")):
            bad = h.tree({"vikingfile": (manifest % "x").replace(str(front), str(port))})
            self.assertIn(why, h.push(bad, other, check=False).err)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            bad = h.tree({"vikingfile": (manifest % "x").replace(str(front), str(port))})
            self.assertIn(f"another program has the host's port {port}", h.push(bad, other, check=False).err)
        self.assertEqual(h.viking("stacks:destroy", stack, "--force").status, 0)

        def closed():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", front)) != 0
        wait_for("the port is closed", closed)

    def test_pages_of_the_commit(self):
        h, stack = self.h, self.h.name("pages")
        app = h.app("one", vikingfile="deploy: {web: {expose: [8080], error_pages: {503: errors/503.html}}}\n", **{"errors/503.html": "<h1>first</h1>\n"})
        before = self.reloads()
        h.push(app, stack)
        host = stack + ".apps.test"
        self.assertEqual(h.get(host), (200, "one\n"))
        self.assertEqual(h.viking("ps:stop", stack).status, 0)
        self.assertEqual(h.get(host), (503, "<h1>first</h1>\n"))
        h.write(app, {"errors/503.html": "<h1>second</h1>\n"})
        h.commit(app)
        h.push(app, stack)
        self.assertEqual(h.get(host), (503, "<h1>second</h1>\n"))
        self.assertEqual(h.viking("rollback", stack).status, 0)
        self.assertEqual(h.get(host), (503, "<h1>first</h1>\n"))
        self.assertEqual(self.reloads(), before + 3)
        h.write(app, {"errors/503.html": "x" * 9000})
        h.commit(app)
        self.assertIn("larger than 8 KiB", h.push(app, stack, check=False).err)

    def test_time_to_drain(self):
        """A slow request outlives the host's deploy.drain (2 s) where the node says so."""
        h, stack = self.h, self.h.name("drain")
        files = {"vikingfile": "deploy: {web: {expose: [8080], drain: 60s}}\n", "www/cgi-bin/x": "#!/bin/sh\nsleep 5\nprintf '\\r\\n\\r\\nslow\\n'\n",
                 "Dockerfile": f"FROM {BASE}\nCOPY www /www\nRUN chmod +x /www/cgi-bin/x\nEXPOSE 8080\nCMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n"}
        app = h.app("one", **files)
        h.push(app, stack)
        answers = []
        visitor = threading.Thread(target=lambda: answers.append(h.get(stack + ".apps.test", "/cgi-bin/x", timeout=60)))
        visitor.start()
        h.write(app, {"www/index.html": "two\n"})
        h.commit(app)
        h.push(app, stack)
        self.assertEqual(h.get(stack + ".apps.test"), (200, "two\n"))
        visitor.join()
        self.assertEqual(answers[0][0], 200)
        self.assertIn("slow", answers[0][1])
        wait_for("the old one is gone", lambda: len(h.json("ps", stack)["instances"]) == 1)

    def test_all_of_it(self):
        h, stack = self.h, self.h.name("dom")
        d = stack + ".example.org"
        h.push(h.tree({"vikingfile": MANIFEST.format(base=BASE, d=d)}), stack)
        before = self.reloads()
        self.assertEqual(self.curl(d), (200, "web"))
        self.assertEqual(self.curl("admin." + d), (200, "admin"))
        self.assertEqual(self.curl(d, "/api/"), (200, "admin"))
        self.assertEqual(self.curl("secret." + d)[0], 401)
        self.assertEqual(self.curl("secret." + d, "/", "--digest", "-u", "internal:secret"), (200, "web"))
        self.assertEqual(self.curl(d, "/", "-d", "x" * 2000)[0], 413)
        with open(h.root + "/var/lib/viking/sched/viking.db", "rb") as f:
            self.assertNotIn(b"internal: secret", f.read())

        # maintenance
        r = h.viking("maintenance:on", stack, "--message", "back at nine")
        self.assertEqual(r.status, 0, r)
        self.assertEqual(self.curl(d), (503, "503: back at nine"))
        self.assertEqual(h.viking("maintenance:on", stack, "--message", "<b>").status, 0)
        self.assertIn("<p>&lt;b&gt;", self.curl(d, "/", "-H", "Accept: text/html")[1])
        self.assertNotEqual(h.viking("maintenance:on", stack, "--message", "a\nb").status, 0)
        self.assertIn("answers 503: <b>", h.viking("maintenance", stack).out)
        self.assertIn(f"{stack} answers 503 (maintenance) since", h.viking("doctor").out)
        self.assertIn("are not held", h.viking("hold", stack).out)
        self.assertEqual(("<b>", 0), tuple(h.json("stacks:info", stack)["traffic"][k] for k in ("maintenance", "hold_ms")))
        self.assertEqual(h.viking("maintenance:off", stack).status, 0)
        self.assertIn("is served", h.viking("maintenance", stack).out)
        self.assertIsNone(h.json("stacks:info", stack)["traffic"])
        self.assertEqual(self.curl(d), (200, "web"))

        # certificates
        crt, key = self.certificate(d, "secret." + d)
        other_crt, other_key = self.certificate("other.example.net")
        r = h.viking("certs:add", stack, crt, other_key)
        self.assertIn("private key is not that", r.err)
        r = h.viking("certs:add", stack, other_crt, other_key)
        self.assertIn("no domain of " + stack, r.err)
        huge = os.path.join(h.root, "huge.pem")
        with open(huge, "w") as f:
            f.write("x" * (80 << 10))
        with open(huge) as f:
            r = h.viking("certs:add", stack, stdin=f)
        self.assertIn("standard input: a certificate's chain and key are at most 64 KiB together", r.err)
        r = h.viking("certs:add", stack, crt, huge)
        self.assertIn("huge.pem: a certificate's chain and key are at most 64 KiB together", r.err)
        self.assertIn("try: viking certs:add", r.err)
        r = h.ssh("certs:add", stack, crt, key)
        self.assertEqual(r.status, 4, r)
        self.assertIn("over SSH a certificate comes on standard input", r.err)
        self.assertEqual(self.https(d), ["000"])
        r = h.viking("certs:add", stack, crt, key)
        self.assertEqual(r.status, 0, r)
        wait_for("HTTPS", lambda: self.https(d) == ["web", "200"])
        self.assertEqual(self.https("admin." + d), ["000"], "a name that the certificate has not")
        listed = h.viking("certs", stack)
        self.assertIn(d, listed.out)
        ident = listed.out.splitlines()[1].split()[0]
        self.assertIn("secret." + d, h.viking("certs:info", stack, ident).out)
        with open(h.root + "/var/lib/viking/sched/viking.db", "rb") as f:
            self.assertNotIn(b"PRIVATE KEY", f.read())
        with open(h.root + "/var/lib/viking/sched/audit.jsonl") as f:
            self.assertNotIn("PRIVATE KEY", f.read())

        # one that ends soon is told by doctor and an event, and the newer one is shown
        crt, key = self.certificate(d, days="5")
        self.assertEqual(h.viking("certs:add", stack, crt, key).status, 0)
        self.assertIn("ends in 4 days", h.viking("doctor").out)
        self.assertEqual(h.viking("certs:remove", stack, ident).status, 0)
        wait_for("the other name to go", lambda: self.https("secret." + d) == ["000"])
        self.assertEqual(self.https(d), ["web", "200"])
        self.assertEqual(self.reloads(), before, "no reload for any of it")

        # figures
        def figure(name):
            figures = exposition.read(h.api("GET", "/metrics")[1].decode())
            return next((v for (n, labels), v in figures.items() if n == name and ("stack", stack) in labels), None)
        wait_for("the router's counters", lambda: (figure("viking_requests_total") or 0) >= 5, seconds=40)
        self.assertGreaterEqual(figure('viking_responses_total'), 0)
        self.assertEqual(figure('viking_instances'), 1)
        self.assertEqual(figure("viking_release"), 1)
        self.assertGreater(figure("viking_certificate_end_seconds"), 1.7e9)

        # a domain of a path belongs to one stack as a whole
        tree = h.tree({"vikingfile": f"deploy:\n  web: {{image: '{BASE}:latest', expose: [80], domains: [{d}/mine]}}\n"})
        r = h.push(tree, h.name("thief"), check=False)
        self.assertNotEqual(r.status, 0)
        self.assertIn("belongs to " + stack, r.err + r.out)


    def ended(self, name):
        """openssl req makes none that has ended; its ca does."""
        base = os.path.join(self.h.root, "ended")
        with open(base + ".cnf", "w") as f:
            f.write(f"""[ca]
default_ca = c
[c]
database = {base}.index
new_certs_dir = {self.h.root}
rand_serial = yes
default_md = sha256
policy = p
x509_extensions = e
[p]
commonName = supplied
[e]
subjectAltName = DNS:{name}
""")
        open(base + ".index", "w").close()
        subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test", "-keyout",
                        base + ".key", "-out", base + ".csr"], check=True, capture_output=True)
        subprocess.run(["openssl", "ca", "-batch", "-selfsign", "-notext", "-config", base + ".cnf", "-keyfile", base + ".key", "-in", base + ".csr",
                        "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-out", base + ".crt"], check=True, capture_output=True)
        return base + ".crt", base + ".key"

    def test_a_redirect_to_nobody_is_told(self):
        h, stack = self.h, self.h.name("redirect")
        d = stack + ".example.org"
        tree = h.app("x", vikingfile=f"deploy: {{web: {{expose: [8080], domains: [{{host: {d}, redirect: https}}, n.{d}]}}}}\n")
        told = f"{d} redirects to HTTPS and has no certificate"
        r = h.push(tree, stack)
        self.assertEqual(1, r.err.count("redirects to HTTPS"), r)
        self.assertIn(told, r.err)
        self.assertIn(f"{d} of {stack} redirects to HTTPS and has no certificate", h.viking("doctor").out)
        self.assertEqual(h.viking("certs:add", stack, *self.certificate(d)).status, 0)
        r = h.viking("redeploy", stack)
        self.assertNotIn("redirects", r.out)
        self.assertIn(f"https://{d}:{h.https_port}/", r.out)
        self.assertIn(f"http://n.{d}:{h.http_port}/", r.out)

        # two weeks before its end a certificate is in events: looked at by the hour, and at the start
        self.assertEqual(h.viking("certs:add", stack, *self.certificate("n." + d, days="13")).status, 0)
        h.kill("scheduler")
        wait_for("the warning", lambda: f"certificate of n.{d} ends in 12 days" in h.viking("events").out)

    def test_bad_certificates(self):
        h, stack = self.h, self.h.name("bad")
        d = stack + ".example.org"
        h.push(h.tree({"vikingfile": MANIFEST.format(base=BASE, d=d)}), stack)
        other = h.name("else")
        h.push(h.tree({"vikingfile": MANIFEST.format(base=BASE, d=other + ".example.org")}), other)
        crt, key = self.certificate(d)
        theirs = self.certificate(other + ".example.org")
        ended = self.ended(d)
        pids = {name: h.pid(name) for name in ("scheduler", "certs", "router", "agent")}

        def text(*names):
            return b"".join(open(n, "rb").read() for n in names)
        refused = {
            "no private key": text(crt), "no certificate in it": text(key), "private key is not that": text(crt, theirs[1]),
            "no domain of " + stack: text(*theirs), "it ended": text(*ended), "not signed by certificate 2": text(crt, theirs[0], key),
            "private key is not that ": text(theirs[0], crt, key), "more than 8 certificates": text(*[crt] * 9, key),
            "ends in the middle": text(crt, key)[:-40], "64 KiB": b"x" * 70000,
            "cannot be read": b"-----BEGIN CERTIFICATE-----\n" + b"AAAA\n" * 500 + b"-----END CERTIFICATE-----\n" + text(key),
        }
        for words, pem in refused.items():
            status, answer = h.api("POST", f"/v1/stacks/{stack}/certs", {"pem": pem.decode()})
            self.assertIn(status, (400, 413), (words, answer))
            self.assertIn(words.strip(), answer["message"])
        self.assertEqual([], h.json("certs", stack)["certs"])
        self.assertEqual(pids, {name: h.pid(name) for name in pids})
        # while nobody reads certificates there is one line; then it works again
        h.kill("certs", signal.SIGSTOP)
        r = h.viking("certs:add", stack, crt, key)
        h.kill("certs", signal.SIGCONT)
        self.assertEqual((6, True), (r.status, "viking-certs, which reads certificates, does not answer" in r.err), r)
        self.assertEqual(0, h.viking("certs:add", stack, crt, key).status)

    def test_requests_wait_while_a_volume_changes_hands(self):
        """A node with a volume stops before its next version starts: with hold nobody sees that."""
        h, stack = self.h, self.h.name("hold")
        d = stack + ".example.org"

        def manifest(text):
            return {"vikingfile": f"""deploy:
  web:
    image: {BASE}:latest
    run: sh -c 'mkdir -p /w && echo {text} > /w/index.html && exec httpd -f -p 8080 -h /w'
    expose: [8080]
    volume: [/data]
    stop_timeout: 1s
    domains: [{d}]
    traffic: {{hold: 30s}}
"""}
        tree = h.tree(manifest("first"))
        h.push(tree, stack)
        h.write(tree, manifest("second"))
        h.commit(tree)
        seen = self.visited(d, lambda: h.push(tree, stack), "second")
        self.assertEqual({s for s, _, _ in seen}, {200}, [x for x in seen if x[0] != 200][:3])

        r = h.viking("hold:on", stack, "--for", "20s")
        self.assertEqual(r.status, 0, r)
        held = threading.Thread(target=lambda: seen.append(("held", self.curl(d))))
        held.start()
        held.join(1)
        self.assertTrue(held.is_alive())
        self.assertIn(f"{stack} has its requests wait (hold) since", h.viking("doctor").out)
        self.assertEqual(h.viking("hold:off", stack).status, 0)
        self.assertNotIn("(hold)", h.viking("doctor").out)
        held.join()
        self.assertEqual(seen[-1], ("held", (200, "second")))

    def visited(self, domain, change, last):
        """[(status, body, seconds)] of visitors who come one after the other until one reads `last`, while change() happens."""
        seen, stop = [], threading.Event()

        def visit():
            while not stop.is_set():
                began = time.monotonic()
                seen.append((*self.curl(domain), time.monotonic() - began))
        visitors = [threading.Thread(target=visit) for _ in range(3)]
        for v in visitors:
            v.start()
        try:
            change()
            wait_for("a visit of " + last, lambda: seen[-1][1] == last)
        finally:
            stop.set()
            for v in visitors:
                v.join()
        return seen

    def test_requests_wait_for_a_release_task(self):
        h, stack = self.h, self.h.name("task")
        d = stack + ".example.org"
        more = {"vikingfile": f"deploy: {{web: {{expose: [8080], release: sleep 4, domains: [{{host: {d}, hold: 20s}}, {{host: now.{d}}}]}}}}\n"}
        tree = h.app("first", **more)
        h.push(tree, stack)
        h.write(tree, {"www/index.html": "second\n"})
        h.commit(tree)
        others = []

        def push():
            t = threading.Thread(target=lambda: h.push(tree, stack))
            t.start()
            while t.is_alive():
                others.append(self.curl("now." + d))
            t.join()
        seen = self.visited(d, push, "second")
        self.assertEqual({s for s, _, _ in seen}, {200})
        self.assertTrue(any(2 < seconds < 20 for _, _, seconds in seen), [round(s, 1) for _, _, s in seen][:20])
        self.assertEqual({s for s, _ in others}, {200})
        self.assertGreater(len(others), 20, "who does not ask for it does not wait")


if __name__ == "__main__":
    unittest.main(verbosity=2)
