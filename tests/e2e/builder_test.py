"""viking-builder and viking-job against the real engine and a real docker-registry.

The two neighbours are stand-ins here, so that each case sees exactly what the builder says to them: a scheduler (the
two routes of docs/protocol.md section 5) and the receiver's export.sock (a tar made from a dict of files; one case uses the
real viking-export on a real repository).
"""
import contextlib
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import tarfile
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import lib

BUILD = os.environ.get("VIKING_BUILD_DIR") or os.path.join(os.getcwd(), "build")
BIN = os.environ.get("VIKING_BUILDER_BIN") or os.path.join(BUILD, "builder")
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BASE = "builder-test-base"
CGROUP = "/sys/fs/cgroup"


def make_base():
    if lib.engine("GET", f"/images/{BASE}:latest/json")[0] == 200:
        return
    with tempfile.TemporaryDirectory() as d:
        os.makedirs(d + "/bin")
        os.makedirs(d + "/tmp")
        shutil.copy("/bin/busybox", d + "/bin/busybox")
        for name in subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True).stdout.split():
            if name != "busybox":
                os.symlink("busybox", f"{d}/bin/{name}")
        tar = subprocess.run(["tar", "-C", d, "-c", "."], stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["docker", "-H", "unix://" + lib.ENGINE, "import", "-", BASE + ":latest"], input=tar, check=True,
                       stdout=subprocess.DEVNULL)


class Scheduler:
    """The wanted list goes out, reports come in; every report is kept with its time."""

    def __init__(self, path):
        self.jobs, self.reports, self.watchers = [], [], 0
        self.changed = threading.Condition()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def address_string(self):
                return "unix"

            def log_message(self, *args):
                pass

            def do_GET(self):
                assert self.path == "/v1/internal/builder/watch", self.path
                assert self.headers["Viking-Role"] == "builder"
                self.send_response(200)
                self.send_header("Content-Type", "application/x-ndjson")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                outer.stream(self)

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.take(self.path.rsplit("/", 1)[1], body)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

            def handle_error(self, request, address):
                pass  # a builder that was killed resets its connections

        self.path, self.handler, self.server_class = path, Handler, Server
        self.server, self.closing = None, False
        self.open()

    def open(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.closing = False
        self.server = self.server_class(self.path, self.handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        self.server.shutdown()
        self.server.server_close()
        os.unlink(self.path)

    def stream(self, handler):
        sent = None
        with self.changed:
            self.watchers += 1
        try:
            while True:
                with self.changed:
                    self.changed.wait_for(lambda: self.closing or self.jobs != sent, 5)
                    if self.closing:
                        handler.close_connection = True
                        handler.connection.shutdown(socket.SHUT_RDWR)
                        return
                    line = {} if self.jobs == sent else {"jobs": self.jobs}
                    sent = list(self.jobs)
                data = json.dumps(line).encode() + b"\n"
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                handler.wfile.flush()
        except OSError:
            pass

    def take(self, job, body):
        with self.changed:
            self.reports.append((time.monotonic(), job, body))
            self.changed.notify_all()

    def want(self, *jobs):
        with self.changed:
            self.jobs = list(jobs)
            self.changed.notify_all()

    def wait(self, what, check, seconds=60):
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                found = check()
                if found:
                    return found
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"not within {seconds} s: {what}; reports: {self.reports[-20:]}")
                self.changed.wait(left)

    def of(self, job, kind):
        return [(t, b[kind]) for t, j, b in self.reports if j == job and kind in b]

    def done(self, job, seconds=60):
        return self.wait(f"{job} done", lambda: self.of(job, "done"), seconds)[-1][1]

    def out(self, job):
        return [line for _, lines in self.of(job, "out") for line in lines]

    def wait_line(self, job, text, seconds=60):
        return self.wait(f"{job}: {text}", lambda: any(text in line for line in self.out(job)), seconds)


def steps_of(dockerfile):
    steps, joined, first = [], "", 0
    for number, line in enumerate(dockerfile.split("\n"), 1):
        if not joined and (not line.strip() or line.startswith("#")):
            continue
        first = first if joined else number
        joined += line.strip()
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        steps.append([first, joined])
        joined = ""
    return steps


def tar_of(files):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text), 0o644
            tar.addfile(info, io.BytesIO(text))
    return data.getvalue()


class Receiver:
    """export.sock. trees: commit -> {file: bytes}; a tree may be a function(connection, request)."""

    def __init__(self, path):
        self.trees, self.requests = {}, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(path)
        self.socket.listen(16)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(c,), daemon=True).start()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def answer(self, c):
        with c, contextlib.suppress(OSError):
            request = json.loads(c.makefile("r").readline())
            self.requests.append(request)
            tree = self.trees[request["commit"]]
            if callable(tree):
                tree(c, request)
                return
            header, tar = self.header(tree, request)
            c.sendall(json.dumps(header).encode() + b"\n" + tar)

    @staticmethod
    def header(tree, request):
        recipe = request["recipe"]
        name = recipe.get("dockerfile") or "Dockerfile"
        files = dict(tree)
        if recipe.get("inline"):
            files[name] = recipe["inline"].encode()
        tar = tar_of(files)
        steps = steps_of(files[name].decode())
        lines = [s[1].split() for s in steps if s[1].upper().startswith("FROM ")]
        froms = [w[1] for w in lines if w[1] not in [x[3] for x in lines if len(x) == 4]]
        key = hashlib.sha256(repr((sorted(files.items()), recipe.get("args"), recipe.get("target"))).encode()).hexdigest()
        return {"key": key, "dockerfile": name, "froms": froms, "steps": steps, "files": len(files),
                "bytes": sum(map(len, files.values()))}, tar


