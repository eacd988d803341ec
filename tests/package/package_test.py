"""The package on this machine, as a person would: bootstrap twice, a push, an upgrade under load, purge. Ports are the defaults."""
import contextlib
import glob
import http.client
import os
import pwd
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
sys.path.insert(0, os.path.join(TOP, "tests/e2e"))
from lib import wait_for  # noqa: E402

USERS = ["viking", "viking-build", "viking-agent", "viking-sched", "viking-route", "viking-web"]


def run(*argv, check=True, timeout=1500, **kw):
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       errors="replace", timeout=timeout, **kw)
    if check:
        assert p.returncode == 0, f"{argv}: {p.returncode}\n{p.stdout}"
    return p.stdout


def page(host="demo.localhost"):
    c = http.client.HTTPConnection("127.0.0.1", 80, timeout=5)
    c.request("GET", "/", headers={"Host": host})
    r = c.getresponse()
    return r.status, r.read().decode()


def demo_container():
    return run("docker", "ps", "-q", "--no-trunc", "--filter", "label=viking.stack=demo").strip()


class Package(unittest.TestCase):
    """One story; unittest runs the chapters in the order of their names."""

    def test_1_bootstrap_serves_the_demo(self):
        out = run(TOP + "/packaging/bootstrap.sh", "--demo")
        self.assertIn("type 'viking help' to get help", out)
        self.assertIn("http://demo.localhost", out)
        status, body = page()
        self.assertEqual(200, status)
        self.assertIn("It sails", body)

    def test_2_every_process_has_its_own_user_and_is_confined(self):
        out = run("viking", "doctor", "--json", check=False)
        table = __import__("json").load(open("/run/viking/processes.json"))
        owner = {name: pwd.getpwuid(os.stat(f"/proc/{p['pid']}").st_uid).pw_name for name, p in table.items()}
        self.assertEqual({"scheduler": "viking-sched", "agent": "viking-agent", "builder": "viking-build", "router": "viking-route",
                          "web": "viking-web", "receiver": "viking", "haproxy": "viking-route", "registry": "viking-build"}, owner, out)
        for name in ("router", "web"):
            self.assertIn("landlock=on", table[name]["sandbox"])
            self.assertIn("seccomp=on", table[name]["sandbox"])
        for name in owner:
            if name not in ("haproxy",):
                with open(f"/proc/{table[name]['pid']}/status") as f:
                    text = f.read()
                if name != "registry":
                    self.assertIn("NoNewPrivs:\t1", text, name)
                self.assertIn("CapEff:\t0000000000000000", text, name)

    def test_3_bootstrap_again_changes_nothing(self):
        before = demo_container()
        out = run(TOP + "/packaging/bootstrap.sh", "--demo")
        self.assertIn("built and installed", out)
        self.assertEqual(before, demo_container())

    def test_4_package_is_clean(self):
        deb = glob.glob("/var/lib/viking-bootstrap/viking_*.deb")[0]
        out = run("lintian", "--allow-root", "--fail-on", "error", deb)
        self.assertNotIn("E: ", out)
        for page_name in ("viking.1", "vikingd.8"):
            out = run("man", "--warnings", "-l", "-Tutf8", f"{TOP}/packaging/man/{page_name}")
            self.assertIn("viking", out)

    def test_5_unit_is_valid_and_its_command_tells_readiness(self):
        out = run("systemd-analyze", "verify", "/lib/systemd/system/viking.service", check=False)
        self.assertNotIn("viking.service", out.replace("docker.service", ""))
        line = next(x for x in open("/lib/systemd/system/viking.service") if x.startswith("ExecStart="))
        argv = line.strip().split("=", 1)[1].split()
        self.assertEqual(["/usr/sbin/vikingd"], argv)
        self.restart(argv)

    def restart(self, argv):
        """Ends vikingd as systemd would and starts the unit's exact command line with a NOTIFY_SOCKET."""
        pid = int(open("/run/viking/vikingd.pid").read())
        os.kill(pid, 15)
        wait_for("vikingd to end", lambda: not os.path.exists(f"/proc/{pid}"), 20)
        d = tempfile.mkdtemp()
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(d + "/notify")
        s.settimeout(30)
        with open("/var/log/viking/vikingd.log", "ab") as log:
            subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                             env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET": d + "/notify"})
        got = b""
        while b"READY=1" not in got:
            got += s.recv(4096)
        s.close()

    def test_6_upgrade_under_load_fails_no_request(self):
        before = demo_container()
        end, sent, failed = threading.Event(), [0], []

        def load():
            while not end.is_set():
                sent[0] += 1
                try:
                    status, body = page()
                    if status != 200:
                        failed.append(status)
                except OSError as e:
                    failed.append(repr(e))
                end.wait(0.01)

        t = threading.Thread(target=load)
        t.start()
        try:
            run("dpkg", "-i", glob.glob("/var/lib/viking-bootstrap/viking_*.deb")[0])
            self.restart(["/usr/sbin/vikingd"])
            time.sleep(1)
        finally:
            end.set()
            t.join()
        self.assertGreater(sent[0], 50)
        self.assertEqual([], failed)
        self.assertEqual(before, demo_container())

    def test_7_second_vikingd_is_refused(self):
        p = subprocess.run(["/usr/sbin/vikingd"], capture_output=True, text=True, timeout=30)
        self.assertEqual(5, p.returncode, p.stderr)
        self.assertIn("another vikingd", p.stderr)

    def test_8_purge_asks_for_data_and_then_leaves_nothing(self):
        subprocess.run(["debconf-set-selections"], input="viking viking/purge-data boolean true\n", text=True, check=True)
        run("dpkg", "--purge", "viking", env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"))
        self.assertFalse(os.path.exists("/var/lib/viking"))
        self.assertFalse(os.path.exists("/etc/viking"))
        self.assertEqual("", demo_container())
        for user in USERS:
            with self.assertRaises(KeyError):
                pwd.getpwnam(user)
        with contextlib.suppress(ConnectionRefusedError):
            page()
            self.fail("something still serves port 80")


if __name__ == "__main__":
    unittest.main(verbosity=2)
