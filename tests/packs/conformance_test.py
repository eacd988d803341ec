#!/usr/bin/python3
"""The build container's contract, from a pack's side: the packs here assert every point of it, and run-packs is driven
with nothing but an engine. Each assertion is then inverted in turn: the build, or the run, must fail by that very name.
The builder plays its part in tests/e2e/packs_test.py, with the same packs."""
import io
import os
import re
import subprocess
import sys
import tarfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
SECRET = "yellow-submarine-4711-red"


def read(path):
    with open(path, "rb") as f:
        return f.read()


ASSERTIONS = set(re.findall(r"(?:^|\) )\s*check ([a-z0-9-]+) ", "".join(
    read(os.path.join(HERE, f)).decode() for f in (
        "conformance/bin/detect", "conformance/bin/compile", "conformance/bin/release", "conformance/check-run",
        "second/bin/detect", "second/bin/compile", "second/bin/release")), re.M))


def docker(*argv, data=None, check=True, timeout=300):
    p = subprocess.run(["docker", *argv], input=data, capture_output=True, timeout=timeout)
    if check and p.returncode != 0:
        raise AssertionError(f"docker {argv}: {p.stderr.decode()}")
    return p


def add(tar, name, data, mode=0o644):
    info = tarfile.TarInfo(name)
    info.uid = info.gid = 1000
    info.mode = mode
    info.mtime = 0
    if data is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(info)
    else:
        data = data if isinstance(data, bytes) else data.encode()
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))


def add_tree(tar, top, directory):
    add(tar, top, None)
    for path, dirs, files in os.walk(directory):
        for d in dirs:
            add(tar, os.path.join(top, os.path.relpath(os.path.join(path, d), directory)), None)
        for f in files:
            full = os.path.join(path, f)
            add(tar, os.path.join(top, os.path.relpath(full, directory)), read(full),
                0o755 if os.access(full, os.X_OK) else 0o644)


def add_parents(tar, top, name):
    """The directories of name below top: what is made in passing would belong to root."""
    parts = name.split("/")[:-1]
    for i in range(len(parts)):
        add(tar, top + "/".join(parts[: i + 1]), None)


class Build:
    """One build container, filled as the builder fills it."""

    def __init__(self, cache, packs="dir conformance\ndir second\n", mode="explicit", files=None, invert="", extra=None,
                 env=None, image="viking-stack:build"):
        self.id = docker("create", "--init", "-u", "1000:1000", "-w", "/app", "-v", cache + ":/cache", image,
                         "/opt/viking/bin/run-packs").stdout.decode().strip()
        out = io.BytesIO()
        tar = tarfile.open(fileobj=out, mode="w")
        add(tar, "tmp/build", None)
        for name, data in (files or SOURCE).items():
            add_parents(tar, "tmp/build/", name)
            add(tar, "tmp/build/" + name, data)
        add(tar, "tmp/viking", None)
        add(tar, "tmp/viking/packs", packs)
        add(tar, "tmp/viking/mode", mode)
        add(tar, "tmp/viking/env", "SOURCE_VERSION=0123456789\nREQUEST_ID=7\n" + (env or ""))
        add(tar, "tmp/env", None)
        add(tar, "tmp/env/SECRET_WORD", SECRET)
        add(tar, "tmp/env/RAW", 'a"$(b)\n')
        add(tar, "tmp/packs", None)
        for name in ("conformance", "second"):
            add_tree(tar, "tmp/packs/" + name, os.path.join(HERE, name))
            add(tar, f"tmp/packs/{name}/assert.sh", read(os.path.join(HERE, "conformance/assert.sh")))
            if invert:
                add(tar, f"tmp/packs/{name}/invert", invert)
        for name, (data, mode) in (extra or {}).items():
            add_parents(tar, "tmp/", name[len("tmp/"):])
            add(tar, name, data, mode)
        tar.close()
        docker("cp", "-", self.id + ":/", data=out.getvalue())
        started = time.monotonic()
        p = docker("start", "-a", self.id, check=False)
        self.seconds = time.monotonic() - started
        self.status = p.returncode
        self.out, self.err = p.stdout.decode(), p.stderr.decode()

    def result(self, name):
        p = docker("cp", f"{self.id}:/viking-result/{name}", "-", check=False)
        if p.returncode != 0:
            return None
        with tarfile.open(fileobj=io.BytesIO(p.stdout)) as t:
            return t.extractfile(t.getmembers()[0]).read().decode()

    def left(self):
        """Names of all that the container changed or made."""
        return [line.split(" ", 1)[1] for line in docker("diff", self.id).stdout.decode().splitlines()]

    def commit(self):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            add(tar, "app/.viking", None)
            add(tar, "app/.viking/config_vars.sh", CONFIG_VARS)
        docker("cp", "-", self.id + ":/", data=out.getvalue())
        return docker("commit", "-c", 'ENTRYPOINT ["/opt/viking/bin/exec"]', "-c", "CMD []", "-c", "USER 1000:1000",
                      self.id).stdout.decode().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        docker("rm", "-f", self.id)