class Registry:
    def __init__(self, state, port):
        self.port, self.dir, self.process = port, state + "/registry", None
        os.makedirs(self.dir)
        self.password = "test-" + os.urandom(8).hex()
        with open(self.dir + "/password", "w") as f:
            f.write(self.password + "\n")
        line = subprocess.run(["htpasswd", "-Bbn", "-C", "4", "viking", self.password], check=True, capture_output=True)
        with open(self.dir + "/htpasswd", "wb") as f:
            f.write(line.stdout.strip() + b"\n")
        with open(self.dir + "/config.yml", "w") as f:
            f.write(f"""version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {self.dir}/data}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}", secret: test}}
auth: {{htpasswd: {{realm: viking, path: {self.dir}/htpasswd}}}}
""")
        self.start()

    def start(self):
        with open(self.dir + "/log", "ab") as log:
            self.process = subprocess.Popen(["/usr/bin/docker-registry", "serve", self.dir + "/config.yml"],
                                            stdout=subprocess.DEVNULL, stderr=log)
        lib.wait_for("registry", lambda: self.get("")[0] == 200)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def get(self, path, method="GET", auth=True):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v2/{path}", method=method)
        request.add_header("Accept", "application/vnd.docker.distribution.manifest.v2+json")
        if auth:
            import base64
            request.add_header("Authorization", "Basic " + base64.b64encode(b"viking:" + self.password.encode()).decode())
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as r:
                return r.status, r.read(), r.headers
        except urllib.error.HTTPError as e:
            return e.code, e.read(), e.headers
        except OSError:
            return 0, b"", {}


