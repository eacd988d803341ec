"""One host whose state is in an external etcd (TLS, client certificates): a whole day's work, and etcd going away under it."""
import base64
import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import tempfile
import shutil
import unittest
import urllib.request

from lib import Host, Load, free_port, wait_for


class Etcd:
    """A real one, below a directory of its own; one self-signed certificate serves as authority and for both ends."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="etcd-")
        self.port, self.peer = free_port(), free_port()
        self.cert, self.key = self.dir + "/cert.pem", self.dir + "/key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.key, "-out",
                        self.cert], check=True, stderr=subprocess.DEVNULL)
        self.url = f"https://127.0.0.1:{self.port}"
        self.process = None

    def settings(self, **more):
        return {"store": "etcd", "etcd.endpoints": self.url, "etcd.ca": self.cert, "etcd.cert": self.cert,
                "etcd.key": self.key, **more}

    def start(self):
        peer = f"http://127.0.0.1:{self.peer}"
        self.process = subprocess.Popen(
            ["/usr/bin/etcd", "--name", "m", "--data-dir", self.dir + "/data", "--listen-client-urls", self.url,
             "--advertise-client-urls", self.url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
             "--initial-cluster", "m=" + peer, "--cert-file", self.cert, "--key-file", self.key, "--trusted-ca-file",
             self.cert, "--client-cert-auth", "--logger", "zap", "--log-level", "error"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("etcd serves", self.healthy, 60)
        return self

    def call(self, path, body):
        tls = ssl.create_default_context(cafile=self.cert)
        tls.load_cert_chain(self.cert, self.key)
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data), context=tls, timeout=10) as r:
            return json.loads(r.read())

    def healthy(self):
        with contextlib.suppress(OSError, ValueError):
            return self.call("/health", None)["health"] == "true"

    def keys(self, prefix="/viking/"):
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        answer = self.call("/v3/kv/range", {"key": b64(prefix), "range_end": b64(end)})
        return {base64.b64decode(kv["key"]).decode(): base64.b64decode(kv.get("value", "")).decode()
                for kv in answer.get("kvs", [])}

    def kill(self, sig=signal.SIGKILL):
        self.process.send_signal(sig)
        self.process.wait(20)

    def remove(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def b64(text):
    return base64.b64encode(text.encode()).decode()


class OneHost(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.etcd = Etcd().start()
        cls.h = Host(**cls.etcd.settings(**{"etcd.lease": "3s"}))
        cls.h.__enter__()
        cls.stack = cls.h.name("etcd")
        cls.tree = cls.h.app("one")
        cls.h.push(cls.tree, cls.stack)
        cls.host = cls.stack + ".apps.test"

    @classmethod
    def tearDownClass(cls):
        cls.h.__exit__(None, None, None)
        cls.etcd.remove()

    def status(self):
        return self.h.json("cluster:status")

    def changes_possible(self):
        r = self.h.viking("cluster:status", "--json")
        return r.status == 0 and json.loads(r.out)["away"] is None

    def push_text(self, text, check=True):
        self.h.write(self.tree, {"www/index.html": text + "\n"})
        self.h.commit(self.tree)
        return self.h.push(self.tree, self.stack, check=check)

    def test_1_a_push_is_kept_in_etcd_only(self):
        self.assertEqual(self.h.get(self.host), (200, "one\n"))
        keys = self.etcd.keys()
        self.assertIn(f"/viking/stack/{self.stack}", keys)
        self.assertIn("/viking/leader", keys)
        self.assertFalse(os.path.exists(self.h.path("var/lib/viking/sched/viking.db")))
        shown = {k["key"] for k in self.h.json("state", "--keys")["keys"]}
        self.assertIn(f"/stack/{self.stack}", shown)
        self.assertIn("/leader", shown)

    def test_2_release_and_rollback(self):
        self.push_text("two")
        self.assertEqual(self.h.get(self.host), (200, "two\n"))
        r = self.h.viking("rollback", self.stack)
        self.assertEqual(r.status, 0, r)
        self.assertEqual(self.h.get(self.host), (200, "one\n"))

    def test_3_commands_tell_who_leads(self):
        status = self.status()
        self.assertEqual((status["store"], status["endpoints"], status["away"]), ("etcd", [self.etcd.url], None))
        name = status["leader"]["host"]
        self.assertEqual(self.h.viking("leader").out, f"{name} (epoch {status['leader']['epoch']})\n")
        self.assertIn("changes:   possible", self.h.viking("cluster:status").out)

    def test_3_a_command_waits_for_the_scheduler_that_was_killed(self):
        for words in (("config:set", "--no-restart", self.stack, "KILLED=1"), ("ps", self.stack)):
            with self.subTest(words):
                pid = wait_for("it serves", lambda: self.h.viking("leader").status == 0 and self.h.pid("scheduler"))
                os.kill(pid, signal.SIGKILL)
                wait_for("its end", lambda: not os.path.exists(f"/proc/{pid}/exe"))
                r = self.h.viking(*words)
                self.assertEqual(0, r.status, r)
        self.assertEqual(0, self.h.viking("config:unset", "--no-restart", self.stack, "KILLED").status)

    def test_4_killed_etcd_comes_back(self):
        with Load(self.h, self.host, 50) as load:
            self.etcd.kill()
            self.etcd.start()
            wait_for("changes are possible", self.changes_possible, 60)
            self.push_text("four")
        self.assertEqual(load.failed, 0, load.errors)
        self.assertEqual(self.h.get(self.host), (200, "four\n"))

    def test_5_etcd_gone(self):
        """Applications and routes go on; a change is refused with the reason, at once; a crash of the app is mended."""
        before = self.h.get(self.host)
        with Load(self.h, self.host, 50) as load:
            self.etcd.kill()
            wait_for("it is noticed", lambda: not self.changes_possible(), 60)
            r = self.push_text("refused", check=False)
            self.assertNotEqual(r.status, 0)
            self.assertIn("nothing can be changed now: etcd at 127.0.0.1", r.err)
            self.assertIn("cluster:status", r.err)
            r = self.h.viking("config:set", self.stack, "A=1")
            self.assertEqual(r.status, 6, r)
            self.assertEqual(self.h.viking("ps", self.stack).status, 0)
            self.assertIn("etcd at", self.h.viking("cluster:status").out)
            store = [c for c in self.h.json_any("doctor")["checks"] if c["name"] == "store"]
            self.assertFalse(store[0]["ok"], store)
            self.assertEqual(self.h.get(self.host), before)
        self.assertEqual(load.failed, 0, load.errors)
        self.etcd.start()
        wait_for("changes are possible", self.changes_possible, 60)
        self.push_text("after")
        self.assertEqual(self.h.get(self.host), (200, "after\n"))

    def test_6_viking_restarts_while_etcd_is_away(self):
        before = self.h.get(self.host)
        epoch = self.status()["leader"]["epoch"]
        self.etcd.kill()
        with Load(self.h, self.host, 50) as load:
            self.h.stop()
            self.h.start()
            r = self.h.viking("ps", self.stack)
            self.assertEqual(r.status, 6, r)
            self.assertIn("etcd at 127.0.0.1", r.err)
            self.assertEqual(self.h.get(self.host), before)
            self.etcd.start()
            wait_for("changes are possible", self.changes_possible, 60)
        self.assertEqual(load.failed, 0, load.errors)
        self.assertGreater(self.status()["leader"]["epoch"], epoch)
        self.push_text("again")
        self.assertEqual(self.h.get(self.host), (200, "again\n"))

    def test_6b_what_another_writes_is_read(self):
        epoch = self.status()["leader"]["epoch"]
        lock = json.dumps({"v": 1, "reason": "by etcdctl", "who": "them", "when_ms": 1})
        self.etcd.call("/v3/kv/put", {"key": b64(f"/viking/lock/{self.stack}"), "value": b64(lock)})
        wait_for("it is read", lambda: self.changes_possible() and self.status()["leader"]["epoch"] > epoch, 60)
        r = self.push_text("locked", check=False)
        self.assertIn("by etcdctl", r.err)
        self.assertEqual(self.h.viking("unlock", self.stack).status, 0)
        stays = self.status()["leader"]["epoch"]
        self.push_text("unlocked")
        self.assertEqual(self.status()["leader"]["epoch"], stays, "our own changes are no others'")

    def test_7_a_paused_leader_writes_nothing(self):
        """Its lease ends while it sleeps: /leader goes, its first write is refused, and it leads again only anew."""
        epoch = self.status()["leader"]["epoch"]
        pid = self.h.kill("scheduler", signal.SIGSTOP)
        try:
            wait_for("the lease ends", lambda: "/viking/leader" not in self.etcd.keys(), 60)
        finally:
            os.kill(pid, signal.SIGCONT)
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            self.h.api("PATCH", f"/v1/stacks/{self.stack}/config", {"set": {"PAUSED": "1"}})
        wait_for("it leads anew", lambda: self.changes_possible() and self.status()["leader"]["epoch"] > epoch, 60)
        config = {k for k in self.etcd.keys(f"/viking/config/{self.stack}/")}
        written_by = [json.loads(v)["epoch"] for k, v in self.etcd.keys().items() if k == "/viking/leader"]
        self.assertEqual(written_by, [self.status()["leader"]["epoch"]])
        self.assertFalse(config, "the old leader's write came through")
        self.assertEqual(self.h.viking("config:set", self.stack, "NOW=1").status, 0)

    def test_8_another_host_waits_for_the_leader(self):
        other = Host(**self.etcd.settings(**{"etcd.lease": "3s", "host.name": "second"}))
        try:
            other.start()
            r = other.viking("stacks")
            self.assertEqual(r.status, 6, r)
            self.assertIn("leads this cluster", r.err)
            epoch = self.status()["leader"]["epoch"]
            self.h.stop()
            wait_for("the other leads", lambda: other.viking("leader").out.startswith("second "), 60)
            self.assertGreater(other.json("cluster:status")["leader"]["epoch"], epoch)
            self.assertIn(self.stack, other.viking("stacks").out)
        finally:
            other.cleanup()
            self.h.start()
        wait_for("we lead again", lambda: self.changes_possible(), 60)


if __name__ == "__main__":
    unittest.main()
