"""The invariants of SECURITY section 4, checked from outside: on a Host (tests/e2e/lib.py), and on what answers like one (a cluster:
tests/lab/faults_test.py), where V6 reads the history of etcd and V7 is watched all the time.

Each returns a list of breaches, lines that begin with the invariant's name; an empty list is the good case. The checker is itself tested on
planted breaches (checker_test.py).
"""
import contextlib
import glob
import http.client
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from lib import STAGE, containers, engine  # noqa: E402


class Watched:
    """What must not change: a foreign container and the stack's `service: true` nodes."""

    def __init__(self, host, stack):
        self.host, self.stack = host, stack
        self.before = self.look()

    def look(self):
        found = {}
        for c in self.host.inspected(f"viking.stack={self.stack}") + self.host.inspected("foreign-of=" + self.host.root.replace("/", "_")):
            labels = c["Config"]["Labels"]
            if "viking.stack" not in labels or labels.get("viking.node") == "keep":
                found[c["Name"]] = (c["Id"], c["State"]["StartedAt"])
        return found


def releases(host, stack):
    return host.json("releases", stack)["releases"]


def v1(host, stack, texts):
    """One current release; its instances, routes and digests agree."""
    rows = releases(host, stack)
    current = [r for r in rows if r["current"]]
    if len(current) != 1:
        return [f"V1 {stack}: {len(current)} current releases: {[(r['n'], r['outcome']) for r in rows]}"]
    n = current[0]["n"]
    info = host.json("releases:info", stack, f"v{n}")
    bad = []
    images = {b["ref"] for b in (info.get("boats") or {}).values() if isinstance(b, dict) and b.get("ref")}
    for c in host.inspected(f"viking.stack={stack}"):
        image = c["Config"]["Image"]
        if c["Config"]["Labels"].get("viking.node") != "keep" and images and image not in images:
            bad.append(f"V1 {stack}: {c['Name']} runs {image}, not an image of v{n}")
    status, body = host.get(f"{stack}.{host.domain}")
    commit = info.get("commit") or current[0].get("commit")
    if status != 200 or texts.get(commit, body.strip()) != body.strip():
        bad.append(f"V1 {stack}: v{n} is current but the page is {status} {body!r}")
    return bad


def v2_v3(host, stack, push_status, old, new):
    """An acknowledged push is current; another leaves the old or the new ref, whole."""
    ref = host.head(stack)
    current = [r for r in releases(host, stack) if r["current"]]
    commit = current[0]["commit"] if current else None
    if push_status == 0 and (ref != new or commit != new):
        return [f"V2 {stack}: push returned 0 but ref is {ref}, current is {commit}, pushed {new}"]
    if push_status != 0 and ref not in (old, new):
        return [f"V3 {stack}: ref is {ref}, neither {old} nor {new}"]
    if ref != commit:
        return [f"V3 {stack}: ref is {ref} but the current release is of {commit}"]
    return []


def v4(host, stack):
    """Nothing outside the desired state, and nothing missing."""
    bad = []
    wanted = {i["name"] for i in host.json("ps", stack)["instances"]}
    there = host.inspected(f"viking.stack={stack}")
    have = {c["Name"].lstrip("/") for c in there}
    running = {c["Name"].lstrip("/") for c in there if c["State"]["Running"]}
    if len(there) != len(have):
        bad.append(f"V4 {stack}: one instance on two hosts: {sorted(c['Name'] for c in there)}")
    if have - wanted:
        bad.append(f"V4 {stack}: containers that are not wanted: {sorted(have - wanted)}")
    if wanted - running:
        bad.append(f"V4 {stack}: instances that do not run: {sorted(wanted - running)}")
    repos = host.path("var/lib/viking/repos")
    left = glob.glob(repos + "/*/objects/tmp_objdir-*") + glob.glob(repos + "/*/objects/incoming-*") + glob.glob(repos + "/*/*.lock")
    left += glob.glob(repos + "/*/refs/heads/*.lock")
    left = [f for f in left if os.path.basename(f) != "viking-push.lock"]  # a file to flock, there for good
    if left:
        bad.append(f"V4 {stack}: left behind: {left}")
    builds = [b for b in host.json("builds", stack)["builds"] if b["state"] in ("queued", "running", "pushing")]
    if builds:
        bad.append(f"V4 {stack}: builds still under way: {[b['id'] for b in builds]}")
    return bad


