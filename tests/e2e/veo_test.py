"""VEO's service model on one host, each line of docs/veo.md seen in the engine."""
import json
import subprocess
import unittest

from lib import BASE, ENGINE, HostCase, containers, engine, wait_for

WAIT = "sh -c 'touch /ok; while [ ! -e /end ] && [ ! -e /v/end ]; do sleep 0.2; done; exit 1'"


def node(**keys):
    return {"image": BASE + ":latest", "run": WAIT, "healthcheck": "none", "stop_timeout": "1s", **keys}


class Veo(HostCase):
    settings = {"nodes.disk_check": "1s"}

    def push(self, name, check=True, **nodes):
        self.stack = self.h.name(name)
        tree = self.h.tree({"vikingfile": json.dumps({"deploy": nodes})})
        return self.h.push(tree, self.stack, check=check)

    def container(self, name):
        """The running one of a node, as the engine tells."""
        for c in containers(f"viking.stack={self.stack}"):
            if c["Labels"]["viking.node"] == name and c["State"] == "running":
                return engine("GET", f"/containers/{c['Id']}/json")[1]
        return None

    def id(self, name):
        found = self.container(name)
        return found and found["Id"]

    def within(self, name, *argv):
        subprocess.run(["docker", "-H", "unix://" + ENGINE, "exec", self.id(name), *argv], check=True, timeout=60)

    def kill(self, name):
        subprocess.run(["docker", "-H", "unix://" + ENGINE, "kill", self.id(name)], check=True, timeout=60, stdout=subprocess.DEVNULL)

    def ps(self, name):
        return next(i for i in self.h.json("ps", self.stack)["instances"] if i["node"] == name)

    def becomes(self, name, state, **more):
        return wait_for(f"{name} to be {state}", lambda: (lambda i: state in (i["state"], i["health"]) and all(i.get(k) == v for k, v in more.items())
                        and i)(self.ps(name)), 60)

    def another(self, name, than):
        return wait_for(f"another container of {name}", lambda: self.id(name) not in (None, than) and self.id(name), 60)


