"""Traffic in a cluster: every host's router, link proxy and resolver reach the instances of all hosts; what a router serves ends only
when all have let go of it."""
import contextlib
import json
import os
import signal
import subprocess
import unittest

from cluster import Cluster
from lib import wait_for

DOCKERFILE = ("FROM base\nCOPY www /www\nEXPOSE 8080\n"
              'CMD ["/bin/busybox", "sh", "-c", "busybox hostname | busybox tee /www/name; exec busybox httpd -f -p 8080 -h /www"]\n')
DOMAIN = "app.lab.test"
MANIFEST = "build: {src: {dockerfile: Dockerfile}}\ndeploy:\n  %s: {boat: src, expose: [8080], %s}\n"


class RoutingTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = Cluster(3, **{"cluster.host_grace": "10s"})
        cls.addClassCleanup(cls.c.down)
        cls.tree = cls.app("web", f"scale: 6, domains: [{DOMAIN}], shared: ['*']")
        cls.c.push(cls.tree, "app")
        cls.version = 0

    @classmethod
    def app(cls, node, more):
        return cls.c.tree({"Dockerfile": DOCKERFILE, "vikingfile": MANIFEST % (node, more), "www/text": "v0\n"})

    def setUp(self):
        wait_for("six instances", lambda: len(self.instances("app")) == 6 and all(i["health"] == "healthy" for i in self.instances("app")), 120)

    def instances(self, stack):
        return json.loads(self.c.viking("h1", "ps", stack, "--json", check=True).out)["instances"]

    def change(self):
        """The next version's text; it is committed."""
        type(self).version += 1
        text = f"v{self.version}"
        self.c.change(self.tree, {"www/text": text + "\n"})
        return text

    @contextlib.contextmanager
    def load(self, *hosts, path="/text"):
        """{host: {answer: times}}, filled at the end."""
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.py")
        running, answers = {}, {}
        for host in hosts:
            p = self.c.lab.start("switch", "/usr/bin/python3", script, self.c.address(host), DOMAIN, path, stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE)
            self.assertEqual(p.stdout.readline(), "began\n")
            running[host] = p
        try:
            yield answers
        finally:
            for host, p in running.items():
                answers[host] = json.loads(p.communicate("end\n", timeout=120)[0])

    def names(self, host, want):
        """Those that answer at a host, until there are as many."""
        seen = set()
        for _ in range(60 * want):
            seen.add(self.c.get(host, DOMAIN, "/name"))
            if len(seen) == want:
                break
        return seen

    def inside(self, host, script, container="app-web"):
        """What a shell in one of the host's containers says, "" when it fails."""
        names = self.c.lab("exec", host, "docker", "ps", "-q", "--filter", "name=" + container).split()
        return self.c.lab("exec", host, "docker", "exec", names[0], "busybox", "sh", "-c", script, check=False)

    def ask(self, host, name, port, container="app-web"):
        """The last line of an answer to a container."""
        script = f"printf 'GET /name HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 5 {name} {port}"
        return self.inside(host, script, container).rpartition("\n")[2]

    # ---- the tests ----

    def test_every_host_serves_every_instance(self):
        want = {i["name"] for i in self.instances("app")}
        self.assertEqual({i["host"] for i in self.instances("app")}, {"h1", "h2", "h3"})
        for host in self.c.names:
            self.assertEqual(self.names(host, 6), want, host)

    def test_a_release_drops_no_request_at_any_host(self):
        text = self.change()
        with self.load(*self.c.names) as answers:
            self.c.push(self.tree, "app")
            wait_for("the old to go", lambda: not self.drains(), 60)
        for host in self.c.names:
            self.assertEqual(set(answers[host]), {f"200 v{self.version - 1}", "200 " + text}, answers)

    def drains(self):
        return self.c.viking("h1", "state", "/drain", check=True).out.strip()

    def router(self, host):
        with open(os.path.join(self.c.lab.dir, host, "run/viking/processes.json")) as f:
            pid = json.load(f)["router"]["pid"]
        return int(pid)

    def signal(self, host, sig):
        self.c.lab("exec", host, "kill", f"-{int(sig)}", str(self.router(host)), check=False)

    def test_a_switch_waits_for_the_routers_of_all_hosts(self):
        text = self.change()
        self.signal("h2", signal.SIGSTOP)
        self.addCleanup(self.signal, "h2", signal.SIGCONT)
        with self.load("h1", "h2") as answers:
            push = self.c.push_begin(self.tree, "app")
            wait_for("the new at the other hosts", lambda: self.c.get("h1", DOMAIN, "/text") == text, 60)
            self.assertNotEqual(self.c.get("h2", DOMAIN, "/text"), text)
            self.assertIsNone(push.poll(), "it was done without h2")
            self.signal("h2", signal.SIGCONT)
            self.assertEqual(self.c.finished(push, False).status, 0)
            self.assertEqual(self.c.get("h2", DOMAIN, "/text"), text)
        for host in answers:
            self.assertEqual(set(answers[host]), {f"200 v{self.version - 1}", "200 " + text}, answers)

    def test_a_router_that_is_killed_comes_back_to_the_switch(self):
        text = self.change()
        with self.load(*self.c.names) as answers:
            push = self.c.push_begin(self.tree, "app")
            for _ in range(3):
                self.signal("h3", signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    push.wait(1)
            self.assertEqual(self.c.finished(push, False).status, 0)
        for host in answers:
            self.assertEqual(set(answers[host]), {f"200 v{self.version - 1}", "200 " + text}, answers)

    def test_a_lost_host_is_not_waited_for_and_returns_to_what_is_there(self):
        self.c.lab("off", "h3")
        text = self.change()
        self.addCleanup(self.c.lab, "up")
        self.c.push(self.tree, "app")
        for host in ("h1", "h2"):
            self.assertEqual(self.c.get(host, DOMAIN, "/text"), text, host)
        logs = self.c.viking("h1", "logs", "app", check=True)
        self.assertIn("without the lines of host h3", logs.err)
        self.assertTrue(logs.out)
        wait_for("six elsewhere", lambda: len(self.names("h1", 6)) == 6, 60)
        self.c.lab("up")
        seen = set()
        wait_for("h3 serves again", lambda: seen.add(self.c.get("h3", DOMAIN, "/text")) or text in seen, 120)
        self.assertEqual({s for s in seen if s.startswith("v")}, {text}, "something that was stopped")

    def test_names_reach_other_hosts(self):
        for i in self.instances("app"):
            self.assertEqual(self.ask("h1", f"{i['n']}.web.app.viking", 8080), i["name"])

    def test_a_link_reaches_other_hosts(self):
        self.c.push(self.app("front", "scale: 3, links: [app/web]"), "other")
        self.addCleanup(self.c.viking, "h1", "stacks:destroy", "other", "--confirm", "other")
        port = self.inside("h2", "echo $SERVICE_WEB_PORT", "other-front")
        want = {i["name"] for i in self.instances("app")}
        seen = {self.ask("h2", "web", port, "other-front") for _ in range(40)}
        self.assertEqual(seen, want)

    def test_logs_of_all_hosts_are_one_stream(self):
        want = {i["name"] for i in self.instances("app")}
        for host in ("h1", "h2"):
            lines = [line.split() for line in self.c.viking(host, "logs", "app", check=True).out.splitlines()]
            self.assertLessEqual(want, {line[-1] for line in lines}, lines)
            times = [line[:-2] for line in lines]
            self.assertEqual(times, sorted(times))

    def test_only_hosts_reach_the_ports_of_containers(self):
        def ask(host, port, *inside):
            return self.c.lab("exec", host, *inside, "curl", "-s", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}",
                              f"http://{self.c.address('h2')}:{port}/name", check=False)
        ports = self.c.lab("exec", "h2", "docker", "ps", "--filter", "name=app-web", "--format", "{{.Ports}}")
        port = ports.split("->")[0].rsplit(":", 1)[1]
        self.assertEqual(ask("h1", port), "200")
        self.assertEqual(ask("switch", port), "000")
        self.assertEqual(self.ask("h1", self.c.address("h2"), port), "", "another stack's container could do the same")


if __name__ == "__main__":
    unittest.main(verbosity=2)
