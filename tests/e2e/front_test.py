"""viking-front: two hosts with certificates of one CA, and what may pass between them and what may not."""
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import unittest

from ca import Ca
from lib import Host, UnixConnection, unix_call, wait_for

DEADLINE = 30


class Two(unittest.TestCase):
    """Hosts h1 (a) and h2 (b)."""

    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        cls.ca = Ca()
        cls.stack.callback(shutil.rmtree, cls.ca.dir)
        off = {"helpers.run_haproxy": False, "helpers.run_registry": False}
        try:
            cls.a = cls.stack.enter_context(Host(**{"host.name": "h1"}, **off))
            cls.b = cls.stack.enter_context(Host(**{"host.name": "h2"}, **off))
            for name, h in (("h1", cls.a), ("h2", cls.b)):
                cls.ca.install(name, h.root)
                for api in (cls.a.api_socket, cls.b.api_socket):
                    known = {"addr": "127.0.0.1", "port": h.settings["cluster.port"]}
                    status, answer = unix_call(api, "POST", f"/v1/hosts/{name}/address", json.dumps(known))
                    assert status == 200, answer
            wait_for("both to hear each other", lambda: cls.ask(cls.a, "h2")[0] == cls.ask(cls.b, "h1")[0] == 200)
        except BaseException:
            cls.stack.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    @staticmethod
    def door(host, to, service="api"):
        return host.path(f"run/viking/hosts/{to}/{service}.sock")

    @classmethod
    def ask(cls, host, to, method="GET", path="/v1/ping", body=None, headers=None, service="api"):
        try:
            return unix_call(cls.door(host, to, service), method, path, json.dumps(body) if body is not None else None, headers)
        except (OSError, http.client.HTTPException) as e:
            return 0, str(e)

