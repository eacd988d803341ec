"""Router and web alone: their programs, the real HAProxy started as vikingd starts it, and a stand-in for the
scheduler's side of the API (watch, ack, drained). Only processes that were started here are ended."""
import contextlib
import copy
import http.client
import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

BUILD = os.environ.get("VIKING_BUILD_DIR") or os.path.join(os.getcwd(), "build")
HAPROXY = "/usr/sbin/haproxy"


def wait_for(what, check, seconds=20):
    end = time.monotonic() + seconds
    while True:
        v = check()
        if v:
            return v
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def merge(target, patch):
    """RFC 7396."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            target[key] = merge(target[key] if isinstance(target.get(key), dict) else {}, value)
        else:
            target[key] = value
    return target


class Api:
    """The scheduler as router and web see it."""

    def __init__(self, path):
        self.path, self.lock = path, threading.Condition()
        self.certs, self.pages = {}, {}  # id -> PEM, {"status", "text"}
        self.docs, self.acks, self.drained, self.roles = {}, [], [], []
        self.watches, self.followers = [], []  # which was asked for; (which, lines to send)
        api = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError, ValueError):
                    while self.one():
                        pass

            def one(self):
                line = self.rfile.readline().decode()
                if not line:
                    return False
                method, url = line.split()[:2]
                head = {}
                while (h := self.rfile.readline().decode().strip()):
                    k, v = h.split(":", 1)
                    head[k.lower()] = v.strip()
                body = self.rfile.read(int(head.get("content-length", 0)))
                if "/router/certs/" in url or "/router/pages/" in url:
                    ident = url.rsplit("/", 1)[1]
                    found = {"pem": api.certs[ident]} if ident in api.certs else api.pages.get(ident)
                    answer = json.dumps(found or {"error": "NOTFOUND", "message": "no such"}).encode()
                    self.wfile.write(b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                                     % (b"200 OK" if found else b"404 Not Found", len(answer), answer))
                    return True
                if method == "GET":
                    self.watch(url.split("/")[3], head)
                    return False
                with api.lock:
                    doc = json.loads(body)
                    if url.endswith("/ack"):
                        api.acks.append((time.monotonic(), doc))
                    elif url.endswith("/drained"):
                        api.drained.append((time.monotonic(), doc["id"]))
                    api.lock.notify_all()
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
                return True

            def watch(self, which, head):
                """The document that stands, then each line that comes."""
                api.roles.append(head.get("viking-role"))
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
                                 b"Transfer-Encoding: chunked\r\n\r\n")
                with api.lock:
                    api.watches.append(which)
                    lines = [json.dumps(api.docs[which]).encode()] if which in api.docs else []
                    api.followers.append((which, lines))
                while True:
                    with api.lock:
                        api.lock.wait_for(lambda: api.stopped or lines, 1)
                        if api.stopped:
                            return
                        data = b"".join(d + b"\n" for d in lines) or b"{}\n"
                        lines.clear()
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

        self.stopped, self.rev = False, 0
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.server = Server(path, Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, which, doc):
        """A new document for the watch; returns its rev."""
        with self.lock:
            self.rev += 1
            self.docs[which] = copy.deepcopy({**doc, "rev": self.rev})
            self.send(which, self.docs[which])
            return self.rev

    def patch(self, patch, skip=False):
        """The router's document changes by a merge patch; returns its rev. skip: nobody is told, which leaves a gap."""
        with self.lock:
            doc, self.rev = self.docs["router"], self.rev + 1
            line = {"from": doc["rev"], "rev": self.rev, "patch": patch}
            merge(doc, {**patch, "rev": self.rev})
            if not skip:
                self.send("router", line)
            return self.rev

    def send(self, which, line):
        for name, lines in self.followers:
            if name == which:
                lines.append(json.dumps(line).encode())
        self.lock.notify_all()

    def ack(self, rev, seconds=20):
        with self.lock:
            ok = self.lock.wait_for(lambda: any(a["rev"] >= rev for _, a in self.acks), seconds)
            if not ok:
                raise AssertionError(f"no ack of rev {rev} within {seconds} s; last {self.acks[-1:]}")
            return [a for _, a in self.acks if a["rev"] >= rev][0]

    def stop(self):
        with self.lock:
            self.stopped = True
            self.lock.notify_all()
        self.server.shutdown()
        self.server.server_close()