class Bench:
    shared = None  # a registry for all benches of a module, where filling one takes minutes

    def __init__(self, **settings):
        self.root = tempfile.mkdtemp(prefix="builder-e2e-")
        self.state, self.run = self.root + "/var/lib/viking", self.root + "/run/viking"
        for d in (self.state, self.run, self.root + "/etc/viking"):
            os.makedirs(d)
        self.port = self.shared.port if self.shared else lib.free_port()
        self.settings = {"registry.port": self.port, "engine.socket": lib.ENGINE, "paths.libexec": BIN, "builder.stack_ahead": False,
                         "builds.memory": "512M", "receive.min_free": "1M", **settings}
        self.configure()
        self.registry = self.shared or Registry(self.state, self.port)
        if self.shared:
            os.symlink(self.shared.dir, self.state + "/registry")
        self.scheduler = Scheduler(self.run + "/api.sock")
        self.receiver = Receiver(self.run + "/export.sock")
        self.builder, self.count = None, 0
        self.start()

    def configure(self, **more):
        self.settings.update(more)
        with open(self.root + "/etc/viking/viking.conf", "w") as f:
            for k, v in self.settings.items():
                f.write(f"{k}: {json.dumps(v)}\n")

    def start(self):
        self.log = open(self.root + "/builder.log", "ab")
        ready, told = os.pipe()
        env = {"PATH": os.environ["PATH"], "VIKING_READY_FD": str(told)}
        env["ASAN_OPTIONS"] = "detect_leaks=0"  # the leak check needs ptrace, which the sandbox forbids
        self.builder = subprocess.Popen([BIN + "/viking-builder", "--config", self.root + "/etc/viking/viking.conf",
                                         "--root", self.root], stderr=self.log, env=env, pass_fds=[told])
        os.close(told)
        self.log.close()
        with os.fdopen(ready) as f:
            self.ready = f.read()

    def stop(self, signo=signal.SIGTERM):
        self.builder.send_signal(signo)
        return self.builder.wait(10)

    def close(self):
        status = self.stop() if self.builder.poll() is None else self.builder.returncode
        self.receiver.close()
        self.scheduler.close()
        if not self.shared:
            self.registry.stop()
        prefix = f"127.0.0.1:{self.port}/"
        for image in lib.engine("GET", "/images/json")[1]:
            for name in (image["RepoTags"] or []) + (image["RepoDigests"] or []):
                if name.startswith(prefix):
                    lib.engine("DELETE", f"/images/{name}?force=1")
        with open(self.root + "/builder.log") as f:
            text = f.read()
        shutil.rmtree(self.root)
        assert status == 0, (status, text)
        assert "Sanitizer" not in text and "runtime error" not in text, text

    def jobs_running(self):
        """Pids of our viking-job processes, relays left out."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
                if words[0] == b"viking-job" and self.root.encode() in words:
                    found.append(int(pid))
        return found

    def job(self, files=None, dockerfile=None, boat="web", stack="ragnar", kind="image", recipe=None, **more):
        self.count += 1
        commit = hashlib.sha1(f"{self.root} {self.count}".encode()).hexdigest()
        files = dict(files or {})
        if dockerfile is not None:
            files["Dockerfile"] = dockerfile.encode()
        self.receiver.trees[commit] = files
        recipe = recipe or {"inline": None, "dockerfile": "Dockerfile", "context": ".", "args": {}, "target": ""}
        return {"id": f"b{self.count}", "kind": kind, "stack": stack, "boat": boat, "node": "", "commit": commit,
                "recipe": recipe, "refs": {}, "document_root": "", "no_cache": False, "tag": commit[:12], "known": {}, **more}


class Case(unittest.TestCase):
    settings = {}

    def setUp(self):
        make_base()
        self.b = Bench(**self.settings)
        self.addCleanup(self.b.close)
        self.s = self.b.scheduler

    def build(self, job, seconds=60):
        self.s.want(job)
        return self.s.done(job["id"], seconds)

    def fails(self, job, seconds=60):
        done = self.build(job, seconds)
        self.assertFalse(done["ok"], done)
        return done


class Builds(Case):
    def test_builds_pushes_and_tells(self):
        job = self.b.job({"a.txt": b"hello\n"}, f"FROM {BASE}\nCOPY a.txt /a.txt\nRUN echo one; echo two >&2\nEXPOSE 8080 53/udp\n"
                         "LABEL x=y\n", no_cache=True)
        done = self.build(job)
        self.assertTrue(done["ok"], done)
        self.assertFalse(done["cached"])
        self.assertEqual(done["expose"], ["53/udp", "8080/tcp"])
        self.assertEqual(done["ref"], f"127.0.0.1:{self.b.port}/ragnar/web@{done['digest']}")
        self.assertGreater(done["bytes"], 1000)
        status, _, headers = self.b.registry.get("ragnar/web/manifests/" + job["tag"])
        self.assertEqual((status, headers["Docker-Content-Digest"]), (200, done["digest"]))
        self.assertEqual(self.b.registry.get("ragnar/web/manifests/" + job["tag"], auth=False)[0], 401)
        image = lib.engine("GET", f"/images/{done['image']}/json")[1]
        labels = image["Config"]["Labels"]
        self.assertEqual((labels["viking.stack"], labels["viking.boat"], labels["viking.commit"], labels["viking.build-key"]),
                         ("ragnar", "web", job["commit"], done["key"]))
        out = self.s.out(job["id"])
        self.assertIn("Step 1/3: FROM " + BASE, out)
        self.assertIn("Step 3/3: RUN echo one; echo two >&2", out)
        self.assertIn("one", out)
        self.assertIn("two", out)
        self.assertTrue(all("\n" not in line for line in out), out)
        self.assertEqual(len([line for line in out if "Step 2/3" in line]), 1)
        states = [b for _, b in self.s.of(job["id"], "state")]
        self.assertEqual(states[-2:], ["running", "pushing"])
        run = subprocess.run(["docker", "-H", "unix://" + lib.ENGINE, "run", "--rm", "--network", "none", done["ref"], "cat",
                              "/a.txt"], capture_output=True, text=True)
        self.assertEqual(run.stdout, "hello\n", run.stderr)

    def test_known_input_is_not_built_again(self):
        files, text = {"a": b"1"}, f"FROM {BASE}\nCOPY a /a\nEXPOSE 80\n"
        first = self.build(self.b.job(files, text))
        known = {first["key"]: {k: first[k] for k in ("ref", "digest", "image")}}
        again = self.b.job(files, text, known=known)
        done = self.build(again)
        self.assertTrue(done["ok"] and done["cached"], done)
        for k in ("ref", "digest", "image", "key", "expose"):
            self.assertEqual(done[k], first[k])
        self.assertFalse(any("Step" in line for line in self.s.out(again["id"])))
        # the local image is gone, as after a move to another disk: the registry gives it back
        lib.engine("DELETE", f"/images/{first['image']}?force=1")
        self.assertTrue(self.build(self.b.job(files, text, known=known))["cached"])
        # asked not to, or another input: built
        self.assertFalse(self.build(self.b.job(files, text, known=known, no_cache=True))["cached"])
        self.assertFalse(self.build(self.b.job({"a": b"2"}, text, known=known))["cached"])
        # the registry lost it: built
        self.assertEqual(self.b.registry.get("ragnar/web/manifests/" + first["digest"], "DELETE")[0], 202)
        self.assertFalse(self.build(self.b.job(files, text, known=known))["cached"])

    def test_another_base_of_the_same_name_is_another_key(self):
        text = f"FROM {BASE}2\nRUN true\n"
        lib.engine("POST", f"/images/{BASE}/tag?repo={BASE}2")
        first = self.build(self.b.job({}, text))
        lib.engine("DELETE", f"/images/{BASE}2")
        lib.engine("POST", f"/images/{first['image'].split(':')[1]}/tag?repo={BASE}2")
        second = self.build(self.b.job({}, text))
        lib.engine("DELETE", f"/images/{BASE}2")
        self.assertNotEqual(first["key"], second["key"])

    def test_failing_lines_are_named(self):
        for recipe, dockerfile, message in (
                (None, f"FROM {BASE}\n\n# c\nRUN true\nRUN echo last words; \\\n    exit 2\n",
                 "build failed at Dockerfile:5: RUN echo last words; exit 2: exit code 2"),
                (None, f"FROM {BASE} AS a\nRUN true\nFROM a\nENV X=1\nRUN sh -c 'exit 4' $X\n",
                 "build failed at Dockerfile:5: RUN sh -c 'exit 4' $X: exit code 4"),
                (None, f"FROM {BASE}\nCOPY nofile /x\n", 'build failed at Dockerfile:2: COPY nofile /x: "/nofile" not found: not found'),
                (None, f"FROM {BASE}\nRUNN x\n", "build failed at Dockerfile:2: unknown instruction: RUNN"),
                ({"inline": f"FROM {BASE}\nRUN exit 9\n", "dockerfile": None, "context": ".", "args": {}, "target": ""},
                 None, "build failed at build.web:2: RUN exit 9: exit code 9")):
            job = self.b.job({}, dockerfile, recipe=recipe)
            done = self.fails(job)
            self.assertEqual((done["error"], done["message"]), ("FAILED", message))
            if "last words" in message:
                self.assertEqual(done["tail"][-1], "last words")
        self.assertEqual(self.b.registry.get("ragnar/web/tags/list")[0], 404)

    def test_args_and_target(self):
        recipe = {"inline": None, "dockerfile": "deploy/File", "context": ".", "args": {"WHO": "a b&c=d"}, "target": "one"}
        job = self.b.job({"deploy/File": f"FROM {BASE} AS one\nARG WHO\nRUN echo \"got $WHO\"\nFROM one\nRUN exit 1\n".encode()},
                         recipe=recipe, no_cache=True)
        self.assertTrue(self.build(job)["ok"])
        self.assertIn("got a b&c=d", self.s.out(job["id"]))

    def test_base_that_cannot_be_had(self):
        done = self.fails(self.b.job({}, "FROM builder-test-nosuch:7\nRUN true\n"))
        self.assertIn("the base image builder-test-nosuch:7 is not on this host and cannot be fetched", done["message"])
        self.assertIn("docker pull builder-test-nosuch:7", done["hint"])

    def test_bases_by_id_or_place_are_refused(self):
        image = lib.engine("GET", f"/images/{BASE}/json")[1]["Id"].split(":")[1]
        self.assertEqual(self.fails(self.b.job({}, f"FROM {image[:12]}\n"))["error"], "DENIED")
        other = self.build(self.b.job({}, f"FROM {BASE}\nRUN echo secret >/s\n", stack="other"))
        steal = self.b.job({}, f"FROM {other['ref']}\n")
        self.assertEqual(self.fails(steal)["error"], "DENIED")
        allowed = self.b.job({}, f"FROM {other['ref']}\nRUN cat /s\n", refs={"other/web": other["ref"]})
        self.assertTrue(self.build(allowed)["ok"])
        # not on the host any more: fetched from the registry with the password
        lib.engine("DELETE", f"/images/{other['image']}?force=1")
        self.b.scheduler.want()
        again = self.b.job({}, f"FROM {other['ref']}\nRUN cat /s; echo x\n", refs={"other/web": other["ref"]})
        self.assertTrue(self.build(again)["ok"])

    def test_a_source_that_is_cut_off_makes_no_image(self):
        job = self.b.job({"a": b"x" * 5000, "Dockerfile": f"FROM {BASE}\nRUN true\n".encode()})

        def half(c, request, tree=self.b.receiver.trees[job["commit"]]):
            header, tar = Receiver.header(tree, request)
            files = {"Dockerfile": tree["Dockerfile"]}
            c.sendall(json.dumps(header).encode() + b"\n" + tar_of(files)[:1024])  # a whole file, then the end

        self.b.receiver.trees[job["commit"]] = half
        done = self.fails(job)
        self.assertIn("cut off", done["message"])
        self.assertEqual(self.b.registry.get("ragnar/web/tags/list")[0], 404)

    def test_errors_of_the_receiver_reach_the_person(self):
        job = self.b.job()
        self.b.receiver.trees[job["commit"]] = lambda c, r: c.sendall(
            b'{"error": "INVALID", "message": "Dockerfile:1: empty", "hint": "write one"}\n')
        done = self.fails(job)
        self.assertEqual((done["error"], done["message"], done["hint"]), ("INVALID", "Dockerfile:1: empty", "write one"))
        job = self.b.job()
        self.b.receiver.trees[job["commit"]] = lambda c, r: None
        self.assertEqual(self.fails(job)["error"], "UNAVAILABLE")

    def test_sites_are_exported(self):
        job = self.b.job(kind="site", boat="", recipe={})
        job.update(node="help", document_root="public")
        self.b.receiver.trees[job["commit"]] = lambda c, r: c.sendall(b'{"files": 3, "bytes": 99}\n')
        done = self.build(job)
        self.assertTrue(done["ok"], done)
        self.assertEqual((done["files"], self.b.receiver.requests[-1]["mode"], self.b.receiver.requests[-1]["document_root"]),
                         (3, "site", "public"))

    def test_output_comes_while_it_runs_and_bars_are_folded(self):
        job = self.b.job({}, f"FROM {BASE}\nRUN echo first; sleep 1; printf '1%%\\r50%%\\r100%%\\n'; printf '\\033[1mbold\\033[0m\\n'\n", no_cache=True)
        self.s.want(job)
        self.s.wait_line(job["id"], "first")
        self.assertFalse(self.s.of(job["id"], "done"))
        self.assertTrue(self.s.done(job["id"])["ok"])
        out = self.s.out(job["id"])
        self.assertIn("100%", out)
        self.assertNotIn("1%", out)
        self.assertIn("bold", out)

    def test_registry_down(self):
        self.b.registry.stop()
        done = self.fails(self.b.job({}, f"FROM {BASE}\nRUN true\n"))
        self.assertEqual(done["error"], "UNAVAILABLE")
        self.assertIn(f"the registry at 127.0.0.1:{self.b.port} does not answer", done["message"])
        self.assertIn("viking doctor", done["hint"])
        self.b.registry.start()
        self.assertTrue(self.build(self.b.job({}, f"FROM {BASE}\nRUN true\n"))["ok"])

    def test_registry_going_down_while_building(self):
        job = self.b.job({}, f"FROM {BASE}\nRUN echo started; sleep 1; date >/d\n", no_cache=True)
        self.s.want(job)
        self.s.wait_line(job["id"], "started")
        self.b.registry.stop()
        done = self.s.done(job["id"])
        self.assertEqual((done["ok"], done["error"]), (False, "UNAVAILABLE"))
        self.assertIn("the image was built but the registry at", done["message"])

    def test_a_full_disk_is_said_before_the_build(self):
        data = self.b.registry.dir + "/data"
        os.makedirs(data, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", data], check=True)
        try:
            done = self.fails(self.b.job({}, f"FROM {BASE}\nRUN true\n"))
        finally:
            self.b.registry.stop()
            subprocess.run(["umount", data], check=True)
        self.assertEqual(done["error"], "LIMIT")
        self.assertIn("the disk is nearly full", done["message"])
        self.assertIn(f"free in {data}, 1.0 MiB are needed", done["message"])
        self.b.registry.start()

    def test_a_step_that_fills_the_disk(self):
        self.b.configure(**{"builds.disk": "64M", "builds.parallel": 1})
        self.b.stop()
        self.b.start()
        done = self.fails(self.b.job({}, f"FROM {BASE}\nRUN for i in $(seq 60); do head -c 25000000 /dev/urandom >/$i; sleep 0.2; done\n"))
        self.assertEqual(done["error"], "LIMIT")
        self.assertIn("builds.disk is 64.0 MiB", done["message"])
        self.assertIn("raise builds.disk", done["hint"])

    def test_a_password_of_another_registry(self):
        with open(self.b.registry.dir + "/password", "w") as f:
            f.write("wrong\n")
        done = self.fails(self.b.job({}, f"FROM {BASE}\nRUN true\n"))
        self.assertEqual(done["error"], "DENIED")
        self.assertNotIn("wrong", json.dumps(done))

    def test_no_engine(self):
        self.b.configure(**{"engine.socket": self.b.root + "/none.sock"})
        self.b.stop()
        self.b.start()
        done = self.fails(self.b.job({}, f"FROM {BASE}\nRUN true\n"))
        self.assertEqual(done["error"], "UNAVAILABLE")
        self.b.stop()
        self.b.configure(**{"engine.socket": lib.ENGINE})
        self.b.start()


class ExportCase(Case):
    """The other half of the folder: viking-export reads a real repository."""

    def commit(self, files, stack="ragnar"):
        repo = f"{self.b.state}/repos/{stack}.git"
        git = lambda *words, **kw: subprocess.run(["git", *words], check=True, capture_output=True, text=True, **kw).stdout.strip()
        if not os.path.exists(repo):
            git("init", "-q", "--bare", repo)
        with tempfile.TemporaryDirectory() as d:
            for name, text in files.items():
                os.makedirs(os.path.dirname(f"{d}/{name}") or d, exist_ok=True)
                with open(f"{d}/{name}", "w") as f:
                    f.write(text)
            env = {**os.environ, "GIT_DIR": repo, "GIT_WORK_TREE": d, "GIT_INDEX_FILE": d + ".index", "GIT_AUTHOR_NAME": "t",
                   "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t"}
            git("add", "-A", cwd=d, env=env)
            tree = git("write-tree", env=env)
            os.unlink(d + ".index")
            return git("commit-tree", "-m", "x", tree, env=env)

    def job(self, files, recipe=None, stack="ragnar", **more):
        job = self.b.job({}, "", stack=stack, **more)
        commit = self.commit(files, stack)
        job.update(commit=commit, tag=commit[:12])
        job["recipe"] = {"inline": None, "dockerfile": "Dockerfile", "context": ".", "args": {}, "target": "", "needs": [],
                         "refs": [], **(recipe or {})}
        self.b.receiver.trees[commit] = self.export
        return job

    def export(self, c, request):
        subprocess.run([BIN + "/viking-export", "--config", self.b.root + "/etc/viking/viking.conf", "--root", self.b.root,
                        "serve"], input=json.dumps(request).encode() + b"\n", stdout=c.fileno(), check=False,
                       stderr=subprocess.DEVNULL, env={"ASAN_OPTIONS": "detect_leaks=0", "PATH": "/usr/bin:/bin"})


class RealExport(ExportCase):
    def test_a_commit_becomes_an_image(self):
        first = self.build(self.job({"Dockerfile": f"FROM {BASE}\nCOPY . /app\nRUN cat /app/sub/a; ls /app\n", "sub/a": "hello\n",
                                     "no.log": "x", ".dockerignore": "*.log\n"}))
        self.assertTrue(first["ok"], first)
        ls = subprocess.run(["docker", "-H", "unix://" + lib.ENGINE, "run", "--rm", "--network", "none", first["ref"], "ls",
                             "/app"], capture_output=True, text=True).stdout.split()
        self.assertIn("sub", ls)
        self.assertNotIn("no.log", ls)
        # a boat of another one, by name in FROM and through an argument
        refs = {"ragnar/web": first["ref"]}
        second = self.build(self.job({"Dockerfile": "FROM viking:ragnar/web\nRUN cat /app/sub/a\n"}, boat="two", refs=refs,
                                     no_cache=True))
        self.assertTrue(second["ok"], second)
        third = self.build(self.job({"Dockerfile": "ARG B=viking:ragnar/web\nFROM $B\nRUN cat /app/sub/a\n"}, boat="three",
                                    refs=refs, no_cache=True))
        self.assertTrue(third["ok"], third)
        fourth = self.build(self.job({"Dockerfile": "ARG B=x\nFROM $B\nRUN cat /app/sub/a\n"}, {"args": {"B": "viking:ragnar/web"}},
                                     boat="four", refs=refs, no_cache=True))
        self.assertTrue(fourth["ok"], fourth)

    def test_the_failing_line_is_named(self):
        done = self.fails(self.job({"Dockerfile": f"# c\nFROM {BASE}\n\nRUN true \\\n  && exit 5\n"}))
        self.assertEqual(done["message"].split()[3], "Dockerfile:4:")
        self.assertIn("exit code 5", done["message"])
        done = self.fails(self.job({"x": "y"}))
        self.assertIn("Dockerfile", done["message"])
        inline = self.fails(self.job({"x": "y"}, {"inline": f"FROM {BASE}\nRUN exit 8\n", "dockerfile": None}))
        self.assertEqual(inline["message"], "build failed at build.web:2: RUN exit 8: exit code 8")

    def test_the_key_follows_the_tree(self):
        files = {"Dockerfile": f"FROM {BASE}\nCOPY a /a\n", "a": "1"}
        first = self.build(self.job(files))
        known = {first["key"]: {k: first[k] for k in ("ref", "digest", "image")}}
        self.assertTrue(self.build(self.job(files, known=known))["cached"])
        self.assertFalse(self.build(self.job({**files, "a": "2"}, known=known))["cached"])

    def test_a_site_is_written(self):
        job = self.job({"public/index.html": "<h1>", "x": "y"}, kind="site", boat="")
        job.update(node="help", document_root="public")
        done = self.build(job)
        self.assertTrue(done["ok"], done)
        with open(f"{self.b.state}/static/ragnar/help/{job['commit']}/index.html") as f:
            self.assertEqual(f.read(), "<h1>")


class Classic(Case):
    settings = {"builds.backend": "classic"}

    def test_builds_and_names_the_failing_line(self):
        job = self.b.job({"a": b"x"}, f"ARG B={BASE}\nFROM $B\nCOPY a /a\nRUN echo out\nEXPOSE 81\n")
        # the stand-in's froms are not expanded; the real scanner's are
        tree = self.b.receiver.trees[job["commit"]]

        def expanded(c, request):
            header, tar = Receiver.header(tree, request)
            header["froms"] = [BASE]
            c.sendall(json.dumps(header).encode() + b"\n" + tar)

        self.b.receiver.trees[job["commit"]] = expanded
        done = self.build(job)
        self.assertTrue(done["ok"], done)
        self.assertEqual(done["expose"], ["81/tcp"])
        out = self.s.out(job["id"])
        self.assertIn("Step 4/5: RUN echo out", out)
        self.assertIn("out", out)
        self.assertFalse(any("viking." in line for line in out), out)
        done = self.fails(self.b.job({}, f"FROM {BASE}\nENV A=1\nRUN exit 6\n"))
        self.assertEqual(done["message"], "build failed at Dockerfile:3: RUN exit 6: exit code 6")
        done = self.fails(self.b.job({}, f"FROM {BASE}\nRUNN\n"))
        self.assertEqual(done["message"], "build failed at Dockerfile:2: unknown instruction: RUNN")

    def test_memory_of_one_build_is_limited(self):
        self.b.configure(**{"builds.memory": "64M"})
        done = self.fails(self.b.job({}, f"FROM {BASE}\nRUN tail /dev/zero\n"))
        self.assertIn("out of memory (builds.memory is 64.0 MiB)", done["message"])
        self.assertIn("build failed at Dockerfile:2: RUN tail /dev/zero: exit code 137", done["message"])

    def test_cancel_removes_the_container(self):
        job = self.b.job({}, f"FROM {BASE}\nRUN echo up; sleep 4711\n", no_cache=True)
        self.s.want(job)
        self.s.wait_line(job["id"], "up")
        lib.wait_for("step runs", lambda: sleeping("4711"), 5)
        self.s.want()
        lib.wait_for("sleep gone", lambda: not sleeping("4711"), 3)


def sleeping(word):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().split(b"\0")[:2] == [b"sleep", word.encode()]:
                    return True
    return False


class Queue(Case):
    settings = {"builds.parallel": 2}

    def slow(self, n, **more):
        return self.b.job({}, f"FROM {BASE}\nRUN echo up; sleep 30; echo {n}\n", no_cache=True, **more)

    def test_cancel_in_the_middle_of_a_step(self):
        job = self.b.job({}, f"FROM {BASE}\nRUN echo up; sleep 4712\n", no_cache=True)
        self.s.want(job)
        self.s.wait_line(job["id"], "up")
        lib.wait_for("step runs", lambda: sleeping("4712"), 5)
        self.s.want()
        lib.wait_for("job gone", lambda: not self.b.jobs_running(), 20)
        lib.wait_for("step gone", lambda: not sleeping("4712"), 20)
        self.assertFalse(self.s.of(job["id"], "done"))
        self.assertTrue(self.build(self.b.job({}, f"FROM {BASE}\nRUN true\n"))["ok"])

    def test_two_at_once_the_rest_waits_with_its_place(self):
        jobs = [self.slow(i, boat=f"b{i}") for i in range(5)]
        self.s.want(*jobs)
        for j in jobs[:2]:
            self.s.wait_line(j["id"], "up")
        self.assertEqual(len(self.b.jobs_running()), 2)
        states = lambda j: [b for _, k, b in self.s.reports if k == j["id"] and "state" in b]
        self.s.wait("positions", lambda: states(jobs[4]))
        self.assertEqual([states(j)[-1] for j in jobs[2:]],
                         [{"state": "queued", "position": n} for n in (1, 2, 3)])
        self.s.want(*jobs[1:3], jobs[4])  # a running one and a waiting one are not wanted any more
        self.s.wait_line(jobs[2]["id"], "up")
        self.assertEqual(states(jobs[3])[-1], {"state": "queued", "position": 2})
        self.assertEqual(states(jobs[4])[-1], {"state": "queued", "position": 1})
        self.assertEqual(len(self.b.jobs_running()), 2)

    def test_one_build_of_a_boat_at_a_time(self):
        jobs = [self.slow(i) for i in range(2)]
        self.s.want(*jobs)
        self.s.wait_line(jobs[0]["id"], "up")
        self.assertEqual(len(self.b.jobs_running()), 1)
        self.s.want(jobs[1])
        self.s.wait_line(jobs[1]["id"], "up")

    def test_a_killed_builder_leaves_nothing_and_starts_anew(self):
        job = self.slow(1)
        self.s.want(job)
        self.s.wait_line(job["id"], "up")
        self.b.builder.kill()
        self.b.builder.wait()
        lib.wait_for("jobs gone", lambda: not self.b.jobs_running(), 20)
        self.s.reports.clear()
        self.b.start()
        self.s.wait_line(job["id"], "up")
        self.assertEqual(len(self.b.jobs_running()), 1)

    def test_a_scheduler_that_comes_back_is_told_again(self):
        job = self.b.job({}, f"FROM {BASE}\nRUN true\n")
        long = self.slow(2, boat="long")
        self.s.want(job, long)
        self.s.done(job["id"])
        self.s.wait_line(long["id"], "up")
        self.s.close()
        self.s.reports.clear()
        self.s.open()
        self.assertTrue(self.s.done(job["id"])["ok"])
        self.s.wait("running", lambda: self.s.of(long["id"], "state"))
        self.assertEqual(len(self.b.jobs_running()), 1)

    def test_the_deadline_is_named(self):
        self.b.stop()
        self.b.configure(**{"builds.timeout": "2s"})
        self.b.start()
        done = self.fails(self.slow(3))
        self.assertEqual(done["error"], "TIMEOUT")
        self.assertIn("builds.timeout", done["message"])
        lib.wait_for("jobs gone", lambda: not self.b.jobs_running(), 20)

    def test_much_output_is_whole_and_batched(self):
        job = self.b.job({}, f"FROM {BASE}\nRUN seq 1 20000\n", no_cache=True)
        self.assertTrue(self.build(job)["ok"])
        numbers = [line for line in self.s.out(job["id"]) if line.isdigit()]
        self.assertEqual(numbers, [str(i) for i in range(1, 20001)])
        self.assertLess(len(self.s.of(job["id"], "out")), 2000)

    def test_the_sandbox_is_told(self):
        self.assertIn("SANDBOX=", self.b.ready)
        self.assertIn("READY=1", self.b.ready)


class Fallback(Case):
    """An engine without BuildKit, made from the real one by a proxy that refuses version=2."""

    def setUp(self):
        super().setUp()
        self.seen = []
        path = self.b.root + "/engine.sock"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen(16)
        self.addCleanup(listener.close)
        threading.Thread(target=self.serve, args=(listener,), daemon=True).start()
        self.b.stop()
        self.b.configure(**{"engine.socket": path})
        self.b.start()

    def serve(self, listener):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.proxy, args=(listener.accept()[0],), daemon=True).start()

    def proxy(self, client):
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65536)
            line = head.split(b"\r\n")[0]
            self.seen.append(line.decode())
            if b"version=2" in line:
                body = b'{"message":"the BuildKit builder is not supported by this engine"}'
                client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
                               b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
                return
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as up:
                up.connect(lib.ENGINE)
                up.sendall(head)

                def back():
                    with contextlib.suppress(OSError):
                        while data := up.recv(65536):
                            client.sendall(data)
                        client.shutdown(socket.SHUT_RDWR)

                t = threading.Thread(target=back, daemon=True)
                t.start()
                while data := client.recv(65536):
                    up.sendall(data)
                up.shutdown(socket.SHUT_RDWR)
                t.join()

    def test_classic_is_used_instead(self):
        job = self.b.job({"a": b"x"}, f"FROM {BASE}\nCOPY a /a\nRUN echo classic\n")
        done = self.build(job)
        self.assertTrue(done["ok"], done)
        self.assertTrue(any("version=2" in s for s in self.seen) and any("version=1" in s for s in self.seen), self.seen)
        self.assertIn("The engine has no BuildKit: its classic builder is used", self.s.out(job["id"]))


class Garbage(Case):
    def test_frees_what_nothing_names(self):
        noise = os.urandom(1500000).hex().encode()  # does not compress below half: well over a MB in the registry
        dockerfile = f"FROM {BASE}\nCOPY noise /noise\n"
        kept = self.build(self.b.job({"noise": os.urandom(1 << 20)}, dockerfile))
        gone = self.build(self.b.job({"noise": noise}, dockerfile))
        used = self.build(self.b.job({"noise": b"used"}, dockerfile, boat="used"))
        lost = self.build(self.b.job({"noise": b"lost"}, dockerfile, stack="lost"))
        container = lib.engine("POST", "/containers/create", {"Image": used["ref"], "Cmd": ["true"]})[1]["Id"]
        self.addCleanup(lib.engine, "DELETE", f"/containers/{container}?force=1")
        foreign = lib.engine("GET", f"/images/{BASE}/json")[1]["Id"]
        job = self.b.job(kind="gc", recipe={}, keep=[kept["ref"]], budget=1 << 50)
        before = int(subprocess.run(["du", "-s", "--block-size=1", self.b.registry.dir + "/data"], capture_output=True,
                                    text=True).stdout.split()[0])
        done = self.build(job)
        self.assertTrue(done["ok"], done)
        after = int(subprocess.run(["du", "-s", "--block-size=1", self.b.registry.dir + "/data"], capture_output=True,
                                   text=True).stdout.split()[0])
        self.assertGreater(before - after, 1400000)
        self.assertGreaterEqual(done["freed"], before - after)
        self.assertGreaterEqual(done["removed"], 4)
        status = lambda ref: self.b.registry.get(ref.split("/", 1)[1].replace("@", "/manifests/"), "HEAD")[0]
        self.assertEqual([status(x["ref"]) for x in (kept, gone, used, lost)], [200, 404, 404, 404])
        local = lambda x: lib.engine("GET", f"/images/{x['image']}/json")[0]
        self.assertEqual([local(x) for x in (kept, gone, used, lost)], [200, 404, 200, 404])
        self.assertEqual(lib.engine("GET", f"/images/{foreign}/json")[0], 200)
        self.assertFalse(os.path.exists(self.b.registry.dir + "/data/docker/registry/v2/repositories/lost/web"))
        # what was kept is whole: it comes back from the registry alone, and the registry takes new images
        lib.engine("DELETE", f"/images/{kept['image']}?force=1")
        known = {kept["key"]: {k: kept[k] for k in ("ref", "digest", "image")}}
        tree = self.b.receiver.trees[next(iter(self.b.receiver.trees))]
        self.assertTrue(self.build(self.b.job(tree, known=known))["cached"])
        again = self.build(self.b.job({"noise": noise}, dockerfile))
        self.assertEqual((again["ok"], status(again["ref"])), (True, 200))

    def test_untagged_manifests_go_and_an_empty_registry_is_fine(self):
        gc = self.b.job(kind="gc", recipe={}, keep=[], budget=0)
        self.assertTrue(self.build(gc)["ok"])
        dockerfile = f"FROM {BASE}\nCOPY n /n\n"
        old = self.b.job({"n": b"1"}, dockerfile)
        first = self.build(old)
        new = self.b.job({"n": b"2"}, dockerfile, tag=old["tag"])  # takes the tag away from the first
        second = self.build(new)
        done = self.build(self.b.job(kind="gc", recipe={}, keep=[second["ref"]], budget=0))
        self.assertTrue(done["ok"], done)
        digest = lambda x: self.b.registry.get("ragnar/web/manifests/" + x["digest"], "HEAD")[0]
        self.assertEqual((digest(first), digest(second)), (404, 200))

    def test_another_installation_on_the_engine_is_left_alone(self):
        other = Bench()
        try:
            other.scheduler.want(other.job({}, f"FROM {BASE}\nRUN echo other\n"))
            theirs = other.scheduler.done("b1")
            self.assertTrue(self.build(self.b.job(kind="gc", recipe={}, keep=[], budget=0))["ok"])
            self.assertEqual(lib.engine("GET", f"/images/{theirs['image']}/json")[0], 200)
        finally:
            other.close()

    def test_waits_for_builds_and_holds_them(self):
        slow = self.b.job({}, f"FROM {BASE}\nRUN echo up; sleep 2\n", no_cache=True)
        gc = self.b.job(kind="gc", recipe={}, keep=[], budget=0)
        self.s.want(slow, gc)
        self.s.wait_line(slow["id"], "up")
        self.assertTrue(self.s.done(gc["id"])["ok"])
        end = lambda j: self.s.of(j["id"], "done")[0][0]
        self.assertLess(end(slow), end(gc))


def apply_limits(memory, weight, pids):
    """Runs the very function vikingd calls, as root."""
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/apply.c", "w") as f:
            f.write("""#include <stdio.h>
