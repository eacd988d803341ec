"""Three machines become one cluster by what a person types: cluster:init on h1, hosts:invite there, viking join on the others."""
import json
import os
import pathlib
import re
import signal
import unittest

from cluster import Cluster
from lib import wait_for

PATIENCE = 120  # seconds, a guard against hanging


class Machines(Cluster):
    """Three of them, each alone."""

    def up(self):
        for name in self.names:
            self.configure(name)
        self.lab("up", "3", *self.more)
        self.hosts = self.lab.status()
        for name in self.names:
            self.lab.import_base(name)
        self.key = self.make_key("admin")
        with open(self.key + ".pub") as f:
            self.viking("h1", "keys:add", "admin", "--role", "admin", stdin=f, check=True)

    def configure(self, name):
        d = os.path.join(self.lab.dir, name, "etc/viking/conf.d")
        os.makedirs(d)
        with open(d + "/10-lab.yml", "w") as f:
            f.writelines(f"{k}: {json.dumps(v)}\n" for k, v in self.settings.items())

    def joined(self):
        """One cluster, in which each has a member of etcd."""
        self.viking("h1", "cluster:init", check=True)
        for name in self.names[1:]:
            line = wait_for("an invitation", lambda: self.viking("h1", "hosts:invite").out, PATIENCE)
            self.viking(name, *line.split()[1:], check=True)
        wait_for("each has a member", lambda: self.members("h1") == dict.fromkeys(self.names, "voter"), PATIENCE)

    def members(self, host):
        r = self.viking(host, "cluster:status", "--json")
        return {m["name"]: m["state"] for m in json.loads(r.out).get("members", [])} if r.status == 0 else {}

    def etcd_curl(self):
        host = next(h for h, s in self.lab.status().items() if s["init"])
        return ["exec", host, "curl", "--cacert", self.state(host, "sched/etcd-ca.pem"), "--cert", self.state(host, "sched/etcd-cert.pem"),
                "--key", self.state(host, "sched/etcd.key")]

    def etcd_url(self):
        return "https://127.0.0.1:2379"