def v5_v9(load, own, allow_failed=0):
    """No failed request on a stack that is served, and never another's answer."""
    bad = []
    if load.failed > allow_failed:
        bad.append(f"V5 {load.name}: {load.failed} of {load.sent} requests failed: {load.errors[:3]}")
    wrong = [b for b in load.bodies if b.decode(errors='replace').strip() not in own]
    if wrong:
        bad.append(f"V9 {load.name}: answers of another: {wrong[:3]}")
    return bad


def v6(history):
    """history: [(revision, key, value or None when it is deleted)] of all keys since revision 1. Who writes compares /leader in the
    same transaction, so nothing is written while there is none, and a leader's epoch is above all before."""
    bad, leader, epoch = [], None, 0
    for rev in sorted({h[0] for h in history}):
        puts = {key: value for r, key, value in history if r == rev}
        others = [key for key in puts if key not in ("/leader", "/epoch")]
        if others and leader is None:
            bad.append(f"V6 revision {rev}: {others} written while nobody led")
        if puts.get("/leader") is not None:
            now = json.loads(puts["/leader"])["epoch"]
            if now <= epoch:
                bad.append(f"V6 revision {rev}: epoch {now} after {epoch}")
            epoch = now
        if "/leader" in puts:
            leader = puts["/leader"]
    return bad


class Writers(threading.Thread):
    """V7: looks all the time where the containers with volumes run; one instance is never seen on two hosts."""

    def __init__(self, engines):
        super().__init__(daemon=True)
        self.engines, self.seen, self.over = engines, {}, threading.Event()

    def look(self):
        for host, path in self.engines().items():
            with contextlib.suppress(OSError, http.client.HTTPException):
                for c in containers("viking.stack", path):
                    if c["State"] == "running" and any(m["Type"] == "volume" for m in c["Mounts"]):
                        self.seen.setdefault(c["Names"][0], set()).add(host)

    def run(self):
        while not self.over.wait(0.3):
            self.look()

    def v7(self):
        return [f"V7 {name}: its volume was written on {sorted(hosts)}" for name, hosts in self.seen.items() if len(hosts) > 1]


def integrity(folder):
    """Of a copy: the scheduler holds the file alone. A checkpoint between the two copies can spoil one, hence three tries."""
    with tempfile.TemporaryDirectory() as d:
        for name in ("viking.db", "viking.db-wal"):
            if os.path.exists(f"{folder}/{name}"):
                shutil.copy(f"{folder}/{name}", f"{d}/{name}")
        db = sqlite3.connect(d + "/viking.db")
        try:
            return db.execute("PRAGMA integrity_check").fetchone()[0]
        except sqlite3.DatabaseError as e:
            return repr(e)
        finally:
            db.close()


def v8(host, stack):
    bad = []
    doctor = host.json_any("doctor")
    failed = [c for c in doctor["checks"] if c["ok"] is False]
    if failed:
        bad.append(f"V8 doctor: {failed}")
    for repo in glob.glob(host.path(f"var/lib/viking/repos/{stack}.git")):
        p = subprocess.run(["git", "-C", repo, "fsck", "--no-dangling"], capture_output=True, text=True)
        if p.returncode != 0:
            bad.append(f"V8 fsck {repo}: {p.stderr.strip()[:200]}")
    stored = os.path.exists(host.path("var/lib/viking/sched/viking.db"))
    result = [integrity(host.path("var/lib/viking/sched")) for _ in range(3) if stored]
    if stored and "ok" not in result:
        bad.append(f"V8 integrity_check: {result}")
    return bad


def v10(watched):
    now = watched.look()
    return [f"V10 {name}: was {was}, is {now.get(name)}" for name, was in watched.before.items() if now.get(name) != was]


def steady(host, stack, texts, push_status, old, new, watched):
    return (v1(host, stack, texts) + v2_v3(host, stack, push_status, old, new) + v4(host, stack) + v8(host, stack) + v10(watched))


def foreign_container(host):
    body = {"Image": "viking-test-base", "Cmd": ["sleep", "3600"], "Labels": {"foreign-of": host.root.replace("/", "_")}}
    cid = engine("POST", "/containers/create", body)[1]["Id"]
    engine("POST", f"/containers/{cid}/start")
    return cid


assert STAGE
