"""An ACME authority for tests: Debian's pebble with its name server, behind a proxy that can be slow, broken or a liar."""
import http.client
import http.server
import json
import os
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request

from lib import free_port, wait_for


def self_signed(base, *names):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=" + ",".join(names), "-keyout", base + ".key", "-out", base + ".crt"], check=True, capture_output=True)


class Proxy(http.server.BaseHTTPRequestHandler):
    """mode: pass, down, garbage, endless, silent, limit, certificate (authority.certificate instead of its own); hold: a
    part of a path whose requests wait until it is None."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for k, v in headers:
            if k.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def endless(self):
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            self.wfile.write(b"{" * 65536)

    def forward(self):
        a = self.server.authority
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        a.seen.append((self.command, self.path))
        while a.hold is not None and a.hold in self.path:
            time.sleep(0.02)
        if a.mode == "down":
            return self.answer(503, b"")
        if a.mode == "garbage":
            return self.answer(200, b'{"newNonce": [[[\x00\xff', [("Content-Type", "application/json")])
        if a.mode == "endless":
            return self.endless()
        if a.mode == "silent":
            return time.sleep(60)
        if a.mode == "limit" and "order" in self.path:
            return self.answer(429, json.dumps({"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many certificates already issued",
                                                "status": 429}).encode(), [("Content-Type", "application/problem+json"), ("Replay-Nonce", "x")])
        c = http.client.HTTPSConnection("127.0.0.1", a.pebble_port, context=ssl._create_unverified_context(), timeout=30)
        c.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for k, v in self.headers.items():
            c.putheader(k, v)
        c.endheaders(body)
        r = c.getresponse()
        data = r.read()
        c.close()
        if a.mode == "certificate" and "/certZ/" in self.path:
            data = a.certificate
        self.answer(r.status, data, r.getheaders())

    do_GET = do_POST = do_HEAD = forward


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        pass  # clients that are killed


class Authority:
    def __init__(self, http_port, seconds=90 * 86400):
        self.dir = tempfile.mkdtemp(prefix="vk-ca-")
        self.port, self.pebble_port, self.manage_port, self.dns_manage = (free_port() for _ in range(4))
        self.dns_port = free_port()
        self.mode, self.hold, self.certificate, self.seen = "pass", None, b"", []
        self_signed(self.dir + "/ca", "DNS:localhost", "IP:127.0.0.1")
        with open(self.dir + "/pebble.json", "w") as f:
            json.dump({"pebble": {"listenAddress": f"127.0.0.1:{self.pebble_port}", "managementListenAddress": f"127.0.0.1:{self.manage_port}",
                                  "certificate": self.dir + "/ca.crt", "privateKey": self.dir + "/ca.key", "httpPort": http_port, "tlsPort": 1,
                                  "ocspResponderURL": "", "externalAccountBindingRequired": False, "certificateValidityPeriod": seconds}}, f)
        self.log = open(self.dir + "/log", "ab")
        self.started = []
        self.server = Server(("127.0.0.1", self.port), Proxy)
        self.server.authority = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.dir + "/ca.crt", self.dir + "/ca.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def run(self, *argv):
        env = {"PATH": "/usr/bin:/bin", "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
        self.started.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=env))

    def __enter__(self):
        self.run("/usr/bin/pebble-challtestsrv", "-dns01", f"127.0.0.1:{self.dns_port}", "-http01", "", "-https01", "", "-tlsalpn01", "",
                 "-management", f"127.0.0.1:{self.dns_manage}", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1")
        self.run("/usr/bin/pebble", "-config", self.dir + "/pebble.json", "-dnsserver", f"127.0.0.1:{self.dns_port}", "-strict")
        wait_for("the authority", lambda: self.get(self.pebble_port, "/dir"))
        with open(self.dir + "/roots.pem", "wb") as f:
            f.write(self.get(self.manage_port, "/roots/0"))
        return self

    def __exit__(self, *args):
        self.hold, self.mode = None, "down"
        for p in self.started:
            p.kill()
            p.wait()
        self.server.shutdown()
        self.server.server_close()
        self.log.close()

    @staticmethod
    def get(port, path):
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{port}{path}", context=ssl._create_unverified_context(), timeout=5) as r:
                return r.read()
        except OSError:
            return b""

    def dns(self, verb, **body):
        """As pebble-challtestsrv has it: add-a, clear-a, set-servfail, clear-servfail, set-txt ..."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.dns_manage}/{verb}", json.dumps(body).encode(), timeout=5) as r:
            r.read()

    def orders(self):
        return sum(1 for method, path in self.seen if method == "POST" and path == "/order-plz")

    def settings(self):
        return {"acme.directory": f"https://localhost:{self.port}/dir", "acme.ca_file": self.dir + "/ca.crt", "acme.accept_terms": "true",
                "acme.email": "admin@example.org", "acme.retry": "2s", "acme.timeout": "20s"}

    def dns_hook(self):
        """A program that sets TXT records; what it was asked is in self.dir/hook."""
        path = self.dir + "/dns-hook"
        with open(path, "w") as f:
            f.write(f"""#!/bin/sh
echo "$1 $2 $3" >> "$TMPDIR/hook"
test "$1" = begin && verb=set-txt || verb=clear-txt
exec curl -sf -m 10 -d "{{\\"host\\": \\"_acme-challenge.$3.\\", \\"value\\": \\"$5\\"}}" http://127.0.0.1:{self.dns_manage}/$verb
""")
        os.chmod(path, 0o755)
        os.chmod(self.dir, 0o755)
        return path
