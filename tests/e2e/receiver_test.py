"""The SSH front door with real clients: OpenSSH, dropbear, paramiko, ssh-keyscan, git.

The scheduler's part is played by a small server on the API's socket (class Api), which answers what the contract in
docs/protocol.md says and can be told to be slow, to refuse and to revoke. Everything else is real.
"""
import base64
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler

from lib import STAGE, free_port, wait_for

LIBEXEC = STAGE + "/libexec/viking"


class Api:
    """What the scheduler answers to the receiver and the hooks."""

    def __init__(self, path):
        self.path, self.keys, self.sessions, self.events = path, {}, {}, []
        self.pending, self.plans, self.lock = {}, {}, threading.Lock()
        self.ids = {}
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def address_string(self):
                return "unix"

            def answer(self, status, body):
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def refuse(self, status, name, message, hint=""):
                self.answer(status, {"error": name, "message": message, "hint": hint})

            def stream(self):
                self.send_response(200)
                self.send_header("Content-Type", "application/x-ndjson")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()

            def line(self, value):
                data = json.dumps(value).encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()

            def gone(self):
                """True once the client has closed; waits a moment."""
                self.connection.settimeout(0.05)
                try:
                    return self.connection.recv(1) == b""
                except TimeoutError:
                    return False
                except OSError:
                    return True

            def do_GET(self):
                if self.path == "/v1/version":
                    self.answer(200, {"version": "0.1.0", "api": 1})
                else:
                    self.refuse(404, "NOTFOUND", "no such thing")

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = json.loads(body) if body else {}
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    api.post(self, self.path, body, token, self.headers.get("Viking-Role"))

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads, request_queue_size = True, 1024

            def get_request(self):
                s, _ = super().get_request()
                return s, ("unix", 0)

        os.makedirs(os.path.dirname(path), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.server = Server(path, Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def note(self, *event):
        with self.lock:
            self.events.append(event)

    def seen(self, kind):
        with self.lock:
            return [e for e in self.events if e[0] == kind]

    def add_key(self, name, line, role="admin"):
        self.keys[" ".join(line.split()[:2])] = {"name": name, "role": role}

    def revoke(self, name):
        self.keys = {k: v for k, v in self.keys.items() if v["name"] != name}
        for s in list(self.sessions.values()):
            if s["name"] == name:
                s["revoked"].set()

    def post(self, h, path, body, token, role):
        if path == "/v1/internal/keycheck" and role == "receiver":
            self.note("keycheck", body["key"])
            return h.answer(200, {}) if body["key"] in self.keys else h.refuse(403, "DENIED", "unknown key")
        if path == "/v1/internal/session" and role == "receiver":
            return self.session(h, body)
        who = self.sessions.get(token)
        if who is None:
            return h.refuse(403, "DENIED", "no such token")
        if path == "/v1/internal/git" and role == "receiver":
            return self.git(h, body)
        if path == "/v1/internal/git/moved":
            self.note("moved", body["stack"], body["ref"], body["new"])
            self.pending.pop(body["stack"], None)
            return h.answer(200, {})
        m = re.fullmatch(r"/v1/stacks/([^/]+)/(push|push/check)", path)
        if m is None or role != "hook":
            return h.refuse(404, "NOTFOUND", path)
        plan = self.plans.get(m[1], {})
        self.note(m[2], m[1], body)
        if m[2] == "push/check":
            if "check" in plan:
                return h.refuse(*plan["check"])
            return h.answer(200, {"out": ["-----> Checking"], "dry_run": "dry-run" in body["options"]})
        return self.push(h, m[1], plan)

    def session(self, h, body):
        who = self.keys.get(body["key"])
        if who is None:
            return h.refuse(403, "DENIED", "unknown key")
        token, fp = os.urandom(32).hex(), hashlib.sha256(base64.b64decode(body["key"].split()[1])).digest()
        s = {"name": who["name"], "revoked": threading.Event()}
        self.sessions[token] = s
        self.note("session", who["name"], body["addr"])
        h.stream()
        h.line({"name": who["name"], "fingerprint": "SHA256:" + base64.b64encode(fp).decode().rstrip("="),
                "role": who["role"], "token": token})
        while not s["revoked"].is_set() and not h.gone():
            pass
        del self.sessions[token]
        self.note("session-end", who["name"])
        if s["revoked"].is_set():
            h.line({"revoked": "key removed"})
            h.wfile.write(b"0\r\n\r\n")
        h.close_connection = True

    def git(self, h, body):
        self.note("git", body["stack"], body["verb"])
        if body["stack"] == "forbidden":
            return h.refuse(403, "DENIED", "this key may not push to forbidden", "viking keys:list")
        i = self.ids.setdefault(body["stack"], os.urandom(8).hex())
        h.answer(200, {"stack": body["stack"], "id": i, "pending": self.pending.get(body["stack"])})

    def push(self, h, stack, plan):
        h.stream()
        h.line({"out": "-----> Building"})
        for text in plan.get("out", []):
            h.line({"out": text})
        if plan.get("hang"):
            self.note("hanging", stack)
            while not h.gone():
                pass
            self.note("cancelled", stack)
            h.close_connection = True
            return
        if "fail" in plan:
            name, message, hint = plan["fail"]
            h.line({"end": {"ok": False, "error": name, "message": message, "hint": hint}})
        else:
            h.line({"out": f"=====> {stack} v1"})
            h.line({"end": {"ok": True, "release": 1, "urls": []}})
        h.wfile.write(b"0\r\n\r\n")


class Receiver:
    def __init__(self, **settings):
        self.root = tempfile.mkdtemp(prefix="vk-rx-")
        self.port = free_port()
        conf = {"ssh.address": "0.0.0.0", "ssh.port": self.port, "paths.libexec": LIBEXEC, "receive.min_free": "1M"}
        conf.update(settings)
        os.makedirs(self.root + "/etc/viking")
        os.makedirs(self.root + "/run/viking")
        with open(self.root + "/etc/viking/viking.conf", "w") as f:
            f.writelines(f"{k}: {json.dumps(v)}\n" for k, v in conf.items())
        self.api = Api(self.root + "/run/viking/api.sock")
        self.key = self.make_key("me")
        self.api.add_key("me", open(self.key + ".pub").read())
        self.log = open(self.root + "/log", "ab")
        self.start()

    def start(self):
        r, w = os.pipe()
        env = dict(os.environ, VIKING_READY_FD=str(w), VIKING_SINGLE_UID="1")
        self.process = subprocess.Popen([LIBEXEC + "/viking-receiver", "--root", self.root], stdout=self.log,
                                        stderr=self.log, pass_fds=[w], env=env)
        os.close(w)
        with os.fdopen(r) as f:
            text = f.read()
        assert "READY=1" in text, self.tail()
        self.sandbox = text

    def tail(self):
        return open(self.root + "/log", errors="replace").read()[-4000:]

    def close(self):
        self.process.terminate()
        assert self.process.wait(10) == 0, self.tail()
        self.api.close()
        self.log.close()
        shutil.rmtree(self.root)

    def make_key(self, name, kind="ed25519", *args):
        path = f"{self.root}/key-{name}"
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", path, *args], check=True)
        return path

    def options(self, key=None, source=None):
        o = ["-F", "/dev/null", "-i", key or self.key, "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o",
             f"UserKnownHostsFile={self.root}/known", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-o",
             "IdentityAgent=none"]
        return o + (["-b", source] if source else [])

    def ssh(self, *words, key=None, source=None, more=(), stdin=subprocess.DEVNULL, timeout=60):
        return subprocess.run(["ssh", *self.options(key, source), *more, "-p", str(self.port), "viking@127.0.0.1", *words],
                              stdin=stdin, capture_output=True, text=True, errors="replace", timeout=timeout)

    def popen(self, *words, key=None, more=(), **kw):
        return subprocess.Popen(["ssh", *self.options(key), *more, "-p", str(self.port), "viking@127.0.0.1", *words], **kw)

    def env(self, key=None):
        return dict(os.environ, GIT_SSH_COMMAND=" ".join(["ssh", *self.options(key)]), GIT_CONFIG_NOSYSTEM="1",
                    GIT_CONFIG_GLOBAL="/dev/null", GIT_AUTHOR_NAME="t", GIT_AUTHOR_EMAIL="t@t", GIT_COMMITTER_NAME="t",
                    GIT_COMMITTER_EMAIL="t@t", GIT_TERMINAL_PROMPT="0")

    def git(self, tree, *args, check=True, timeout=120):
        p = subprocess.run(["git", "-C", tree, *args], env=self.env(), capture_output=True, text=True, errors="replace",
                           timeout=timeout)
        assert not check or p.returncode == 0, (args, p.stdout, p.stderr, self.tail())
        return p

    def url(self, stack):
        return f"ssh://viking@127.0.0.1:{self.port}/{stack}"

    def tree(self, files=None, *init):
        d = tempfile.mkdtemp(prefix="tree-", dir=self.root)
        self.git(d, "init", "-q", "-b", "master", *init)
        for name, data in {"Dockerfile": "FROM scratch\n", "a": str(random.random()), **(files or {})}.items():
            with open(f"{d}/{name}", "wb") as f:
                f.write(data if isinstance(data, bytes) else data.encode())
        self.commit(d)
        return d

    def commit(self, d):
        self.git(d, "add", "-A")
        self.git(d, "commit", "-q", "--allow-empty", "-m", "c")
        return self.head(d)

    def head(self, d, ref="HEAD"):
        return self.git(d, "rev-parse", ref).stdout.strip()

    def push(self, tree, stack, *what, check=True, **kw):
        return self.git(tree, "push", self.url(stack), *(what or ("master",)), check=check, **kw)

    def repo(self, stack):
        return f"{self.root}/var/lib/viking/repos/{stack}.git"

    def ref(self, stack, ref="refs/heads/master"):
        p = subprocess.run(["git", "-C", self.repo(stack), "rev-parse", "-q", "--verify", ref], capture_output=True, text=True)
        return p.stdout.strip()

    def processes(self, name):
        """Process ids of our root with this name in their command line."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                words = open(f"/proc/{pid}/cmdline", "rb").read()
                if self.root.encode() in words and name.encode() in words and b"ssh\0" != words[:4]:
                    found.append(int(pid))
        return found


class FrontDoor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.r = Receiver()

    @classmethod
    def tearDownClass(cls):
        cls.r.close()

    def setUp(self):
        self.stack = f"s{random.randrange(1 << 30)}x"

    def rss_kib(self, pid):
        return int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{pid}/status").read())[1])

    # ---- clients ----

    def test_commands_run_and_statuses_are_exact(self):
        p = self.r.ssh("version")
        self.assertEqual(0, p.returncode, p)
        self.assertIn("0.1.0", p.stdout)
        p = self.r.ssh("no-such-command")
        self.assertEqual(2, p.returncode, p)
        self.assertIn("no-such-command", p.stderr)

    def test_programs_that_are_replaced_still_start(self):
        prefix = tempfile.mkdtemp(prefix="vk-prefix-")
        libexec, program = prefix + "/libexec/viking", prefix + "/bin/viking"
        shutil.copytree(LIBEXEC, libexec, symlinks=True, ignore=shutil.ignore_patterns("packs", "stack"))
        os.makedirs(prefix + "/bin")
        source = os.path.realpath(libexec + "/viking" if os.path.exists(libexec + "/viking") else LIBEXEC + "/viking")
        shutil.copy(source, program)
        os.unlink(libexec + "/viking")
        os.symlink("../../bin/viking", libexec + "/viking")
        r = Receiver(**{"paths.libexec": libexec})
        try:
            self.assertEqual(0, r.ssh("version").returncode)
            for path in (program, libexec + "/viking-monitor"):  # as dpkg does: another file takes the name
                shutil.copy(path, path + ".new")
                os.rename(path + ".new", path)
            p = r.ssh("version")
            self.assertEqual(0, p.returncode, p)
        finally:
            r.close()
            shutil.rmtree(prefix)

    def test_every_client_logs_in(self):
        r = self.r
        for kind, args in (("ed25519", ()), ("ecdsa", ("-b", "256")), ("ecdsa", ("-b", "384")), ("ecdsa", ("-b", "521")),
                           ("rsa", ("-b", "2048"))):
            name = kind + "".join(args)
            key = r.make_key(name, kind, *args)
            r.api.add_key(name, open(key + ".pub").read())
            p = r.ssh("version", key=key)
            self.assertEqual(0, p.returncode, (name, p))
        key = r.root + "/dropbear"
        subprocess.run(["dropbearkey", "-t", "ed25519", "-f", key], check=True, capture_output=True)
        line = subprocess.run(["dropbearkey", "-y", "-f", key], check=True, capture_output=True, text=True).stdout
        r.api.add_key("dropbear", next(x for x in line.splitlines() if x.startswith("ssh-ed25519")))
        p = subprocess.run(["dbclient", "-y", "-y", "-i", key, "-p", str(r.port), "viking@127.0.0.1", "version"],
                           capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        self.assertEqual(0, p.returncode, p)
        import paramiko
        c = paramiko.SSHClient()
        c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        c.connect("127.0.0.1", r.port, "viking", key_filename=r.key, look_for_keys=False, allow_agent=False)
        _, out, _ = c.exec_command("version")
        self.assertIn("0.1.0", out.read().decode())
        self.assertEqual(0, out.channel.recv_exit_status())
        c.close()

    def test_keyscan_and_algorithms(self):
        p = subprocess.run(["ssh-keyscan", "-p", str(self.r.port), "-t", "ed25519,rsa,ecdsa", "127.0.0.1"], capture_output=True,
                           text=True, timeout=30)
        kinds = sorted(x.split()[1] for x in p.stdout.splitlines() if x and x[0] != "#")
        self.assertEqual(["ssh-ed25519", "ssh-rsa"], kinds)
        good = [("KexAlgorithms", k) for k in ("curve25519-sha256", "ecdh-sha2-nistp256", "diffie-hellman-group16-sha512")]
        good += [("Ciphers", c) for c in ("chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com")]
        good += [("HostKeyAlgorithms", "rsa-sha2-512"), ("HostKeyAlgorithms", "rsa-sha2-256"), ("Compression", "yes")]
        for name, value in good:
            self.assertEqual(0, self.r.ssh("version", more=["-o", f"{name}={value}", "-o", "MACs=hmac-sha2-256-etm@openssh.com",
                                                          "-o", "UserKnownHostsFile=/dev/null"]).returncode, (name, value))
        for name, value in (("KexAlgorithms", "diffie-hellman-group14-sha1"), ("Ciphers", "aes128-cbc"),
                            ("KexAlgorithms", "diffie-hellman-group-exchange-sha256"), ("HostKeyAlgorithms", "ssh-rsa"),
                            ("Ciphers", "aes128-ctr")):
            p = self.r.ssh("version", more=["-o", f"{name}=+{value}" if name == "HostKeyAlgorithms" else f"{name}={value}", "-o",
                                            "UserKnownHostsFile=/dev/null"] + (["-o", "HostKeyAlgorithms=ssh-rsa"] if value ==
                                                                              "ssh-rsa" else []))
            if name == "HostKeyAlgorithms":
                continue
            self.assertEqual(255, p.returncode, (name, value, p))

    def test_greeting_names_the_key(self):
        p = self.r.ssh()
        self.assertEqual(0, p.returncode, p)
        self.assertIn("me", p.stdout)
        self.assertIn("SHA256:", p.stdout)
        self.assertIn("git push", p.stdout)

    def test_refused_commands(self):
        for words, text in ((["git-upload-archive 'x'"], "not served"), (["git-receive-pack '../x'"], "stack name"),
                            (["git-receive-pack 'a' --x"], "no options"), (["stacks:list\nreboot"], "control byte"),
                            (["viking --root /tmp stacks"], "not allowed"), (["x" * 5000], "longer"),
                            (["git-receive-pack 'UPPER'"], "stack name"), (["'unclosed"], "quote")):
            p = self.r.ssh(*words)
            self.assertNotEqual(0, p.returncode, (words, p))
            self.assertNotEqual(255, p.returncode, (words, p))
            self.assertIn(text, p.stderr, words)
        self.assertNotEqual(0, self.r.ssh("-s", "sftp").returncode)
        p = self.r.ssh(more=["-W", "127.0.0.1:" + str(self.r.port)])
        self.assertNotEqual(0, p.returncode)
        self.assertNotIn("SSH-2.0", p.stdout)

    def test_unknown_key_is_denied(self):
        key = self.r.make_key(self.stack)
        p = self.r.ssh("version", key=key)
        self.assertEqual(255, p.returncode)
        self.assertIn("Permission denied (publickey)", p.stderr)

    def test_pty_has_the_clients_size(self):
        import pty
        pid, fd = pty.fork()
        if pid == 0:
            os.execvp("ssh", ["ssh", *self.r.options(), "-tt", "-p", str(self.r.port), "viking@127.0.0.1", "version"])
        out = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(fd, 4096):
                out += chunk
        self.assertEqual(0, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out)
        self.assertIn(b"0.1.0", out)
        self.assertIn(b"\r\n", out)
        os.close(fd)

    def test_input_sent_before_the_program_runs_is_not_lost(self):
        r = self.r
        import paramiko
        c = paramiko.SSHClient()
        c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        c.connect("127.0.0.1", r.port, "viking", key_filename=r.key, look_for_keys=False, allow_agent=False)
        r.push(r.tree(), self.stack)
        flush = b"0000"
        for _ in range(5):
            ch = c.get_transport().open_session()
            ch.exec_command(f"git-upload-pack '/{self.stack}'")
            ch.sendall(flush)  # "I want nothing", before the advertisement
            ch.shutdown_write()
            out = b"".join(iter(lambda: ch.recv(65536), b""))
            self.assertIn(b"refs/heads/master", out)
            self.assertEqual(0, ch.recv_exit_status())
        c.close()

    # ---- git ----

    def test_push_clone_fetch_tags(self):
        r = self.r
        t = r.tree()
        p = r.push(t, self.stack)
        self.assertIn("remote: -----> Building", p.stderr)
        self.assertEqual(r.head(t), r.ref(self.stack))
        self.assertEqual([("moved", self.stack, "refs/heads/master", r.head(t))],
                         [e for e in r.api.seen("moved") if e[1] == self.stack])
        r.git(t, "tag", "-a", "v1", "-m", "one")
        r.push(t, self.stack, "v1")
        self.assertEqual(r.head(t, "v1"), r.ref(self.stack, "refs/tags/v1"))
        c = tempfile.mkdtemp(dir=r.root)
        r.git(c, "clone", "-q", r.url(self.stack + ".git"), "x")
        self.assertEqual(r.head(t), r.head(c + "/x"))
        r.commit(t)
        r.push(t, self.stack, "+HEAD:master", "v1")
        r.git(c + "/x", "fetch", "-q")
        self.assertEqual(r.head(t), r.head(c + "/x", "origin/master"))
        self.assertEqual(1, len(r.api.seen("push")) and len([e for e in r.api.seen("push") if e[2]["new"] == r.head(t)]))
        p = subprocess.run(["git", "-C", r.repo(self.stack), "fsck", "--strict"], capture_output=True, text=True)
        self.assertEqual(0, p.returncode, p)

    def test_wrong_branch_is_rejected_with_the_command(self):
        r = self.r
        t = r.tree()
        p = r.push(t, self.stack, "HEAD:feature", check=False)
        self.assertNotEqual(0, p.returncode)
        self.assertIn("git push <remote> feature:master", p.stderr)
        self.assertEqual("", r.ref(self.stack, "refs/heads/feature"))
        self.assertEqual([], [e for e in r.api.seen("push") if e[1] == self.stack])

    def test_refs_are_judged_one_by_one(self):
        r = self.r
        t = r.tree()
        r.git(t, "tag", "ok")
        p = r.push(t, self.stack, "master", "HEAD:feature", "ok", "HEAD:refs/notes/x", check=False)
        self.assertNotEqual(0, p.returncode)
        self.assertRegex(p.stderr, r"\[remote rejected\] HEAD -> feature \(branch feature does not deploy, try: git push")
        self.assertEqual(r.head(t), r.ref(self.stack))
        self.assertEqual(r.head(t), r.ref(self.stack, "refs/tags/ok"))
        self.assertEqual("", r.ref(self.stack, "refs/heads/feature"))
        self.assertEqual("", r.ref(self.stack, "refs/notes/x"))
        before = r.head(t)
        r.commit(t)
        p = r.push(t, self.stack, "HEAD:main", "HEAD:master", check=False)
        self.assertNotEqual(0, p.returncode)
        self.assertIn("2 deploy branches in one push", p.stderr)
        p = r.push(t, self.stack, ":master", check=False)
        self.assertNotEqual(0, p.returncode)
        self.assertIn("cannot be deleted", p.stderr)
        self.assertEqual(before, r.ref(self.stack))
        p = r.push(t, self.stack, "HEAD:refs/viking/x", check=False)
        self.assertNotEqual(0, p.returncode)
        self.assertEqual("", r.ref(self.stack, "refs/viking/x"))

    def test_failed_release_is_in_gits_own_line(self):
        r = self.r
        r.api.plans[self.stack] = {"out": ["\x1b[31mred\x07"], "fail": ("FAILED", "build failed at Dockerfile:3", "fix it")}
        t = r.tree()
        p = r.push(t, self.stack, check=False)
        self.assertNotEqual(0, p.returncode)
        self.assertIn("! [remote rejected] master -> master (build failed at Dockerfile:3)", p.stderr)
        self.assertIn(" !     try: fix it", p.stderr)
        self.assertNotIn("\x1b[31m", p.stderr)
        self.assertNotIn("\x07", p.stderr)
        self.assertEqual("", r.ref(self.stack))

    def test_options(self):
        r = self.r
        t = r.tree()
        p = r.git(t, "push", "-o", "dry-run", r.url(self.stack), "master", check=False)
        self.assertNotEqual(0, p.returncode)
        self.assertIn("dry run: nothing was changed", p.stderr)
        self.assertEqual("", r.ref(self.stack))
        p = r.git(t, "push", "-o", "dryrun", r.url(self.stack), "master", check=False)
        self.assertNotEqual(0, p.returncode)
        self.assertIn('unknown push option "dryrun"', p.stderr)
        self.assertIn("-o dry-run", p.stderr)
        r.git(t, "push", "-o", "note=hello you", "-o", "no-cache", r.url(self.stack), "master")
        self.assertEqual(["note=hello you", "no-cache"], [e for e in r.api.seen("push") if e[1] == self.stack][0][2]["options"])
        r.api.plans[self.stack] = {"check": (409, "CONFLICT", "the stack is locked", "viking unlock")}
        r.commit(t)
        p = r.push(t, self.stack, check=False)
        self.assertIn("the stack is locked", p.stderr)
        self.assertIn("pre-receive hook declined", p.stderr)

    def test_shallow_and_sha256(self):
        r = self.r
        t = r.tree()
        for _ in range(3):
            r.commit(t)
        c = tempfile.mkdtemp(dir=r.root)
        r.git(c, "clone", "-q", "--depth", "1", "file://" + t, "x")
        p = r.push(c + "/x", self.stack, check=False)
        self.assertNotEqual(0, p.returncode)
        self.assertIn("git fetch --unshallow", p.stderr)
        t = r.tree(None, "--object-format=sha256")
        p = r.push(t, self.stack, check=False)
        self.assertNotEqual(0, p.returncode)
        # git's client stops at our advertisement already, before it has sent anything that could be answered
        self.assertRegex(p.stderr, "hash algorithm|protocol error")

    def test_the_check_refuses_before_any_release(self):
        r = self.r
        t = r.tree({"vikingfile": "viking:\n  name: x\ndeploy:\n  web:\n    imgae: busybox\n"})
        p = r.push(t, self.stack, check=False)
        self.assertNotEqual(0, p.returncode)
        self.assertRegex(p.stderr, r"vikingfile:5:\d+")
        self.assertIn("image", p.stderr)
        self.assertIn("pre-receive hook declined", p.stderr)
        self.assertEqual([], [e for e in r.api.seen("push/check") if e[1] == self.stack])
        self.assertEqual([], [x for x in os.listdir(r.repo(self.stack) + "/objects/pack")])

    def test_bad_objects_are_refused(self):
        r = self.r
        t = r.tree()
        blob = subprocess.run(["git", "-C", t, "hash-object", "-w", "--stdin"], input=b"x", capture_output=True).stdout.strip()
        data = b"100644 ..\0" + bytes.fromhex(blob.decode())
        tree = subprocess.run(["git", "-C", t, "hash-object", "-t", "tree", "-w", "--literally", "--stdin"], input=data,
                              capture_output=True).stdout.decode().strip()
        commit = r.git(t, "commit-tree", tree, "-m", "evil").stdout.strip()
        p = r.push(t, self.stack, commit + ":refs/heads/master", check=False)
        self.assertNotEqual(0, p.returncode)
        self.assertIn("contains '..'", p.stderr)
        self.assertEqual("", r.ref(self.stack))

    def test_forbidden_stack(self):
        p = self.r.push(self.r.tree(), "forbidden", check=False)
        self.assertNotEqual(0, p.returncode)
        self.assertIn("may not push", p.stderr)

    def test_pending_ref_is_moved_before_serving(self):
        r = self.r
        t = r.tree()
        r.push(t, self.stack)
        old, new = r.head(t), r.commit(t)
        r.push(t, self.stack)
        subprocess.run(["git", "-C", r.repo(self.stack), "update-ref", "refs/heads/master", old], check=True)
        r.api.pending[self.stack] = {"ref": "refs/heads/master", "old": old, "new": new}
        p = r.git(t, "ls-remote", r.url(self.stack), "refs/heads/master")
        self.assertEqual(new, p.stdout.split()[0])
        self.assertNotIn(self.stack, r.api.pending)

    def test_pending_ref_that_another_push_has_moved(self):
        r = self.r
        t = r.tree()
        first, second, third = r.head(t), r.commit(t), r.commit(t)
        r.push(t, self.stack)
        for at, new, expected in ((second, third, third), (third, second, third)):  # it waited; it came too late
            subprocess.run(["git", "-C", r.repo(self.stack), "update-ref", "refs/heads/master", at], check=True)
            r.api.pending[self.stack] = {"ref": "refs/heads/master", "old": first, "new": new}
            self.assertEqual(expected, r.git(t, "ls-remote", r.url(self.stack), "refs/heads/master").stdout.split()[0])
            self.assertNotIn(self.stack, r.api.pending)

    def test_repository_of_a_destroyed_stack_is_not_shown(self):
        r = self.r
        t = r.tree()
        r.push(t, self.stack)
        r.api.ids[self.stack] = "feedfeed"
        self.assertEqual("", r.git(t, "ls-remote", r.url(self.stack)).stdout)
        r.push(t, self.stack)
        self.assertEqual("feedfeed", open(r.repo(self.stack) + "/viking-id").read())

    # ---- ends ----

    def hanging_push(self):
        r = self.r
        r.api.plans[self.stack] = {"hang": True}
        t = r.tree()
        p = subprocess.Popen(["git", "-C", t, "push", r.url(self.stack), "master"], env=r.env(), stderr=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, text=True, start_new_session=True)
        wait_for("the deploy hangs", lambda: ("hanging", self.stack) in r.api.seen("hanging"))
        self.assertTrue(r.processes(self.stack))
        return t, p

    def assert_clean(self, seconds=1.0):
        wait_for("the process group has ended", lambda: not self.r.processes(self.stack), seconds)
        wait_for("the scheduler was told", lambda: ("cancelled", self.stack) in self.r.api.seen("cancelled"), seconds)
        wait_for("no quarantine is left", lambda: not [x for x in os.listdir(self.r.repo(self.stack) + "/objects")
                                                      if x.startswith("tmp_")], seconds)
        self.assertEqual("", self.r.ref(self.stack))

    def test_interrupt_in_mid_push_ends_everything(self):
        _, p = self.hanging_push()
        os.killpg(p.pid, signal.SIGINT)
        self.assert_clean()
        p.wait(10)
        p.stderr.close()

    def test_interrupt_while_receiving_leaves_no_quarantine(self):
        r = self.r
        t = r.tree({"big": os.urandom(40 << 20)})
        p = subprocess.Popen(["git", "-C", t, "push", r.url(self.stack), "master"], env=r.env(), stderr=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, start_new_session=True)
        objects = r.repo(self.stack) + "/objects"

        def receiving():
            with contextlib.suppress(FileNotFoundError):
                return any(x.startswith("tmp_objdir") for x in os.listdir(objects))

        wait_for("a quarantine", receiving)
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
        wait_for("the process group has ended", lambda: not r.processes(self.stack), 20)
        wait_for("no quarantine is left", lambda: not receiving(), 20)

    def test_revoked_key_ends_open_connections(self):
        r = self.r
        key = r.make_key(self.stack)
        r.api.add_key(self.stack, open(key + ".pub").read())
        control = r.root + "/c" + self.stack
        master = r.popen("-N", key=key, more=["-M", "-S", control], stderr=subprocess.PIPE, text=True)
        wait_for("the master connection", lambda: os.path.exists(control))
        r.api.plans[self.stack] = {"hang": True}
        t = r.tree()
        env = dict(r.env(key))
        p = subprocess.Popen(["git", "-C", t, "push", r.url(self.stack), "master"], env=env, stderr=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, text=True)
        wait_for("the deploy hangs", lambda: ("hanging", self.stack) in r.api.seen("hanging"))
        r.api.revoke(self.stack)
        self.assertNotEqual(0, p.wait(5))
        self.assertEqual(255, master.wait(5))
        self.assertIn("key removed", master.stderr.read() + p.stderr.read())
        master.stderr.close()
        p.stderr.close()
        self.assert_clean()
        self.assertEqual(255, r.ssh("version", key=key).returncode)

    def test_many_at_once(self):
        start = time.monotonic()
        ps = [self.r.popen("version", stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
              for _ in range(50)]
        outs = [p.communicate(timeout=60) for p in ps]
        self.assertEqual([0] * 50, [p.returncode for p in ps], outs)
        self.assertEqual(50, sum("0.1.0" in o for o, _ in outs))
        print(f"50 at once: {(time.monotonic() - start) * 1e3:.0f} ms", flush=True)

    def test_connections_of_one_key_have_a_limit(self):
        r = self.r
        key = r.make_key(self.stack)
        r.api.add_key(self.stack, open(key + ".pub").read())
        controls = [f"{r.root}/l{self.stack}{i}" for i in range(16)]
        ps = [r.popen("-N", key=key, more=["-M", "-S", c], stderr=subprocess.DEVNULL) for c in controls]
        wait_for("16 connections", lambda: all(os.path.exists(c) for c in controls))
        p = r.ssh("version", key=key)
        self.assertEqual(255, p.returncode)
        for x in ps:
            x.terminate()
        for x in ps:
            x.wait()
        wait_for("room again", lambda: r.ssh("version", key=key).returncode == 0, 5)

    def test_one_connection_carries_many_channels(self):
        r = self.r
        control = r.root + "/m" + self.stack
        master = r.popen("-N", more=["-M", "-S", control], stderr=subprocess.DEVNULL)
        wait_for("the master connection", lambda: os.path.exists(control))
        for _ in range(3):
            ps = [r.popen("version", more=["-S", control], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          stdin=subprocess.DEVNULL, text=True) for _ in range(9)]
            for p in ps:
                self.assertIn("0.1.0", p.communicate(timeout=30)[0])
                self.assertEqual(0, p.returncode)
        master.terminate()
        master.wait()

    def test_large_push_needs_little_memory(self):
        r = self.r
        t = r.tree({f"f{i}": random.randbytes(10 << 20) for i in range(30)})
        peak, done = [0], threading.Event()

        def watch():
            while not done.wait(0.02):
                for name in ("viking-session", "viking-monitor"):
                    for pid in r.processes(name):
                        with contextlib.suppress(OSError, TypeError):
                            peak[0] = max(peak[0], self.rss_kib(pid))

        w = threading.Thread(target=watch)
        w.start()
        start = time.monotonic()
        # the client's own search for deltas is not what is measured
        r.git(t, "-c", "pack.window=0", "-c", "core.compression=0", "push", r.url(self.stack), "master", timeout=300)
        took = time.monotonic() - start
        done.set()
        w.join()
        print(f"300 MB push: {took:.2f} s, largest process of ours {peak[0]} KiB", flush=True)
        self.assertLess(peak[0], 20 << 10)
        self.assertEqual(r.head(t), r.ref(self.stack))

    def test_session_is_confined(self):
        control = self.r.root + "/n" + self.stack
        master = self.r.popen("-N", more=["-M", "-S", control], stderr=subprocess.DEVNULL)
        wait_for("the master connection", lambda: os.path.exists(control))
        states = [re.search(r"Seccomp:\s+(\d)", open(f"/proc/{p}/status").read())[1] for p in self.r.processes("viking-session")]
        self.assertIn("seccomp=on", self.r.sandbox)
        self.assertTrue(states and all(s == "2" for s in states), states)
        master.terminate()
        master.wait()


class Strangers(unittest.TestCase):
    """Grace, garbage, penalties: with a short grace time and few places."""

    def setUp(self):
        self.r = Receiver(**{"ssh.grace": "1s", "ssh.startups_per_source": 3})

    def tearDown(self):
        self.r.close()

    def connect(self, source="127.0.0.1"):
        s = socket.socket()
        s.settimeout(10)
        s.bind((source, 0))
        s.connect(("127.0.0.1", self.r.port))
        return s

    def drain(self, s):
        with contextlib.suppress(ConnectionResetError):
            while s.recv(4096):
                pass

    def test_idle_connections_are_closed_at_the_grace_time(self):
        start = time.monotonic()
        s = self.connect("127.0.0.5")
        self.assertTrue(s.recv(255).startswith(b"SSH-2.0-"))
        self.drain(s)
        took = time.monotonic() - start
        self.assertTrue(0.9 < took < 2, took)
        s.close()
        wait_for("the receiver knows", lambda: "ending=4" in self.r.tail(), 20)
        # a penalty for that source, none for another
        s = self.connect("127.0.0.5")
        self.assertEqual(b"", s.recv(10))
        s.close()
        self.assertEqual(0, self.r.ssh("version").returncode)

    def test_garbage_is_dropped(self):
        for i, data in enumerate((b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 4096, os.urandom(4096),
                                  b"SSH-2.0-x\r\n" + os.urandom(4096), b"SSH-2.0-x\r\n" + b"\xff" * 64)):
            s = self.connect(f"127.0.1.{i + 1}")
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                s.sendall(data)
            start = time.monotonic()
            self.drain(s)
            self.assertLess(time.monotonic() - start, 20)
            s.close()
        self.assertEqual(0, self.r.ssh("version").returncode)
        wait_for("no session is left", lambda: len(self.r.processes("viking-monitor")) == 0, 5)
        self.assertEqual(1, len(self.r.processes("viking-session")))

    def test_one_source_does_not_take_the_others_places(self):
        idle = [self.connect("127.0.0.9") for _ in range(20)]
        wait_for("three sessions", lambda: len(self.r.processes("viking-monitor")) == 3, 5)
        self.assertEqual(0, self.r.ssh("version").returncode)
        wait_for("the fourth to end", lambda: len(self.r.processes("viking-monitor")) <= 3, 5)
        for s in idle:
            s.close()

    def test_failures_are_punished_and_six_signatures_are_the_end(self):
        keys = [self.r.make_key(f"bad{i}") for i in range(4)]
        before = len(self.r.api.seen("keycheck"))
        words = [w for k in keys for w in ("-i", k)]
        p = self.r.ssh("version", key=keys[0], source="127.0.0.7", more=words)
        self.assertEqual(255, p.returncode)
        self.assertIn("Permission denied", p.stderr)
        self.assertEqual(4, len(self.r.api.seen("keycheck")) - before)
        for _ in range(4):
            self.r.ssh("version", key=keys[0], source="127.0.0.7")
        p = self.r.ssh("version", source="127.0.0.7")
        self.assertEqual(255, p.returncode, "the good key comes from a source under a penalty")
        self.assertEqual(0, self.r.ssh("version").returncode)

    def test_crashed_session_renews_the_nursery(self):
        r = self.r
        nursery = r.processes("viking-session")
        s = self.connect("127.0.0.8")
        s.recv(10)
        session = wait_for("a session", lambda: [p for p in r.processes("viking-session") if p not in nursery], 5)
        os.kill(session[0], signal.SIGABRT)
        wait_for("another nursery", lambda: r.processes("viking-session") and
                 not set(r.processes("viking-session")) & set(nursery + session), 5)
        s.close()
        self.assertEqual(0, r.ssh("version").returncode)
        os.kill(r.processes("viking-session")[0], signal.SIGKILL)
        wait_for("it serves again", lambda: r.ssh("version").returncode == 0, 10)

    def test_host_keys_are_kept(self):
        def scan():
            p = subprocess.run(["ssh-keyscan", "-p", str(self.r.port), "127.0.0.1"], capture_output=True, text=True)
            return sorted(x for x in p.stdout.splitlines() if x and x[0] != "#")

        before = scan()
        self.assertEqual(2, len(before))
        ssh = self.r.root + "/var/lib/viking/ssh"
        self.assertEqual({"host_ed25519", "host_rsa"}, set(os.listdir(ssh)))
        self.assertTrue(all(os.stat(f"{ssh}/{f}").st_mode & 0o777 == 0o600 for f in os.listdir(ssh)))
        self.r.process.terminate()
        self.assertEqual(0, self.r.process.wait(10))
        self.r.start()
        self.assertEqual(before, scan())

    def test_scheduler_away_is_said(self):
        r = self.r
        r.api.close()
        p = r.ssh("version", more=["-o", "LogLevel=INFO", "-v"])
        self.assertEqual(255, p.returncode)
        self.assertIn("viking does not answer", p.stderr)
        r.api = Api(r.api.path)
        r.api.add_key("me", open(r.key + ".pub").read())
        self.assertEqual(0, r.ssh("version").returncode)


class Timers(unittest.TestCase):
    """Grace, keep-alive and idle time, each a second or two."""

    def setUp(self):
        self.r = Receiver(**{"ssh.grace": "2s", "ssh.keepalive": "1s", "ssh.idle": "3s"})

    def tearDown(self):
        self.r.close()

    def transport(self):
        import paramiko
        t = paramiko.Transport(("127.0.0.1", self.r.port))
        t.start_client(timeout=10)
        return t

    def logged_in(self):
        import paramiko
        t = self.transport()
        t.auth_publickey("viking", paramiko.Ed25519Key.from_private_key_file(self.r.key))
        return t

    def ends_after(self, low, high, gone, began):
        wait_for("the end of the connection", gone, high + 5)
        took = time.monotonic() - began
        self.assertTrue(low <= took <= high, took)

    def no_session(self):
        return not self.r.processes("viking-monitor")

    def index_pack(self):
        """git's own child on the server's side: its words do not name our root, its directory does."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if b"index-pack" in open(f"/proc/{pid}/cmdline", "rb").read() and os.readlink(f"/proc/{pid}/cwd").startswith(
                        self.r.root + "/var"):
                    return int(pid)
        return None

    def test_grace_is_for_the_log_in_not_for_the_key_exchange(self):
        began = time.monotonic()
        t = self.transport()  # keys are exchanged, no key is shown
        self.ends_after(1.5, 4, lambda: not t.is_active(), began)
        t.close()

    def test_idle_connection_ends(self):
        t = self.logged_in()
        began = time.monotonic()
        self.ends_after(2.5, 5, lambda: not t.is_active(), began)
        t.close()

    def test_a_running_command_is_not_idle(self):
        r = self.r
        r.api.plans["hangs"] = {"hang": True}
        p = subprocess.Popen(["git", "-C", r.tree(), "push", r.url("hangs"), "master"], env=r.env(), stderr=subprocess.DEVNULL)
        wait_for("the deploy hangs", lambda: ("hanging", "hangs") in r.api.seen("hanging"))
        with self.assertRaises(subprocess.TimeoutExpired):  # its client answers to keep-alives
            p.wait(6)
        p.terminate()
        p.wait()

    def test_a_client_that_is_gone_without_a_word_is_found_out(self):
        r = self.r
        r.api.plans["silent"] = {"hang": True}
        p = subprocess.Popen(["git", "-C", r.tree(), "push", r.url("silent"), "master"], env=r.env(), stderr=subprocess.DEVNULL,
                             start_new_session=True)
        wait_for("the deploy hangs", lambda: ("hanging", "silent") in r.api.seen("hanging"))
        began = time.monotonic()
        os.killpg(p.pid, signal.SIGSTOP)  # the connection stands, nobody answers: three keep-alives
        self.ends_after(3, 7, self.no_session, began)
        wait_for("the deploy is cancelled", lambda: ("cancelled", "silent") in r.api.seen("cancelled"), 20)
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()

    def test_a_client_that_stops_reading_is_ended(self):
        r = self.r
        t = r.tree({"big": os.urandom(8 << 20)})
        r.push(t, "stalls")
        want = r.head(t)
        client = self.logged_in()
        ch = client.open_session(window_size=1 << 16)
        ch.exec_command("git-upload-pack 'stalls'")
        line = f"want {want} no-progress\n"
        ch.sendall(b"%04x%s00000009done\n" % (len(line) + 4, line.encode()))
        began = time.monotonic()  # answers to keep-alives, never opens its window again
        wait_for("git serves", lambda: r.processes("git-upload-pack") or r.processes("upload-pack"), 5)
        self.ends_after(2.5, 8, lambda: not client.is_active(), began)
        wait_for("git has ended", lambda: not r.processes("upload-pack"), 3)
        client.close()

    def test_a_program_that_does_not_read_is_no_silence_of_the_client(self):
        r = self.r
        t = r.tree({"big": os.urandom(60 << 20)})
        p = subprocess.Popen(["git", "-C", t, "-c", "core.compression=0", "push", r.url("slow"), "master"], env=r.env(),
                             stderr=subprocess.PIPE, text=True)
        pid = wait_for("git unpacks", self.index_pack, 20)
        os.kill(pid, signal.SIGSTOP)
        with self.assertRaises(subprocess.TimeoutExpired):
            p.wait(6)  # longer than keep-alives and idle time
        os.kill(pid, signal.SIGCONT)
        err = p.communicate(timeout=60)[1]
        self.assertEqual(0, p.returncode, err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