def ahead(words, **more):
    """Started as vikingd starts what stands between clients and containers: a session of its own, before others."""
    p = subprocess.Popen(["nice", "-n", "-10", *words], start_new_session=True, **more)
    with contextlib.suppress(OSError), open(f"/proc/{p.pid}/autogroup", "w") as f:
        f.write("-10")
    return p


class Site:
    """A root directory with configuration; starts and ends the processes."""

    def __init__(self, **settings):
        self.root = tempfile.mkdtemp(prefix="vr-", dir="/tmp")
        self.port, self.https_port = free_port(), free_port()
        self.settings = {"http.address": "127.0.0.1", "http.port": self.port, "https.port": self.https_port, "sandbox": "require", **settings}
        for d in ("etc/viking", "run/viking/route", "run/viking/web", "var/lib/viking/route", "var/lib/viking/static"):
            os.makedirs(os.path.join(self.root, d))
        with open(self.path("etc/viking/viking.conf"), "w") as f:
            for k, v in self.settings.items():
                f.write(f"{k}: {json.dumps(v)}\n")
        self.procs, self.ready = {}, {}
        self.log = open(self.path("log"), "ab")
        self.api = Api(self.path("run/viking/api.sock"))

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def state(self, name):
        return self.path("var/lib/viking/route", name)

    def start(self, name, wait=True):
        r, w = os.pipe()
        program = os.path.join(BUILD, name, "viking-" + name)
        run = ahead if name == "router" else subprocess.Popen
        p = run([program, "--root", self.root], pass_fds=(w,), stdout=self.log, stderr=self.log,
                env=dict(os.environ, VIKING_READY_FD=str(w), VIKING_SINGLE_UID="1", ASAN_OPTIONS="detect_leaks=0"))
        os.close(w)
        self.procs[name] = p
        if wait:
            said = b""
            while b"READY=1\n" not in said:
                part = os.read(r, 4096)
                if not part:
                    raise AssertionError(f"{name} did not become ready:\n" + self.tail())
                said += part
            self.ready[name] = said.decode()
        os.close(r)
        return p

    def haproxy(self):
        p = ahead([HAPROXY, "-W", "-S", self.path("run/viking/route/master.sock") + ",mode,600", "-f", self.state("haproxy.cfg")],
                  stdout=self.log, stderr=self.log)
        self.procs["haproxy"] = p
        wait_for("haproxy's runtime socket", lambda: self.runtime("show info", quiet=True))
        return p

    def tail(self, n=40):
        self.log.flush()
        with open(self.path("log"), errors="replace") as f:
            return "\n".join(f.read().splitlines()[-n:])

    def runtime(self, command, quiet=False, sock="admin.sock"):
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(self.path("run/viking/route", sock))
                s.sendall(command.encode() + b"\n")
                s.shutdown(socket.SHUT_WR)
                data = b""
                while (part := s.recv(65536)):
                    data += part
                return data.decode()
        except OSError:
            if quiet:
                return ""
            raise

    def worker(self):
        for line in self.runtime("show info").splitlines():
            if line.startswith("Pid: "):
                return int(line[5:])

    def servers(self):
        """{"b0001/s1": (address, port, "ready" | "drain" | "maint")} of the running HAProxy."""
        found = {}
        for line in self.runtime("show servers state").splitlines():
            f = line.split()
            if len(f) > 18 and f[1][0] == "b" and f[1][1:].isdigit():
                admin = int(f[6])
                state = "drain" if admin & 0x18 else "maint" if admin & 0x63 else "ready"
                found[f"{f[1]}/{f[3]}"] = (f[4], int(f[18]), state)
        return found

    def rendered(self):
        """The same of the rendered file (a draining server is rendered as disabled, with its address)."""
        found, backend = {}, None
        with open(self.state("haproxy.cfg")) as f:
            lines = f.readlines()
        for line in lines:
            f = line.split()
            if f[:1] == ["backend"]:
                backend = f[1]
            elif f[:1] == ["server"] and backend != "sites":
                addr, port = f[2].rsplit(":", 1)
                found[f"{backend}/{f[1]}"] = (addr, int(port), "maint" if "disabled" in f else "ready")
        return found

    def map(self, name):
        return [line.split()[1:] for line in self.runtime("show map " + self.state(name)).splitlines() if line]

    def kill(self, name, sig=signal.SIGKILL):
        p = self.procs.pop(name)
        p.send_signal(sig)
        p.wait(20)

    def request(self, host, path="/", method="GET", headers=None, port=None):
        c = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=10)
        c.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        if host is not None:
            c.putheader("Host", host)
        for k, v in (headers or {}).items():
            c.putheader(k, v)
        c.endheaders()
        r = c.getresponse()
        body = r.read()
        c.close()
        return r.status, {k.lower(): v for k, v in r.getheaders()}, body.decode("latin-1")

    def get(self, host, path="/", **more):
        status, _, body = self.request(host, path, **more)
        return f"{status} {body.strip()}"

    def raw(self, data, seconds=5):
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as s:
            s.sendall(data)
            with contextlib.suppress(OSError):
                return s.recv(65536)
            return b""

    def cleanup(self):
        for p in self.procs.values():
            if p.poll() is None:
                p.terminate()
        bad = []
        for name, p in self.procs.items():
            was_gone = p.returncode is not None
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
            if name in ("router", "web") and p.returncode != 0 and not was_gone:
                bad.append(f"{name} ended with {p.returncode}:\n" + self.tail())
        self.api.stop()
        self.log.close()
        if os.environ.get("VIKING_KEEP"):
            print("kept", self.root)
        else:
            shutil.rmtree(self.root, ignore_errors=True)
        if bad:
            raise AssertionError("\n".join(bad))


