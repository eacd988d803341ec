"""The agent by itself: a real engine, and in the scheduler's place a small server that has only the agent's routes.

The engine is reached through a pipe that can be frozen, as if it were stopped."""
import contextlib
import glob
import http.server
import json
import os
import queue
import random
import select
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from lib import BASE, ENGINE, base_image, containers, engine, free_port, unix_call, wait_for

AGENT = os.path.join(os.environ.get("VIKING_BUILD_DIR", "build"), "agent/viking-agent")
IMAGE = BASE + ":latest"
HTTPD = ["sh", "-c", "mkdir -p /www; echo hi > /www/index.html; exec httpd -f -p 8080 -h /www"]


class Scheduler(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Hands out documents on watch, remembers what it is told."""
    daemon_threads = True

    def __init__(self, path):
        self.lock, self.document, self.rev = threading.Condition(), None, 0
        self.status, self.history, self.facts, self.fulls = {}, [], [], 0
        super().__init__(path, Routes)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def get_request(self):
        s, _ = super().get_request()
        return s, ("agent", 0)

    def handle_error(self, request, client_address):
        pass  # an agent that was killed does not wait for its answer

    def publish(self, **parts):
        with self.lock:
            self.rev += 1
            self.document = dict({"rev": self.rev, "epoch": 1, "networks": [], "volumes": [], "instances": []}, **parts)
            self.lock.notify_all()

    def told(self, report):
        with self.lock:
            if report["full"]:
                self.status, self.fulls = {}, self.fulls + 1
            for i in report["instances"]:
                self.status[i["name"]] = i
                self.history.append((i["name"], i["state"], time.monotonic()))

    def state(self, name):
        return self.status.get(name, {}).get("state")


class Routes(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def do_GET(self):
        s, sent = self.server, 0
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while True:
                with s.lock:
                    s.lock.wait_for(lambda: s.document and s.document["rev"] > sent, 2)
                    line = {}
                    if s.document and s.document["rev"] > sent:
                        line, sent = s.document, s.document["rev"]
                data = json.dumps(line).encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()
        except OSError:
            pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/status"):
            self.server.told(body)
        else:
            self.server.facts.append(body)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


class Pipe(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The engine's socket; frozen, it accepts and says nothing."""
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, path):
        self.flowing = threading.Event()
        self.flowing.set()
        self.ends = set()
        super().__init__(path, Piece)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def stop(self):
        """As the engine's end: nobody listens any more, every connection is cut."""
        os.unlink(self.server_address)
        self.shutdown(), self.server_close()
        for s in list(self.ends):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)


class Piece(socketserver.BaseRequestHandler):
    def handle(self):
        up = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        up.connect(ENGINE)
        self.server.ends |= {self.request, up}
        other = {self.request: up, up: self.request}
        open_ = [self.request, up]
        with up:
            while open_:
                for s in select.select(open_, [], [], 1)[0]:
                    self.server.flowing.wait()
                    data = s.recv(65536)
                    if data:
                        other[s].sendall(data)
                        continue
                    open_.remove(s)
                    other[s].shutdown(socket.SHUT_WR)
        self.server.ends -= {self.request, up}


