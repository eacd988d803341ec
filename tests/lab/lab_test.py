"""The lab itself: three hosts, each with an engine and a vikingd of its own; cut, killed, rebooted; and then nothing is left."""
import contextlib
import glob
import hashlib
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 120  # seconds, a guard against hanging


class Lab:
    def __init__(self):
        self.dir = os.path.join(tempfile.mkdtemp(prefix="vlt-"), "lab")
        os.chmod(os.path.dirname(self.dir), 0o755)

    def __call__(self, *words, check=True, **more):
        more.setdefault("stdin", subprocess.DEVNULL)
        p = subprocess.run([os.path.join(HERE, "lab"), *words], capture_output=True, text=True, timeout=PATIENCE,
                           env=dict(os.environ, VIKING_LAB=self.dir), **more)
        if check and p.returncode != 0:
            raise AssertionError(f"lab {' '.join(words)}: {p.returncode}\n{p.stdout}\n{p.stderr}")
        return p.stdout.strip()

    def status(self):
        return json.loads(self("status", "--json"))

    def start(self, host, *words, **more):
        """A command on a host that runs beside us; its process."""
        more.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen([os.path.join(HERE, "lab"), "exec", host, *words], text=True, env=dict(os.environ, VIKING_LAB=self.dir),
                                **more)

    def python(self, host, text):
        """A program on a host; it says `ready` before it waits."""
        p = self.start(host, "/usr/bin/python3", "-c", "import socket\n" + text, stdout=subprocess.PIPE)
        assert p.stdout.readline() == "ready\n"
        return p

    def import_base(self, host):
        tar = subprocess.Popen(["tar", "-C", "/", "-c", "bin/busybox"], stdout=subprocess.PIPE)
        self("exec", host, "docker", "import", "-", "base", stdin=tar.stdout)
        tar.stdout.close()
        tar.wait()

    def down(self):
        self("down")
        os.rmdir(os.path.dirname(self.dir))


def machine():
    """What the lab must not touch: no rule, address or route of its networks, and docker0 as it was."""
    shown = [subprocess.run(words, capture_output=True, text=True).stdout.splitlines() for words in
             (["nft", "-s", "list", "ruleset"], ["ip", "-br", "address"], ["ip", "route"])]
    # docker0 is up while any container is on it, which is others' business
    return [x.replace(" UP ", " - ").replace(" DOWN ", " - ").split() for lines in shown for x in lines
            if "100.64.0." in x or "100.65." in x or x.startswith("docker0")]


class LabTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.machine = machine()
        cls.lab = Lab()
        cls.addClassCleanup(cls.lab.down)
        cls.lab("up", "3")
        for h in cls.lab.status():
            cls.lab.import_base(h)

    def send(self, source, target):
        """Does a packet of source's arrive at target?"""
        receiver = self.lab.python(target, "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 9999)); s.settimeout(2)\n"
                                   "print('ready', flush=True)\n"
                                   "try: print(s.recv(9).decode())\nexcept TimeoutError: print('nothing')")
        self.lab("exec", source, "/usr/bin/python3", "-c",
                 f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'hello', ('{target}', 9999))")
        return receiver.communicate(timeout=PATIENCE)[0].strip() == "hello"

    def banner(self, source, target):
        """The first bytes of target's SSH port, as source sees them."""
        return self.lab("exec", source, "/usr/bin/python3", "-c", f"import socket\ns = socket.create_connection(('{target}', 2222), 3)\n"
                        "print(s.recv(7).decode())", check=False)

    def test_three_hosts_are_three_machines(self):
        for h in ("h1", "h2", "h3"):
            self.assertEqual(self.lab("exec", h, "hostname"), h)
            self.assertIn("viking", self.lab("exec", h, "viking", "version"))
            self.assertEqual(self.lab("exec", h, "docker", "run", "--rm", "base", "busybox", "echo", "from " + h), "from " + h)
        self.lab("exec", "h1", "viking", "stacks:create", "only-here")
        self.assertIn("only-here", self.lab("exec", "h1", "viking", "stacks"))
        self.assertNotIn("only-here", self.lab("exec", "h2", "viking", "stacks"))
        self.assertEqual(self.banner("h1", "h2"), "SSH-2.0")
        self.assertEqual(self.banner("switch", "100.64.0.3"), "SSH-2.0")

    def test_up_again_starts_nothing_anew(self):
        before = self.lab.status()
        self.lab("up", "3")
        self.assertEqual(self.lab.status(), before)

    def test_a_partition_cuts_two_hosts_and_no_third(self):
        self.addCleanup(self.lab, "heal")
        self.lab("partition", "h1", "h2")
        self.assertEqual(self.lab.status()["h1"]["hears_not"], ["100.64.0.2"])
        self.assertEqual([self.send(*pair) for pair in (("h1", "h2"), ("h2", "h1"), ("h1", "h3"), ("h3", "h2"))],
                         [False, False, True, True])
        self.assertEqual(self.banner("h1", "h2"), "")
        self.lab("heal")
        self.assertEqual(self.banner("h1", "h2"), "SSH-2.0")

    def test_a_one_way_partition(self):
        self.addCleanup(self.lab, "heal")
        self.lab("partition", "h1", "h2", "--one-way")
        self.assertEqual([self.send("h1", "h2"), self.send("h2", "h1")], [False, True])

    def test_a_killed_host_keeps_its_containers_and_comes_back(self):
        self.lab("exec", "h2", "docker", "run", "-d", "--name", "stays", "base", "busybox", "sleep", "100000")
        started = "docker", "inspect", "-f", "{{.State.StartedAt}}", "stays"
        before = self.lab("exec", "h2", *started)
        self.lab("kill", "h2")
        s = self.lab.status()["h2"]
        self.assertEqual((s["engine_answers"], s["viking_answers"]), (False, False))
        self.assertIsNotNone(s["init"])
        self.lab("up")
        self.assertEqual(self.lab("exec", "h2", *started), before)
        self.assertIn("viking", self.lab("exec", "h2", "viking", "version"))

    def test_a_reboot_ends_everything_but_the_disks(self):
        self.lab("exec", "h3", "docker", "run", "-d", "--name", "ends", "base", "busybox", "sleep", "100000")
        self.lab("exec", "h3", "viking", "stacks:create", "kept")
        before = self.lab.status()["h3"]["init"]
        self.lab("reboot", "h3")
        self.assertNotEqual(self.lab.status()["h3"]["init"], before)
        self.assertEqual(self.lab("exec", "h3", "docker", "inspect", "-f", "{{.State.Running}}", "ends"), "false")
        self.assertIn("kept", self.lab("exec", "h3", "viking", "stacks"))

    def test_a_host_that_is_off_says_so(self):
        self.addCleanup(self.lab, "up")
        self.lab("off", "h1")
        self.assertIsNone(self.lab.status()["h1"]["init"])
        self.assertEqual(self.banner("h2", "h1"), "")

    def test_the_machine_is_as_it_was(self):
        self.assertEqual(machine(), self.machine)


class DownTest(unittest.TestCase):
    def test_nothing_is_left(self):
        lab = Lab()
        with contextlib.ExitStack() as stack:
            stack.callback(lab.down)
            lab("up", "1", "--no-viking")
            lab.import_base("h1")
            lab("exec", "h1", "docker", "run", "-d", "-p", "80:80", "base", "busybox", "sleep", "100000")
            mark = self.left(lab)
            self.assertTrue(mark["processes"] and mark["namespaces"] and mark["cgroups"] and mark["files"], mark)
        self.assertEqual(self.left(lab), {"processes": [], "namespaces": [], "cgroups": [], "mounts": [], "files": []})
        lab("down")  # twice is fine

    @staticmethod
    def left(lab):
        name = "lab" + hashlib.sha256(lab.dir.encode()).hexdigest()[:4]
        processes = []
        for p in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                text = "".join((p / f).read_text(errors="replace") for f in ("cmdline", "cgroup", "environ"))
                if (lab.dir in text or name in text) and os.readlink(p / "ns/net") != os.readlink("/proc/self/ns/net"):
                    processes.append(p)
        return {"processes": processes, "namespaces": glob.glob(f"/run/netns/{name}*"),
                "cgroups": glob.glob(f"/sys/fs/cgroup/*/{name}*") + glob.glob(f"/sys/fs/cgroup/{name}*"),
                "mounts": [x for x in pathlib.Path("/proc/mounts").read_text().splitlines() if lab.dir in x or name in x and "netns" not in x],
                "files": glob.glob(lab.dir + "*")}


if __name__ == "__main__":
    unittest.main(verbosity=2)
