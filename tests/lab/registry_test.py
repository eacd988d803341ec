"""Images in the lab: the registry is on h1; h2's engine pulls from its own loopback, through the link proxy and the hosts' TLS."""
import json
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from ca import Ca  # noqa: E402
from lab_test import Lab  # noqa: E402
from lib import unix_call, wait_for  # noqa: E402

NAME = "127.0.0.1:5000/app/web"


class RegistryTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab, cls.ca = Lab(), Ca()
        cls.addClassCleanup(shutil.rmtree, cls.ca.dir)
        cls.addClassCleanup(cls.lab.down)
        os.makedirs(cls.lab.dir + "/h2/etc/viking/conf.d")
        with open(cls.lab.dir + "/h2/etc/viking/conf.d/registry.yml", "w") as f:
            f.write("helpers.run_registry: false\n")
        cls.lab("up", "2")
        hosts = cls.lab.status()
        for name, h in hosts.items():
            cls.ca.install(name, h["root"])
            known = {"addr": h["address"], "port": 8792, "registry": name == "h1"}
            for other in hosts.values():
                status, answer = unix_call(other["root"] + "/run/viking/api.sock", "POST", f"/v1/hosts/{name}/address", json.dumps(known))
                assert status == 200, answer
        with open(hosts["h1"]["root"] + "/var/lib/viking/registry/password") as f:
            cls.password = f.read().strip()
        for name in hosts:
            wait_for("the registry for " + name, lambda: cls.docker(name, "login", "-u", "viking", "-p", cls.password, "127.0.0.1:5000",
                                                                    check=False), 60)
        cls.lab.import_base("h1")
        cls.digests = [cls.push(n) for n in ("one", "two", "three")]

    @classmethod
    def docker(cls, host, *words, check=True):
        """docker on a host, with a memory of passwords of its own: standard output, "" when it failed."""
        return cls.lab("exec", host, "env", f"DOCKER_CONFIG={cls.lab.dir}/{host}/passwords", "docker", *words, check=check)

    @classmethod
    def push(cls, text):
        cls.docker("h1", "run", "--name", text, "base", "busybox", "sh", "-c", f"busybox echo {text} >/text")
        cls.docker("h1", "commit", text, NAME + ":" + text)
        cls.docker("h1", "push", "-q", NAME + ":" + text)
        digests = json.loads(cls.docker("h1", "inspect", "-f", "{{json .RepoDigests}}", NAME + ":" + text))
        return next(d for d in digests if d.startswith(NAME + "@sha256:"))

    def registry_says(self, host):
        """To who has no password; 000: nothing for a while."""
        return self.lab("exec", host, "curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:5000/v2/", check=False)

    def text(self, host, image):
        return self.docker(host, "run", "--rm", image, "busybox", "cat", "/text")

    def test_what_one_host_pushed_another_pulls_by_digest(self):
        self.docker("h2", "pull", "-q", self.digests[0])
        self.assertEqual(self.text("h2", self.digests[0]), "one")

    def test_an_image_that_is_there_needs_no_registry(self):
        self.docker("h2", "pull", "-q", self.digests[1])
        self.addCleanup(self.lab, "heal")
        self.lab("partition", "h1", "h2")
        self.assertEqual(self.text("h2", self.digests[1]), "two")
        self.assertEqual(self.registry_says("h2"), "000")
        self.lab("heal")
        wait_for("the pull after the partition", lambda: self.docker("h2", "pull", "-q", self.digests[2], check=False), 60)
        self.assertEqual(self.text("h2", self.digests[2]), "three")

    def test_it_takes_the_password(self):
        self.assertEqual(self.registry_says("h2"), "401")

    def test_the_wire_shows_none_of_it(self):
        """The registry's own port is on no address but its host's loopback."""
        for host in ("h1", "h2"):
            listening = [x.split()[3] for x in self.lab("exec", host, "ss", "-Hltn").splitlines() if ":5000 " in x]
            self.assertEqual(listening, ["127.0.0.1:5000"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