SOURCE = {"app.txt": "first", ".hidden": "x", "sub/root-only": "kept"}
RUN = 'exec ./check-run "two words" \'$HOME\''
CONFIG_VARS = """DEFAULTED=${DEFAULTED:-'it'\\''s $HOME: a default'}; export DEFAULTED
OVERRIDDEN=${OVERRIDDEN:-'theirs'}; export OVERRIDDEN
"""


class Conformance(unittest.TestCase):
    seen = set()

    @classmethod
    def setUpClass(cls):
        subprocess.run([os.path.join(TREE, "packaging/stack/build.sh")], check=True, stdout=sys.stderr, timeout=1800)

    def setUp(self):
        self.cache = f"viking-packs-test-{os.getpid()}-{time.monotonic_ns()}"
        docker("volume", "create", self.cache)
        self.addCleanup(docker, "volume", "rm", "-f", self.cache, check=False)

    def build(self, **more):
        b = Build(self.cache, **more)
        self.addCleanup(b.__exit__)
        Conformance.seen.update(re.findall(r"^assertion (\S+) holds$", b.err, re.M))
        return b

    def run_image(self, image, *argv, env=(), check=False):
        flags = [f for e in ("PORT=8123", "OVERRIDDEN=mine", "WORD_START=y", *env) for f in ("-e", e)]
        p = docker("run", "--rm", "--init", *flags, image, *argv, check=check)
        Conformance.seen.update(re.findall(r"^assertion (\S+) holds$", p.stderr.decode(), re.M))
        return p

    def image(self, b):
        image = b.commit()
        self.addCleanup(docker, "image", "rm", "-f", image, check=False)
        return image

    def test_all_hold_and_every_inversion_is_seen(self):
        first = self.build()
        self.assertEqual(0, first.status, first.out + first.err)
        self.assertLess(first.seconds, 60, "a process left behind keeps the build")
        again = self.build(files={**SOURCE, "app.txt": "again"})
        self.assertEqual(0, again.status, again.out + again.err)
        image = self.image(again)
        p = self.run_image(image, "-c", RUN)
        self.assertEqual(0, p.returncode, p.stderr.decode())
        self.assertEqual(ASSERTIONS, self.seen, "every assertion written is made")
        with ThreadPoolExecutor(2) as two:
            red = list(two.map(lambda name: (name, self.inverted(name, image)), sorted(ASSERTIONS)))
        for name, (ended, err) in red:
            with self.subTest(inverted=name):
                self.assertTrue(ended, f"inverted {name} is not seen")
                self.assertIn(f"assertion {name} does not hold", err)

    def inverted(self, name, image):
        """Whether the build (or the run) failed, and what it said."""
        if name.startswith("run-"):
            p = self.run_image(image, "-c", RUN, env=("INVERT=" + name,))
            return p.returncode == 1, p.stderr.decode()
        cache = f"{self.cache}-{name}"
        docker("volume", "create", cache)
        try:
            later = name in ("cache-persists", "report-after-success")
            if later:
                Build(cache).__exit__()
            with Build(cache, files={**SOURCE, "app.txt": "again" if later else "first"}, invert=name) as b:
                return b.status in (22, 23, 24), b.err
        finally:
            docker("volume", "rm", "-f", cache)

    def test_results_and_output(self):
        b = self.build()
        self.assertEqual(0, b.status, b.err)
        self.assertIn("-----> Conformance app detected\n", b.out)
        self.assertIn("-----> Second app detected\n", b.out)
        self.assertIn("-----> heading\n       body\n\033[1;31m !     red\033[0m\n", b.out, "output is passed untouched")
        self.assertEqual("Conformance\nSecond\n", b.result("packs"))
        self.assertIn("worker: sleep 302", b.result("release"), "the last pack's release wins")
        self.assertTrue(b.result("Procfile").startswith("web: ./check-run"), "a Procfile that compile wrote counts")
        self.assertIsNone(b.result("failed"))
        left = b.left()
        self.assertFalse([n for n in left if n.startswith("/tmp/")and not n.endswith(("/build", "/env"))], left)
        self.assertNotIn(SECRET, b.out + b.err)

    def test_without_a_procfile_the_default_types_are_left(self):
        b = self.build(files={**SOURCE, "app.txt": "first"}, packs="dir conformance\n")
        self.assertEqual(0, b.status, b.err)
        self.assertIsNone(b.result("Procfile"))
        self.assertEqual("--- {}\n", b.result("release"))

    def test_failures_name_pack_phase_and_status(self):
        bad = {"tmp/packs/bad/bin/detect": ("#!/bin/sh\nexit 0\n", 0o755),
               "tmp/packs/bad/bin/compile": ("#!/bin/sh\necho last words; kill -9 $$\n", 0o755),
               "tmp/packs/no/bin/detect": ("#!/bin/sh\necho why not >&2; exit 3\n", 0o755),
               "tmp/packs/no/bin/compile": ("#!/bin/sh\n", 0o755),
               "tmp/packs/rel/bin/detect": ("#!/bin/sh\n", 0o755), "tmp/packs/rel/bin/compile": ("#!/bin/sh\n", 0o755),
               "tmp/packs/rel/bin/release": ("#!/bin/sh\nexit 5\n", 0o755), "tmp/packs/empty/README": ("", 0o644)}
        for packs, mode, status, failed, said in (
                ("dir bad\n", "explicit", 23, "bad compile 137\n", "the pack bad failed: bin/compile ended with status 137"),
                ("dir no\n", "explicit", 22, "no detect 3\n", "why not"),
                ("dir no\nown go\n", "auto", 20, "- detect 1\n", "none of the packs takes this application"),
                ("dir rel\n", "explicit", 24, "rel release 5\n", "bin/release ended with status 5"),
                ("dir empty\n", "explicit", 21, "empty fetch 0\n", "is no buildpack"),
                ("git http://127.0.0.1:1/x.git\n", "explicit", 21, "x fetch 128\n", "could not be fetched"),
                ("git ext::sh%20-c%20id\n", "explicit", 21, None, "could not be fetched"),
                ("git http://127.0.0.1:1/x --upload-pack=id\n", "explicit", 21, None, "could not be fetched"),
                ("tar http://127.0.0.1:1/y.tgz\n", "explicit", 21, "y fetch 7\n", "could not be fetched"),
                ("tar file:///etc/passwd\n", "explicit", 21, None, "could not be fetched"),
                ("inline\n", "explicit", 21, "inline fetch 0\n", "is no buildpack")):
            with self.subTest(packs=packs):
                b = self.build(packs=packs, mode=mode, extra=bad)
                self.assertEqual(status, b.status, b.out + b.err)
                if failed:
                    self.assertEqual(failed, b.result("failed"))
                self.assertIn(said, b.err)
                self.assertFalse([n for n in b.left() if n.startswith("/tmp/env/")], "config vars stay behind")
                b.__exit__()

    def test_detect_in_order_first_one_wins_and_hides_errors(self):
        files = {"index.html": "hello", "Procfile": "web: x"}
        no = {"tmp/packs/no/bin/detect": ("#!/bin/sh\necho why not >&2; exit 3\n", 0o755),
              "tmp/packs/no/bin/compile": ("#!/bin/sh\n", 0o755)}
        b = self.build(packs="dir no\nown node\nown static\nown procfile\n", mode="auto", files=files, extra=no)
        self.assertEqual(0, b.status, b.err)
        self.assertEqual("Static site\n", b.result("packs"))
        self.assertNotIn("why not", b.err)

    def test_report_runs_after_a_failure(self):
        first = self.build()
        self.assertEqual(0, first.status, first.err)
        b = self.build(files={**SOURCE, "app.txt": "fail"})
        self.assertEqual(23, b.status)
        self.assertEqual("second compile 37\n", b.result("failed"))
        p = docker("run", "--rm", "-v", self.cache + ":/cache", "viking-stack:build", "ls", "/cache")
        self.assertIn("reported", p.stdout.decode())

    def test_inline_pack(self):
        files = {"bin/detect": "#!/bin/bash\necho Mine\n", "bin/compile": "#!/bin/bash\nset -e\ncat $3/SECRET_WORD | wc -c >$1/made\n"
                 "[ $PWD = $1 ]\necho 'web: cat made' >$1/Procfile\n"}
        b = self.build(packs="inline\n", files=files)
        self.assertEqual(0, b.status, b.err)
        self.assertEqual("Mine\n", b.result("packs"))
        image = self.image(b)
        self.assertEqual(b"25\n", self.run_image(image, "-c", "cat made").stdout)

    def test_sigterm_ends_it_at_once(self):
        b = self.build(packs="inline\n", files={"bin/detect": "#!/bin/sh\n", "bin/compile": "#!/bin/sh\n"})
        image = self.image(b)
        for argv in (("-c", "sleep 300"), ("sleep", "300")):
            c = docker("run", "-d", "--init", image, *argv).stdout.decode().strip()
            self.addCleanup(docker, "rm", "-f", c, check=False)
            docker("exec", c, "true")
            started = time.monotonic()
            docker("stop", "-t", "20", c)
            self.assertLess(time.monotonic() - started, 10)
            self.assertEqual("143", docker("inspect", "-f", "{{.State.ExitCode}}", c).stdout.decode().strip())

    def test_site_environment_reaches_packs_only(self):
        files = {"bin/detect": "#!/bin/sh\n", "bin/compile": "#!/bin/bash\n[ \"$MIRROR\" = 'http://m/?a=$(b)' ] && "
                 "tail -n 1 $SSL_CERT_FILE | grep -q extra && [ $NODE_EXTRA_CA_CERTS = $GIT_SSL_CAINFO ]\n"}
        b = self.build(packs="inline\n", files=files, env="MIRROR=http://m/?a=$(b)\nnot a line\n",
                       extra={"tmp/viking/ca.crt": ("extra\n", 0o644)})
        self.assertEqual(0, b.status, b.err)
        p = self.run_image(self.image(b), "env")
        self.assertNotIn(b"MIRROR", p.stdout)
        self.assertNotIn(b"SSL_CERT", p.stdout)


if __name__ == "__main__":
    unittest.main()
