"""HTTP/2, gRPC, websockets and TCP services through viking-router with the real HAProxy, and clients and backends that do not keep the rules."""
import asyncio
import base64
import hashlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from routing import Backends, Site, app, free_port, server, wait_for


class Raw:
    """A server of our own: answer(path, reader, writer) for each request; keeps the heads it saw."""

    def __init__(self, answer):
        self.answer, self.seen, self.ready = answer, [], threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.main()), daemon=True)
        self.thread.start()
        self.ready.wait(10)

    async def main(self):
        self.loop, self.end = asyncio.get_running_loop(), asyncio.Event()

        async def serve(r, w):
            try:
                while True:
                    head = await r.readuntil(b"\r\n\r\n")
                    self.seen.append(head)
                    await self.answer(head.split()[1], r, w)
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, IndexError):
                w.close()
        s = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.port = s.sockets[0].getsockname()[1]
        self.ready.set()
        await self.end.wait()

    def stop(self):
        self.loop.call_soon_threadsafe(self.end.set)
        self.thread.join(10)


class Routed(unittest.TestCase):
    def setUp(self):
        self.s = Site()
        self.addCleanup(self.s.cleanup)
        self.b = Backends("one", "two")
        self.addCleanup(self.b.stop)
        self.s.start("router")
        self.s.haproxy()

    def table(self, errors=(), **stacks):
        answer = self.s.api.ack(self.s.api.put("router", {"stacks": stacks}))
        self.assertEqual([e["stack"] for e in answer["errors"]], list(errors), answer)
        return answer

    def raw(self, answer):
        r = Raw(answer)
        self.addCleanup(r.stop)
        return r

    def curl(self, *words):
        p = subprocess.run(["/usr/bin/curl", "-s", "-m", "20", *words], capture_output=True, timeout=40)
        return p.stdout.decode() + p.stderr.decode()


