"""A whole viking under a private directory, and the real clients that talk to it.

    with Host() as h:
        app = h.app("hello")            # a git work tree with a Dockerfile
        h.push(app, "hello")            # a real git push over SSH
        h.get("hello.test")             # through HAProxy

Every Host has its own ports, state, sub-networks and registry; it removes its containers, networks and volumes at the
end and ends only the processes that it started.
"""
import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

STAGE = os.environ.get("VIKING_STAGE") or os.path.join(os.getcwd(), "build/tests/stage/usr/local")
ENGINE = os.environ.get("VIKING_ENGINE_SOCKET", "/var/run/docker.sock")
BASE = "viking-test-base"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def unix_call(path, method, url, body=None, headers=None):
    c = UnixConnection(path)
    c.request(method, url, body, headers or {})
    r = c.getresponse()
    data = r.read()
    c.close()
    try:
        return r.status, json.loads(data) if data else None
    except ValueError:
        return r.status, data


def engine(method, url, body=None, path=ENGINE):
    headers = {"Content-Type": "application/json"} if body is not None else {}
    return unix_call(path, method, url, json.dumps(body) if body is not None else None, headers)


def containers(label, path=ENGINE):
    q = json.dumps({"label": [label]}).replace('"', "%22").replace(" ", "")
    return engine("GET", "/containers/json?all=1&filters=" + q, path=path)[1] or []


def inspected(label, path=ENGINE):
    """The same, each as the engine inspects it; one that goes meanwhile is left out."""
    answers = [engine("GET", f"/containers/{c['Id']}/json", path=path) for c in containers(label, path)]
    return [c for status, c in answers if status == 200]


def base_image():
    """A busybox image without any registry: everything is local."""
    if engine("GET", f"/images/{BASE}:latest/json")[0] == 200:
        return
    d = tempfile.mkdtemp()
    os.makedirs(d + "/bin")
    shutil.copy("/bin/busybox", d + "/bin/busybox")
    for name in subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True).stdout.split():
        with contextlib.suppress(FileExistsError):
            os.symlink("busybox", f"{d}/bin/{name}")
    os.makedirs(d + "/tmp")
    os.makedirs(d + "/etc")
    with open(d + "/etc/passwd", "w") as f:
        f.write("root:x:0:0:root:/:/bin/sh\n")
    tar = subprocess.Popen(["tar", "-C", d, "-c", "."], stdout=subprocess.PIPE)
    subprocess.run(["docker", "-H", "unix://" + ENGINE, "import", "-", BASE + ":latest"], stdin=tar.stdout, check=True,
                   stdout=subprocess.DEVNULL)
    tar.stdout.close()
    tar.wait()
    shutil.rmtree(d)


_ports = set()


def free_port():
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            p = s.getsockname()[1]
        if p not in _ports:
            _ports.add(p)
            return p


def wait_for(what, check, seconds=30):
    """Polls a condition of the outside world with a deadline; returns what check returned."""
    end = time.monotonic() + seconds
    while True:
        v = check()
        if v:
            return v
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Result:
    def __init__(self, p):
        self.status, self.out, self.err = p.returncode, p.stdout, p.stderr

    def __repr__(self):
        return f"status {self.status}\n{self.out}\n{self.err}"


