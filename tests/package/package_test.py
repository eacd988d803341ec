"""The package on this machine, as a person would: bootstrap twice, a push, an upgrade under load, purge. Ports are the defaults."""
import contextlib
import glob
import grp
import hashlib
import http.client
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
sys.path.insert(0, os.path.join(TOP, "tests/e2e"))
import lib  # noqa: E402
from lib import wait_for  # noqa: E402

USERS = ["viking", "viking-build", "viking-agent", "viking-sched", "viking-route", "viking-web", "viking-dns", "viking-net", "viking-certs", "viking-front"]


def run(*argv, check=True, timeout=1500, **kw):
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       errors="replace", timeout=timeout, **kw)
    if check:
        assert p.returncode == 0, f"{argv}: {p.returncode}\n{p.stdout}"
    return p.stdout


def page(host="demo.localhost"):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", 80, timeout=5)) as c:
        c.request("GET", "/", headers={"Host": host})
        r = c.getresponse()
        return r.status, r.read().decode()


def text(path):
    with open(path) as f:
        return f.read()


DATA = ["/var/lib/viking", "/etc/viking", "/var/lib/viking-bootstrap"]


def purge():
    """Whatever is installed of viking, and its data."""
    subprocess.run(["debconf-set-selections"], input="viking viking/purge-data boolean true\n", text=True, check=True)
    run("dpkg", "--purge", "viking", env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"))


ROOT_LABEL = "label=viking.root=" + hashlib.sha256(b"/var/lib/viking").hexdigest()[:16]


def demo_container():
    return run("docker", "ps", "-q", "--no-trunc", "--filter", ROOT_LABEL, "--filter", "label=viking.stack=demo").strip()


def left_in_engine():
    return "".join(run("docker", *what, "-q", "--filter", ROOT_LABEL) for what in
                   (["ps", "-a"], ["images"], ["network", "ls"], ["volume", "ls"]))


def as_user(user, *argv):
    """Runs argv with exactly the rights that vikingd gives to user's process; (status, output)."""
    pw = pwd.getpwnam(user)
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                       timeout=20, cwd="/", user=pw.pw_uid, group=pw.pw_gid, extra_groups=os.getgrouplist(user, pw.pw_gid))
    return p.returncode, p.stdout


def ask(user, sock, path, role=None):
    """The HTTP status that user gets at a socket; "" when it may not even connect or gets no answer."""
    head = ["-H", f"Viking-Role: {role}"] if role else []
    status, out = as_user(user, "curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", *head, "--unix-socket", sock,
                          "http://viking" + path)
    return out.strip() if status == 0 else ""


SSH = ["ssh", "-i", "/var/lib/viking-bootstrap/id_ed25519", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR",
       "-o", f"UserKnownHostsFile={os.path.expanduser('~')}/viking-demo/.git/known_hosts"]


def status_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