#include <stdlib.h>
#include <viking/buildcgroup.h>
int main(int argc, char **argv)
{
	struct vk_build_cgroup_limits l = {strtoull(argv[1], 0, 10), strtoull(argv[2], 0, 10), strtoull(argv[3], 0, 10)};
	struct vk_build_cgroup_report r;
	struct vk_err err = {0};
	if (argc != 4 || vk_build_cgroup_apply(VK_CGROUP_ROOT, &l, &r, &err) != 0) {
		fprintf(stderr, "%s\\n", err.msg);
		return 1;
	}
	printf("v%d memory=%d cpu=%d pids=%d %s\\n", r.version, r.memory, r.cpu, r.pids, r.why);
	return r.memory && r.cpu && r.pids ? 0 : 2;
}
""")
        flags = []
        with contextlib.suppress(OSError):
            with open(BUILD + "/CMakeCache.txt") as f:
                for line in f:
                    if line.startswith("VIKING_SANITIZE:") and line.strip().split("=", 1)[1]:
                        flags = ["-fsanitize=" + line.strip().split("=", 1)[1]]
        subprocess.run(["cc", "-D_GNU_SOURCE", "-I", SOURCE + "/include", *flags, "-o", d + "/apply", d + "/apply.c",
                        BUILD + "/base/libviking_base.a"], check=True)
        p = subprocess.run([d + "/apply", str(memory), str(weight), str(pids)], capture_output=True, text=True)
        return p.returncode, p.stdout + p.stderr


class ClassLimits(Case):
    """BuildKit's limits, on the group all its steps share; needs root. Kept short and wide enough that other builds on this engine live."""
    settings = {"builds.memory": "200M", "builds.pids": 150}
    files = {"memory": ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"], "pids": ["pids.max"], "cpu": ["cpu.shares"]}

    def setUp(self):
        super().setUp()
        self.assertTrue(self.build(self.b.job({}, f"FROM {BASE}\nRUN true\n"))["ok"])
        self.addCleanup(self.restore)
        code, text = apply_limits(200 << 20, 50, 150)
        self.assertEqual(code, 0, text)

    def restore(self):
        values = {"memory.memsw.limit_in_bytes": "-1", "memory.limit_in_bytes": "-1", "pids.max": "max", "cpu.shares": "1024",
                  "memory.max": "max", "memory.swap.max": "max", "cpu.weight": "100"}
        dirs = [f"{CGROUP}/{c}/docker/buildkit" for c in self.files] + [CGROUP + "/docker/buildkit"]
        for d in dirs:
            for name, value in values.items():
                with contextlib.suppress(OSError):
                    with open(f"{d}/{name}", "r+") as f:
                        f.write(value)

    def test_a_step_that_eats_memory_is_ended(self):
        job = self.b.job({}, f"FROM {BASE}\nRUN echo eating; tail /dev/zero\n", no_cache=True)
        done = self.fails(job)
        self.assertIn("build failed at Dockerfile:2: RUN echo eating; tail /dev/zero: exit code 137: out of memory "
                      "(builds.memory is 200.0 MiB)", done["message"])
        self.assertIn("builds.memory", done["hint"])
        self.assertTrue(self.build(self.b.job({}, f"FROM {BASE}\nRUN echo next\n", no_cache=True))["ok"])

    def test_a_step_that_forks_without_end_is_ended(self):
        job = self.b.job({}, f"FROM {BASE}\nRUN while :; do sleep 1000 & done\n", no_cache=True)
        done = self.fails(job)
        self.assertIn("too many processes (builds.pids is 150)", done["message"])
        self.assertIn("builds.pids", done["hint"])
        lib.wait_for("all gone", lambda: not sleeping("1000"), 5)

    def test_classic_builds_join_the_class(self):
        self.b.configure(**{"builds.backend": "classic"})
        done = self.fails(self.b.job({}, f"FROM {BASE}\nRUN cat /proc/self/cgroup; while :; do sleep 1000 & done\n"))
        self.assertTrue(any("pids:/docker/buildkit/" in line or "0::/docker/buildkit/" in line for line in done["tail"]),
                        done["tail"])
        self.assertIn("too many processes (builds.pids is 150)", done["message"])
        lib.wait_for("all gone", lambda: not sleeping("1000"), 5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
