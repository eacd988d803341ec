"""The engine stands still (SIGSTOP), dies, and comes back. An engine of our own in network, process and mount name spaces of our own: nothing
that it leaves outlives the test."""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

if __name__ == "__main__" and os.environ.get("VIKING_OWN_HOST") is None:
    sys.exit(subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
                             "bash", "-c", '"$@"; exit $?', "init", sys.executable, *sys.argv],  # its first process reaps
                            env=dict(os.environ, VIKING_OWN_HOST="1", VIKING_ENGINE_SOCKET=tempfile.mkdtemp(prefix="vke-") + "/e.sock")).returncode)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from lib import BASE, ENGINE, Host, Load, UnixConnection, containers, engine, wait_for  # noqa: E402


class Engine:
    """dockerd with its containerd, in the name spaces of the test."""

    def __init__(self):
        self.dir = os.path.dirname(ENGINE)
        self.log = open(self.dir + "/log", "ab")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        self.start()

    def start(self):
        self.p = subprocess.Popen(["dockerd", "--data-root", self.dir + "/data", "--exec-root", self.dir + "/exec", "--pidfile",
                                   self.dir + "/pid", "-H", "unix://" + ENGINE, "--bip", "172.29.0.1/16"], stdout=self.log, stderr=self.log)
        wait_for("the engine answers", self.answers, 30)

    def answers(self):
        with contextlib.suppress(OSError):
            return engine("GET", "/_ping")[0] == 200

    def stop(self):
        self.p.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.p.send_signal(signal.SIGCONT)

    def kill(self):
        self.p.kill()
        self.p.wait()

    def close(self):
        self.go_on()
        self.p.terminate()
        self.p.wait(30)
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


MANIFEST = f"""viking: {{name: still}}
build:
  src: |
    FROM {BASE}
    COPY www /www
    RUN echo building; sleep $(cat /www/sleep)
    CMD ["httpd", "-f", "-p", "8080", "-h", "/www"]
deploy:
  web: {{image: "viking:still/src", expose: [8080], healthcheck: /}}
"""
AWAY = r" !     the Docker Engine of \S+ does not answer \(for [0-9.]+ s\)"
DEADLINE = 40  # found out within 10 s, told to what waits 10 s later, and a slow machine


