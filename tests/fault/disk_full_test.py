"""The disk is full: a viking's root lies on a small file system of its own, which is filled before a push, in the middle of a build, and while
processes are killed. What served goes on serving, every refusal is one clear line, nothing is damaged, and with room again all goes on.
Only run/ is elsewhere, as /run is on every Debian."""
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from lib import BASE, Host, Load, wait_for  # noqa: E402

MANIFEST = f"""viking: {{name: full}}
build:
  src: |
    FROM {BASE}
    COPY www /www
    RUN echo building; sleep $(cat /www/sleep)
    CMD ["sh", "-c", "n=0; while true; do n=$((n+1)); echo tick $n; sleep 1; done & exec httpd -f -p 8080 -h /www"]
deploy:
  web: {{image: "viking:full/src", expose: [8080], healthcheck: /}}
"""


def mount(path, size):
    os.makedirs(path, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + size, "tmpfs", path], check=True)


class DiskFull(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.disk, cls.trees = tempfile.mkdtemp(prefix="vk-full-"), tempfile.mkdtemp(prefix="vk-trees-")
        mount(cls.disk, "48m")
        tempfile.tempdir = cls.disk
        Host.trees, Host.log_path = cls.trees, cls.trees + "/vikingd.log"
        cls.h = h = Host()
        tempfile.tempdir = None
        mount(h.path("run"), "16m")
        h.__enter__()
        cls.addClassCleanup(cls.clean)
        cls.stack = h.name("full")
        cls.page, cls.n = cls.stack + ".apps.test", 0
        cls.app = h.tree({"vikingfile": MANIFEST, "www/index.html": "0\n", "www/sleep": "0"})
        h.push(cls.app, cls.stack)

    @classmethod
    def clean(cls):
        cls.h.__exit__(None, None, None)
        subprocess.run(["umount", "-l", cls.h.path("run"), cls.disk], check=True)
        shutil.rmtree(cls.trees)

    def tearDown(self):
        self.free()
        if self._outcome.result.failures or self._outcome.result.errors:
            print(self.h.tail(100), file=sys.stderr)

    def fill(self):
        with open(self.disk + "/fill", "ab", buffering=0) as f:
            try:
                while f.write(b"x" * 4096):
                    pass
            except OSError:
                pass

    def free(self):
        if os.path.exists(self.disk + "/fill"):
            os.unlink(self.disk + "/fill")

    def change(self, sleep=0):
        type(self).n += 1
        self.h.write(self.app, {"www/index.html": f"{self.n}\n", "www/sleep": str(sleep),
                                "www/salt": os.urandom(8).hex()})  # no earlier build is like it
        return self.h.commit(self.app)

    def served(self):
        return self.h.get(self.page)

    def refused(self, r):
        """One clear line with what and why, one with what to type, and a status."""
        self.assertNotEqual(0, r.status, r)
        lines = [line.removeprefix("remote: ").rstrip() for line in (r.out + r.err).splitlines()]
        errors = [line for line in lines if line.startswith(" !     ")]
        self.assertEqual(1, len(errors), r)
        self.assertRegex(errors[0], "disk|[Nn]o space", r)
        self.assertTrue(any(line.startswith("       try: ") for line in lines), r)

    def reads_work(self):
        h = self.h
        for words in (("ps", self.stack), ("stacks",), ("stacks:info", self.stack), ("logs", self.stack, "-n", "2"), ("releases", self.stack),
                      ("events",), ("keys:list",), ("builds",), ("config", self.stack), ("domains", self.stack), ("explain", f"{self.stack}/web")):
            for r in (h.viking(*words), h.ssh(*words)):
                self.assertEqual(0, r.status, (words, r))
        disk = [c for c in h.json_any("doctor")["checks"] if c["name"] == "disk"]
        self.assertFalse(disk[0]["ok"], disk)

    def goes_on(self):
        """With room again: a push deploys, events and logs go on, the state is whole."""
        h = self.h
        self.free()
        seen = max(e.get("seq", 0) for e in h.events())
        before = self.served()[1]
        self.change()
        h.push(self.app, self.stack)
        self.assertEqual((200, f"{self.n}\n"), self.served())
        self.assertNotEqual(before, self.served()[1])
        self.assertTrue([e for e in h.events() if e.get("seq", 0) > seen and e.get("type") == "stage"])
        name = h.json("ps", self.stack)["instances"][0]["name"]
        wait_for("a line of the new container", lambda: f"{name}: tick 2" in h.viking("logs", self.stack, "-n", "5").out, 10)
        r = h.viking("config:set", self.stack, f"N={self.n}")
        self.assertEqual(0, r.status, r)
        self.assertEqual([], [r for r in h.json("releases", self.stack)["releases"] if r["outcome"] == "deploying"])
        for end in ("", "-wal"):  # the scheduler holds the lock of its own
            shutil.copy(h.path("var/lib/viking/sched/viking.db") + end, self.trees + "/copy.db" + end)
        db = sqlite3.connect(self.trees + "/copy.db")
        self.assertEqual([("ok",)], db.execute("PRAGMA integrity_check").fetchall())
        db.close()
        self.assertFalse([c for c in h.json_any("doctor")["checks"] if c["ok"] is False and c["name"] in ("disk", "routes", "processes")])

    def restarts(self):
        return {n: p["restarts"] for n, p in self.h.processes().items()}

    def test_1_push_to_a_full_disk(self):
        h = self.h
        before, pids = self.served(), {n: p["pid"] for n, p in h.processes().items()}
        self.change()
        with Load(h, self.page, rate=50) as load:
            self.fill()
            self.refused(h.push(self.app, self.stack, check=False))
            self.refused(h.push(self.app, h.name("new"), check=False))
            self.reads_work()
            for words in (("config:set", self.stack, "A=1"), ("rollback", self.stack), ("lock", self.stack), ("stacks:create", h.name("made")),
                          ("domains:add", self.stack, "full.test"), ("ps:scale", self.stack, "web=2")):
                for r in (h.viking(*words), h.ssh(*words)):
                    self.refused(r)
        self.assertEqual((0, {before[1].encode()}), (load.failed, set(load.bodies)), load.errors[:3])
        self.assertEqual(pids, {n: p["pid"] for n, p in h.processes().items()}, "something ended")
        self.goes_on()

    def test_2_the_disk_fills_in_the_middle_of_a_build(self):
        h = self.h
        before = self.served()
        self.change(sleep=3)
        with Load(h, self.page, rate=50) as load:
            p = subprocess.Popen(["git", "-C", self.app, "push", h.url(self.stack), "master"], env=h.git_env(), stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, text=True)
            text = ""
            while "remote:        building" not in text:
                line = p.stderr.readline()
                self.assertTrue(line, text)
                text += line
            self.fill()
            text += p.communicate(timeout=120)[1]
            self.reads_work()
        self.assertNotEqual(0, p.returncode, text)
        self.assertRegex(text, r"remote:  !     .*(disk|[Nn]o space)")
        self.assertIn(" !     try: ", text)
        self.assertEqual((0, {before[1].encode()}), (load.failed, set(load.bodies)), load.errors[:3])
        self.goes_on()

    def test_3_killed_on_a_full_disk(self):
        h = self.h
        before = self.served()
        self.fill()
        for name in ("scheduler", "builder", "agent", "router", "web", "receiver", "registry"):
            with self.subTest(killed=name):
                pid = h.kill(name)
                wait_for(f"{name} is back", lambda: h.processes()[name]["pid"] not in (0, pid) and h.processes()[name]["ready"], 20)
                wait_for("reads", lambda: h.viking("ps", self.stack).status == 0, 20)
                self.fill()
                self.assertEqual(before, self.served())
        wait_for("the front door", lambda: h.ssh("version").status == 0, 20)
        self.reads_work()
        counts = self.restarts()
        self.assertLessEqual(max(counts.values()), 3, counts)
        end = time.monotonic() + 5
        while time.monotonic() < end:  # no loop of crashes: nothing ends any more
            self.assertEqual(counts, self.restarts())
            time.sleep(0.2)
        self.goes_on()

    def test_4_started_on_a_full_disk(self):
        h = self.h
        before = self.served()
        self.fill()
        h.stop()
        self.fill()
        h.start()
        self.reads_work()
        self.assertEqual(before, self.served())
        self.fill()  # the room that the start was given
        self.change()
        self.refused(h.push(self.app, self.stack, check=False))
        self.goes_on()


if __name__ == "__main__":
    if os.environ.get("VIKING_OWN_MOUNTS") != str(os.getppid()):
        # mounts of our own: nobody else sees the small file system, and it goes with us
        os.environ["VIKING_OWN_MOUNTS"] = str(os.getpid())
        sys.exit(subprocess.run(["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv]).returncode)
    unittest.main(verbosity=2)
