"""What containers reach: tried from inside of them, against listeners that the host can reach."""
import contextlib
import hashlib
import socket
import subprocess
import threading
import unittest

import lib


@contextlib.contextmanager
def listener():
    """A service of the host on all addresses, that ends each connection at once; its port."""
    def serve():
        with contextlib.suppress(OSError):
            while True:
                s.accept()[0].close()

    with socket.create_server(("0.0.0.0", 0)) as s:
        threading.Thread(target=serve, daemon=True).start()
        yield s.getsockname()[1]
        s.shutdown(socket.SHUT_RDWR)


def nft(*words, stdin=None):
    return lib.Result(subprocess.run(["nft", *words], capture_output=True, text=True, timeout=20, input=stdin))


class Firewall(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.foreign = "viking_test_foreign"
        made = nft("-f", "-", stdin=f"table inet {cls.foreign} {{ chain c {{ counter; }}\n}}\n")
        assert made.status == 0, made
        cls.addClassCleanup(lambda: nft("delete", "table", "inet", cls.foreign))
        cls.host = lib.Host(**{"ssh.address": "0.0.0.0", "http.address": "0.0.0.0"})
        cls.host.__enter__()
        cls.addClassCleanup(lambda: cls.host.__exit__(None, None, None))
        cls.a, cls.b = cls.host.name("fwa"), cls.host.name("fwb")
        cls.host.push(cls.host.app("a"), cls.a)
        cls.host.push(cls.host.app("b"), cls.b)
        cls.table = "viking_" + hashlib.sha256(cls.host.path("var/lib/viking").encode()).hexdigest()[:16]
        lib.wait_for("rules for both", lambda: all(s in cls.rules() for s in (cls.subnet(cls.a), cls.subnet(cls.b))))

    @classmethod
    def subnet(cls, stack):
        return cls.ip(stack).rsplit(".", 1)[0] + ".0/24"

    @classmethod
    def rules(cls):
        return nft("list", "table", "inet", cls.table).out

    @classmethod
    def ip(cls, stack):
        return [i["ip"] for i in cls.host.json("ps", stack)["instances"]][0]

    def gateway(self, stack):
        return self.ip(stack).rsplit(".", 1)[0] + ".1"

    def reaches(self, stack, address, port):
        c = [c for c in lib.containers("viking.stack=" + stack) if c["State"] == "running"][0]
        r = subprocess.run(["docker", "-H", "unix://" + lib.ENGINE, "exec", c["Id"], "nc", "-w", "2", address, str(port)],
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
        return r.returncode == 0

    def host_reaches(self, address, port):
        with socket.create_connection((address, port), 5):
            return True

    def test_host_services_are_out_of_reach(self):
        gw = self.gateway(self.a)
        outside = socket.gethostbyname(socket.gethostname())
        ports = {"ssh": self.host.ssh_port, "http": self.host.http_port}
        with listener() as own:
            ports["a host's own"] = own
            for name, port in ports.items():
                self.assertTrue(self.host_reaches(gw, port), name)
                for address in {gw, outside, self.gateway(self.b), "172.17.0.1"}:
                    if not address.startswith("127."):
                        self.assertFalse(self.reaches(self.a, address, port), (name, address))

    def test_other_stacks_are_out_of_reach_and_the_own_is_not(self):
        self.assertTrue(self.host_reaches(self.ip(self.b), 8080))
        self.assertFalse(self.reaches(self.a, self.ip(self.b), 8080))
        self.assertTrue(self.reaches(self.a, self.ip(self.a), 8080))
        self.assertIn("a\n", self.host.get(f"{self.a}.apps.test")[1])

    def test_names_are_in_reach(self):
        self.assertTrue(self.reaches(self.a, self.gateway(self.a), 53))
        self.assertFalse(self.reaches(self.a, self.gateway(self.b), 53))

    def test_published_ports_are_no_way_around(self):
        port = lib.free_port()
        s = self.host.name("fwp")
        self.host.push(self.host.app("p", vikingfile=f"deploy: {{web: {{publish: ['{port}:8080']}}}}\n"), s)
        self.assertTrue(lib.wait_for("the published port", lambda: self.host_reaches(self.ip(s), 8080)))
        self.assertFalse(self.reaches(self.a, self.gateway(self.a), port))
        self.assertFalse(self.reaches(self.a, self.gateway(s), port))

    def test_command_and_doctor(self):
        text = self.host.viking("firewall", "--print")
        self.assertEqual(0, text.status, text)
        self.assertIn(f"table inet {self.table} {{", text.out)
        self.assertIn(self.subnet(self.a), text.out)
        self.assertEqual(0, nft("-c", "-f", "-", stdin=text.out).status)
        self.assertIn("in force", self.host.viking("firewall").out)
        checks = {c["name"]: c for c in self.host.json_any("doctor")["checks"]}
        self.assertTrue(checks["firewall"]["ok"], checks["firewall"])

    def test_foreign_tables_stay_and_a_removed_one_comes_back(self):
        pid = self.host.pid("firewall")
        nft("delete", "table", "inet", self.table)
        lib.wait_for("the table to come back", lambda: self.subnet(self.a) in self.rules(), 15)
        self.assertEqual(pid, self.host.pid("firewall"))
        self.assertIn("counter", nft("list", "table", "inet", self.foreign).out)
        self.assertFalse(self.reaches(self.a, self.gateway(self.a), self.host.ssh_port))

    def test_a_kill_leaves_the_rules_in_force(self):
        self.host.kill("firewall")
        self.assertFalse(self.reaches(self.a, self.gateway(self.a), self.host.ssh_port))
        lib.wait_for("the process", lambda: self.host.processes()["firewall"]["ready"])


class Settings(unittest.TestCase):
    def test_allowed_ports_and_off(self):
        with listener() as port:
            host = lib.Host(**{"firewall.allow": str(port)})
            with host:
                f = Firewall()
                Firewall.host = host
                stack = host.name("fws")
                host.push(host.app("s"), stack)
                self.assertTrue(f.reaches(stack, f.gateway(stack), port))
                host.stop()
                host.configure(**{"firewall.enabled": False, "firewall.allow": ""})
                host.start()
                lib.wait_for("no table", lambda: "off" in host.viking("firewall").out)
                self.assertTrue(f.reaches(stack, f.gateway(stack), port))


if __name__ == "__main__":
    unittest.main(verbosity=2)