class Host:
    trees = None  # where work trees are made when not under root
    log_path = None  # of vikingd's output when not under root

    def __init__(self, **settings):
        self.root = tempfile.mkdtemp(prefix="vk-")
        self.ssh_port, self.http_port, self.registry_port = free_port(), free_port(), free_port()
        self.https_port = free_port()
        self.settings = {
            "ssh.port": self.ssh_port, "ssh.address": "127.0.0.1", "http.port": self.http_port,
            "http.address": "127.0.0.1", "https.port": self.https_port, "registry.port": self.registry_port,
            "web.port": free_port(), "cluster.port": free_port(), "cluster.address": "127.0.0.1",
            "base_domain": "apps.test", "engine.socket": ENGINE,
            "builder.stack_ahead": False,  # 450 MB into the registry of each
            "paths.libexec": STAGE + "/libexec/viking", "receive.min_free": "1M",
            "networks.range": self.own_range(), "nodes.memory": "64M",
            "deploy.drain": "2s",
        }
        self.settings.update(settings)
        self.daemon = None
        self.log_path = self.log_path or self.root + "/vikingd.log"
        self.log = open(self.log_path, "ab")
        os.makedirs(self.root + "/etc/viking", exist_ok=True)
        self.configure()
        self.key = self.make_key("admin")

    def own_range(self):
        """One that no test beside this one has, and of which none before left a network: its addresses are the host's."""
        used = subprocess.run(["ip", "-o", "-4", "addr"], capture_output=True, text=True, check=True).stdout
        for n in random.sample(range(64, 250), 186):
            if f" 10.{n}." in used:
                continue
            self.range_lock = open(f"/tmp/viking-range.{n}.lock", "w")
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self.range_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return f"10.{n}.0.0/16"
            self.range_lock.close()
        raise AssertionError("no range of addresses is free")

    # configuration and processes
    def configure(self, **more):
        self.settings.update(more)
        with open(self.root + "/etc/viking/viking.conf", "w") as f:
            for k, v in self.settings.items():
                f.write(f"{k}: {json.dumps(v)}\n")

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    @property
    def api_socket(self):
        return self.path("run/viking/api.sock")

    def start(self, wait=True):
        base_image()
        notify = self.path("notify.sock")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(notify)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(notify)
        env = dict(os.environ, NOTIFY_SOCKET=notify, VIKING_SINGLE_UID=os.environ.get("VIKING_SINGLE_UID", "1"))
        self.daemon = subprocess.Popen([STAGE + "/sbin/vikingd", "--root", self.root], stdout=self.log, stderr=self.log,
                                       env=env, start_new_session=True)
        if wait:
            s.settimeout(1)
            end = time.monotonic() + 60
            while True:
                with contextlib.suppress(TimeoutError):
                    if b"READY=1" in s.recv(4096):
                        break
                if self.daemon.poll() is not None or time.monotonic() > end:
                    raise AssertionError("vikingd did not become ready:\n" + self.tail())
        s.close()
        return self

    def tail(self, n=60):
        self.log.flush()
        with open(self.log_path, errors="replace") as f:
            return "\n".join(f.read().splitlines()[-n:])

    def processes(self):
        with open(self.path("run/viking/processes.json")) as f:
            return json.load(f)

    # what tests/fault/invariants.py asks, of a cluster too

    domain, http_address = "apps.test", "127.0.0.1"

    def inspected(self, label):
        return inspected(label)

    def head(self, stack):
        out = subprocess.run(["git", "ls-remote", self.url(stack), "refs/heads/master"], env=self.git_env(), capture_output=True, text=True)
        return (out.stdout.split() or [None])[0]

    def pid(self, name):
        return self.processes()[name]["pid"]

    def kill(self, name, sig=signal.SIGKILL):
        pid = self.daemon.pid if name == "vikingd" else self.pid(name)
        os.kill(pid, sig)
        return pid

    def stop(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.terminate()
            try:
                self.daemon.wait(20)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        self.daemon = None

    def end_helpers(self):
        for name in ("haproxy", "registry", "links", "etcd"):
            try:
                pid, start = map(int, open(self.path("run/viking/helpers", name)).read().split())
                stat = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
                if int(stat[19]) == start:
                    os.killpg(pid, signal.SIGTERM)
            except (OSError, ValueError):
                pass


    def cleanup(self):
        self.stop()
        self.end_helpers()
        names = set(getattr(self, "stacks", ()))
        for c in containers("viking.stack"):
            if c["Labels"]["viking.stack"] in names:
                engine("DELETE", f"/containers/{c['Id']}?force=1&v=1")
        for n in (engine("GET", "/networks")[1] or []):
            if n["Name"].startswith("viking-") and n["Name"][len("viking-"):] in names:
                engine("DELETE", "/networks/" + n["Id"])
        for v in (engine("GET", "/volumes")[1] or {}).get("Volumes") or []:
            if any(v["Name"].startswith(f"viking-{s}-") for s in names):
                engine("DELETE", "/volumes/" + v["Name"] + "?force=1")
        table = "viking_" + hashlib.sha256(self.path("var/lib/viking").encode()).hexdigest()[:16]
        subprocess.run(["nft", "delete", "table", "inet", table], stderr=subprocess.DEVNULL, check=False)
        self.log.close()
        if os.environ.get("VIKING_KEEP"):
            print("kept", self.root, file=sys.stderr)
        else:
            shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self):
        try:
            self.start()
            self.add_key("admin", role="admin")
        except BaseException:
            self.cleanup()
            raise
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print("---- vikingd's last lines\n" + self.tail(), file=sys.stderr, flush=True)
        self.cleanup()

    # names that no other test on this engine uses
    def name(self, prefix="app"):
        if not hasattr(self, "stacks"):
            self.stacks = []
        s = f"{prefix}-{os.getpid() % 10000}-{random.randrange(1 << 24):x}"
        self.stacks.append(s)
        return s

    # clients
    def make_key(self, name, kind="ed25519", *args):
        path = self.path("key-" + name)
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", path, *args], check=True)
        return path

    def add_key(self, name, *args, role="deploy", key=None):
        with open((key or self.path("key-" + name)) + ".pub") as f:
            r = self.viking("keys:add", name, "--role", role, *args, stdin=f)
        assert r.status == 0, r
        return r

    def viking(self, *words, stdin=subprocess.DEVNULL, timeout=120):
        return Result(subprocess.run([STAGE + "/bin/viking", "--root", self.root, *words], stdin=stdin, capture_output=True,
                                     text=True, errors="replace", timeout=timeout,
                                     env=dict(os.environ, VIKING_SINGLE_UID=os.environ.get("VIKING_SINGLE_UID", "1"))))

    def json(self, *words):
        r = self.viking(*words, "--json")
        assert r.status == 0, r
        return json.loads(r.out)

    def json_any(self, *words):
        """As json, for a command that answers and still ends with a status (doctor)."""
        return json.loads(self.viking(*words, "--json").out)

    def ssh_options(self, key=None):
        return ["-F", "/dev/null", "-i", key or self.key, "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o",
                "UserKnownHostsFile=" + self.path("known_hosts"), "-o", "LogLevel=ERROR", "-o", "BatchMode=yes"]

    def ssh(self, *words, key=None, stdin=subprocess.DEVNULL, timeout=120, options=()):
        return Result(subprocess.run(["ssh", *self.ssh_options(key), *options, "-p", str(self.ssh_port), "viking@127.0.0.1",
                                      *words], stdin=stdin, capture_output=True, text=True, errors="replace", timeout=timeout))

    def git_env(self, key=None):
        return dict(os.environ, GIT_SSH_COMMAND=" ".join(["ssh", *self.ssh_options(key)]), GIT_CONFIG_NOSYSTEM="1",
                    GIT_CONFIG_GLOBAL="/dev/null", GIT_AUTHOR_NAME="t", GIT_AUTHOR_EMAIL="t@t", GIT_COMMITTER_NAME="t",
                    GIT_COMMITTER_EMAIL="t@t", GIT_TERMINAL_PROMPT="0", GIT_CONFIG_COUNT="2",
                    # a commit would leave `git gc` behind, which holds a lock that the next command wants
                    GIT_CONFIG_KEY_0="gc.auto", GIT_CONFIG_VALUE_0="0",
                    GIT_CONFIG_KEY_1="maintenance.auto", GIT_CONFIG_VALUE_1="false")

    def url(self, stack):
        return f"ssh://viking@127.0.0.1:{self.ssh_port}/{stack}"

    def git(self, tree, *args, key=None, check=True, timeout=300):
        p = subprocess.run(["git", "-C", tree, *args], env=self.git_env(key), capture_output=True, text=True, errors="replace",
                           timeout=timeout)
        if check:
            assert p.returncode == 0, (args, p.stdout, p.stderr)
        return Result(p)

    def tree(self, files):
        d = tempfile.mkdtemp(prefix="tree-", dir=self.trees or self.root)
        self.git(d, "init", "-q", "-b", "master")
        self.write(d, files)
        self.commit(d)
        return d

    @staticmethod
    def write(tree, files):
        for name, text in files.items():
            path = os.path.join(tree, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(text if isinstance(text, bytes) else text.encode())

    def commit(self, tree, message="change"):
        self.git(tree, "add", "-A")
        self.git(tree, "commit", "-q", "--allow-empty", "-m", message)
        return self.git(tree, "rev-parse", "HEAD").out.strip()

    def app(self, text="hello", **more):
        """A web application: busybox httpd that serves `text` at /."""
        files = {"Dockerfile": f"FROM {BASE}\nCOPY www /www\nEXPOSE 8080\nCMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n",
                 "www/index.html": text + "\n"}
        files.update(more)
        return self.tree(files)

    def push(self, tree, stack, *options, branch="master", to=None, key=None, check=True, timeout=300):
        args = ["push"]
        for o in options:
            args += ["-o", o]
        r = self.git(tree, *args, self.url(stack), f"{branch}:{to or branch}", key=key, check=False, timeout=timeout)
        if check:
            assert r.status == 0, f"{r}\n---- vikingd\n{self.tail()}"
        return r

    def get(self, host, path="/", method="GET", headers=None, timeout=10):
        c = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout)
        c.request(method, path, headers=dict({"Host": host}, **(headers or {})))
        r = c.getresponse()
        body = r.read().decode(errors="replace")
        c.close()
        return r.status, body

    def events(self):
        """What has happened so far."""
        c = UnixConnection(self.api_socket)
        c.request("GET", "/v1/events")
        events = [json.loads(line) for line in c.getresponse()]
        c.close()
        return events

    def api(self, method, url, body=None, headers=None):
        return unix_call(self.api_socket, method, url, json.dumps(body) if body is not None else None, headers)


