"""viking-router with the real HAProxy."""
import errno
import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
import unittest

from routing import Backends, Load, Site, app, server, wait_for


PROBE = r"""
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <spawn.h>
#include <sys/wait.h>
int main(void)
{
	char *argv[] = { "/bin/true", NULL };
	pid_t pid;
	int o = open("SECRET", O_RDONLY) >= 0 ? 0 : errno;
	int e = posix_spawn(&pid, argv[0], NULL, NULL, argv, NULL);
	FILE *f = fopen("OUT", "a");
	if (f == NULL || fprintf(f, "open %d exec %d\n", o, e) < 0 || fclose(f) != 0)
		return 1;
	return 0;
}
"""


def get(path):
    with open(path) as f:
        return f.read()


def put(path, text, mode="w"):
    with open(path, mode) as f:
        f.write(text)


class RouterTest(unittest.TestCase):
    def setUp(self):
        self.s = Site()
        self.addCleanup(self.s.cleanup)
        self.b = Backends("one", "two", "three", "four")
        self.addCleanup(self.b.stop)

    def up(self):
        self.s.start("router")
        self.s.haproxy()

    def table(self, **stacks):
        """Sends the table and waits for its ack."""
        return self.s.api.ack(self.s.api.put("router", {"stacks": stacks}))

    def server(self, name, state="ready", ident=None):
        return server(ident or name, self.b.port[name], state)

    def assert_same_as_file(self):
        running = {k: (a, p, "maint" if st == "drain" else st) for k, (a, p, st) in self.s.servers().items()}
        self.assertEqual(running, self.s.rendered())

    def test_ready_before_haproxy_and_closed(self):
        self.s.start("router")
        self.assertIn("landlock=on", self.s.ready["router"])
        self.assertIn("seccomp=on", self.s.ready["router"])
        subprocess.run(["/usr/sbin/haproxy", "-c", "-f", self.s.state("haproxy.cfg")], check=True, capture_output=True)
        self.assertEqual({st for _, _, st in self.s.rendered().values()}, {"maint"})
        self.s.haproxy()
        self.assertEqual({st for _, _, st in self.s.servers().values()}, {"maint"})
        self.assertEqual(self.s.request("a.com")[0], 404)

    def test_routes(self):
        self.up()
        a = self.table(
            ragnar=app(["a.com", "*.b.com", "x.b.com"], self.server("one")),
            bjorn=app(["*.deep.b.com", "localhost", "c.localhost"], self.server("two")),
            floki=app(["empty.com"]))
        self.assertEqual(a["errors"], [])
        self.assertEqual(self.s.get("a.com"), "200 one")
        for host, want in [
                ("A.COM", "one"), ("a.com:8080", "one"), ("a.com.", "one"), ("A.Com.:80", "one"), ("x.b.com", "one"),
                ("y.b.com", "one"), ("p.q.b.com", "one"), ("z.deep.b.com", "two"), ("deep.b.com", "one"),
                ("localhost:1", "two"), ("c.localhost", "two")]:
            self.assertEqual(self.s.get(host), "200 " + want, host)
        for host in ["b.com", "xb.com", "a.com.evil.org", "evil.org", "", "[::1]:80", "127.0.0.1", "..", ".b.com.x",
                     "d.localhost", "a" * 300 + ".com", "_a.com"]:
            self.assertEqual(self.s.request(host)[0], 404, host)
        for host in ["a.com,b.com", "a.com b", "*", "a.com;x", "a.com/", "user@a.com", "a.com%00", "\xe4.com"]:
            self.assertEqual(self.s.request(host)[0], 400, host)
        self.assertEqual(self.s.request("empty.com")[0], 503)
        self.assert_same_as_file()

    def test_hostile_hosts(self):
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one")), victim=app(["v.com"], self.server("two")))
        for raw, status in [
                (b"GET / HTTP/1.1\r\nHost: a.com\r\nHost: v.com\r\n\r\n", b"400"),
                (b"GET http://v.com/ HTTP/1.1\r\nHost: a.com\r\n\r\n", b"400"),
                (b"GET / HTTP/1.1\r\nHost: a.com\x00v.com\r\n\r\n", b"400"),
                (b"GET / HTTP/1.1\r\nHost : a.com\r\n\r\n", b"400"),
                (b"GET / HTTP/1.0\r\n\r\n", b"404"),
                (b"GET / HTTP/1.1\r\nHost: a.com;v.com\r\n\r\n", b"400"),
                (b"GET / HTTP/1.1\r\nHost: a.com\tv.com\r\n\r\n", b"400"),
                (b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % (b"a" * 20000), b"400"),
                (b"GET / HTTP/1.1\r\nHost: v.com\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x", b"200"),
                (b"POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
                (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400")]:
            got = self.s.raw(raw)
            self.assertEqual(got.split(b" ")[1:2], [status], (raw[:80], got[:100]))

    def test_pages(self):
        self.up()
        self.table(floki=app(["empty.com"]))
        for host, status in [("nobody.com", 404), ("empty.com", 503)]:
            st, head, body = self.s.request(host, headers={"Accept": "text/html,*/*"})
            self.assertEqual((st, head["content-type"], head["cache-control"]), (status, "text/html; charset=utf-8", "no-store"))
            self.assertIn("<h1>", body)
            self.assertEqual(int(head["content-length"]), len(body))
            st, head, body = self.s.request(host, headers={"Accept": "*/*"})
            self.assertEqual(st, status)
            self.assertRegex(body.splitlines()[0], rf"{status}: \w+")
        self.assertEqual(self.s.request("nobody.com")[1]["content-type"], "text/plain; charset=utf-8")

    def test_headers(self):
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one")))
        _, _, seen = self.s.request("a.com:99", "/headers", headers={
            "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "gopher", "X-Viking-Site": "evil", "Proxy": "evil",
            "Forwarded": "for=evil", "X-Request-Id": "evil", "X_Forwarded_User": "evil", "X-Forwarded_User": "evil",
            "X-Real-IP": "evil", "X-Forwarded-Ssl": "evil", "X-Realm": "kept"})
        self.assertIn("kept", seen)
        head = dict(line.split(": ", 1) for line in seen.lower().splitlines()[1:] if line)
        self.assertEqual(head["x-forwarded-for"], "127.0.0.1")
        self.assertEqual(head["x-forwarded-proto"], "http")
        self.assertEqual(head["x-forwarded-host"], "a.com:99")
        self.assertEqual(head["x-forwarded-port"], str(self.s.port))
        self.assertRegex(head["x-request-id"], r"^[0-9a-f-]{36}$")
        self.assertEqual(head["host"], "a.com:99")
        self.assertNotIn("evil", seen)

    def test_a_deploy_needs_no_reload(self):
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one", ident="r-1")))
        worker = self.s.worker()
        self.table(ragnar=app(["a.com"], self.server("one", ident="r-1"), self.server("two", ident="r-2")))
        seen = {self.s.get("a.com") for _ in range(20)}
        self.assertEqual(seen, {"200 one", "200 two"})
        self.table(ragnar=app(["a.com"], self.server("one", "drain", "r-1"), self.server("two", ident="r-2")))
        self.assertEqual({self.s.get("a.com") for _ in range(20)}, {"200 two"})
        wait_for("drained", lambda: [i for _, i in self.s.api.drained] == ["r-1"])
        self.table(ragnar=app(["a.com"], self.server("two", ident="r-2")))
        self.assertEqual({self.s.get("a.com") for _ in range(20)}, {"200 two"})
        a = self.table(ragnar=app(["a.com"], self.server("two", ident="r-2"), self.server("three", ident="r-3"),
                                  self.server("four", ident="r-4"), self.server("one", ident="r-5")))
        self.assertEqual({self.s.get("a.com") for _ in range(40)}, {"200 one", "200 two", "200 three", "200 four"})
        self.assertEqual((self.s.worker(), a["reloads"]), (worker, 0))
        self.assert_same_as_file()

    def test_a_new_stack_needs_no_reload(self):
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one")))
        worker = self.s.worker()
        for i in range(10):
            stacks = {f"app{k}": app([f"d{k}.com"], self.server("two", ident=f"x{k}")) for k in range(i + 1)}
            self.table(ragnar=app(["a.com"], self.server("one")), **stacks)
            self.assertEqual(self.s.get(f"d{i}.com"), "200 two")
        self.table(ragnar=app(["a.com"], self.server("one")))
        self.assertEqual(self.s.get("d3.com").split()[0], "404")
        self.assertEqual(self.s.worker(), worker)
        self.assert_same_as_file()

    def test_golden_files_are_valid(self):
        """The golden configurations, with this root's paths, by the real `haproxy -c`."""
        self.s.start("router")  # which writes the pages and hold.lua
        golden = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden/router")
        names = [f[:-4] for f in os.listdir(golden) if f.endswith(".cfg")]
        self.assertGreaterEqual(len(names), 3)
        for name in names:
            text = get(os.path.join(golden, name + ".cfg"))
            text = text.replace("/ROUTE", self.s.state("").rstrip("/")).replace("/RUN", self.s.path("run/viking/route"))
            text = text.replace("/SITES", self.s.path("run/viking/web"))
            put(self.s.path("golden.cfg"), text)
            for page in re.findall(r"errorfile \d+ (\S+/pages/\S+)", text):  # a stack's own
                put(page, "HTTP/1.0 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nown")
            for part in get(os.path.join(golden, name + ".maps")).split("# ")[1:]:
                put(self.s.state(part.split("\n")[0]), part.split("\n", 1)[1])
            p = subprocess.run(["/usr/sbin/haproxy", "-c", "-f", self.s.path("golden.cfg")], capture_output=True, text=True)
            warnings = [w for w in p.stderr.splitlines() if "WARNING" in w and "no SSL certificate" not in w]
            self.assertEqual((p.returncode, warnings), (0, []), p.stderr)

    def test_names_stay(self):
        self.up()
        self.table(bjorn=app(["b.com"], self.server("two")), ragnar=app(["a.com"], self.server("one")))
        before = dict(self.s.map("hosts.map"))
        self.table(aslaug=app(["0.com"], self.server("three")), ragnar=app(["a.com"], self.server("one")))
        after = dict(self.s.map("hosts.map"))
        self.assertEqual(after["a.com"], before["a.com"])
        self.assertNotIn("b.com", after)
        self.assertNotEqual(after["0.com"], before["b.com"], "a name just given back goes to another stack")

    def test_drain_waits_for_open_requests(self):
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one", ident="r-1")))
        got = []
        t = threading.Thread(target=lambda: got.append(self.s.get("a.com", "/slow/1.2")))
        t.start()
        wait_for("the request to arrive", lambda: any(
            line.split()[6] != "0" for line in self.s.runtime("show servers conn").splitlines() if line.startswith("b0001/")))
        started = time.monotonic()
        self.table(ragnar=app(["a.com"], self.server("one", "drain", "r-1"), self.server("two", ident="r-2")))
        self.assertEqual(self.s.get("a.com"), "200 two")
        t.join()
        self.assertEqual(got, ["200 one"])
        wait_for("drained", lambda: self.s.api.drained)
        when, ident = self.s.api.drained[0]
        self.assertEqual(ident, "r-1")
        self.assertGreater(when - started, 0.7, "drained while a request was open")

    def test_switches_under_load(self):
        self.up()
        worker = None
        names = ["one", "two"]
        self.table(ragnar=app(["a.com"], self.server("one", ident="r-0")))
        worker = self.s.worker()
        load = Load(self.s.port, "a.com", 8)
        took = []
        for i in range(1, 21):
            old, new = self.server(names[(i - 1) % 2], ident=f"r-{i - 1}"), self.server(names[i % 2], ident=f"r-{i}")
            t0 = time.monotonic()
            self.table(ragnar=app(["a.com"], old, new))
            took.append(time.monotonic() - t0)
            old["state"] = "drain"
            a = self.table(ragnar=app(["a.com"], old, new))
            wait_for("drained", lambda: f"r-{i - 1}" in [d for _, d in self.s.api.drained])
            self.table(ragnar=app(["a.com"], new))
        r = load.result()
        print(f"\n20 switches: {r['requests']} requests, {r['errors']} errors, reloads {a['reloads']}, "
              f"switch median {sorted(took)[10] * 1e3:.1f} ms", flush=True)
        self.assertGreater(r["requests"], 1000)
        self.assertEqual((r["errors"], a["reloads"], self.s.worker()), (0, 0, worker), r["text"])

    def test_fast_switches(self):
        """The two servers change places as fast as the router can, several threads in haproxy: a backend is never
        seen without a server."""
        self.up()
        ports = [self.b.port["one"], self.b.port["two"]]
        load = Load(self.s.port, "a.com", 6, 4)
        for i in range(1, 151):
            old, new = server(f"r-{i - 1}", ports[(i - 1) % 2]), server(f"r-{i}", ports[i % 2])
            self.table(ragnar=app(["a.com"], old, new))
            if i == 1:
                load.proc.kill()  # what it saw before the first table is of no weight
                load.result()
                load = Load(self.s.port, "a.com", 6, 4)
            old["state"] = "drain"
            self.table(ragnar=app(["a.com"], old, new))
            if i % 4:
                wait_for("drained", lambda: f"r-{i - 1}" in [d for _, d in self.s.api.drained])
        r = load.result()
        self.assertEqual((r["errors"], self.s.api.acks[-1][1]["reloads"]), (0, 0), r["text"])
        self.assertGreater(r["requests"], 1000)

    def test_pool_exhausted_is_one_seamless_reload(self):
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one")))
        worker = self.s.worker()
        load = Load(self.s.port, "a.com", 4)
        threading.Event().wait(0.5)  # the load is on before the reload
        stacks = {f"app{k}": app([f"d{k}.com"], self.server("two", ident=f"x{k}")) for k in range(20)}
        a = self.table(ragnar=app(["a.com"], self.server("one")), **stacks)
        self.assertEqual(a["reloads"], 1)
        self.assertNotEqual(self.s.worker(), worker)
        self.assertEqual(self.s.get("d19.com"), "200 two")
        r = load.result()
        print(f"\nreload: {r['requests']} requests, {r['errors']} errors", flush=True)
        self.assertEqual(r["errors"], 0, r["text"])
        self.assert_same_as_file()
        a = self.table(ragnar=app(["a.com"], self.server("one")), **stacks, last=app(["l.com"], self.server("three")))
        self.assertEqual(a["reloads"], 1)

    def test_drained_counts_old_workers(self):
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one", ident="r-1")))
        got = []
        t = threading.Thread(target=lambda: got.append(self.s.get("a.com", "/slow/2.5")))
        t.start()
        wait_for("the request to arrive", lambda: any(
            line.split()[6] != "0" for line in self.s.runtime("show servers conn").splitlines() if line.startswith("b0001/")))
        started = time.monotonic()
        stacks = {f"app{k}": app([f"d{k}.com"], self.server("two", ident=f"x{k}")) for k in range(20)}
        self.assertEqual(self.table(ragnar=app(["a.com"], self.server("one", ident="r-1")), **stacks)["reloads"], 1)
        self.table(ragnar=app(["a.com"], self.server("one", "drain", "r-1"), self.server("three", ident="r-3")), **stacks)
        t.join()
        self.assertEqual(got, ["200 one"])
        wait_for("drained", lambda: self.s.api.drained)
        self.assertGreater(self.s.api.drained[0][0] - started, 1.8, "drained while the old worker had a request")

    def test_haproxy_killed(self):
        self.up()
        stacks = dict(ragnar=app(["a.com", "*.w.com"], self.server("one")), bjorn=app(["b.com"], self.server("two")))
        self.table(**stacks)
        for victim in ("worker", "master"):
            if victim == "worker":
                os.kill(self.s.worker(), signal.SIGKILL)  # takes its master with it
                self.s.procs.pop("haproxy").wait(10)
            else:
                worker = self.s.worker()
                self.s.kill("haproxy")
                wait_for("the worker to follow its master", lambda: not os.path.exists(f"/proc/{worker}"))
            self.s.haproxy()
            wait_for("serving", lambda: self.s.get("a.com") == "200 one", 20)
            self.assertEqual(self.s.get("x.w.com"), "200 one")
            self.table(**stacks)
            self.assert_same_as_file()

    def test_repairs_what_others_changed(self):
        """haproxy comes back with another state than the table's: a table that came while it was away, and
        a file somebody has changed."""
        self.up()
        self.table(ragnar=app(["a.com", "gone.com"], self.server("one", ident="r-1")))
        self.s.kill("haproxy")
        cfg = get(self.s.state("haproxy.cfg"))
        rev = self.s.api.put("router", {"stacks": {"ragnar": app(["a.com", "*.n.com"], self.server("two", ident="r-2"))}})
        wait_for("the new file", lambda: get(self.s.state("haproxy.cfg")) != cfg)
        put(self.s.state("haproxy.cfg"), cfg)
        put(self.s.state("hosts.map"), "a.com b0001\ngone.com b0001\nevil.com b0001\n")
        self.assertFalse(any(a["rev"] == rev for _, a in self.s.api.acks), "acknowledged without haproxy")
        self.s.haproxy()
        self.s.api.ack(rev)
        self.assertEqual(self.s.get("a.com"), "200 two")
        self.assertEqual(self.s.get("y.n.com"), "200 two")
        for host in ("gone.com", "evil.com"):
            self.assertEqual(self.s.request(host)[0], 404)
        self.assertEqual(self.s.map("hosts.map"), [["a.com", "b0001"]])

    def test_a_table_of_an_older_leader_is_refused(self):
        self.up()
        self.s.api.rev = 5 << 24
        self.table(ragnar=app(["a.com"], self.server("one", ident="r-1")))
        self.s.api.rev = 4 << 24
        self.s.api.put("router", {"stacks": {"ragnar": app(["a.com"], self.server("two", ident="r-2"))}})
        wait_for("the refusal", lambda: "a table of epoch 4 after one of 5" in get(self.s.path("log")))
        self.assertEqual(self.s.get("a.com"), "200 one")
        self.s.api.rev = 6 << 24
        self.table(ragnar=app(["a.com"], self.server("two", ident="r-2")))
        self.assertEqual(self.s.get("a.com"), "200 two")

    def test_router_killed_adopts(self):
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one", ident="r-1")))
        worker = self.s.worker()
        self.s.kill("router")
        self.assertEqual(self.s.get("a.com"), "200 one")
        self.s.runtime("set server b0001/s1 state maint")
        self.s.start("router")
        rev = self.s.api.rev
        wait_for("a second ack", lambda: [a["rev"] for _, a in self.s.api.acks] == [rev, rev])
        self.assertEqual(self.s.get("a.com"), "200 one")
        self.table(ragnar=app(["a.com"], self.server("two", ident="r-2")))
        self.assertEqual(self.s.get("a.com"), "200 two")
        self.assertEqual(self.s.worker(), worker)
        self.assertIn("haproxy-adopted", self.s.tail())

    def test_router_alone_comes_back_without_scheduler(self):
        """A router that starts while the scheduler is away leaves a running haproxy as it is."""
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one")))
        self.s.kill("router")
        self.s.api.stop()
        self.s.start("router")
        self.assertEqual(self.s.get("a.com"), "200 one")
        self.assert_same_as_file()

    def test_one_bad_stack_blocks_no_other(self):
        self.up()
        good = app(["b.com"], self.server("two", ident="b-1"))
        self.table(ragnar=app(["a.com"], self.server("one", ident="r-1")), bjorn=good)
        bad_entries = [
            {"backends": {"web": {"servers": [{"id": "x;y", "addr": "127.0.0.1", "port": 1}]}}, "domains": {}},
            {"backends": {"web": {"servers": [{"id": "x", "addr": "127.0.0.1;", "port": 1}]}}, "domains": {}},
            {"backends": {"web": {"servers": [{"id": "x", "addr": "127.0.0.1", "port": 0}]}}, "domains": {}},
            {"backends": {"we b": {"servers": []}}, "domains": {}},
            {"backends": {}, "domains": {"x.example;add map hosts v.com b0001": "web"}},
            {"backends": {}, "domains": {"a.com\nbackend x": "web"}},
            {"backends": {}, "domains": {"${HOME}.x": "web"}},
            {"backends": {}, "domains": {"b.com": "web"}},
            {"backends": [], "domains": 1},
        ]
        for i, bad in enumerate(bad_entries):
            new = app(["b.com", f"b{i}.com"], self.server("two", ident="b-1"))
            a = self.table(ragnar=bad, bjorn=new)
            self.assertEqual([e["stack"] for e in a["errors"]], ["ragnar"], (bad, a))
            self.assertTrue(a["errors"][0]["message"])
            self.assertEqual(self.s.get("a.com"), "200 one", bad)
            self.assertEqual(self.s.get(f"b{i}.com"), "200 two")
        text = get(self.s.state("haproxy.cfg")).split("backend sites")[1] + get(self.s.state("hosts.map"))
        for word in ("HOME", "example", ";", "we b"):
            self.assertNotIn(word, text)
        a = self.table(ragnar=app(["a.com"], self.server("three", ident="r-9")), bjorn=good)
        self.assertEqual((a["errors"], self.s.get("a.com")), ([], "200 three"))

    def test_new_boot_is_closed_until_the_table(self):
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one")))
        self.s.kill("router")
        self.s.kill("haproxy", signal.SIGTERM)
        doc = json.loads(get(self.s.state("assign.json")))
        doc["boot"] = "11111111-2222-3333-4444-555555555555"
        put(self.s.state("assign.json"), json.dumps(doc))
        self.s.api.stop()
        self.s.start("router")
        self.assertEqual({st for _, _, st in self.s.rendered().values()}, {"maint"})
        self.s.haproxy()
        self.assertEqual(self.s.request("a.com")[0], 503, "known, but nothing verified yet")
        self.restart_api()
        self.table(ragnar=app(["a.com"], self.server("one")))
        self.assertEqual(self.s.get("a.com"), "200 one")

    def restart_api(self):
        from routing import Api
        old = self.s.api
        self.s.api = Api(old.path)
        self.s.api.rev = old.rev

    def test_haproxy_of_another_boot_is_closed(self):
        """vikingd started haproxy with a file of another boot before the router was there."""
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one")))
        self.s.kill("router")
        self.s.api.stop()
        doc = json.loads(get(self.s.state("assign.json")))
        doc["boot"] = "11111111-2222-3333-4444-555555555555"
        put(self.s.state("assign.json"), json.dumps(doc))
        self.s.start("router")
        wait_for("closed", lambda: self.s.request("a.com")[0] == 503)
        self.restart_api()
        self.table(ragnar=app(["a.com"], self.server("one")))
        self.assertEqual(self.s.get("a.com"), "200 one")

    def test_another_port_is_one_reload(self):
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one")))
        from routing import free_port
        self.s.kill("router")
        new = free_port()
        conf = self.s.path("etc/viking/viking.conf")
        text = get(conf).replace(f"http.port: {self.s.port}", f"http.port: {new}")
        put(conf, text)
        self.s.start("router")
        wait_for("the new port", lambda: self.works(new))
        wait_for("an ack that counts it", lambda: [a["reloads"] for _, a in self.s.api.acks] == [0, 1])

    def works(self, port):
        try:
            return self.s.get("a.com", port=port) == "200 one"
        except OSError:
            return False

    def test_bad_settings_keep_the_last_good_file(self):
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one")))
        good = get(self.s.state("haproxy.cfg"))
        self.s.kill("router")
        conf = self.s.path("etc/viking/viking.conf")
        put(conf, 'paths.run: "/tmp/with blank and # sign"\n', "a")
        p = self.s.start("router", wait=False)
        self.assertNotEqual(p.wait(20), 0)
        self.assertIn("paths.run", self.s.tail(3))
        self.assertEqual(get(self.s.state("haproxy.cfg")), good)
        self.assertEqual(self.s.get("a.com"), "200 one")

    def test_idempotent_retry(self):
        """A server that closes without an answer: GET goes to another one, POST is not sent twice."""
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one"), self.server("two")))
        self.assertEqual(self.s.request("a.com", "/cut", method="POST")[0], 502)
        dead = server("dead", 1)
        self.table(ragnar=app(["a.com"], dead, self.server("two")))
        for method in ("GET", "POST"):
            for _ in range(6):
                self.assertEqual(self.s.get("a.com", method=method), "200 two")

    def test_connection_that_closes_as_it_is_used_again(self):
        """A server that has had enough of a kept connection just as a request is sent on it: its client sees nothing of that."""
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one")))
        c = http.client.HTTPConnection("127.0.0.1", self.s.port, timeout=10)
        self.addCleanup(c.close)
        for path in ("/", "/second", "/", "/second", "/second", "/"):
            c.request("GET", path, headers={"Host": "a.com"})
            r = c.getresponse()
            self.assertEqual((r.status, r.read()), (200, b"one\n"), path)
            self.assertFalse(r.will_close)

    def test_many_deletes_swap_the_map(self):
        self.up()
        many = [f"n{i}.many.org" for i in range(3000)]
        self.table(ragnar=app(["a.com"], self.server("one")), bulk=app(many, self.server("two")))
        self.assertEqual(self.s.get("n2999.many.org"), "200 two")
        self.assertEqual(len(self.s.map("hosts.map")), 3001)
        self.table(ragnar=app(["a.com"], self.server("one")), bulk=app(many[:10], self.server("two")))
        self.assertEqual(len(self.s.map("hosts.map")), 11)
        self.table(ragnar=app(["a.com"], self.server("one")), bulk=app(many[:5], self.server("two")))
        self.assertEqual(len(self.s.map("hosts.map")), 6)
        self.assertEqual(self.s.worker(), self.s.worker())

    def test_domain_moves_between_nodes(self):
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one")), bjorn=app(["b.com"], self.server("two")))
        self.table(ragnar=app([], self.server("one")), bjorn=app(["b.com", "a.com"], self.server("two")))
        self.assertEqual(self.s.get("a.com"), "200 two")

    def test_idle_router_sleeps(self):
        self.up()
        self.table(ragnar=app(["a.com"], self.server("one")))
        pid = self.s.procs["router"].pid

        def waits():
            return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", get(f"/proc/{pid}/status"), re.M)[1])

        def waits_of_three_seconds():
            before = waits()
            threading.Event().wait(3)
            return waits() - before
        # Some ten: the keep-alives of two watches, and the link proxy, which nobody started. A router that polls
        # or spins waits hundreds of times; the quietest of three looks is its own, the rest is the machine's.
        self.assertLess(min(waits_of_three_seconds() for _ in range(3)), 60)

    def test_sandbox_refuses(self):
        """Inside the running router's sandbox: the program it starts as `haproxy -c` tries to open a file outside
        and to start another program. Before the sandbox (the first check) both work; after it neither."""
        probe = self.s.path("probe")
        source = PROBE.replace("SECRET", self.s.path("secret")).replace("OUT", self.s.state("probe.out"))
        put(self.s.path("secret"), "x")
        put(probe + ".c", source)
        subprocess.run(["gcc", "-o", probe, probe + ".c"], check=True)
        put(self.s.path("etc/viking/viking.conf"), f'helpers.haproxy: "{probe}"\n', "a")
        self.up()
        self.assertEqual(get(self.s.state("probe.out")), "open 0 exec 0\n")
        self.table(**{f"app{k}": app([f"d{k}.com"]) for k in range(20)})
        self.assertEqual(get(self.s.state("probe.out")), f"open 0 exec 0\nopen {errno.EACCES} exec {errno.EACCES}\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