# What no other process may read, and who alone may.
SECRETS = {
    "/var/lib/viking/sched/viking.db": ["viking-sched"],
    "/var/lib/viking/sched/secret.key": ["viking-sched"],
    "/var/lib/viking/sched/audit.jsonl": ["viking-sched"],
    "/var/lib/viking/ssh/host_ed25519": ["viking"],
    "/var/lib/viking/repos/demo.git/HEAD": ["viking"],
    "/var/lib/viking/registry/password": ["viking-build", "viking-agent"],
    "/var/lib/viking/registry/htpasswd": ["viking-build"],
    "/var/lib/viking/registry/config.yml": ["viking-build"],
    "/var/lib/viking/route/haproxy.cfg": ["viking-route"],
    "/var/lib/viking/agent/desired.json": ["viking-agent"],
    "/var/lib/viking/agent/secret.key": ["viking-agent"],
}
# Where each may write; everything else below these two is closed to it.
PLACES = {
    "/var/lib/viking": [], "/var/lib/viking/sched": ["viking-sched"], "/var/lib/viking/ssh": ["viking"], "/var/lib/viking/repos": ["viking"],
    "/var/lib/viking/static": ["viking"], "/var/lib/viking/log": ["viking-agent"], "/var/lib/viking/agent": ["viking-agent"],
    "/var/lib/viking/route": ["viking-route"], "/var/lib/viking/registry": ["viking-build"], "/run/viking/route": ["viking-route"],
    "/run/viking/web": ["viking-web"], "/run/viking/helpers": [], "/etc/viking": [], "/usr/libexec/viking": [],
}
# Who gets an answer at a socket (file, path, role) and who is sent away.
SOCKETS = [
    ("/run/viking/agent.sock", "/facts", None, ["viking-sched", "viking-agent"]),
    ("/var/run/docker.sock", "/_ping", None, ["viking-build", "viking-agent"]),
    ("/run/viking/api.sock", "/v1/stacks", None, []),
    ("/run/viking/api.sock", "/v1/ping", "scheduler", []),
    ("/run/viking/api.sock", "/v1/ping", "agent", ["viking-agent"]),
    ("/run/viking/api.sock", "/v1/ping", "builder", ["viking-build"]),
    ("/run/viking/api.sock", "/v1/ping", "router", ["viking-route"]),
    ("/run/viking/api.sock", "/v1/ping", "web", ["viking-web"]),
    ("/run/viking/api.sock", "/v1/ping", "receiver", ["viking"]),
    ("/run/viking/api.sock", "/v1/ping", "hook", ["viking"]),
]