class HostCase(unittest.TestCase):
    """Tests that share one viking, self.h."""
    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.h = Host(**cls.settings)
        cls.h.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.h.__exit__(None, None, None)


class Load:
    """A bounded stream of requests at one host name; counts what did not answer 200."""

    def __init__(self, host, name, rate=200, seconds=120):
        self.host, self.name, self.rate, self.seconds = host, name, rate, seconds
        self.sent, self.failed, self.bodies, self.errors = 0, 0, {}, []
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        stop = time.monotonic() + self.seconds
        c = None
        next_at = time.monotonic()
        while not self.end.is_set() and time.monotonic() < stop:
            try:
                c = c or http.client.HTTPConnection(self.host.http_address, self.host.http_port, timeout=10)
                c.request("GET", "/", headers={"Host": self.name})
                r = c.getresponse()
                body = r.read()
                self.bodies[body] = self.bodies.get(body, 0) + 1
                if r.status != 200:
                    raise OSError(f"status {r.status}")
                if r.will_close:
                    c = None
            except (OSError, http.client.HTTPException) as e:
                self.failed += 1
                self.errors.append((round(time.monotonic(), 3), repr(e)))
                c = None
            self.sent += 1
            next_at += 1 / self.rate
            delay = next_at - time.monotonic()
            if delay > 0:
                self.end.wait(delay)
            else:
                next_at = time.monotonic()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *a):
        self.end.set()
        self.thread.join()