class Frames:
    """The client's side of an exec or run connection."""

    def __init__(self, path, body):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.s.settimeout(20)
        self.s.connect(path)
        data = json.dumps(body).encode()
        self.s.sendall(b"POST /exec HTTP/1.1\r\nHost: agent\r\nConnection: Upgrade\r\nUpgrade: viking-frames\r\n"
                       b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        self.buf = b""
        while b"\r\n\r\n" not in self.buf:
            self.more()
        head, self.buf = self.buf.split(b"\r\n\r\n", 1)
        self.code = int(head.split()[1])
        if self.code != 101:
            n = int([x for x in head.split(b"\r\n") if x.lower().startswith(b"content-length:")][0].split(b":")[1])
            while len(self.buf) < n:
                self.more()
            self.error = json.loads(self.buf[:n])

    def more(self):
        data = self.s.recv(65536)
        if not data:
            raise EOFError(self.buf)
        self.buf += data

    def send(self, kind, payload=b""):
        self.s.sendall(struct.pack(">BI", kind, len(payload)) + payload)

    def frame(self):
        while len(self.buf) < 5 or len(self.buf) < 5 + struct.unpack(">I", self.buf[1:5])[0]:
            self.more()
        kind, n = struct.unpack(">BI", self.buf[:5])
        payload, self.buf = self.buf[5:5 + n], self.buf[5 + n:]
        return kind, payload

    def until_end(self):
        out = {1: b"", 2: b""}
        while True:
            kind, payload = self.frame()
            if kind == 3:
                return out[1], out[2], json.loads(payload)
            out[kind] += payload

    def read_until(self, text):
        seen = b""
        while text not in seen:
            kind, payload = self.frame()
            assert kind == 1, (kind, payload)
            seen += payload
        return seen


class Alone(unittest.TestCase):
    def setUp(self):
        base_image()
        self.root = tempfile.mkdtemp(prefix="vka-")
        self.stack = f"al{random.randrange(16 ** 6):06x}"
        self.subnet = f"10.{random.randrange(64, 250)}.{random.randrange(256)}.0/24"
        os.makedirs(self.root + "/run/viking")
        os.makedirs(self.root + "/etc/viking")
        with open(self.root + "/etc/viking/viking.conf", "w") as f:
            f.write(f"engine.socket: {self.root}/engine.sock\nhost.name: here\npolicy.publish: 20000-60000\nnodes.disk_check: 1s\n"
                    # LeakSanitizer needs ptrace, which the sandbox forbids
                    f"sandbox: {os.environ.get('VIKING_TEST_SANDBOX', 'auto')}\n")
        self.pipe = Pipe(self.root + "/engine.sock")
        self.sched = Scheduler(self.root + "/run/viking/api.sock")
        self.log = open(self.root + "/agent.log", "ab")
        self.agent = None
        self.start()

    def tearDown(self):
        self.pipe.flowing.set()
        self.agent.terminate()
        code = self.agent.wait(10)
        self.log.close()
        with open(self.root + "/agent.log") as f:
            log = f.read()
        for c in containers("viking.stack=" + self.stack):
            engine("DELETE", f"/containers/{c['Id']}?force=1&v=1")
        for v in engine("GET", "/volumes")[1]["Volumes"] or []:
            if (v["Labels"] or {}).get("viking.stack") == self.stack:
                engine("DELETE", "/volumes/" + v["Name"])
        for n in engine("GET", "/networks")[1]:
            if (n["Labels"] or {}).get("viking.stack") == self.stack:
                engine("DELETE", "/networks/" + n["Id"])
        self.sched.shutdown(), self.pipe.shutdown()
        self.sched.server_close(), self.pipe.server_close()
        shutil.rmtree(self.root)
        self.assertNotIn("Sanitizer", log, log[-8000:])
        self.assertEqual(0, code, log[-4000:])

    def start(self):
        self.agent = subprocess.Popen([AGENT, "--root", self.root], stdout=self.log, stderr=self.log)

    def kill(self):
        self.agent.kill()
        self.agent.wait()

    def instance(self, node="web", n=1, version=1, **more):
        return dict({"name": f"{self.stack}-{node}-{version}-{n}", "stack": self.stack, "node": node, "version": version, "n": n,
                     "release": 1, "kind": "app", "image": IMAGE, "cmd": HTTPD, "entrypoint": None, "cwd": "", "env": {},
                     "expose": [{"port": 8080, "proto": "tcp", "name": ""}], "publish": [], "mounts": [],
                     "network": "viking-" + self.stack, "aliases": [node],
                     "health": {"type": "tcp", "path": "/", "port": 8080, "cmd": [], "interval_ms": 200, "timeout_ms": 1000,
                                "retries": 2, "start_ms": 0},
                     "memory": 32 << 20, "cpus_milli": 0, "pids": 64, "stop_ms": 1000, "restart": "always", "restart_count": -1,
                     "privileged": False, "network_mode": "default", "pid_mode": "", "health_timeout_ms": 20000, "want": "run",
                     "gen": 1}, **more)

    def publish(self, *instances, **more):
        self.sched.publish(instances=list(instances),
                           networks=[{"name": "viking-" + self.stack, "subnet": self.subnet, "stack": self.stack}], **more)

    def wait_state(self, name, state, seconds=20):
        try:
            return wait_for(f"{name} to be {state}", lambda: self.sched.state(name) == state and self.sched.status[name], seconds)
        except AssertionError as e:
            with open(self.root + "/agent.log") as f:
                raise AssertionError(f"{e}: {self.sched.status.get(name)}\n{f.read()[-3000:]}") from None

    def mine(self):
        return containers("viking.stack=" + self.stack)

    def sock(self):
        return self.root + "/run/viking/agent.sock"

    def logs(self, more=""):
        lines = unix_call(self.sock(), "GET", f"/logs?stack={self.stack}{more}")[1]
        lines = lines if isinstance(lines, bytes) else json.dumps(lines).encode()
        return [json.loads(x) for x in lines.splitlines() if x not in (b"", b"{}")]

    # ---- starting, health, stopping

    def test_start_healthy_restart_stop(self):
        i = self.instance(env={"A": "b c"}, mounts=[{"volume": f"viking-{self.stack}-v", "path": "/data"}])
        volumes = [{"name": f"viking-{self.stack}-v", "stack": self.stack, "node": "web", "path": "/data"}]
        self.publish(i, volumes=volumes)
        r = self.wait_state(i["name"], "healthy")
        self.assertTrue(r["ip"].startswith(self.subnet[:-4]), r)
        with socket.create_connection((r["ip"], 8080), 2) as s:
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            self.assertIn(b"200", s.recv(100))
        c = engine("GET", f"/containers/{r['container']}/json")[1]
        self.assertIn("A=b c", c["Config"]["Env"])
        self.assertEqual([f"viking-{self.stack}-v"], [m["Name"] for m in c["Mounts"]])
        self.assertTrue(c["HostConfig"]["Init"])
        self.assertIn("web", c["NetworkSettings"]["Networks"]["viking-" + self.stack]["Aliases"])
        # nothing of the container changed: it stays
        self.publish(dict(i, release=2, stop_ms=500, health=dict(i["health"], type="http")), volumes=volumes)
        wait_for("the other probe", lambda: "GET" in self.sched.status[i["name"]]["probe"], 5)
        self.assertEqual(r["container"], self.mine()[0]["Id"])
        # another generation: another container
        self.publish(dict(i, gen=2), volumes=volumes)
        wait_for("another container", lambda: self.sched.state(i["name"]) == "healthy"
                 and self.sched.status[i["name"]]["container"] != r["container"], 20)
        self.assertEqual(2, self.sched.status[i["name"]]["gen"])
        self.publish(dict(i, gen=2, want="stop"), volumes=volumes)
        self.wait_state(i["name"], "gone")
        self.assertEqual([], self.mine())
        self.publish(dict(i, gen=2), volumes=volumes)
        self.wait_state(i["name"], "healthy")
        self.publish()
        self.wait_state(i["name"], "gone")
        self.assertEqual(200, engine("GET", f"/volumes/viking-{self.stack}-v")[0])
        self.sched.publish(remove=[{"volume": f"viking-{self.stack}-v"}, {"network": "viking-" + self.stack}])
        wait_for("the volume to go", lambda: engine("GET", f"/volumes/viking-{self.stack}-v")[0] == 404, 5)
        wait_for("the network to go", lambda: engine("GET", f"/networks/viking-{self.stack}")[0] == 404, 5)

    def test_unhealthy_says_what_listens(self):
        i = self.instance(health={"type": "tcp", "port": 81, "interval_ms": 100}, health_timeout_ms=500,
                          cmd=["sh", "-c", "echo said before; exec httpd -f -p 8080"])
        j = self.instance("cmd", health={"type": "cmd", "cmd": ["test", "-e", "/ok"], "interval_ms": 100, "retries": 2})
        self.publish(i, j)
        r = self.wait_state(i["name"], "unhealthy")
        self.assertIn("81", r["probe"])
        self.assertEqual(["said before"], r["tail"])
        self.assertTrue(r["reason"].endswith("; it listens on 8080"), r["reason"])
        c = self.wait_state(j["name"], "running")["container"]
        f = Frames(self.sock(), {"instance": j["name"], "cmd": ["touch", "/ok"]})
        self.assertEqual({"status": 0}, f.until_end()[2])
        self.wait_state(j["name"], "healthy")
        self.assertEqual({"status": 0}, Frames(self.sock(), {"instance": j["name"], "cmd": ["rm", "/ok"]}).until_end()[2])
        r = self.wait_state(j["name"], "unhealthy")
        self.assertEqual(c, r["container"])

    def spoil(self, name):
        self.assertEqual({"status": 0}, Frames(self.sock(), {"instance": name, "cmd": ["rm", "/ok"]}).until_end()[2])

    def test_who_writes_more_than_its_disk_is_ended_and_its_restart_policy_decides(self):
        def filling(node, **more):
            return self.instance(node, cmd=["sh", "-c", "dd if=/dev/zero of=/fill bs=1048576 count=6; exec sleep 1000"],
                                 health={"type": "none"}, **more)
        fits, free = filling("fits", disk=64 << 20), filling("free")
        once, again = filling("once", disk=4 << 20, restart="never"), filling("again", disk=4 << 20, restart_count=1)
        self.publish(fits, free, once, again)
        for i in (once, again):
            r = self.wait_state(i["name"], "failed", 60)
            self.assertRegex(r["reason"], r"^over its disk of 4.0 MiB \(6.0 MiB written\), stopped for good$")
        self.assertEqual(1, self.sched.status[again["name"]]["restarts"])
        wait_for("their layers to go", lambda: len(self.mine()) == 2, 20)
        for i in (fits, free):
            self.assertEqual(("healthy", 0), (self.sched.state(i["name"]), self.sched.status[i["name"]]["restarts"]))

    def test_what_is_unhealthy_is_restarted_or_killed(self):
        def checked(node, action, **more):
            return self.instance(node, cmd=["sh", "-c", "touch /ok; exec sleep 600"], **more,
                                 health={"type": "cmd", "cmd": ["test", "-e", "/ok"], "interval_ms": 100, "retries": 2, "on_unhealthy": action})
        again, dead, never = checked("again", "restart"), checked("dead", "kill"), checked("never", "restart", restart="never")
        self.publish(again, dead, never)
        first = {i["name"]: self.wait_state(i["name"], "healthy")["container"] for i in (again, dead, never)}
        for name in first:
            self.spoil(name)
        self.assertIn("stopped for good", self.wait_state(dead["name"], "failed")["reason"])
        self.assertIn("unhealthy", self.wait_state(never["name"], "failed")["reason"])
        wait_for("another container", lambda: self.sched.state(again["name"]) == "healthy"
                 and self.sched.status[again["name"]]["container"] != first[again["name"]], 20)
        self.assertEqual(1, self.sched.status[again["name"]]["restarts"])
        wait_for("the others' removal", lambda: len(self.mine()) == 1, 5)
        self.kill()  # what was given up stays given up
        fulls = self.sched.fulls
        self.start()
        wait_for("the new agent's report", lambda: self.sched.fulls > fulls, 10)
        self.assertEqual("failed", self.sched.state(dead["name"]))
        self.assertEqual(1, len(self.mine()))

    def group(self, policy, **more):
        """A master and a slave as unit 1, and another slave as unit 2."""
        def member(node, role, n=1):
            return self.instance(node, n=n, cmd=["sleep", "600"], health={"type": "none"}, stop_ms=0, group="g" + policy, group_role=role,
                                 group_policy=policy, **more)
        members = [member("m" + policy[:5], "master"), member("s" + policy[:5], "slave"), member("s" + policy[:5], "slave", 2)]
        return [i["name"] for i in members], members

    def test_group_policies(self):
        parts = {p: self.group(p) for p in ("one_for_one", "one_kills_all", "master_kills_all")}
        self.publish(*(i for _, members in parts.values() for i in members))
        for names, _ in parts.values():
            for name in names:
                self.wait_state(name, "healthy")

        def kill(name):
            before = {n: self.sched.status[n]["container"] for names, _ in parts.values() for n in names}
            engine("POST", f"/containers/{before[name]}/kill")
            wait_for(name + " to be back", lambda: self.sched.state(name) == "healthy"
                     and self.sched.status[name]["container"] != before[name], 20)
            return before

        def changed(before, names, want):
            wait_for(f"{want} of {names}", lambda: all(self.sched.state(n) == "healthy" for n in names)
                     and [n for n in names if self.sched.status[n]["container"] != before[n]] == want, 20)
        one, all_, master = (parts[p][0] for p in ("one_for_one", "one_kills_all", "master_kills_all"))
        changed(kill(one[0]), one, one[:1])
        changed(kill(all_[1]), all_, all_[:2])  # a slave takes the master with it, and not unit 2
        changed(kill(master[1]), master, master[1:2])
        changed(kill(master[0]), master, master[:2])

    def test_a_group_that_is_not_restarted_ends_together(self):
        names, members = self.group("one_kills_all", restart="never")
        self.publish(*members)
        for name in names:
            self.wait_state(name, "healthy")
        # the exit is the application's own; what others stop is started again
        self.assertEqual({"status": 0}, Frames(self.sock(), {"instance": names[1], "cmd": ["kill", "1"]}).until_end()[2])
        self.wait_state(names[1], "exited")
        r = self.wait_state(names[0], "exited")
        self.assertIn("stopped with " + names[1], r["reason"])
        self.assertEqual("healthy", self.sched.state(names[2]))

    def test_tasks_run_once(self):
        t = self.instance("release", kind="task", cmd=["sh", "-c", "echo did it; exit 3"], health={"type": "none"})
        self.publish(t)
        r = self.wait_state(t["name"], "exited")
        self.assertEqual((3, ["did it"]), (r["exit"], r["tail"]))
        self.kill()
        self.start()
        fulls = self.sched.fulls
        wait_for("the new agent's report", lambda: self.sched.fulls > fulls, 10)
        r = self.wait_state(t["name"], "exited")
        self.assertEqual((3, ["did it"]), (r["exit"], r["tail"]))
        self.assertEqual(["did it"], [x["l"] for x in self.logs() if "l" in x])

    def test_restart_count_and_start_errors(self):
        i = self.instance(cmd=["sh", "-c", "echo try; exit 5"], restart_count=1, health={"type": "none"})
        j = self.instance("nope", cmd=["/no/such/program"], restart_count=0)
        k = self.instance("once", cmd=["true"], restart="never", health={"type": "none"})
        self.publish(i, j, k)
        r = self.wait_state(i["name"], "failed")
        self.assertIn("status 5", r["reason"])
        self.assertEqual(2, len([x for x in self.logs("&node=web") if x.get("l") == "try"]))
        r = self.wait_state(j["name"], "failed")
        self.assertEqual((127, "exited with status 127"), (r["exit"], r["reason"]))
        self.assertIn("/no/such/program", "".join(r["tail"]))
        self.assertEqual(0, self.wait_state(k["name"], "exited")["exit"])
        wait_for("their removal", lambda: not self.mine(), 5)

    def test_policy_refusals(self):
        bad = {
            "priv": dict(privileged=True), "net": dict(network_mode="host"), "other": dict(network_mode="container:x"),
            "pid": dict(pid_mode="host"), "path": dict(mounts=[{"host": "/etc", "path": "/x"}]),
            "port": dict(publish=[{"host": 22, "port": 22, "proto": "tcp"}]),
            "tag": dict(image="127.0.0.1:5000/other/web:latest"), "id": dict(image="sha256:" + "0" * 64),
            "vol": dict(mounts=[{"volume": "somebody", "path": "/x"}]),
        }
        good = self.instance("good")
        self.publish(good, *[self.instance(k, **v) for k, v in bad.items()])
        self.wait_state(good["name"], "healthy")
        for k in bad:
            if k == "vol":
                wait_for("its reason", lambda: "somebody" in self.sched.status[f"{self.stack}-vol-1-1"]["reason"], 5)
            else:
                self.assertTrue(self.wait_state(f"{self.stack}-{k}-1-1", "failed")["reason"], k)
        self.assertEqual(["good"], [c["Labels"]["viking.node"] for c in self.mine()])
        self.assertIn("22", self.sched.status[f"{self.stack}-port-1-1"]["reason"])

    def test_twenty_and_their_stop_at_once(self):
        many = [self.instance(n=n, cmd=["sh", "-c", "trap '' TERM; httpd -f -p 8080 & while :; do wait; done"]) for n in range(1, 21)]
        self.publish(*many)
        for i in many:
            self.wait_state(i["name"], "healthy", 60)
        self.assertEqual(20, len({self.sched.status[i["name"]]["ip"] for i in many}))
        begin = time.monotonic()
        self.publish()
        wait_for("all to be gone", lambda: all(self.sched.state(i["name"]) == "gone" for i in many), 30)
        self.assertLess(time.monotonic() - begin, 20 * 1.0, "stopped one after the other")
        self.assertEqual([], self.mine())

    def test_publish_and_a_name_that_is_taken(self):
        port = free_port() % 20000 + 30000
        i = self.instance(publish=[{"host": port, "port": 8080, "proto": "tcp"}])
        s, c = engine("POST", "/containers/create?name=" + i["name"], {"Image": IMAGE, "Cmd": ["true"]})
        self.assertEqual(201, s, c)
        try:
            self.publish(i)
            wait_for("the reason", lambda: "not this viking" in self.sched.status.get(i["name"], {}).get("reason", ""), 10)
        finally:
            self.assertEqual(204, engine("DELETE", "/containers/" + c["Id"])[0])
        r = self.wait_state(i["name"], "healthy")
        self.assertEqual({"8080/tcp": port}, r["published"])

    # ---- the agent's and the engine's troubles

    def test_killed_agent_adopts_without_a_word(self):
        i = self.instance(cmd=["sh", "-c", "n=0; httpd -f -p 8080 & while :; do echo $n; n=$((n+1)); sleep 0.05; done"])
        self.publish(i)
        r = self.wait_state(i["name"], "healthy")
        self.kill()
        self.sched.history.clear()
        time.sleep(0.5)  # the time that the container goes on without an agent
        self.start()
        wait_for("a full report", lambda: self.sched.history, 10)
        self.assertEqual((i["name"], "healthy"), self.sched.history[0][:2])
        self.assertEqual(r["container"], self.sched.status[i["name"]]["container"])
        time.sleep(0.3)
        numbers = [int(x["l"]) for x in self.logs("&n=10000") if "l" in x]
        self.assertGreater(len(numbers), 10)
        self.assertEqual(list(range(len(numbers))), numbers, "a gap or a repetition")

    def test_frozen_engine_loses_nothing(self):
        i = self.instance()
        self.publish(i)
        r = self.wait_state(i["name"], "healthy")
        self.pipe.flowing.clear()
        j = self.instance("two")
        self.publish(i, j)
        time.sleep(1)
        self.assertEqual("healthy", self.sched.state(i["name"]))
        self.assertEqual(200, unix_call(self.sock(), "GET", "/facts")[0], "it answers while the engine does not")
        wait_for("facts without an engine", lambda: self.sched.facts[-1]["engine"] == "", 30)
        self.assertEqual("healthy", self.sched.state(i["name"]))
        self.pipe.flowing.set()
        self.wait_state(j["name"], "healthy", 30)
        self.assertEqual(r["container"], self.sched.status[i["name"]]["container"])
        self.assertEqual(2, len(self.mine()))

    def test_engine_restarted(self):
        i, j = self.instance(), self.instance("two")
        self.publish(i, j)
        a, b = (self.wait_state(x["name"], "healthy") for x in (i, j))
        self.pipe.stop()
        # what it would have told nobody: one container killed
        self.assertEqual(204, engine("POST", f"/containers/{a['container']}/kill")[0])
        wait_for("facts without an engine", lambda: self.sched.facts[-1]["engine"] == "", 10)
        self.pipe = Pipe(self.root + "/engine.sock")
        wait_for("another container", lambda: self.sched.status[i["name"]]["container"] not in ("", a["container"])
                 and self.sched.state(i["name"]) == "healthy", 20)
        self.assertEqual(b["container"], self.sched.status[j["name"]]["container"])
        self.assertEqual("healthy", self.sched.state(j["name"]))
        wait_for("facts with an engine", lambda: self.sched.facts[-1]["engine"] != "", 10)
        # its events are heard again
        engine("DELETE", f"/containers/{b['container']}?force=1")
        wait_for("the second to be replaced", lambda: self.sched.status[j["name"]]["container"] not in ("", b["container"])
                 and self.sched.state(j["name"]) == "healthy", 20)

    def test_http_answers_that_count(self):
        base = {"type": "http", "port": 8080, "interval_ms": 100}
        auto = self.instance("auto", health=dict(base, path="/missing", below=500))
        asked = self.instance("asked", health=dict(base, path="/missing"), health_timeout_ms=1000)
        self.publish(auto, asked)
        self.assertIn("404", self.wait_state(auto["name"], "healthy")["probe"])
        self.assertIn("404", self.wait_state(asked["name"], "unhealthy")["probe"])

    def test_old_epochs_are_refused(self):
        i = self.instance()
        self.publish(i, epoch=5)
        self.wait_state(i["name"], "healthy")
        self.publish(epoch=4)
        j = self.instance("two")
        self.publish(i, j, epoch=5)
        self.wait_state(j["name"], "healthy")
        self.assertNotIn("stopping", [s for n, s, _ in self.sched.history if n == i["name"]])

    # ---- logs and sessions

    def test_logs_follow(self):
        i = self.instance(cmd=["sh", "-c", "echo one; echo two >&2; head -c 40000 /dev/zero | tr '\\0' x; echo; httpd -f -p 8080"])
        self.publish(i)
        self.wait_state(i["name"], "healthy")
        got = queue.Queue()

        def follow():
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            s.settimeout(15)
            s.connect(self.sock())
            s.sendall(f"GET /logs?stack={self.stack}&n=10&follow=1 HTTP/1.0\r\n\r\n".encode())
            f = s.makefile("rb")
            while f.readline().strip():
                pass
            for line in f:
                if line.startswith(b'{"i'):
                    got.put(json.loads(line))

        threading.Thread(target=follow, daemon=True).start()
        lines = [got.get(timeout=10) for _ in range(5)]
        self.assertEqual({(1, "one"), (2, "two")}, {(x["s"], x["l"]) for x in lines if len(x["l"]) < 10})
        self.assertEqual("x" * 40000, "".join(x["l"] for x in lines if len(x["l"]) > 10))
        self.assertEqual({"status": 0}, Frames(self.sock(), {"instance": i["name"], "cmd":
                                                             ["sh", "-c", "echo later > /proc/1/fd/1"]}).until_end()[2])
        self.assertEqual("later", got.get(timeout=5)["l"])

    def test_logs_go_on_after_a_clock_was_set_back(self):
        i = self.instance(cmd=["sh", "-c", "while :; do echo tick; sleep 0.1; done"], health={"type": "none"})
        self.publish(i)
        self.wait_state(i["name"], "healthy")
        container = self.mine()[0]["Id"]
        wait_for("lines", lambda: len(self.logs()) > 3, 20)
        self.kill()
        segment = max(glob.glob(f"{self.root}/var/lib/viking/log/{self.stack}/*.log"))
        with open(segment, "a") as f:  # as if the last line were of tomorrow
            f.write(json.dumps({"cursors": {container: time.time_ns() + 86400 * 10**9}}) + "\n")
        fulls = self.sched.fulls
        self.start()
        wait_for("the new agent's report", lambda: self.sched.fulls > fulls, 20)
        before = time.time() * 1000
        wait_for("lines of now", lambda: any(x["t"] > before for x in self.logs() if "l" in x), 20)

    def exec_pids(self, i, text):
        c = next(c for c in self.mine() if c["Labels"]["viking.instance"] == i["name"])
        top = engine("GET", f"/containers/{c['Id']}/top")[1]
        return [p for p in top["Processes"] if text in " ".join(p)]

    def test_exec(self):
        i = self.instance()
        self.publish(i)
        self.wait_state(i["name"], "healthy")
        f = Frames(self.sock(), {"instance": i["name"], "cmd": ["sh", "-c", "cat; echo err >&2; echo $E; exit 7"], "env": {"E": "x y"}})
        self.assertEqual(101, f.code)
        data = random.randbytes(700000)
        threading.Thread(target=lambda: (f.send(0, data), f.send(1)), daemon=True).start()
        out, err, end = f.until_end()
        self.assertEqual((data + b"x y\n", b"err\n", {"status": 7}), (out, err, end))
        # a terminal, its size, a signal
        script = "for s in '33 101' '20 60'; do until stty size 2>&- | grep \"$s\"; do sleep 0.05; done; done; read x; exit 9"
        f = Frames(self.sock(), {"instance": i["name"], "cmd": ["sh", "-c", script], "tty": True, "rows": 33, "cols": 101})
        f.read_until(b"33 101")
        f.send(2, struct.pack(">HH", 20, 60))
        f.read_until(b"20 60")
        f.send(0, b"\n")
        self.assertEqual({"status": 9}, f.until_end()[2])
        f = Frames(self.sock(), {"instance": i["name"], "cmd": ["sh", "-c", "trap 'exit 42' TERM; echo up; while :; do sleep 0.1; done"]})
        self.assertEqual((1, b"up\n"), f.frame())
        f.send(3, b"TERM")
        self.assertEqual({"status": 42}, f.until_end()[2])
        # the client goes: the process too, with terminal and without
        for tty in (False, True):
            f = Frames(self.sock(), {"instance": i["name"], "cmd": ["sleep", "4321"], "tty": tty})
            wait_for("the process", lambda: self.exec_pids(i, "sleep 4321"), 5)
            f.s.close()
            wait_for("its end", lambda: not self.exec_pids(i, "sleep 4321"), 5)
        self.assertEqual(404, Frames(self.sock(), {"instance": "nobody", "cmd": ["true"]}).code)
        # what cannot be started: a shell's statuses, and a line on stderr
        for cmd, status in (("nosuch", 127), ("/no/such", 127), ("/etc/passwd", 126), ("/etc", 126)):
            out, err, end = Frames(self.sock(), {"instance": i["name"], "cmd": [cmd]}).until_end()
            self.assertEqual((b"", {"status": status}), (out, end), cmd)
            self.assertIn(f'cannot run "{cmd}"'.encode(), err)
            self.assertNotIn(b"OCI", err)
        said = b"OCI runtime exec failed: not really\n"
        for more in ("", "; echo more"):
            out, err, end = Frames(self.sock(), {"instance": i["name"], "cmd": ["sh", "-c", f"echo {said.decode().strip()}{more}; exit 126"]}).until_end()
            self.assertEqual((said + (b"more\n" if more else b""), b"", {"status": 126}), (out, err, end))

    def test_exec_without_root(self):
        """As installed: in the group docker, not root, so it cannot signal the containers' processes itself."""
        self.agent.terminate()
        self.agent.wait()
        shutil.copy(AGENT, self.root + "/viking-agent")
        os.chmod(self.root, 0o755)
        for d, _, files in os.walk(self.root):
            for f in [d] + [os.path.join(d, f) for f in files]:
                shutil.chown(f, "nobody")
        os.chmod(self.root + "/run/viking/api.sock", 0o666)
        group = os.stat(ENGINE).st_gid
        os.chown(self.root + "/engine.sock", 0, group)
        os.chmod(self.root + "/engine.sock", 0o660)
        self.agent = subprocess.Popen(["setpriv", "--reuid=nobody", f"--regid={group}", "--clear-groups", self.root + "/viking-agent",
                                       "--root", self.root], stdout=self.log, stderr=self.log)
        wait_for("its socket", lambda: os.path.exists(self.sock()) and os.stat(self.sock()).st_uid != 0, 5)
        self.test_exec()

    def test_run(self):
        i = self.instance()
        self.publish(i)
        self.wait_state(i["name"], "healthy")
        task = self.instance("run", kind="task", cmd=["sh", "-c", "cat; hostname; exit 4"], health={"type": "none"})
        f = Frames(self.sock(), {"run": task})
        self.assertEqual(101, f.code, getattr(f, "error", None))
        f.send(0, b"text\n")
        f.send(1)
        out, _, end = f.until_end()
        self.assertEqual((b"text\n" + task["name"].encode() + b"\n", {"status": 4}), (out, end))
        self.assertEqual(1, len(self.mine()))  # removed before the end is told
        for cmd, status in (("nosuch", 127), ("/etc/passwd", 126)):
            _, err, end = Frames(self.sock(), {"run": dict(task, cmd=[cmd])}).until_end()
            self.assertEqual({"status": status}, end)
            self.assertIn(cmd.encode(), err)
            self.assertEqual(1, len(self.mine()))
        # as with `docker run`, the size is set when the start has been answered
        script = "until stty size 2>&- | grep '30 90'; do sleep 0.05; done; read x; exit 6"
        f = Frames(self.sock(), {"run": dict(task, cmd=["sh", "-c", script]), "tty": True, "rows": 30, "cols": 90})
        self.assertEqual(101, f.code, getattr(f, "error", None))
        f.read_until(b"30 90")
        f.send(0, b"\n")
        self.assertEqual({"status": 6}, f.until_end()[2])
        wait_for("their removal", lambda: len(self.mine()) == 1, 5)
        f = Frames(self.sock(), {"run": dict(task, cmd=["sleep", "999"])})
        wait_for("the container", lambda: len(self.mine()) == 2, 5)
        f.s.close()
        wait_for("its removal", lambda: len(self.mine()) == 1, 5)
        # the agent dies: what it ran is not left behind
        f = Frames(self.sock(), {"run": dict(task, cmd=["sleep", "999"])})
        wait_for("the container", lambda: len(self.mine()) == 2, 5)
        self.kill()
        self.start()
        wait_for("its removal", lambda: len(self.mine()) == 1, 15)
        f = Frames(self.sock(), {"run": dict(task, privileged=True)})
        self.assertEqual((403, "DENIED"), (f.code, f.error["error"]))


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
