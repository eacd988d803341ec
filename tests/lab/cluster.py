"""A cluster of several hosts in the lab, as `viking join` would leave it.

    c = Cluster(3)                              # h1..h3, some 10 s. h1 leads and has the registry. A test: addClassCleanup(c.down)
    c.viking("h2", "ps").out                    # the command on a host; check=True: it must succeed
    c.api("h1", "GET", "/v1/cluster")           # (status, JSON) of a host's own API socket
    tree = c.app("hello")                       # a git work tree: a web application that says this
    c.push(tree, "app", host="h2")              # git push over SSH from a client outside ("switch"); c.ssh(host, *words) likewise
    c.get("h2", "app.lab.test")                 # HTTP to a host's router from there: its text, "" when none
    c.leader(), c.wait_leader(not_="h1")        # the host that leads
    c.etcd.kill(signal.SIGSTOP), c.etcd.start() # the store: one etcd at 100.64.0.254, outside of all hosts
    c.lab("partition", "h1", "switch")          # h1 and the store (and clients); c.lab(..) are the words of tests/lab/lab
    c.lab("kill", "h1"), c.lab("up")

Settings of a host are in LAB/hN/etc/viking/conf.d/cluster.yml; Cluster(3, **{"etcd.lease": "5s"}) adds to them; up: more words of `lab up`. Each host's engine has
the image `base` (busybox). Made here and not by viking: the certificates (tests/e2e/ca.py), and the same STATE/sched/secret.key and
registry password on all.
"""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../e2e"))
from ca import Ca  # noqa: E402
from lab_test import Lab  # noqa: E402
from lib import Result, unix_call, wait_for  # noqa: E402

SWITCH = "100.64.0.254"
APP = ("FROM base\nCOPY www /www\nEXPOSE 8080\n"
       'CMD ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]\n')


