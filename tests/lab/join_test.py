"""Three machines become one cluster by what a person types: cluster:init on h1, hosts:invite there, viking join on the others."""
import json
import os
import re
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from lab_test import Lab  # noqa: E402
from lib import unix_call, wait_for  # noqa: E402


class JoinTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab()
        cls.addClassCleanup(cls.lab.down)
        cls.lab("up", "3")
        cls.roots = {name: h["root"] for name, h in cls.lab.status().items()}

    def viking(self, host, *words):
        p = subprocess.run([os.path.join(os.path.dirname(os.path.abspath(__file__)), "lab"), "exec", host, "viking", *words],
                           capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, env=dict(os.environ, VIKING_LAB=self.lab.dir))
        return p

    def ok(self, host, *words):
        p = self.viking(host, *words)
        self.assertEqual(p.returncode, 0, (words, p.stdout, p.stderr))
        return p.stdout

    def refused(self, status, text, host, *words):
        p = self.viking(host, *words)
        self.assertEqual(p.returncode, status, (words, p.stdout, p.stderr))
        self.assertIn(text, p.stderr)
        return p.stderr

    def invite(self, *words):
        line = self.ok("h1", "hosts:invite", *words)
        self.assertRegex(line, r"^viking join 100\.64\.0\.1/8792/[0-9a-f]{64}/[0-9a-f]{32}\n$")
        return line.split()[2]

    def hosts(self):
        status, answer = unix_call(self.roots["h1"] + "/run/viking/api.sock", "GET", "/v1/hosts")
        return {h["name"]: h for h in answer["hosts"]} if status == 200 else {}

    def settings(self, host):
        try:
            with open(self.roots[host] + "/etc/viking/conf.d/50-cluster.yml") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def test_1_without_a_cluster_there_is_no_invitation(self):
        self.assertIn("cluster:init", self.refused(5, "keeps its state in a file", "h1", "hosts:invite"))

    def test_2_the_first_host(self):
        self.ok("h1", "cluster:init")
        wait_for("h1 serves from etcd", lambda: "etcd" in self.viking("h1", "cluster:status").stdout, 60)

    def test_3_what_is_no_invitation(self):
        good = self.invite()
        addr, port, pin, secret = good.split("/")
        for token, status, text in (("nonsense", 1, "no invitation"), (good[:-1], 1, "no invitation"),
                                    ("/".join((addr, port, pin, "0" * 32)), 4, "does not exist"),
                                    ("/".join((addr, port, "0" * 64, secret)), 4, "not the host"),
                                    ("/".join((addr, "1", pin, secret)), 6, "no answer")):
            self.refused(status, text, "h2", "join", token)
        self.refused(4, "expired", "h2", "join", self.expired())
        listed = json.loads(self.ok("h1", "hosts:invites", "--json"))["invites"]
        self.assertEqual(len(listed), 1)
        self.ok("h1", "hosts:uninvite", listed[0]["id"])
        self.refused(4, "does not exist", "h2", "join", good)
        self.assertEqual(self.settings("h2"), "")
        for name in os.listdir(self.roots["h1"] + "/var/lib/viking/sched"):
            if name.startswith("audit"):
                with open(self.roots["h1"] + "/var/lib/viking/sched/" + name) as f:
                    self.assertNotIn(secret, f.read())

    def expired(self):
        token = self.invite("--expires", "1ms")
        wait_for("it has expired", lambda: len(json.loads(self.ok("h1", "hosts:invites", "--json"))["invites"]) == 1, 20)
        return token

    def test_4_a_host_with_stacks_stays_alone(self):
        self.ok("h2", "stacks:create", "precious")
        self.refused(5, "has the stack precious", "h2", "join", self.invite())
        self.ok("h2", "stacks:destroy", "precious", "--force")

    def test_5_two_hosts_join(self):
        token = self.invite("--role", "db")
        self.ok("h2", "join", token)
        self.refused(5, "in a cluster already", "h2", "join", token)
        self.refused(4, "was used by h2", "h3", "join", token)
        self.killed_on_the_way("h3", self.invite())
        wait_for("all hosts are known", lambda: set(self.hosts()) == {"h1", "h2", "h3"}, 60)
        self.assertIn("db", self.hosts()["h2"]["roles"])
        for host in ("h2", "h3"):
            wait_for(host + " waits for h1", lambda: "h1" in self.viking(host, "leader").stderr + self.viking(host, "leader").stdout, 60)
            self.assertFalse(os.path.exists(self.roots[host] + "/var/lib/viking/join"))
            with open(self.roots[host] + "/var/lib/viking/sched/secret.key", "rb") as one, \
                    open(self.roots["h1"] + "/var/lib/viking/sched/secret.key", "rb") as other:
                self.assertEqual(one.read(), other.read())

    def killed_on_the_way(self, host, token):
        """Killed behind each line it prints, the same line again brings it to its end; no moment is left in between."""
        for n, line in enumerate(("Asking", "Changing over")):
            p = subprocess.Popen([os.path.join(os.path.dirname(os.path.abspath(__file__)), "lab"), "exec", host, "viking", "join", token],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=dict(os.environ, VIKING_LAB=self.lab.dir))
            for text in p.stdout:
                if line in text:
                    break
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{pid}/cmdline") as f:
                        if re.search(r"viking-join\0.*" + self.roots[host] + r"\0", f.read()):
                            os.kill(int(pid), signal.SIGKILL)
                except OSError:
                    pass
            p.communicate(timeout=60)
        p = self.viking(host, "join", token)
        self.assertTrue(p.returncode == 0 or "in a cluster already" in p.stderr, (p.stdout, p.stderr))
        self.assertIn("store: etcd", self.settings(host))


if __name__ == "__main__":
    unittest.main(verbosity=2)