class FrontTest(Two):
    def raw(self, cert=None, protocol="http/1.1", trust=None):
        """A TLS client of our own at h2's port."""
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.load_verify_locations(trust or self.ca.path("ca.pem"))
        if cert:
            c.load_cert_chain(cert + ".pem", cert + ".key")
        c.set_alpn_protocols([protocol])
        s = socket.create_connection(("127.0.0.1", self.b.settings["cluster.port"]), timeout=DEADLINE)
        return c.wrap_socket(s, server_hostname="h2")

    def say(self, s, method, path, body=b""):
        s.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        answer = b""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while piece := s.recv(65536):
                answer += piece
        s.close()
        return int(answer.split()[1]) if answer else 0

    def test_a_request_reaches_the_other_host_with_the_name_of_this_one(self):
        name = self.b.name()
        self.assertEqual(self.ask(self.a, "h2", "POST", "/v1/stacks", {"name": name})[0], 200)
        self.assertIn(name, [s["name"] for s in self.b.json("stacks")["stacks"]])
        with open(self.b.path("var/lib/viking/sched/audit.jsonl")) as f:
            line = [json.loads(x) for x in f if name in x][-1]
        self.assertEqual((line["who"] if "who" in line else line["actor"]), "local:root@h1")

    def test_a_role_speaks_for_its_own_host_only(self):
        agent = {"Viking-Role": "agent"}
        status, answer = self.ask(self.a, "h2", path="/v1/internal/agent/watch?host=h2", headers=agent)
        self.assertEqual((status, answer["error"]), (403, "DENIED"))
        self.assertIn("h1 may not speak for host h2", answer["message"])
        c = UnixConnection(self.door(self.a, "h2"))
        c.request("GET", "/v1/internal/agent/watch?host=h1", headers=agent)
        r = c.getresponse()
        self.assertEqual(r.status, 200)
        self.assertIn("rev", json.loads(r.readline()))
        r.close()
        c.close()

    def test_streams_flow_and_end_when_the_client_goes(self):
        c = UnixConnection(self.door(self.a, "h2"))
        c.request("GET", "/v1/events?follow=1")
        r = c.getresponse()
        name = self.b.name()
        self.assertEqual(self.b.viking("stacks:create", name).status, 0)
        for _ in range(1000):
            if name in r.readline().decode():
                break
        else:
            self.fail("the event did not come")
        def open_streams():
            return sum("hosts/h2" in x for x in subprocess.run(["ss", "-xH"], capture_output=True, text=True).stdout.splitlines()
                       if self.a.root in x and "ESTAB" in x)
        self.assertGreaterEqual(open_streams(), 1)
        r.close()
        c.close()
        wait_for("the connection to end", lambda: open_streams() == 0)

    def test_the_agent_of_the_other_host_answers(self):
        status, facts = self.ask(self.a, "h2", path="/facts", service="agent")
        self.assertEqual(status, 200)
        self.assertGreater(facts["cpus"], 0)

    def test_without_a_certificate_nothing_but_joining_is_possible(self):
        for path in ("/v1/ping", "/v1/version", "/v1/stacks", "/v1/internal/agent/watch?host=h2", "/metrics"):
            self.assertEqual(self.say(self.raw(), "GET", path), 403, path)
        # not even by asking for our own protocol
        self.assertEqual(self.say(self.raw(protocol="viking-api"), "GET", "/v1/ping"), 0)
        self.assertEqual(self.say(self.raw(protocol="viking-agent"), "GET", "/facts"), 0)

    def test_hosts_outside_the_table_and_other_cas_get_nothing(self):
        self.ca.host("h3")
        self.assertEqual(self.say(self.raw(self.ca.path("h3"), "viking-api"), "GET", "/v1/ping"), 0)
        other = Ca()
        self.addCleanup(shutil.rmtree, other.dir)
        other.host("h1")
        try:
            self.assertEqual(self.say(self.raw(other.path("h1"), "viking-api"), "GET", "/v1/ping"), 0)
        except ssl.SSLError:
            pass
        # and the one who is known gets what the others did not
        self.assertEqual(self.say(self.raw(self.ca.path("h1"), "viking-api"), "GET", "/v1/ping"), 200)

    def test_strangers_take_no_place_of_hosts(self):
        idle = [self.raw() for _ in range(8)]
        self.addCleanup(lambda: [s.close() for s in idle])
        self.assertEqual(self.say(self.raw(), "GET", "/v1/ping"), 0)
        self.assertEqual(self.ask(self.a, "h2")[0], 200)

    def test_who_only_connects_takes_no_place_of_hosts(self):
        port = self.b.settings["cluster.port"]
        idle = [socket.create_connection(("127.0.0.1", port), DEADLINE, ("127.0.0.2", 0)) for _ in range(70)]
        self.addCleanup(lambda: [s.close() for s in idle])
        idle[-1].settimeout(DEADLINE)
        self.assertEqual(idle[-1].recv(1), b"", "it waits, and so might two thousand")
        idle[0].setblocking(False)
        self.assertRaises(BlockingIOError, idle[0].recv, 1)  # the time to shake hands is not over yet
        self.assertEqual(self.ask(self.a, "h2")[0], 200)

    def test_a_killed_front_comes_back(self):
        c = UnixConnection(self.door(self.a, "h2"))
        c.request("GET", "/v1/events?follow=1")
        r = c.getresponse()
        self.b.kill("front")
        with contextlib.suppress(http.client.HTTPException, OSError):
            while r.readline():
                pass  # ends, or this test hangs until its deadline
        self.assertEqual(wait_for("h2 to answer again", lambda: self.ask(self.a, "h2")[0]), 200)
        self.a.kill("front", signal.SIGTERM)
        self.assertEqual(wait_for("h1's way out", lambda: self.ask(self.a, "h2")[0]), 200)

    def test_another_certificate_is_shown_from_the_next_connection_on(self):
        with self.raw() as s:
            before = s.getpeercert()["serialNumber"]
        self.ca.install("h2", self.b.root)
        with self.raw() as s:
            self.assertNotEqual(s.getpeercert()["serialNumber"], before)
        self.assertEqual(self.ask(self.a, "h2")[0], 200)

    def test_only_the_scheduler_has_a_key_of_the_doors(self):
        for d in ("", "run", "run/viking", "run/viking/hosts", "run/viking/hosts/h2"):
            os.chmod(self.a.path(d), 0o755)  # a root of one uid is closed to all others
        ask = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print('connected');"
               "s.send(b'GET /v1/ping HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); print(s.recv(100))")
        for uid, answer in (("0", "200 OK"), ("65534", "")):
            p = subprocess.run(["setpriv", "--reuid=" + uid, "--clear-groups", "/usr/bin/python3", "-c", ask,
                                self.door(self.a, "h2")], capture_output=True, text=True, timeout=DEADLINE)
            self.assertIn("connected", p.stdout, p)
            self.assertIn(answer, p.stdout)
            self.assertEqual("HTTP" in p.stdout, answer != "", p)


class LeavingTest(Two):
    def test_a_host_that_is_removed_loses_its_connections_and_its_doors(self):
        c = UnixConnection(self.door(self.a, "h2"))
        c.request("GET", "/v1/events?follow=1")
        r = c.getresponse()
        self.assertEqual(unix_call(self.a.api_socket, "DELETE", "/v1/hosts/h2?data_lost=1")[0], 200)
        with contextlib.suppress(http.client.HTTPException, OSError):
            while r.readline():
                pass
        wait_for("the door to go", lambda: not os.path.exists(self.door(self.a, "h2")))
        # h2 still believes in h1, which does not know it any more
        self.assertEqual(self.ask(self.b, "h1")[0], 0)
        self.assertEqual(unix_call(self.b.api_socket, "GET", "/v1/ping")[0], 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