class Etcd:
    """In the switch's network, where every host reaches it; its data outlives kill() and start()."""

    def __init__(self, lab):
        self.lab, self.process, self.url = lab, None, f"http://{SWITCH}:2379"

    def start(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            return
        peer = "http://127.0.0.1:2380"
        with open(self.lab.dir + "/etcd.log", "ab") as log:
            self.process = self.lab.start(
                "switch", "etcd", "--name", "m", "--data-dir", self.lab.dir + "/etcd", "--listen-client-urls", self.url,
                "--advertise-client-urls", self.url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", "m=" + peer, "--max-txn-ops=65536", "--max-request-bytes=8388608", "--log-level", "error",
                stdout=log, stderr=log)
        wait_for("etcd serves", lambda: self.lab("exec", "switch", "curl", "-sf", "-m", "2", self.url + "/health", check=False), 60)

    def kill(self, sig=signal.SIGKILL):
        """SIGSTOP: it is there and says nothing."""
        self.process.send_signal(sig)
        if sig != signal.SIGSTOP:
            self.process.wait(20)


class Cluster:
    def __init__(self, n=3, up=(), **settings):
        self.lab, self.ca, self.more = Lab(), Ca(), up
        self.dir = tempfile.mkdtemp(prefix="vlc-")  # work trees and keys
        self.names = [f"h{i}" for i in range(1, n + 1)]
        self.etcd = Etcd(self.lab)
        self.settings = settings
        try:
            self.up()
        except BaseException:
            self.down()
            raise

    # ---- the store, as curl asks it ----

    def etcd_curl(self):
        return ["exec", "switch", "curl"]

    def etcd_url(self):
        return self.etcd.url

    # ---- life ----

    def up(self):
        self.lab("up", "1", "--no-viking", *self.more)  # the switch
        self.etcd.start()
        self.configure("h1")
        self.lab("up", "1", *self.more)
        self.wait_leader()
        for name in self.names[1:]:
            self.configure(name, **{"helpers.run_registry": False})
            for secret in ("sched/secret.key", "registry/password", "registry/htpasswd"):
                wait_for(secret, lambda: os.path.exists(self.state("h1", secret)))
                os.makedirs(os.path.dirname(self.state(name, secret)), mode=0o700, exist_ok=True)
                shutil.copy2(self.state("h1", secret), self.state(name, secret))
        self.lab("up", str(len(self.names)), *self.more)
        self.hosts = self.lab.status()
        for name in self.names:
            self.lab.import_base(name)
            known = {"addr": self.hosts[name]["address"], "port": 8792, "registry": name == "h1"}
            status, answer = self.api("h1", "POST", f"/v1/hosts/{name}/address", known)
            assert status == 200, answer
        self.key = self.make_key("admin")
        with open(self.key + ".pub") as f:
            self.viking("h1", "keys:add", "admin", "--role", "admin", stdin=f, check=True)

    def configure(self, name, **more):
        d = os.path.join(self.lab.dir, name, "etc/viking/conf.d")
        os.makedirs(d)
        with open(d + "/cluster.yml", "w") as f:
            f.writelines(f"{k}: {json.dumps(v)}\n" for k, v in {"store": "etcd", "etcd.endpoints": self.etcd.url, **self.settings, **more}.items())
        self.ca.install(name, os.path.join(self.lab.dir, name))

    def down(self):
        if os.path.exists(self.lab.dir):
            self.lab.down()
        if self.etcd.process:
            self.etcd.process.wait(20)
        shutil.rmtree(self.ca.dir)
        shutil.rmtree(self.dir)

    # ---- a host ----

    def state(self, name, path=""):
        return os.path.join(self.lab.dir, name, "var/lib/viking", path)

    def api(self, name, method, url, body=None, headers=None):
        socket = os.path.join(self.lab.dir, name, "run/viking/api.sock")
        return unix_call(socket, method, url, json.dumps(body) if body is not None else None, headers)

    def viking(self, name, *words, check=False, stdin=subprocess.DEVNULL):
        p = self.lab.start(name, "viking", *words, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return self.finished(p, check)

    def log(self, name, n=40):
        with open(os.path.join(self.lab.dir, name, "viking.log"), errors="replace") as f:
            return "\n".join(f.read().splitlines()[-n:])

    @staticmethod
    def finished(p, check):
        out, err = p.communicate(timeout=300)
        r = Result(subprocess.CompletedProcess(p.args, p.returncode, out, err))
        if check:
            assert r.status == 0, r
        return r

    # ---- who leads ----

    def leader(self):
        """As the first host says that knows; None while nobody does."""
        for name in self.names:
            with contextlib.suppress(OSError):
                status, answer = self.api(name, "GET", "/v1/cluster")
                if status == 200:
                    return answer["leader"]["host"]
        return None

    def wait_leader(self, not_=None, seconds=60):
        return wait_for("a leader", lambda: (lambda host: host if host != not_ else None)(self.leader()), seconds)

    # ---- a client outside ----

    def make_key(self, name):
        path = os.path.join(self.dir, "key-" + name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True)
        return path

    def ssh_words(self, key=None):
        return ["ssh", "-F", "/dev/null", "-i", key or self.key, "-p", "2222", "-o", "IdentitiesOnly=yes", "-o",
                "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={self.dir}/known_hosts", "-o", "LogLevel=ERROR", "-o",
                "BatchMode=yes"]

    def address(self, name):
        return self.hosts[name]["address"]

    def ssh(self, name, *words, key=None, check=False, stdin=subprocess.DEVNULL):
        p = self.lab.start("switch", *self.ssh_words(key), "viking@" + self.address(name), *words, stdin=stdin,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return self.finished(p, check)

    def git(self, tree, *words, key=None, check=True):
        return self.finished(self.git_begin(tree, *words, key=key), check)

    def git_begin(self, tree, *words, key=None):
        ssh = " ".join([os.path.join(HERE, "lab"), "exec", "switch", *self.ssh_words(key)])
        who = {f"GIT_{role}_{what}": "t" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        env = dict(os.environ, **who, VIKING_LAB=self.lab.dir, GIT_SSH_COMMAND=ssh, GIT_SSH_VARIANT="ssh", GIT_CONFIG_NOSYSTEM="1",
                   GIT_CONFIG_GLOBAL="/dev/null", GIT_TERMINAL_PROMPT="0")
        return subprocess.Popen(["git", "-C", tree, *words], env=env, text=True, errors="replace", stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def tree(self, files):
        d = tempfile.mkdtemp(prefix="tree-", dir=self.dir)
        self.git(d, "init", "-q", "-b", "master")
        self.change(d, files)
        return d

    def change(self, tree, files):
        for name, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
            with open(os.path.join(tree, name), "w") as f:
                f.write(text)
        self.git(tree, "add", "-A")
        self.git(tree, "commit", "-q", "--allow-empty", "-m", "change")

    def app(self, text, **files):
        return self.tree({"Dockerfile": APP, "www/index.html": text + "\n", **files})

    def url(self, stack, host="h1"):
        return f"ssh://viking@{self.address(host)}:2222/{stack}"

    def push(self, tree, stack, host="h1", key=None, check=True):
        r = self.git(tree, "push", self.url(stack, host), "master", key=key, check=False)
        if check:
            assert r.status == 0, f"{r}\n---- {host}\n{self.log(host)}"
        return r

    def push_begin(self, tree, stack, host="h1"):
        """The process, for finished()."""
        return self.git_begin(tree, "push", self.url(stack, host), "master")

    def get(self, host, domain, path="/"):
        return self.lab("exec", "switch", "curl", "-s", "-m", "10", "-H", "Host: " + domain, f"http://{self.address(host)}{path}",
                        check=False)
