"""What operators do: look, follow, enter, collect, back up and restore; and what deploy keys may not see of it."""
import hashlib
import http.client
import json
import os
import socket
import subprocess
import threading
import time
import unittest

import exposition
from lib import BASE, STAGE, Host, UnixConnection, containers, engine, wait_for

MANIFEST = """viking: {{name: ops}}
build:
  src: |
    FROM {base}
    COPY www /www
    CMD ["httpd", "-f", "-p", "8080", "-h", "/www"]
deploy:
  web: {{image: "viking:ops/src", expose: [8080], domains: ["{stack}.example.org"]}}
  db: {{image: "{base}:latest", run: sleep 3600, service: true, volume: [/data], healthcheck: none}}
  loud: {{image: "{base}:latest", run: "sh -c 'i=0; while [ $i -lt 60000 ]; do echo line $i 0123456789012345678901234567890123456789; i=$((i+1)); done; sleep 3600'", healthcheck: none}}
  help: {{type: website, document_root: site, domains: ["help.{stack}.example.org"]}}
"""


def rss(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) << 10


def lines_of(data):
    return [json.loads(line) for line in data.decode().splitlines() if line != "{}"]


class Operations(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.token = os.urandom(32).hex()
        cls.h = h = Host(**{"metrics.token": hashlib.sha256(cls.token.encode()).hexdigest()})
        h.__enter__()
        cls.stack = h.name("ops")
        cls.other = h.name("other")
        tree = h.tree({"vikingfile": MANIFEST.format(base=BASE, stack=cls.stack), "www/index.html": "ops\n",
                       "site/index.html": "help\n"})
        h.push(tree, cls.stack)
        h.push(h.app("other"), cls.other)
        h.make_key("dev")
        h.add_key("dev", "--stacks", cls.stack)

    @classmethod
    def tearDownClass(cls):
        cls.h.__exit__(None, None, None)

    def names(self, prefix):
        return {k["key"]: k["value"] for k in self.h.json("state", "--keys", prefix)["keys"]}

    def scrape(self, token=None, path="/metrics", method="GET"):
        c = http.client.HTTPConnection("127.0.0.1", self.h.settings["web.port"], timeout=60)
        try:
            c.request(method, path, headers={"Authorization": "Bearer " + token} if token else {})
            r = c.getresponse()
            return r.status, r.read().decode()
        finally:
            c.close()

    def test_figures_over_tcp_for_who_has_the_token(self):
        for token, path, method, status in ((None, "/metrics", "GET", 403), (self.token[:-1], "/metrics", "GET", 403),
                                            (self.token + "0", "/metrics", "GET", 403), (self.token, "/v1/stacks", "GET", 404),
                                            (self.token, "/metrics/", "GET", 404), (self.token, "/metrics", "POST", 400)):
            self.assertEqual(status, self.scrape(token, path, method)[0], (path, method))
        self.h.push(self.h.app("third"), self.h.name("third"))  # they count from the scheduler's start, which others end here
        status, text = self.scrape(self.token)
        figures = exposition.read(text)
        self.assertEqual(200, status)
        self.assertEqual({name for name, _ in figures}, {name for name, _ in exposition.read(self.h.api("GET", "/metrics")[1].decode())})
        self.assertGreaterEqual(figures["viking_operation_seconds_count", (("kind", "push"), ("result", "ok"))], 1)
        self.assertGreater(figures["viking_operation_seconds_sum", (("kind", "push"), ("result", "ok"))], 0)
        self.assertGreater(figures["viking_store_transaction_seconds_count", ()], 0)
        self.assertEqual(figures["viking_store_transaction_seconds_count", ()], figures["viking_store_transaction_seconds_bucket", (("le", "+Inf"),)])
        self.assertGreater(figures["viking_store_transaction_bytes_total", ()], 100)
        self.assertEqual({"all": 5, "placed": 1, "unplaced": 0, "waiting": 0},
                         {labels[0][1]: v for (name, labels), v in figures.items() if name == "viking_plan_last_instances"})
        self.assertGreaterEqual(figures["viking_plan_seconds_count", ()], 1)
        self.assertGreater(figures["viking_plan_last_seconds", ()], 0)
        self.assertEqual(figures["viking_plan_moves_total", ()], 0)
        self.assertGreaterEqual(figures["viking_release", (("stack", self.stack),)], 1)
        self.assertIn(("viking_builds", (("state", "queued"),)), figures)
        self.assertIn(("viking_operations", (("state", "waiting"),)), figures)
        self.assertEqual(1, sum(v for (name, labels), v in figures.items() if name == "viking_instances" and ("stack", self.other) in labels))

    def test_figures_come_when_the_scheduler_is_back(self):
        self.h.kill("scheduler")
        status, text = self.scrape(self.token)
        self.assertEqual(200, status, text)
        exposition.read(text)

    def test_ports_name_exactly_the_healthy_instances(self):
        h, stack = self.h, self.stack
        web = [i for i in h.json("ps", stack)["instances"] if i["node"] == "web"]
        keys = self.names(f"/ports/{stack}/web/")
        self.assertEqual({f"/ports/{stack}/web/8080/tcp/{i['ip']}/8080/{i['name']}": f"{i['ip']}:8080" for i in web}, keys)
        self.assertEqual(204, engine("POST", f"/containers/{web[0]['name']}/kill")[0])
        wait_for("the port to go", lambda: not self.names(f"/ports/{stack}/web/"), 5)
        wait_for("it to come back", lambda: self.names(f"/ports/{stack}/web/"))

    def test_the_state_shows_no_secret(self):
        h, stack = self.h, self.stack
        secret = "s3cr3t" + os.urandom(6).hex()
        self.assertEqual(0, h.viking("config:set", stack, "TOKEN=" + secret).status)
        out = h.viking("state", "--keys", "/").out + h.viking("explain", stack + "/web").out
        self.assertNotIn(secret, out)
        self.assertNotIn("sealed", out)
        found = subprocess.run(["grep", "-rlF", secret, h.path("var"), h.path("vikingd.log")], capture_output=True, text=True).stdout
        self.assertEqual("", found, "no file of ours has it in the clear")
        self.assertIn("TOKEN", out)
        self.assertEqual(self.names("/fixed/"), {f"/fixed/{stack}/db": h.json("ps", stack)["instances"][0]["host"]})
        for prefix in ("proc", "run"):
            self.assertEqual(len(h.json("ps", stack)["instances"]), len(self.names(f"/{prefix}/{stack}/")), prefix)

    def test_a_deploy_key_sees_its_stack_only(self):
        h, dev = self.h, self.h.path("key-dev")
        out = h.ssh("events", key=dev)
        self.assertEqual(0, out.status, out)
        self.assertIn(self.stack, out.out)
        self.assertNotIn(self.other, out.out)
        for words in (("events", self.other), ("explain", self.other + "/web"), ("logs", self.other),
                      ("run", self.other, "true"), ("enter", self.other, "true"), ("volumes", self.other),
                      ("state", "--keys", "/"), ("doctor",), ("gc",)):
            r = h.ssh(*words, key=dev)
            self.assertEqual(4, r.status, (words, r))
        self.assertEqual(0, h.ssh("explain", self.stack + "/web", key=dev).status)
        self.assertEqual(0, h.ssh("run", self.stack, "true", key=dev).status)

    def test_events_are_followed(self):
        h = self.h
        p = subprocess.Popen([STAGE + "/bin/viking", "--root", h.root, "events", self.other, "-f", "--json"],
                             stdout=subprocess.PIPE, text=True, env=dict(os.environ, VIKING_SINGLE_UID="1"))
        try:
            timer = threading.Timer(20, p.kill)
            timer.start()
            self.assertEqual(0, h.viking("stacks:lock", self.other, "x").status)
            self.assertEqual(0, h.viking("stacks:unlock", self.other).status)
            for line in p.stdout:
                e = json.loads(line)
                self.assertEqual(self.other, e["stack"])
                if e["what"] == "unlocked":
                    break
            else:
                self.fail("the event did not come")
            seq = e["seq"]
            timer.cancel()
        finally:
            p.kill()
            p.wait()
            p.stdout.close()
        self.assertEqual([], [e for e in h.viking("events", self.other, "--since", str(seq)).out.splitlines()])
        text = h.viking("events", self.other).out
        self.assertIn(" waiting until healthy\n", text)
        self.assertNotRegex(text, r" s[0-9]+\n")
        self.assertIn("s10", h.viking("events", self.other, "--json").out)

    def test_explain_and_run_tell_what_cannot_be(self):
        h, stack = self.h, self.stack
        self.assertIn("website", h.viking("explain", stack + "/help").out)
        self.assertIn("volume", h.viking("explain", stack + "/db").out)
        for words, status, text in ((("run", "-p", "help", stack, "x"), 1, "website"), (("run", "-p", "nope", stack, "x"), 3, "web"),
                                    (("enter", "-p", "web.7", stack, "x"), 3, "viking ps"), (("explain", stack + "/nope"), 3, "node"),
                                    (("logs", "no-such-stack"), 3, "no-such-stack")):
            r = h.viking(*words)
            self.assertEqual(status, r.status, (words, r))
            self.assertIn(text, r.err)
        self.assertEqual((200, "ops\n"), h.get(stack + ".example.org"))

    def test_a_run_whose_client_goes_is_killed_and_removed(self):
        h, stack = self.h, self.stack
        p = subprocess.Popen([STAGE + "/bin/viking", "--root", h.root, "run", "-p", "web", stack, "sleep", "1234"],
                             stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=dict(os.environ, VIKING_SINGLE_UID="1"))
        running = lambda: [c for c in containers(f"viking.stack={stack}") if "viking.run" in c["Labels"]]
        try:
            wait_for("the container", lambda: any(c["State"] == "running" for c in running()))
        finally:
            p.kill()
            p.wait()
            p.stdin.close()
        wait_for("no container of it", lambda: not running(), 15)

    def test_much_output_and_input_go_through_whole(self):
        h, stack = self.h, self.stack
        env = dict(os.environ, VIKING_SINGLE_UID="1")
        r = subprocess.run([STAGE + "/bin/viking", "--root", h.root, "enter", "-p", "web", stack, "head", "-c", "30000000", "/dev/zero"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=env, timeout=60)
        self.assertEqual((0, 30000000), (r.returncode, len(r.stdout)))
        data = os.urandom(1 << 20) * 10
        r = subprocess.run([STAGE + "/bin/viking", "--root", h.root, "run", "-p", "web", stack, "cat"], input=data,
                           stdout=subprocess.PIPE, env=env, timeout=60)
        self.assertEqual(0, r.returncode)
        self.assertTrue(data == r.stdout, "what comes back is what was sent")

    def test_a_slow_reader_of_logs_costs_no_memory(self):
        h, stack = self.h, self.stack
        wait_for("the lines", lambda: "line 59999" in h.viking("logs", stack, "-p", "loud", "-n", "1").out)
        pid = h.pid("scheduler")
        before = rss(pid)
        sockets = []
        try:
            for _ in range(20):
                s = socket.socket(socket.AF_UNIX)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                s.connect(h.api_socket)
                s.sendall(f"GET /v1/stacks/{stack}/logs?node=loud&n=10000&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                sockets.append(s)
            for s in sockets:
                self.assertTrue(s.recv(100))
            time.sleep(1)  # for what would pile up
            self.assertLess(rss(pid) - before, 20 << 20)
        finally:
            for s in sockets:
                s.close()
        c = UnixConnection(h.api_socket)
        c.request("GET", f"/v1/stacks/{stack}/logs?node=loud&n=10000")
        got = lines_of(c.getresponse().read())
        c.close()
        self.assertEqual(10001, len(got))
        self.assertEqual({"ok": True}, got[-1]["end"])
        self.assertIn("line 59999", got[-2]["l"])

    def test_a_volume_in_use_stays_and_gc_keeps_what_serves(self):
        h, stack = self.h, self.stack
        v = [v for v in h.json("volumes")["volumes"] if v["stack"] == stack]
        self.assertEqual([("db", "/data")], [(x["node"], x["path"]) for x in v])
        r = h.viking("volumes:remove", v[0]["name"], "--force")
        self.assertEqual(5, r.status, r)
        self.assertIn(f"{stack}-db-", r.err)
        r = h.viking("gc")
        self.assertEqual(0, r.status, r)
        self.assertIn("=====>", r.out)
        self.assertEqual(0, h.viking("ps:rebuild", stack).status)
        self.assertEqual((200, "ops\n"), h.get(stack + ".example.org"))

    def test_doctor_names_the_part_that_is_missing(self):
        h = self.h
        checks = h.json("doctor")["checks"]
        names = {c["name"] for c in checks}
        for name in ("process", "sandbox", "agent", "builder", "router", "web", "engine", "registry", "ssh", "http", "disk",
                     "libssh", "build limits", "networks", "instances"):
            self.assertIn(name, names)
        self.assertEqual([], [c for c in checks if c["ok"] is False])
        pid = h.pid("registry")
        os.kill(pid, 19)  # stopped: it holds the port and says nothing
        try:
            r = h.viking("doctor")
            self.assertEqual(1, r.status, r)
            self.assertIn("FAIL  registry", r.out)
        finally:
            os.kill(pid, 18)

    def test_a_backup_is_restored_as_a_whole_or_not_at_all(self):
        h = self.h
        c = UnixConnection(h.api_socket)
        c.request("GET", "/v1/backup")
        got = lines_of(c.getresponse().read())
        c.close()
        self.assertEqual(1, got[0]["viking"])
        self.assertEqual({"ok": True, "keys": len(got) - 2}, got[-1]["end"])
        keys = got[1:-1]
        self.assertEqual(409, h.api("POST", "/v1/restore", {"keys": keys})[0])
        fresh = Host()
        try:
            fresh.start()
            half = len(keys) // 2
            self.assertEqual(200, fresh.api("POST", "/v1/restore", {"keys": keys[:half], "more": True})[0])
            self.assertEqual(400, fresh.api("POST", "/v1/restore", {"keys": [{"key": "/nonsense", "value": {}}]})[0])
            self.assertEqual([], fresh.json("stacks")["stacks"], "a refused batch undoes the ones before")
            self.assertEqual(200, fresh.api("POST", "/v1/restore", {"keys": keys[:half], "more": True})[0])
            # nothing of it may run here: the names are those of the host that made it
            stop = [k for k in keys[half:] if not k["key"].startswith("/current/")]
            self.assertEqual(200, fresh.api("POST", "/v1/restore", {"keys": stop})[0])
            self.assertEqual({self.stack, self.other}, {s["name"] for s in fresh.json("stacks")["stacks"]} & {self.stack, self.other})
            self.assertEqual(409, fresh.api("POST", "/v1/restore", {"keys": keys})[0])
        finally:
            fresh.cleanup()


if __name__ == "__main__":
    unittest.main(verbosity=2)