class Service(Veo):
    def test_restart(self):
        self.push("restart", never=node(restart="never"), again=node(restart="restart"),
                  twice=node(restart="restart", restart_count=2, volumes=["/v"]), once=node(restart_count=0))
        first = self.id("again")
        self.within("never", "touch", "/end")
        self.within("again", "touch", "/end")
        self.within("once", "touch", "/end")
        self.within("twice", "touch", "/v/end")
        self.becomes("never", "exited")
        self.becomes("once", "failed", restarts=0)
        self.another("again", first)
        self.becomes("again", "healthy", restarts=1)
        self.becomes("twice", "failed", restarts=2)  # three starts in all
        self.assertIsNone(self.container("never"))
        self.assertIsNone(self.container("twice"))

    def test_healthcheck(self):
        def checked(**keys):
            return {k: v for k, v in node(**keys).items() if k != "healthcheck" or "healthcheck" in keys}
        self.push("health", text=checked(healthcheck="test a = b || test -e /ok"),
                  list=checked(health_check=["test", "a && b", "=", "a && b"]),
                  cmd=checked(health_check={"cmd": "test a = b || test -e /ok", "shell": True, "interval": "1s"}),
                  words=checked(healthcheck={"cmd": "test 'a && b' = 'a && b'", "shell": False, "interval": "1s"}))
        for name in ("text", "list", "cmd", "words"):
            self.becomes(name, "healthy")
        r = self.push("health", check=False, bad=checked(healthcheck={"cmd": ["false || true"], "interval": "200ms", "retries": 1,
                                                                       "start_period": "0s"}))
        self.assertNotEqual(0, r.status, "a list has no shell")

    def test_on_unhealthy(self):
        check = {"cmd": "test -e /ok", "interval": "300ms", "retries": 2}
        self.push("sick", **{a: node(healthcheck=check, on_unhealthy=a) for a in ("restart", "kill", "leave")})
        before = {a: self.id(a) for a in ("restart", "kill", "leave")}
        for name in before:
            self.within(name, "rm", "/ok")
        self.another("restart", before["restart"])
        self.becomes("restart", "healthy", restarts=1)
        self.becomes("kill", "failed")
        self.becomes("leave", "unhealthy")
        self.assertIsNone(self.container("kill"))
        self.assertEqual(before["leave"], self.id("leave"))

    def pair(self, policy):
        """A master and a slave; whether the other's container was replaced when each is killed."""
        both = {"group": "g", "group_policy": policy}
        self.push(policy.replace("_", "-"), master=node(group_role="master", **both), slave=node(group_role="slave", **both))
        self.assertEqual(self.ps("master")["host"], self.ps("slave")["host"])
        replaced = []
        for dies, other in (("master", "slave"), ("slave", "master")):
            was, stays = self.id(dies), self.id(other)
            self.kill(dies)
            self.another(dies, was)
            if policy == "one_kills_all" or (policy, dies) == ("master_kills_all", "master"):
                self.another(other, stays)
            self.becomes(dies, "healthy")
            self.becomes(other, "healthy")
            replaced.append(self.id(other) != stays)
        return tuple(replaced)

    def test_groups(self):
        self.assertEqual((True, False), self.pair("master_kills_all"))
        self.assertEqual((True, True), self.pair("one_kills_all"))
        self.assertEqual((False, False), self.pair("one_for_one"))

    def test_a_group_that_is_not_restarted_goes_with_its_master(self):
        both = {"group": "g", "group_policy": "master_kills_all", "restart": "never"}
        self.push("gone", master=node(group_role="master", **both), slave=node(group_role="slave", **both))
        self.within("master", "touch", "/end")
        wait_for("both to be gone", lambda: not self.container("master") and not self.container("slave"), 60)

    def test_what_is_refused_without_the_hosts_word(self):
        for key, value, says in (("privileged", True, "privileged"), ("network_mode", "host", "network"), ("pid_mode", "host", "pid")):
            r = self.push("refused", check=False, web=node(**{key: value}))
            lines = [line for line in r.err.splitlines() if "policy." in line or "not allow" in line]
            self.assertNotEqual(0, r.status)
            self.assertTrue(any(says in line for line in lines), r.err)
        self.assertFalse(containers(f"viking.stack={self.stack}"))

    def test_nodes_say_what_hosts_are_expected(self):
        me = self.h.json("hosts")["hosts"][0]["name"]
        tree = self.h.tree({"vikingfile": json.dumps({"nodes": [{"node": "x@" + me, "role": "db"}, "dos"], "deploy": {"web": node()}})})
        r = self.h.push(tree, self.h.name("expects"))
        self.assertIn("host dos, which nodes: expects, is absent", r.err)
        self.assertIn(f"host {me} has not the role db: viking hosts:label {me} db", r.err)
        self.assertEqual(0, self.h.viking("hosts:label", me, "db").status)
        self.h.commit(tree)
        self.assertNotIn("has not the role", self.h.push(tree, self.h.name("expects")).err)

    def test_reserved_and_enforced(self):
        self.push("limits", web=node(cpus=0.5, memory="48M", disk="1G"))
        config = self.container("web")["HostConfig"]
        self.assertEqual((500000000, 48 << 20, 48 << 20), (config["NanoCpus"], config["Memory"], config["MemorySwap"]))
        for key, value in (("cpus", 512), ("memory", "15T"), ("disk", "800T")):
            r = self.push("more", check=False, web=node(**{key: value}))
            self.assertNotEqual(0, r.status)
            self.assertRegex(r.err, {"cpus": "cpu"}.get(key, key) + " .*short by")
        self.push("full", web=node(disk="8M", restart_count=0))
        self.within("web", "dd", "if=/dev/zero", "of=/fill", "bs=1048576", "count=12")
        self.assertIn("over its disk of 8.0 MiB", self.becomes("web", "failed")["reason"])
        self.push("oom", web=node(memory="16M", restart_count=0,
                                  run="sh -c 'while [ ! -e /end ]; do sleep 0.2; done; exec tail -c 64m /dev/zero'"))
        self.within("web", "touch", "/end")
        self.assertIn("out of memory (limit 16.0 MiB)", self.becomes("web", "failed")["reason"])


class Allowed(Veo):
    settings = {"policy.privileged": "true", "policy.host_network": "true", "policy.host_pid": "true"}

    def test_what_the_host_allows_is_so_in_the_container(self):
        self.push("may", net=node(network_mode="host"), pid=node(pid_mode="host"),
                  none=node(network_mode="none"), plain=node(network_mode="bridge", pid_mode=None))
        is_ = {n: self.container(n)["HostConfig"] for n in ("net", "pid", "none", "plain")}
        self.assertEqual(["host", "none", "viking-" + self.stack], [is_[n]["NetworkMode"] for n in ("net", "none", "plain")])
        self.assertEqual(["host", ""], [is_[n]["PidMode"] for n in ("pid", "plain")])
        self.assertFalse(is_["plain"]["Privileged"])

    def test_privileged(self):
        r = self.push("priv", check=False, web=node(privileged=True))
        if r.status != 0:  # where the engine itself may not, as in a machine without all capabilities
            self.assertIn("operation not permitted", r.err)
        else:
            self.assertTrue(self.container("web")["HostConfig"]["Privileged"])


if __name__ == "__main__":
    unittest.main()