BACKEND = r"""
import asyncio, itertools, sys, time
names = sys.argv[1:]
async def main():
    for name in names:
        async def serve(r, w, name=name):
            try:
                for asked in itertools.count():
                    head = await r.readuntil(b"\r\n\r\n")
                    line = head.split(b"\r\n")[0].split()
                    if len(line) < 3:
                        break  # a body, which these servers do not read
                    if line[1].startswith(b"/slow"):
                        await asyncio.sleep(float(line[1][6:] or 1))
                    if line[1] == b"/cut" or line[1] == b"/second" and asked > 0:
                        break
                    body = name.encode() + b"\n"
                    if line[1] == b"/headers":
                        body = head
                    w.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                    await w.drain()
            except (asyncio.IncompleteReadError, ConnectionError, OSError):
                pass
            w.close()
        s = await asyncio.start_server(serve, "127.0.0.1", 0)
        print(s.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


class Backends:
    """Small HTTP servers that answer with their name: one process, a port each. /slow/N waits, /headers shows
    the request, /cut closes without an answer, /second does so unless it is the connection's first."""

    def __init__(self, *names):
        self.proc = subprocess.Popen([sys.executable, "-c", BACKEND, *names], stdout=subprocess.PIPE, text=True)
        self.port = {n: int(self.proc.stdout.readline()) for n in names}

    def stop(self):
        self.proc.kill()
        self.proc.wait()
        self.proc.stdout.close()


def server(ident, port, state="ready"):
    return {"id": ident, "addr": "127.0.0.1", "port": port, "state": state}


def app(domains, *servers, node="web"):
    return {"backends": {node: {"servers": list(servers)}}, "domains": {d: node for d in domains}, "sites": []}


class Load:
    """wrk in the background against one host; counts what was not a 2xx."""

    def __init__(self, port, host, seconds, connections=8):
        self.proc = subprocess.Popen(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H",
                                      f"Host: {host}", f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True)

    def result(self):
        out, _ = self.proc.communicate(timeout=120)
        r = {"requests": 0, "errors": 0, "text": out}
        for line in out.splitlines():
            if "requests in" in line:
                r["requests"] = int(line.split()[0])
            if "Non-2xx" in line:
                r["errors"] += int(line.split()[-1])
            if "Socket errors" in line:
                r["errors"] += sum(int(w.rstrip(",")) for w in line.split() if w.rstrip(",").isdigit())
        return r
