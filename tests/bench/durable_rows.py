"""The part `durable` of the scoreboard: a million containers from a described cluster to every host's assignment on the disk of a store
(tests/bench/durable.c), beside the same rows written by sqlite3's shell, or by curl to the same etcd, in transactions of 128, eight at a time."""
import base64
import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import time
import urllib.request

import lib

TXN_OPS, FLIGHT = 128, 8


def chunks(rows):
    return [rows[i:i + TXN_OPS] for i in range(0, len(rows), TXN_OPS)]


def write_sql(path, rows):
    with open(path, "w") as f:
        f.write("PRAGMA journal_mode=WAL;\nPRAGMA synchronous=FULL;\nCREATE TABLE kv(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;\n")
        for part in chunks(rows):
            f.write("BEGIN;\n" + "".join(f"INSERT INTO kv VALUES('{r['key']}', x'{r['value'].encode().hex()}');\n" for r in part) + "COMMIT;\n")


def write_requests(d, rows, endpoint):
    """curl's configuration; the answer's status is checked by --fail."""
    def b64(text):
        return base64.b64encode(text.encode()).decode()

    asks = []
    for i, part in enumerate(chunks(rows)):
        with open(f"{d}/txn{i}", "w") as f:
            json.dump({"success": [{"request_put": {"key": b64("/raw" + r["key"]), "value": b64(r["value"])}} for r in part]}, f)
        asks.append(f'url = "{endpoint}/v3/kv/txn"\ndata-binary = "@{d}/txn{i}"\noutput = "/dev/null"\nfail\n')
    with open(d + "/curl", "w") as f:
        f.write("next\n".join(asks))


@contextlib.contextmanager
def etcd(d):
    endpoint, peer = (f"http://127.0.0.1:{lib.free_port()}" for _ in range(2))
    p = subprocess.Popen(["etcd", "--data-dir", d + "/etcd", "--listen-client-urls", endpoint, "--advertise-client-urls", endpoint,
                          "--listen-peer-urls", peer, "--log-level", "error"], stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        lib.wait_for("etcd", lambda: healthy(endpoint), 30)
        yield endpoint
    finally:
        p.kill()
        p.wait()


def healthy(endpoint):
    with contextlib.suppress(OSError), urllib.request.urlopen(endpoint + "/health", timeout=2) as a:
        return json.load(a)["health"] == "true"


def seconds(words, **more):
    start = time.monotonic()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, **more)
    return time.monotonic() - start


def pair(program, kind, rows, bare):
    """Each in an empty store of its own."""
    with tempfile.TemporaryDirectory() as d, contextlib.ExitStack() as on:
        if kind == "etcd":
            where = on.enter_context(etcd(d))
            write_requests(d, rows, where)
            theirs = ["curl", "-sS", "--no-progress-meter", "--parallel", "--parallel-max", str(FLIGHT), "-K", d + "/curl"]
        else:
            where = d + "/ours.db"
            write_sql(d + "/sql", rows)
            theirs = ["sqlite3", "-batch", d + "/theirs.db", ".read " + d + "/sql"]
        ours = json.loads(subprocess.run([program, kind, where, *bare], check=True, capture_output=True, text=True).stdout)
        return ours, seconds(theirs)


def run(row, pairs, program, bare=()):
    rows = [json.loads(line) for line in subprocess.run([program, "rows", *bare], check=True, capture_output=True, text=True).stdout.splitlines()]
    for kind, goal, name in (("sqlite", 1.5, "sqlite3's shell"), ("etcd", 3, f"curl, {FLIGHT} at a time")):
        got = [pair(program, kind, rows, bare) for _ in range(pairs + 1)][1:]
        whole = [a["plan"] + a["write"] for a, _ in got]
        of = [a / b for a, (_, b) in zip(whole, got)]
        row(f"S1 plan + durable, {kind}", statistics.median(whole), "s", goal, pairs, min(whole), max(whole),
            f"plan {statistics.median(a['plan'] for a, _ in got):.2f} s; {len(rows)} rows, {got[0][0]['mib']:.0f} MiB")
        row(f"S1 plan + durable, {kind} / rows alone", statistics.median(of), "ratio", 2, pairs, min(of), max(of),
            f"{name}: {statistics.median(b for _, b in got):.2f} s")
        read = [a["read"] for a, _ in got]
        row(f"S1 read by a new leader, {kind}", statistics.median(read), "s", None, pairs, min(read), max(read))
