"""The agent on a real engine: crash loops, containers that others touch, its own death, a scheduler that is silent."""
import json
import os
import signal
import time
import unittest

from lib import BASE, Host, containers, engine, unix_call, wait_for

MANIFEST = """viking: {{name: agent}}
build:
  src: |
    FROM {base}
    COPY www /www
    CMD ["sh", "-c", "[ -e /data/bad ] && echo last words && exit 7; exec httpd -f -p 8080 -h /www"]
deploy:
  web: {{image: "viking:agent/src", expose: [8080], domains: ["{stack}.example.org"], volume: [/data]}}
  side: {{image: "{base}:latest", run: sleep 3600, healthcheck: none}}
  greedy: {{image: "{base}:latest", run: "sh -c 'touch /tmp/ready; while [ ! -e /tmp/eat ]; do sleep 0.2; done; x=x; while true; do x=$x$x; done'", memory: 16M, healthcheck: none}}
"""
RING = 1 << 20


class Agent(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.h = h = Host(**{"logs.stack_bytes": "1M"})
        h.__enter__()
        try:
            cls.stack, cls.other = h.name("agent"), h.name("calm")
            tree = h.tree({"vikingfile": MANIFEST.format(base=BASE, stack=cls.stack), "www/index.html": "agent\n"})
            h.push(tree, cls.stack)
            h.push(h.app("calm"), cls.other)
        except BaseException:
            h.__exit__(None, None, None)
            raise

    @classmethod
    def tearDownClass(cls):
        cls.h.__exit__(None, None, None)

    def instance(self, node, stack=None):
        return next(i for i in self.h.json("ps", stack or self.stack)["instances"] if i["node"] == node)

    def container(self, node, stack=None):
        """The running one of a node, or None."""
        return next((c for c in containers(f"viking.stack={stack or self.stack}") if c["Labels"]["viking.node"] == node
                     and "viking.run" not in c["Labels"] and c["State"] == "running"), None)

    def replaced(self, node, old, stack=None):
        def check():
            c = self.container(node, stack)
            return c if c and c["Id"] != old["Id"] else None
        return wait_for(f"another container of {node}", check, 15)

    def test_a_crash_loop_ends_failed_and_harms_nobody(self):
        h, stack = self.h, self.stack
        self.assertEqual((200, "agent\n"), h.get(stack + ".example.org"))
        self.assertEqual(0, h.viking("enter", "-p", "web", stack, "touch", "/data/bad").status)
        begin = time.monotonic()
        engine("POST", f"/containers/{self.container('web')['Id']}/kill")
        served = 0

        def failed():
            nonlocal served
            self.assertEqual((200, "calm\n"), h.get(self.other + ".apps.test"))
            served += 1
            return [k for k in h.json("state", "--keys", f"/failed/{stack}/web/")["keys"]]

        key = wait_for("the state failed", failed, 40)[0]
        self.assertGreater(time.monotonic() - begin, 1 + 2 + 4 + 8, "it waits between the attempts")
        self.assertGreater(served, 5)
        self.assertIn("exited with status 7", key["value"]["reason"])
        self.assertIn("last words", key["value"]["tail"])
        i = self.instance("web")
        self.assertEqual("failed", i["state"], i)
        self.assertIn("status 7", i["reason"])
        self.assertIsNone(self.container("web"))
        # it is failed after a restart of the agent too
        h.kill("agent")
        wait_for("the agent's answer", lambda: "last words" in h.viking("logs", stack, "-p", "web").out)
        self.assertEqual("failed", self.instance("web")["state"])
        self.assertIsNone(self.container("web"))

    def test_a_container_removed_or_killed_from_outside_is_replaced(self):
        old = self.container("web", self.other)
        self.assertEqual(204, engine("DELETE", f"/containers/{old['Id']}?force=1")[0])
        new = self.replaced("web", old, self.other)
        wait_for("it to serve", lambda: self.h.get(self.other + ".apps.test") == (200, "calm\n"), 10)
        engine("POST", f"/containers/{new['Id']}/kill")
        self.replaced("web", new, self.other)
        wait_for("it to serve", lambda: self.h.get(self.other + ".apps.test") == (200, "calm\n"), 10)
        self.assertEqual(1, len(containers(f"viking.stack={self.other}")))

    def test_a_killed_agent_leaves_the_containers(self):
        h = self.h
        before = self.container("web", self.other)["Id"], self.container("side")["Id"]
        pid = h.kill("agent")
        wait_for("another agent", lambda: h.pid("agent") != pid)
        # it has listed, adopted and reported when it can enter the container again
        wait_for("the new agent", lambda: h.viking("enter", self.other, "true").status == 0)
        self.assertEqual(before, (self.container("web", self.other)["Id"], self.container("side")["Id"]))
        self.assertEqual((200, "calm\n"), h.get(self.other + ".apps.test"))
        self.assertEqual("running", engine("GET", f"/containers/{before[0]}/json")[1]["State"]["Status"])

    def test_strangers_are_not_touched(self):
        h = self.h
        mine = self.container("side")
        name = h.name("stranger")
        made = []
        for labels in ({}, dict(mine["Labels"], **{"viking.root": "0" * 16, "viking.instance": "stranger"})):
            s, c = engine("POST", "/containers/create", {"Image": BASE + ":latest", "Cmd": ["sleep", "600"], "Labels":
                                                         dict(labels, **{"viking.stack": name})})
            self.assertEqual(201, s, c)
            made.append(c["Id"])
            self.assertEqual(204, engine("POST", f"/containers/{c['Id']}/start")[0])
        # one with our root's label is ours; when it is gone, a whole listing has been carried out
        s, c = engine("POST", "/containers/create", {"Image": BASE + ":latest", "Cmd": ["sleep", "600"], "StopTimeout": 0, "Labels":
                                                     dict(mine["Labels"], **{"viking.instance": "nobody-web-1-1", "viking.stack": name})})
        self.assertEqual(201, s, c)
        pid = h.kill("agent")
        wait_for("another agent", lambda: h.pid("agent") != pid)
        wait_for("ours to be removed", lambda: engine("GET", f"/containers/{c['Id']}/json")[0] == 404, 20)
        for i in made:
            self.assertTrue(engine("GET", f"/containers/{i}/json")[1]["State"]["Running"])
        self.assertEqual(mine["Id"], self.container("side")["Id"])

    def test_it_converges_without_the_scheduler(self):
        h = self.h
        old = self.container("web", self.other)
        pid = h.kill("scheduler", signal.SIGSTOP)
        try:
            engine("POST", f"/containers/{old['Id']}/kill")
            new = self.replaced("web", old, self.other)
            # a new agent has nothing but its copy on disk
            agent = h.kill("agent")
            wait_for("another agent", lambda: h.pid("agent") != agent)
            engine("DELETE", f"/containers/{new['Id']}?force=1")
            self.replaced("web", new, self.other)
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_for("it to serve", lambda: self.status() == (200, "calm\n"), 20)

    def test_lines_since_a_time_are_those_of_all_containers(self):
        """Read after a pause, the lines of two containers lie one behind the other and not by their times."""
        h = self.h
        ids = [self.container(node)["Id"] for node in ("side", "greedy")]
        pid = h.kill("agent", signal.SIGSTOP)
        try:
            for k in range(4):
                s, e = engine("POST", f"/containers/{ids[k % 2]}/exec", {"Cmd": ["sh", "-c", f"echo turn {k} > /proc/1/fd/1"],
                                                                        "AttachStdout": True})
                self.assertEqual(201, s, e)
                self.assertEqual(200, engine("POST", f"/exec/{e['Id']}/start", {"Detach": False, "Tty": False})[0])
        finally:
            os.kill(pid, signal.SIGCONT)

        def turns(query):
            data = unix_call(h.path("run/viking/agent.sock"), "GET", f"/logs?stack={self.stack}&{query}")[1]
            lines = [json.loads(x) for x in data.splitlines()]
            return {x["l"]: x["t"] for x in lines if x.get("l", "").startswith("turn ")}

        times = wait_for("the four lines", lambda: (lambda t: t if len(t) == 4 else None)(turns("n=1000")), 15)
        for t in times.values():
            self.assertEqual({k: v for k, v in times.items() if v >= t}, turns(f"since={t}"))

    def status(self):
        return self.h.get(self.other + ".apps.test")

    def test_out_of_memory_is_the_reason(self):
        h = self.h
        old = self.container("greedy")
        self.assertEqual(16 << 20, engine("GET", f"/containers/{old['Id']}/json")[1]["HostConfig"]["Memory"])
        self.assertEqual(0, h.viking("enter", "-p", "greedy", self.stack, "touch", "/tmp/eat").status)
        wait_for("the reason", lambda: 'reason="out of memory (limit 16.0 MiB)"' in h.tail(400), 20)
        self.replaced("greedy", old)

    def test_a_missing_command_has_its_status_and_a_line(self):
        h = self.h
        for verb in ("run", "enter"):
            r = h.viking(verb, self.other, "no-such-program")
            self.assertIn(r.status, (126, 127), (verb, r))
            self.assertIn("no-such-program", r.out + r.err)
            self.assertRegex(r.out + r.err, "(?i)not found|no such file")
        wait_for("the container of run to go", lambda: len(containers(f"viking.stack={self.other}")) == 1, 10)

    def test_the_log_ring_keeps_its_budget_and_the_newest(self):
        h = self.h
        text = "0123456789" * 8
        # into the log of the container itself: its first process's stdout
        script = f"i=0; while [ $i -lt 25000 ]; do echo line $i {text}; i=$((i+1)); done > /proc/1/fd/1; echo the end > /proc/1/fd/1"
        self.assertEqual(0, h.viking("enter", "-p", "side", self.stack, "sh", "-c", script).status)
        logs = lambda *more: unix_call(h.path("run/viking/agent.sock"), "GET", f"/logs?stack={self.stack}&node=side&" + "&".join(more))[1]
        wait_for("the last line", lambda: b"the end" in logs("n=1"), 20)
        lines = [json.loads(x) for x in logs("n=3").splitlines()]
        self.assertEqual(["line 24998 " + text, "line 24999 " + text, "the end"], [x["l"] for x in lines if "l" in x])
        ring = h.path("var/lib/viking/log", self.stack)
        used = sum(os.path.getsize(os.path.join(ring, f)) for f in os.listdir(ring))
        self.assertLessEqual(used, RING)
        self.assertGreater(used, RING // 2)
        # all that is kept, once and in order, also since a time
        kept = [json.loads(x) for x in logs("n=10000").splitlines()]
        numbers = [int(x["l"].split()[1]) for x in kept if x.get("l", "").startswith("line ")]
        self.assertEqual(list(range(25000 - len(numbers), 25000)), numbers)
        self.assertGreater(len(numbers), 1000)
        middle = kept[len(kept) // 2]["t"]
        since = [json.loads(x) for x in logs(f"since={middle}").splitlines()]
        self.assertEqual([x for x in kept if x.get("t", 0) >= middle], [x for x in since if "t" in x])


if __name__ == "__main__":
    unittest.main(verbosity=2)