class Http2(Routed):
    def nghttpd(self, *words):
        docs = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, docs)
        with open(docs + "/index.html", "w") as f:
            f.write("by h2\n")
        port = free_port()
        p = subprocess.Popen(["nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", docs, *words, str(port)], stdout=subprocess.DEVNULL)
        self.addCleanup(p.wait)
        self.addCleanup(p.terminate)
        wait_for("nghttpd", lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        return port

    def test_grpc_to_a_backend_of_http2(self):
        port = self.nghttpd("--trailer", "grpc-status: 0")
        url = f"http://127.0.0.1:{self.s.port}/"
        rpc = {"backends": {"rpc": {"h2": True, "servers": [server("rpc", port)]}, "web": {"servers": [server("one", self.b.port["one"])]}},
               "domains": {"rpc.com": "rpc", "a.com": "web"}}
        self.assertEqual(self.table(ragnar=rpc)["reloads"], 0, "there are spare ones")
        out = self.curl("-v", "--http2-prior-knowledge", "-H", "Host: rpc.com", "-H", "Content-Type: application/grpc", "-H", "TE: trailers", url)
        self.assertIn("by h2", out)
        self.assertIn("< HTTP/2 200", out)
        p = subprocess.run(["nghttp", "-v", "-H", ":authority: rpc.com", "-H", "te: trailers", url], capture_output=True, text=True, timeout=40)
        self.assertIn("grpc-status: 0", p.stdout, "trailers come through")
        self.assertIn("by h2", self.curl("-H", "Host: rpc.com", url), "a client of HTTP/1.1 as well")
        self.assertIn("one", self.curl("--http2-prior-knowledge", "-H", "Host: a.com", url))
        for k in range(3):
            rpc["backends"]["rpc"]["servers"] = [server(f"rpc{k}-{i}", port) for i in range(3)]
            self.assertEqual(self.table(ragnar=rpc)["reloads"], 0)
            self.assertIn("by h2", self.curl("--http2-prior-knowledge", "-H", "Host: rpc.com", url))
        self.s.kill("haproxy")
        self.s.haproxy()
        wait_for("it is back", lambda: "by h2" in self.curl("-H", "Host: rpc.com", url))

    def test_websocket(self):
        async def echo(path, r, w):
            accept = base64.b64encode(hashlib.sha1(b"dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            w.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n" % accept)
            while data := await r.read(65536):
                w.write(data)
                await w.drain()
            raise OSError
        b = self.raw(echo)
        self.table(ragnar=app(["ws.com"], server("ws", b.port)))
        with socket.create_connection(("127.0.0.1", self.s.port), timeout=20) as s:
            s.sendall(b"GET /chat HTTP/1.1\r\nHost: ws.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                      b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            head = b""
            while b"\r\n\r\n" not in head:
                head += s.recv(4096)
            self.assertTrue(head.startswith(b"HTTP/1.1 101"), head)
            for k in range(20):
                frame = bytes([0x82, 126, 4, 0]) + os.urandom(1024)
                s.sendall(frame)
                got = b""
                while len(got) < len(frame):
                    got += s.recv(65536)
                self.assertEqual(got, frame)
                if k == 10:  # another stack, and the server drains: the tunnel stays
                    self.table(ragnar=app(["ws.com"], server("ws", b.port, "drain")), other=app(["o.com"], server("one", self.b.port["one"])))


class Tcp(Routed):
    def echo(self, name):
        async def serve(path, r, w):
            w.write(name + b" " + path + b"\n")
        return self.raw(serve)

    def ask(self, port, path=b"/x"):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
                s.sendall(b"HELLO " + path + b"\r\n\r\n")
                return s.recv(100)
        except OSError:
            return None

    def test_a_service(self):
        one, two, port = self.echo(b"one"), self.echo(b"two"), free_port()

        def stack(*servers):
            return {"backends": {"db": {"servers": []}, f"db@{port}": {"servers": list(servers)}}, "domains": {}}
        web = app(["a.com"], server("w", self.b.port["one"]))
        self.table(web=web)
        self.assertEqual(self.table(web=web, ragnar=stack(server("d1", one.port)))["reloads"], 1)
        self.assertEqual(self.ask(port), b"one /x\n")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as held:
            held.sendall(b"HELLO /1\r\n\r\n")
            self.assertEqual(held.recv(100), b"one /1\n")
            for servers in ((server("d1", one.port), server("d2", two.port)), (server("d1", one.port, "drain"), server("d2", two.port))):
                self.assertEqual(self.table(web=web, ragnar=stack(*servers))["reloads"], 1, "servers come and go without")
            self.assertEqual(self.ask(port), b"two /x\n")
            held.sendall(b"HELLO /2\r\n\r\n")
            self.assertEqual(held.recv(100), b"one /2\n", "a connection stays where it is")
        self.s.kill("haproxy")
        self.s.haproxy()
        wait_for("it is back", lambda: self.ask(port) == b"two /x\n")
        self.table(web=web)
        wait_for("the port is closed", lambda: self.ask(port) is None)
        self.assertEqual(self.s.get("a.com"), "200 one")
        self.table(web=web, other=stack(server("d3", one.port)))
        self.assertEqual(self.ask(port), b"one /x\n", "the port is another stack's now")

    def test_a_port_that_another_program_has(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            bad = {"backends": {f"db@{port}": {"servers": [server("d", self.b.port["one"])]}}, "domains": {}}
            answer = self.table(errors=["ragnar"], ragnar=bad, web=app(["a.com"], server("w", self.b.port["two"])))
            self.assertIn(f"another program has the host's port {port}", answer["errors"][0]["message"])
            self.assertEqual(self.s.get("a.com"), "200 two")
        self.table(ragnar=bad, web=app(["a.com"], server("w", self.b.port["two"])))
        self.assertIn(b"HTTP", self.ask(port) or b"HTTP")

    def test_names_that_are_none(self):
        good = app(["a.com"], server("w", self.b.port["one"]))
        for name in ("db@0", "db@70000", "db@", "@80", "db@80@90", "db@80\n"):
            self.table(errors=["bad"], bad={"backends": {name: {"servers": []}}, "domains": {}}, good=good)
        self.table(errors=["bad"], bad={"backends": {}, "domains": {"b.com": "db@80"}}, good=good)
        self.assertEqual(self.s.get("a.com"), "200 one")


class Pages(Routed):
    def test_pages_of_its_own(self):
        """One reload for all pages of a table; other stacks keep the usual ones; what cannot be had is left out."""
        pages = {"1" * 24: ("503", "<h1>mine: \u00e4 %[src] \\ \"'</h1>\n"), "2" * 24: ("502", "cut\n"), "3" * 24: ("504", "x" * 8192)}
        for ident, (status, text) in pages.items():
            self.s.api.pages[ident] = {"status": status, "text": text}

        def stack(ident, *servers):
            return {"backends": {"web": {"pages": ident, "servers": list(servers)}}, "domains": {"a.com": {"to": "web", "policy": {"response_ms": 300}}}}
        one = server("one", self.b.port["one"])
        mine = {"503": "1" * 24, "502": "2" * 24, "504": "3" * 24}
        answer = self.table(ragnar=stack(mine, one), other=app(["o.com"]), third={"backends": {"w": {"pages": {"503": "1" * 24}, "servers": []}}, "domains": {"t.com": "w"}})
        self.assertEqual(answer["reloads"], 1)
        self.assertEqual(self.s.get("a.com", "/cut"), "502 cut")
        self.assertEqual(self.s.request("a.com", "/slow/2")[2], "x" * 8192)
        self.assertEqual(self.s.request("t.com")[2].encode("latin-1").decode(), pages["1" * 24][1])
        self.assertIn("Not available", self.s.request("o.com", headers={"Accept": "text/html"})[2])
        self.assertEqual(self.table(ragnar=stack(mine), other=app(["o.com"]))["reloads"], 2, "the third one's is no more")
        self.assertIn("mine", self.s.request("a.com")[2])
        self.s.kill("haproxy")
        self.s.haproxy()
        wait_for("it is back", lambda: "mine" in self.s.request("a.com")[2])
        self.assertEqual(self.table(ragnar=stack({"503": "9" * 24}, one))["reloads"], 3)
        self.assertEqual(self.s.get("a.com"), "200 one", "a page that cannot be had stops nothing")
        self.assertEqual(os.listdir(self.s.state("pages")), [])
        for bad in ({"404": "1" * 24}, {"503": "x"}, {"503": "1" * 24 + "\nlisten x"}, {"503": 7}, []):
            self.table(errors=["bad"], bad={"backends": {"w": {"pages": bad, "servers": []}}, "domains": {}}, ragnar=stack({}, one))


def smuggled(head, body=b""):
    return b"POST /first HTTP/1.1\r\nHost: a.com\r\n" + head + b"\r\n\r\n" + body + b"GET /smuggled HTTP/1.1\r\nHost: a.com\r\n\r\n"


class Hostile(Routed):
    def test_a_request_is_one_request(self):
        """Whatever the lengths say: 400, or one answer; what was hidden behind it reaches no node."""
        async def answer(path, r, w):
            w.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        b = self.raw(answer)
        self.table(ragnar=app(["a.com"], server("w", b.port)))
        hidden = b"0\r\n\r\n"
        shapes = [smuggled(h, hidden) for h in (
            b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: 5, 6", b"Content-Length: +5", b"Content-Length: 0x5", b"Content-Length: -1",
            b"Content-Length: 5 6", b"Content-Length:", b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked",
            b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x", b"Transfer-Encoding: \x0bchunked",
            b"Content-Length: 5\r\nTransfer-Encoding: xchunked", b"X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 500", b"X\x00: y",
            b"Transfer-Encoding: chunked\r\nContent-Length: 500")]
        shapes += [smuggled(b"Transfer-Encoding: chunked", b) for b in (
            b"zz\r\n", b"-1\r\n\r\n", b"0x0\r\n\r\n", b"fffffffffffffffff\r\n", b"1\r\nab\r\n0\r\n\r\n", b"5\r\nabc\r\n")]
        shapes += [b"GET /first HTTP/1.1\nHost: a.com\nContent-Length: 0\n\n",
                   b"GET /first HTTP/1.1\r\nHost: a.com\r\nX: a\rGET /smuggled HTTP/1.1\r\nHost: a.com\r\n\r\n",
                   b"GET /first HTTP/1.1\r\nHost: a.com\r\nX: a\r\n\tGET /smuggled HTTP/1.1\r\n\r\n",
                   b"GET /first HTTP/1.1 HTTP/1.1\r\nHost: a.com\r\n\r\n", b"GET  /first HTTP/1.1\r\nHost: a.com\r\n\r\n",
                   b"GET /first\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.com\r\n\r\n"]
        for shape in shapes:
            b.seen.clear()
            got = self.exchange(shape)
            statuses = [line.split()[1] for line in got.split(b"\r\n") if line.startswith(b"HTTP/1.")]
            paths = [line.split()[1] for line in b"".join(b.seen).split(b"\n") if re.match(rb"[A-Z]+ /", line)]
            self.assertTrue(statuses in ([], [b"400"], [b"200"], [b"501"], [b"408"]), (shape, statuses))
            self.assertNotIn(b"/smuggled", paths, shape)
            self.assertLessEqual(len(paths), 1, shape)
        self.assertEqual(self.exchange(b"GET /first HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n")[:12], b"HTTP/1.1 200")

    def test_hostile_frames_of_http2(self):
        """What HTTP/2 can carry and HTTP/1.1 cannot: refused for its stream alone, or one request."""
        async def answer(path, r, w):
            w.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        b = self.raw(answer)
        self.table(ragnar=app(["a.com"], server("w", b.port)))
        whole = {":method": "POST", ":scheme": "http", ":authority": "a.com", ":path": "/first"}
        self.assertEqual("answered", self.stream(list(whole.items())))
        for more in ([("transfer-encoding", "chunked")], [("connection", "close")], [("x", "a\r\nHost: evil")], [("x", "a\nb")], [("x", "a\0b")],
                     [("X", "b")], [("x y", "b")], [("x:y", "b")], [("content-length", "50")], [("content-length", "1")],
                     [("content-length", "3"), ("content-length", "4")], [(":path", "/again")], [(":foo", "x")], [("x", "y"), (":path", "/late")]):
            b.seen.clear()
            self.assertEqual("refused", self.stream(list(whole.items()) + more, b"abc"), more)
            self.assertLessEqual(len(b.seen), 1, more)
            self.assertNotIn(b"evil", b"".join(b.seen))
        for key, value in ((":method", "GET / HTTP/1.1\r\nX:"), (":path", "/ HTTP/1.1\r\nX: y"), (":path", "http://x/"), (":path", None)):
            fields = [(k, v) for k, v in {**whole, key: value}.items() if v is not None]
            self.assertEqual("refused", self.stream(fields), (key, value))
        self.assertEqual("answered", self.stream(list(whole.items())))

    def stream(self, fields, body=b""):
        """One request in HTTP/2 from the first byte (RFC 9113), its fields as literals (RFC 7541 6.2.2)."""
        def text(v):
            self.assertLess(len(v), 127)
            return bytes([len(v)]) + v.encode()

        def frame(kind, flags, ident, payload):
            return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + ident.to_bytes(4, "big") + payload
        head = b"".join(b"\0" + text(k) + text(v) for k, v in fields)
        with socket.create_connection(("127.0.0.1", self.s.port), timeout=20) as s:
            s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 4, 1, head) + frame(0, 1, 1, body))
            f = s.makefile("rb")
            while part := f.read(9):
                payload = f.read(int.from_bytes(part[:3], "big"))
                if part[3] in (3, 7):  # RST_STREAM, GOAWAY
                    return "refused"
                if part[3] == 1:  # HEADERS: index 8 of the static table is :status 200
                    return "answered" if payload[:1] == b"\x88" else "refused"
            return "closed"

    def exchange(self, data, seconds=2):
        with socket.create_connection(("127.0.0.1", self.s.port), timeout=seconds) as s:
            got = b""
            try:
                s.sendall(data)
                while part := s.recv(65536):
                    got += part
            except OSError:
                pass
            return got

    def test_slow_clients_are_cut(self):
        """Two hundred heads that never end: each is cut by the time limit, and others are served all the while."""
        self.table(ragnar=app(["a.com"], server("w", self.b.port["one"])))
        slow = [socket.create_connection(("127.0.0.1", self.s.port), timeout=60) for _ in range(200)]
        began = time.monotonic()
        for s in slow:
            s.sendall(b"GET / HTTP/1.1\r\nHost: a.com\r\nX-")
        while slow and time.monotonic() < began + 60:
            self.assertEqual(self.s.get("a.com"), "200 one")
            for s in list(slow):
                try:
                    s.sendall(b"a")
                    s.setblocking(False)
                    data = s.recv(1000)
                    self.assertIn(data.split(b" ")[1:2], ([b"408"], [b"400"], []))
                except BlockingIOError:
                    s.setblocking(True)
                    s.settimeout(60)
                    continue
                except OSError:
                    pass
                s.close()
                slow.remove(s)
            time.sleep(0.5)
        self.assertEqual(len(slow), 0)

    def test_backends_that_keep_no_rule(self):
        async def answer(path, r, w):
            if path == b"/endless":
                w.write(b"HTTP/1.1 200 OK\r\n")
                for k in range(20000):
                    w.write(b"X-%d: " % k + b"y" * 100 + b"\r\n")
                    await w.drain()
            elif path == b"/half":
                w.write(b"HTTP/1.1 20")
                await asyncio.sleep(30)
            elif path == b"/drip":
                for c in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000:
                    w.write(bytes([c]))
                    await asyncio.sleep(0.2)
            elif path == b"/lengths":
                w.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\nhello")
            elif path == b"/both":
                w.write(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello")
            elif path == b"/binary":
                w.write(bytes(range(256)) * 4)
            elif path == b"/split":
                w.write(b"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: evil\r\nContent-Length : 1\r\n\r\nx")
            else:
                raise OSError
        b = self.raw(answer)
        stack = app([], server("evil", b.port))
        stack["domains"] = {"evil.com": {"to": "web", "policy": {"response_ms": 1500}}}
        self.table(ragnar=stack, good=app(["good.com"], server("w", self.b.port["one"])))
        for path, statuses in (("/endless", (502,)), ("/half", (502, 504)), ("/drip", (502, 504)), ("/lengths", (502,)), ("/both", (502,)),
                               ("/binary", (502,)), ("/split", (502,)), ("/close", (502, 503))):
            status, head, body = self.s.request("evil.com", path)
            self.assertIn(status, statuses, path)
            self.assertNotIn("evil", str(head), path)
            self.assertNotIn("hello", body)
            self.assertEqual(self.s.get("good.com"), "200 one", path)


if __name__ == "__main__":
    unittest.main(verbosity=2)