class JoinTest(unittest.TestCase):
    """In this order."""

    @classmethod
    def setUpClass(cls):
        cls.c = Machines(3)
        cls.addClassCleanup(cls.c.down)
        cls.c.push(cls.c.app("here"), "app")
        cls.roots = {name: h["root"] for name, h in cls.c.hosts.items()}
        # for as long as all this lasts: a request every tenth of a second
        cls.log = open(cls.c.dir + "/requests", "w+")
        cls.addClassCleanup(cls.log.close)
        cls.load = cls.c.lab.start("switch", "stdbuf", "-oL", "curl", "-s", "-m", "20", "--rate", "10/s", "-H", "Host: app.lab.test", "-o", "/dev/null",
                                   "-w", "%{http_code}\n", "http://100.64.0.1/?[1-100000]", stdout=cls.log)
        cls.addClassCleanup(cls.load.wait, 20)
        cls.addClassCleanup(cls.load.kill)

    def ok(self, host, *words):
        return self.c.viking(host, *words, check=True).out

    def refused(self, status, text, host, *words):
        r = self.c.viking(host, *words)
        self.assertEqual(r.status, status, r)
        self.assertIn(text, r.err)
        return r.err

    def invite(self, *words):
        line = self.ok("h1", "hosts:invite", *words)
        self.assertRegex(line, r"^viking join 100\.64\.0\.1/8792/[0-9a-f]{64}/[0-9a-f]{32}\n$")
        return line.split()[2]

    def hosts(self, host="h1"):
        return {h["name"]: h for h in json.loads(self.ok(host, "hosts", "--json"))["hosts"]}

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
        wait_for("h1 serves from etcd", lambda: "etcd" in self.c.viking("h1", "cluster:status").out, PATIENCE)
        wait_for("changes are possible", lambda: self.c.viking("h1", "config:set", "--no-restart", "app", "A=1").status == 0, PATIENCE)

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
        for host in self.c.names:
            wait_for("three hosts are up, says " + host, lambda: self.c.viking(host, "hosts").out.count(" up ") == 3, PATIENCE)
            self.assertFalse(os.path.exists(self.c.state(host, "join")))
            self.assertFalse(os.path.exists(self.c.state(host, "sched/viking.db")))
        self.assertIn("db", self.hosts("h3")["h2"]["roles"])
        for secret in ("sched/secret.key", "registry/password"):
            self.assertEqual(len({pathlib.Path(self.c.state(host, secret)).read_bytes() for host in self.c.names}), 1)

    def killed_on_the_way(self, host, token):
        """Killed behind each line it prints, the same line again brings it to its end; no moment is left in between."""
        for line in ("Asking", "Changing over"):
            p = self.c.lab.start(host, "viking", "join", token, stdout=-1, stderr=-3)
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
            p.communicate(timeout=PATIENCE)
        r = self.c.viking(host, "join", token)
        self.assertTrue(r.status == 0 or "in a cluster already" in r.err, r)
        self.assertIn("store: etcd", self.settings(host))

    def test_6_three_hosts_have_three_members(self):
        three = dict.fromkeys(self.c.names, "voter")
        wait_for("three voters", lambda: self.c.members("h1") == three, PATIENCE)

    def test_7_the_application_was_served_all_the_time(self):
        self.assertIsNone(self.load.poll())
        self.log.seek(0)
        codes = self.log.read().split()
        self.assertGreater(len(codes), 20)
        self.assertEqual(set(codes), {"200"})

    def test_8_one_member_may_be_lost(self):
        addr, port, _, secret = self.invite().split("/")
        self.c.lab("off", "h1")
        leader = self.c.wait_leader(not_="h1", seconds=PATIENCE)
        wait_for("changes are possible", lambda: self.c.viking(leader, "config:set", "--no-restart", "app", "B=2").status == 0, PATIENCE)
        self.c.lab("up")
        wait_for("h1 is back", lambda: self.hosts(leader)["h1"]["state"] == "up", PATIENCE)
        self.assertNotEqual(self.c.leader(), "h1")
        # its invitation holds: who asks it is heard by the leader, and by it alone; a role that a stranger claims is none
        ask = json.dumps({"token": secret, "name": "h2", "addr": "100.64.0.9", "port": 8792, "request": "x"})
        for more, path, status in (([], "/v1/internal/join", "400"), (["-H", "Viking-Role: agent"], "/v1/internal/join", "403"),
                                   ([], "/v1/hosts/h2/drain", "503")):
            code = self.c.lab("exec", "switch", "curl", "-sk", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", *more, "-d", ask,
                              f"https://{addr}:{port}{path}", check=False)
            self.assertEqual(code, status, (more, path))

    def test_9_a_removed_host_is_no_member(self):
        leader = self.c.wait_leader(seconds=PATIENCE)
        gone = next(n for n in ("h3", "h2") if n != leader)
        self.ok(leader, "ps:scale", "app", "web=3")
        ran = self.c.lab("exec", gone, "docker", "ps", "-q", "--filter", "label=viking.stack=app")
        self.assertNotEqual("", ran)
        self.c.lab("off", gone)
        wait_for(gone + " is away", lambda: self.hosts(leader)[gone]["state"] != "up", PATIENCE)
        self.ok(leader, "hosts:remove", gone, "--data-lost")
        wait_for("two members", lambda: set(self.c.members(leader)) == set(self.c.names) - {gone}, PATIENCE)
        wait_for("changes are possible", lambda: self.c.viking(leader, "config:set", "--no-restart", "app", "C=3").status == 0, PATIENCE)
        # it returns, alone with etcd's certificates: nobody would talk to it if it led
        self.c.lab("up", "3")
        wait_for("it is told", lambda: "not a host of this cluster" in self.c.viking(gone, "hosts").err, PATIENCE)
        wait_for("what it ran is gone", lambda: not self.c.lab("exec", gone, "docker", "ps", "-aq", "--filter", "label=viking.stack=app", check=False),
                 PATIENCE)


if __name__ == "__main__":
    unittest.main(verbosity=2)