class StandsStill(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine()
        cls.addClassCleanup(cls.engine.close)
        cls.h = h = Host()
        h.__enter__()
        cls.addClassCleanup(h.__exit__, None, None, None)
        cls.stack, cls.n = h.name("still"), 0
        cls.page = cls.stack + ".apps.test"
        cls.app = h.tree({"vikingfile": MANIFEST, "www/index.html": "0\n", "www/sleep": "0"})
        h.push(cls.app, cls.stack)

    def tearDown(self):
        self.engine.go_on()
        if self._outcome.result.failures or self._outcome.result.errors:
            print(self.h.tail(100), file=sys.stderr)

    def change(self, sleep=0):
        type(self).n += 1
        self.h.write(self.app, {"www/index.html": f"{self.n}\n", "www/sleep": str(sleep)})
        self.h.commit(self.app)
        return subprocess.Popen(["git", "-C", self.app, "push", self.h.url(self.stack), "master"], env=self.h.git_env(),
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def at_stage(self, stage):
        """A function that returns when the stack's next deploy has come to the stage."""
        seen = max(e.get("seq", 0) for e in self.h.events())
        c = UnixConnection(self.h.api_socket, timeout=60)
        c.request("GET", f"/v1/events?follow=1&since={seen}&stack={self.stack}")
        r = c.getresponse()

        def wait():
            end = time.monotonic() + 60
            for line in r:
                self.assertLess(time.monotonic(), end, stage)
                e = json.loads(line)
                if e.get("type") == "stage" and e["what"].split()[0] == stage:
                    c.close()
                    return
            raise AssertionError(f"no stage {stage}")
        return wait

    def doctor_says(self, ok):
        return [c["ok"] for c in self.h.json_any("doctor")["checks"] if c["name"] == "engine"] == [ok]

    def fails_in_time(self, push, began):
        text = push.communicate(timeout=2 * DEADLINE)[1]
        self.assertLess(time.monotonic() - began, DEADLINE, text)
        self.assertNotEqual(0, push.returncode, text)
        lines = [line.removeprefix("remote: ") for line in text.splitlines()]
        said = [line for line in lines if line.startswith(" !     ") and not line.startswith(" !     try: ")]
        self.assertEqual(1, len(said), text)
        self.assertRegex(said[0], AWAY)
        self.assertIn("try: on the host: viking doctor", text)

    def converges(self):
        h = self.h
        wait_for("the engine is well", lambda: self.doctor_says(True), 30)
        push = self.change()
        text = push.communicate(timeout=120)[1]
        self.assertEqual(0, push.returncode, text)
        self.assertEqual((200, f"{self.n}\n"), h.get(self.page))
        wait_for("one container, which is healthy", lambda: len(containers(f"viking.stack={self.stack}")) == 1 and
                 [i["health"] for i in h.json("ps", self.stack)["instances"]] == ["healthy"], 60)

    def serving(self):
        return int(self.h.get(self.page)[1])

    def load(self):
        return Load(self.h, self.page, rate=50)

    def assert_served(self, load, *texts):
        self.assertEqual([], load.errors[:3])
        self.assertLessEqual(set(load.bodies), {f"{t}\n".encode() for t in texts})

    def test_idle(self):
        h, old = self.h, self.serving()
        with self.load() as load:
            self.engine.stop()
            wait_for("doctor knows", lambda: self.doctor_says(False), 5)
            began = time.monotonic()
            r = h.viking("run", self.stack, "web", "true")
            self.assertIn(r.status, (6, 7), r)
            self.assertLess(time.monotonic() - began, 20)
            for words in (("ps:restart", self.stack), ("ps:scale", self.stack, "web=2"), ("ps:stop", self.stack), ("redeploy", self.stack)):
                r = h.viking(*words)
                self.assertEqual(6, r.status, (words, r))
                self.assertRegex(r.err, AWAY)
            self.fails_in_time(self.change(), time.monotonic())
            for words in (("ps", self.stack), ("stacks",), ("releases", self.stack), ("logs", self.stack)):
                self.assertEqual(0, h.viking(*words).status, words)
            self.engine.go_on()
            self.converges()
        self.assert_served(load, old, self.n)

    def test_in_a_build(self):
        old = self.serving()
        with self.load() as load:
            push = self.change(sleep=5)
            while "building" not in (line := push.stderr.readline()) or "Step" in line:
                self.assertTrue(line)
            self.engine.stop()
            self.fails_in_time(push, time.monotonic())
            self.engine.go_on()
            self.converges()
        self.assert_served(load, old, self.n)

    def test_at_the_start(self):
        old = self.serving()
        with self.load() as load:
            wait = self.at_stage("s8")
            push = self.change()
            wait()
            self.engine.stop()
            self.fails_in_time(push, time.monotonic())
            self.engine.go_on()
            self.converges()
        self.assert_served(load, old, self.n)

    def test_while_the_old_ones_drain(self):
        old = self.serving()
        with self.load() as load:
            wait = self.at_stage("s12")
            push = self.change()
            wait()
            self.engine.stop()
            text = push.communicate(timeout=60)[1]  # the routes have been switched: the push is done
            self.assertEqual(0, push.returncode, text)
            new = self.n
            self.assertEqual((200, f"{new}\n"), self.h.get(self.page))
            wait_for("doctor knows", lambda: self.doctor_says(False), 5)
            self.engine.go_on()
            self.converges()
        self.assert_served(load, old, new, self.n)

    def test_killed_and_started_again(self):
        self.engine.kill()
        self.assertEqual(200, self.h.get(self.page)[0])  # containers do not need it to serve
        wait_for("doctor knows", lambda: self.doctor_says(False), 5)
        self.engine.start()  # without live-restore: it ends all containers
        wait_for("it serves again", lambda: self.h.get(self.page)[0] == 200, 60)
        self.converges()


if __name__ == "__main__":
    unittest.main(verbosity=2)