class Package(unittest.TestCase):
    """One story; unittest runs the chapters in the order of their names."""

    @classmethod
    def setUpClass(cls):
        """A machine without viking. A copy of the sources, so that whoever edits them meanwhile does not change what is tested."""
        if [d for d in DATA if os.path.exists(d)]:
            if "true" not in (os.environ.get("CI"), os.environ.get("VIKING_TEST_PURGE")):
                raise AssertionError("this machine has a viking, which this test would end with all its data; VIKING_TEST_PURGE=true lets it")
            purge()
            for d in DATA:
                shutil.rmtree(d, ignore_errors=True)
        cls.top = tempfile.mkdtemp(prefix="viking-package-test.", dir="/var/tmp")
        cls.src = cls.top + "/viking"
        shutil.copytree(TOP, cls.src, symlinks=True, ignore=lambda d, names: [
            n for n in names if d == TOP and (n == ".git" or n == "build" or n.startswith("build-"))])

    def test_1_bootstrap_serves_the_demo(self):
        out = run(self.src + "/packaging/bootstrap.sh", "--demo")
        self.assertIn("type 'viking help' to get help", out)
        self.assertIn("http://demo.localhost", out)
        status, body = page()
        self.assertEqual(200, status)
        self.assertIn("It sails", body)

    def test_2_every_process_has_its_own_user_and_is_confined(self):
        table = json.loads(text("/run/viking/processes.json"))
        status = {name: status_of(p["pid"]) for name, p in table.items()}
        owner = {name: pwd.getpwuid(int(st["Uid"].split()[0])).pw_name for name, st in status.items()}
        self.assertEqual({"scheduler": "viking-sched", "agent": "viking-agent", "builder": "viking-build", "router": "viking-route",
                          "web": "viking-web", "dns": "viking-dns", "firewall": "viking-net", "certs": "viking-certs", "front": "viking-front", "receiver": "viking", "haproxy": "viking-route", "links": "viking-route", "registry": "viking-build"}, owner)
        docker = str(grp.getgrnam("docker").gr_gid)
        for name, st in status.items():
            self.assertEqual("1", st["NoNewPrivs"], name)
            # haproxy may bind port 80, the name server 53, the firewall change nftables; nothing else is root's
            may = {"haproxy": 1 << 10, "dns": 1 << 10, "firewall": 1 << 12}
            self.assertEqual(may.get(name, 0), int(st["CapEff"], 16), name)
            self.assertEqual(name in ("agent", "builder"), docker in st["Groups"].split(), f"{name} in the group docker")
            if name not in ("haproxy", "links", "registry"):
                self.assertIn("seccomp=on", table[name]["sandbox"], name)
                self.assertEqual("2", st["Seccomp"], name)
        for name in ("scheduler", "router", "web", "receiver"):
            self.assertIn("landlock=on", table[name]["sandbox"])

    def test_2a_doctor_finds_nothing_wrong(self):
        checks = json.loads(run("viking", "doctor", "--json"))["checks"]
        self.assertEqual([], [c for c in checks if c["ok"] is not True])
        self.assertLessEqual({"process", "sandbox", "registry", "ssh", "http", "engine", "disk"}, {c["name"] for c in checks})

    def test_2b_no_user_reads_what_is_anothers(self):
        for path, readers in SECRETS.items():
            for user in USERS + ["nobody"]:
                status, out = as_user(user, "cat", path)
                self.assertEqual(user in readers, status == 0, f"{user} reads {path}: {out[:80]}")
                if user not in readers:
                    self.assertIn("Permission denied", out)

    def test_2c_no_user_writes_where_another_does(self):
        for place, writers in PLACES.items():
            for user in USERS + ["nobody"]:
                status, out = as_user(user, "mkdir", place + "/probe")
                if status == 0:
                    os.rmdir(place + "/probe")
                self.assertEqual(user in writers, status == 0, f"{user} writes {place}: {out[:80]}")
        # Everyone's sockets lie in one directory, but each can take away only its own.
        for user in USERS + ["nobody"]:
            for name in ("api.sock", "agent.sock", "export.sock", "vikingd.pid", "processes.json"):
                st = os.stat("/run/viking/" + name)
                if pwd.getpwuid(st.st_uid).pw_name != user:
                    status, out = as_user(user, "mv", "-f", "/run/viking/" + name, "/run/viking/taken")
                    self.assertNotEqual(0, status, f"{user} takes {name} away")
        self.assertNotEqual(0, as_user("nobody", "mkdir", "/run/viking/probe")[0])

    def test_2d_no_user_is_answered_as_another(self):
        for sock, path, role, allowed in SOCKETS:
            for user in USERS + ["nobody"]:
                got = ask(user, sock, path, role)
                self.assertEqual("200" if user in allowed else "403" if "docker" not in sock else "", got, f"{user} at {sock}{path} as {role}")
        # A role is no right to what a person may do.
        for user, role in (("viking", "receiver"), ("viking", "hook"), ("viking-web", "web"), ("viking-build", "builder")):
            self.assertEqual("403", ask(user, "/run/viking/api.sock", "/v1/keys", role), user)

    def export(self, user):
        """What RUN/export.sock, which hands out any commit, says to user."""
        commit = run("git", "-C", os.path.expanduser("~/viking-demo"), "rev-parse", "HEAD").strip()
        order = {"mode": "tar", "stack": "demo", "commit": commit, "refs": {}, "node": "", "document_root": "", "recipe": {
            "inline": None, "dockerfile": "Dockerfile", "context": ".", "args": {}, "target": "", "needs": [], "refs": []}}
        code = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.settimeout(10)\ns.connect('/run/viking/export.sock')\n"
                "try:\n  s.sendall(sys.argv[1].encode()+b'\\n')\n  print(s.makefile('rb').readline().decode())\nexcept OSError: pass\n")
        return as_user(user, "/usr/bin/python3", "-c", code, json.dumps(order))[1].strip()

    def test_2e_only_the_builder_gets_sources(self):
        self.assertIn("dockerfile", json.loads(self.export("viking-build")))
        for user in [u for u in USERS if u not in ("viking-build", "viking")] + ["nobody"]:
            self.assertNotIn("dockerfile", self.export(user), user)

    def test_2f_ssh_commands_and_a_website_work(self):
        self.assertIn("demo-web-", self.ssh("ps", "demo"))
        self.assertEqual("sailed", self.ssh("run", "demo", "/bin/busybox", "echo", "sailed").strip())
        work = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, work)
        os.mkdir(work + "/www")
        with open(work + "/www/index.html", "w") as f:
            f.write("a still page")
        with open(work + "/vikingfile", "w") as f:
            f.write("viking: {name: still}\ndeploy:\n  page: {type: website, document_root: www, domains: [still.localhost]}\n")
        for argv in (["init", "-q", "-b", "master"], ["add", "-A"],
                     ["-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "-q", "-m", "page"]):
            run("git", "-C", work, *argv)
        run("git", "-C", work, "push", "ssh://viking@127.0.0.1:2222/still", "master", env=dict(os.environ, GIT_SSH_COMMAND=" ".join(SSH)))
        status, body = page("still.localhost")
        self.assertEqual((200, "a still page"), (status, body))
        self.assertIn("still", self.ssh("stacks:list"))
        self.ssh("stacks:destroy", "still", "--force")
        wait_for("the page to go", lambda: page("still.localhost")[0] == 404, 20)

    def ssh(self, *words):
        return run(*SSH, "-p", "2222", "viking@127.0.0.1", *words)

    def test_3_bootstrap_again_changes_nothing(self):
        before, pid = demo_container(), text("/run/viking/vikingd.pid")
        self.assertTrue(before)
        out = run(self.src + "/packaging/bootstrap.sh", "--demo")
        self.assertIn("built and installed", out)
        self.assertEqual(before, demo_container())
        self.assertEqual(pid, text("/run/viking/vikingd.pid"))
        self.assertEqual(1, len(json.loads(run("viking", "keys:list", "--json"))["keys"]))

    def test_4_package_is_clean(self):
        deb = glob.glob("/var/lib/viking-bootstrap/viking_*.deb")[0]
        out = run("lintian", "--allow-root", "--fail-on", "error", deb)
        self.assertNotIn("E: ", out)
        for path in glob.glob(f"{TOP}/packaging/man/*.[158]"):
            p = subprocess.run(["man", "--warnings", "-l", "-Tutf8", path], capture_output=True, text=True, timeout=30,
                               env=dict(os.environ, MANPAGER="cat", LC_ALL="C.UTF-8"))
            self.assertEqual((0, ""), (p.returncode, p.stderr), path)
            self.assertIn("viking", p.stdout)

    def test_4a_configuration_is_checked_and_explained(self):
        self.assertIn("ssh.port: 2222", run("vikingd", "--check"))
        out = run("viking", "config", "--explain")
        self.assertIn("# port of the SSH server", out)
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
            f.write("ssh: {port: 99999}\n")
            f.flush()
            p = subprocess.run(["vikingd", "--config", f.name, "--check"], capture_output=True, text=True, timeout=30)
            self.assertNotEqual(0, p.returncode)
            self.assertIn("ssh.port", p.stderr)

    def test_5_unit_is_valid_and_its_command_tells_readiness(self):
        out = run("systemd-analyze", "verify", "/lib/systemd/system/viking.service", check=False)
        self.assertNotIn("viking.service", out.replace("docker.service", ""))
        line = next(x for x in text("/lib/systemd/system/viking.service").split("\n") if x.startswith("ExecStart="))
        argv = line.strip().split("=", 1)[1].split()
        self.assertEqual(["/usr/sbin/vikingd"], argv)
        self.restart(argv)

    def restart(self, argv):
        """Ends vikingd as systemd would and starts the unit's exact command line with a NOTIFY_SOCKET."""
        pid = int(text("/run/viking/vikingd.pid"))
        os.kill(pid, 15)
        wait_for("vikingd to end", lambda: not os.path.exists(f"/proc/{pid}/exe"), 20)
        d = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, d)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(d + "/notify")
        s.settimeout(30)
        with open("/var/log/viking/vikingd.log", "ab") as log:
            subprocess.run(["setsid", "-f"] + argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True,
                           env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET": d + "/notify"})
        got = b""
        while b"READY=1" not in got:
            got += s.recv(4096)
        s.close()

    def test_6_upgrade_under_load_fails_no_request(self):
        before, helpers = demo_container(), self.helpers()
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
            run("dpkg", "-i", self.newer())
            self.restart(["/usr/sbin/vikingd"])
            time.sleep(1)
        finally:
            end.set()
            t.join()
        self.assertGreater(sent[0], 50)
        self.assertEqual([], failed)
        self.assertEqual(before, demo_container())
        self.assertEqual("0.1.0+next", run("dpkg-query", "-W", "-f", "${Version}", "viking"))
        self.assertEqual(helpers, self.helpers())

    def helpers(self):
        return [text("/run/viking/helpers/" + name) for name in ("haproxy", "links", "registry")]

    def newer(self):
        """The same package with a higher version: what an upgrade installs."""
        d = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, d)
        run("dpkg-deb", "-R", glob.glob("/var/lib/viking-bootstrap/viking_*.deb")[0], d + "/tree")
        run("sed", "-i", "s/^Version: .*/Version: 0.1.0+next/", d + "/tree/DEBIAN/control")
        run("dpkg-deb", "--root-owner-group", "-b", d + "/tree", d + "/viking.deb")
        return d + "/viking.deb"

    def test_7_second_vikingd_is_refused(self):
        p = subprocess.run(["/usr/sbin/vikingd"], capture_output=True, text=True, timeout=30)
        self.assertEqual(5, p.returncode, p.stderr)
        self.assertIn("another vikingd", p.stderr)

    def test_7a_another_instance_beside_it(self):
        """Of the same programs under a root of its own: its processes have the package's users too."""
        lib.STAGE = "/usr"
        with unittest.mock.patch.dict(os.environ, VIKING_SINGLE_UID="0"):
            beside = lib.Host()
            os.chmod(beside.root, 0o755)
            with beside as h:
                self.assertEqual("viking-build", pwd.getpwuid(int(status_of(h.pid("builder"))["Uid"].split()[0])).pw_name)
                stack = h.name("beside")
                h.push(h.app("beside"), stack)
                self.assertEqual((200, "beside\n"), h.get(stack + ".apps.test"))
                self.assertEqual(200, page()[0])

    def test_8_purge_leaves_the_data_unless_told(self):
        noninteractive = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        run("dpkg", "--remove", "viking", env=noninteractive)
        self.assertTrue(os.path.exists("/var/lib/viking/sched/viking.db"))
        self.assertEqual([], processes_of_viking())
        # installed by dpkg alone, debconf has never heard of the question: nobody is asked, the data stays
        subprocess.run(["debconf-communicate", "viking"], input="PURGE\n", text=True, check=True, stdout=subprocess.DEVNULL)
        run("sh", "/var/lib/dpkg/info/viking.postrm", "purge", env=noninteractive)
        self.assertTrue(os.path.exists("/var/lib/viking/sched/viking.db"))
        os.makedirs("/etc/viking/conf.d", exist_ok=True)
        with open("/etc/viking/conf.d/90-mine.yml", "w") as f:
            f.write("builds.disk: 20G\n")
        purge()
        left = glob.glob("/var/lib/viking/*") + glob.glob("/etc/viking*") + glob.glob("/run/viking/*") + glob.glob("/usr/libexec/viking*") + \
            glob.glob("/var/log/viking*") + glob.glob("/usr/*bin/viking*") + glob.glob("/lib/systemd/system/viking*") + \
            glob.glob("/etc/systemd/system/*/viking*") + glob.glob("/var/lib/dpkg/info/viking.*")
        self.assertEqual([], left)
        self.assertFalse(os.path.exists("/var/lib/viking"))
        self.assertEqual("", left_in_engine())
        self.assertEqual("", run("sh", "-c", "getent passwd | grep ^viking; getent group | grep viking; true"))
        with contextlib.suppress(ConnectionRefusedError):
            page()
            self.fail("something still serves port 80")

    @classmethod
    def tearDownClass(cls):
        """What bootstrap made beside the package: its own directory and the person's copy of the demo."""
        shutil.rmtree(cls.top, ignore_errors=True)
        shutil.rmtree("/var/lib/viking-bootstrap", ignore_errors=True)
        shutil.rmtree(os.path.expanduser("~/viking-demo"), ignore_errors=True)


def processes_of_viking():
    """Command lines of all processes that run under one of the users."""
    uids = {pwd.getpwnam(user).pw_uid for user in USERS}
    found = []
    for d in glob.glob("/proc/[0-9]*"):
        with contextlib.suppress(OSError):
            if os.stat(d).st_uid in uids:
                found.append(text(d + "/cmdline"))
    return found


if __name__ == "__main__":
    unittest.main(verbosity=2)
