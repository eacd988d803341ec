"""kill -9 of each process at each stage of a deploy. The matrix process x stage is printed; a cell that was never hit fails the run, and so does
any breach of an invariant after any cell."""
import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import invariants  # noqa: E402
from invariants import Watched, foreign_container, steady, v5_v9  # noqa: E402
from lib import BASE, Host, Load, UnixConnection, engine, wait_for  # noqa: E402

STAGES = ["s0", "s1", "s3", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s4", "s12"]
PROCESSES = ["vikingd", "scheduler", "agent", "builder", "router", "web", "receiver", "session", "receive-pack", "haproxy", "registry", "dns", "firewall", "links", "certs"]
# The git process is not there yet at authentication, and gone after the answer.
IMPOSSIBLE = {("receive-pack", "s0"), ("receive-pack", "s1"), ("receive-pack", "s12"), ("session", "s12")}


class Killer(threading.Thread):
    """Follows the events and kills when the stage of the stack begins."""

    def __init__(self, host, stack, process, stage):
        super().__init__(daemon=True)
        self.host, self.stack, self.process, self.stage = host, stack, process, stage
        self.hit = threading.Event()
        self.ready = threading.Event()
        self.killed = None

    def victims(self):
        if self.process == "session":
            return children_named(self.host, "viking-session")
        if self.process == "receive-pack":
            return children_named(self.host, "git")
        if self.process == "vikingd":
            return [self.host.daemon.pid]
        return [self.host.pid(self.process)]

    def run(self):
        # a thread of its own connection: the scheduler may be the victim
        seen = max((e.get("seq", 0) for e in self.host.events()), default=0)  # from now on, not what was
        c = UnixConnection(self.host.api_socket, timeout=60)
        c.request("GET", f"/v1/events?follow=1&since={seen}&stack={self.stack}")
        r = c.getresponse()
        self.ready.set()
        known = []
        try:
            for line in r:
                e = json.loads(line)
                if e.get("type") != "stage":
                    continue
                if e.get("what", "").split()[0] != self.stage:
                    known = known or self.victims()  # looked up before: the last stages follow one another in milliseconds
                else:
                    self.killed = known or self.victims()
                    for pid in self.killed:
                        try:
                            os.kill(pid, signal.SIGKILL)
                            self.hit.set()
                        except ProcessLookupError:
                            pass
                    return
        except (OSError, ValueError):
            pass


def descendants(pid):
    out = []
    try:
        children = open(f"/proc/{pid}/task/{pid}/children").read().split()
    except OSError:
        return out
    for child in children:
        out.append(int(child))
        out += descendants(int(child))
    return out


def children_named(host, name):
    found = []
    for pid in descendants(host.pid("receiver")):
        try:
            argv = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
        except OSError:
            continue
        if os.path.basename(argv[0]).decode() == name:
            found.append(pid)
    return found


def manifest():
    return f"""viking: {{name: k}}
build:
  src: |
    FROM {BASE}
    COPY www /www
    CMD ["httpd", "-f", "-p", "8080", "-h", "/www"]
deploy:
  web: {{image: "viking:k/src", expose: [8080], healthcheck: /}}
  keep: {{image: "{BASE}:latest", run: sleep 3600, service: true, healthcheck: none}}
"""


class Matrix:
    def __init__(self, processes, stages):
        self.cells = [(p, s) for p in processes for s in stages if (p, s) not in IMPOSSIBLE]
        self.result = {}
        self.texts = {}

    def setup(self, h):
        self.h = h
        self.other = h.name("other")
        h.push(h.app("other"), self.other)
        self.stack = h.name("kill")
        self.app = h.tree({"vikingfile": manifest(), "www/index.html": "t0\n"})
        self.head = h.git(self.app, "rev-parse", "HEAD").out.strip()
        self.texts[self.head] = "t0"
        h.push(self.app, self.stack)
        self.foreign = foreign_container(h)
        self.watched = Watched(h, self.stack)
        self.n = 0

    def revive(self, process):
        h = self.h
        if process == "vikingd":
            h.daemon.wait()
            h.start()

    def push_with(self, killer):
        """One change, pushed while the killer waits. Returns git's status and the new commit."""
        h = self.h
        self.n += 1
        text = f"t{self.n}"
        h.write(self.app, {"www/index.html": text + "\n"})
        new = h.commit(self.app)
        self.texts[new] = text
        killer.start()
        killer.ready.wait(10)
        p = subprocess.Popen(["git", "-C", self.app, "push", "-f", h.url(self.stack), "master"], env=h.git_env(),
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        killer.hit.wait(40)
        if killer.hit.is_set():
            self.revive(killer.process)
        out, _ = p.communicate(timeout=120)
        return p.returncode, new, out

    def cell(self, process, stage):
        h = self.h
        killer = Killer(h, self.stack, process, stage)
        own = set(self.texts.values())
        with Load(h, self.stack + ".apps.test", rate=100) as mine, Load(h, self.other + ".apps.test", rate=100) as others:
            status, new, out = self.push_with(killer)
            if not killer.hit.is_set():
                return "not hit", [f"{process} x {stage}: the stage did not come or the process was not there\n{out}"]
            own |= set(self.texts.values())
            breaches = ["?"]
            end = time.monotonic() + 30
            while breaches and time.monotonic() < end:
                try:
                    breaches = steady(h, self.stack, self.texts, status, self.head, new, self.watched)
                except (AssertionError, OSError, KeyError, ValueError) as e:
                    breaches = [f"not steady yet: {e!r}"]
                time.sleep(0.1)
        lost = 150 if process == "haproxy" else 0  # requests in flight and during the second without haproxy
        breaches += v5_v9(mine, own, lost) + v5_v9(others, {"other"}, lost)
        self.head = self.ref()
        return ("ok" if not breaches else "BREACH"), breaches + ([out] if breaches else [])

    def ref(self):
        h = self.h
        out = subprocess.run(["git", "ls-remote", h.url(self.stack), "refs/heads/master"], env=h.git_env(), capture_output=True,
                             text=True).stdout.split()
        return out[0] if out else None

    def run(self):
        with Host() as h:
            self.setup(h)
            try:
                for cell in self.cells:
                    self.result[cell], lines = self.cell(*cell)
                    print(f"{cell[0]:<13} {cell[1]:<4} {self.result[cell]}", flush=True)
                    for line in lines:
                        print("    " + line.replace("\n", "\n    "), flush=True)
            finally:
                engine("DELETE", f"/containers/{self.foreign}?force=1")
        return self

    def print(self, processes, stages):
        print("\n" + " " * 13 + " ".join(f"{s:>8}" for s in stages))
        for p in processes:
            print(f"{p:<13}" + " ".join(f"{'-' if (p, s) in IMPOSSIBLE else self.result.get((p, s), 'missing'):>8}" for s in stages))


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--processes", default=",".join(PROCESSES))
    a.add_argument("--stages", default=",".join(STAGES))
    args = a.parse_args()
    processes, stages = args.processes.split(","), args.stages.split(",")
    m = Matrix(processes, stages).run()
    m.print(processes, stages)
    bad = [c for c in m.cells if m.result.get(c) != "ok"]
    print(f"{len(m.cells) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad else 0


assert invariants and wait_for
if __name__ == "__main__":
    sys.exit(main())
