"""The part `routing` of the scoreboard: router and HAProxy alone with tables of their own making (tests/e2e/routing.py stands in for the
scheduler), then links and names of a whole viking. Loopback and bridges only; every load ends by itself."""
import contextlib
import os
import re
import socket
import statistics
import subprocess
import tempfile
import threading
import time

import dns_test
import lib
import routing

HERE = os.path.dirname(os.path.abspath(__file__))
TICK = os.sysconf("SC_CLK_TCK")
HAND = """global
	maxconn 4000
	stats socket %s mode 600 level admin
defaults
	mode http
	balance leastconn
	http-reuse safe
	timeout connect 1s
	timeout client 60s
	timeout server 60s
	timeout http-keep-alive 30s
frontend http
	bind 127.0.0.1:%d
%s	default_backend one
backend one
	server s1 127.0.0.1:%d
"""


def seconds(fn):
    start = time.monotonic()
    fn()
    return time.monotonic() - start


def p99(values):
    return sorted(values)[len(values) * 99 // 100]


@contextlib.contextmanager
def ahead():
    """This process, in the scheduler's place, as vikingd starts it: before others, and so its session before theirs."""
    def go(nice):
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as f:
            f.write(str(nice))
    go(-10)
    try:
        yield
    finally:
        go(0)


def build_page(path):
    subprocess.run(["cc", "-O2", "-static", "-D_GNU_SOURCE", "-o", path, os.path.join(HERE, "page.c")], check=True)
    return path


@contextlib.contextmanager
def ended(words, start=subprocess.Popen, **more):
    p = start(words, **more)
    try:
        yield p
    finally:
        p.kill()
        p.wait()


@contextlib.contextmanager
def pages():
    """The application on every address of loopback: each is a backend of its own."""
    with tempfile.TemporaryDirectory() as d:
        port = lib.free_port()
        with ended([build_page(d + "/page"), str(port)], start_new_session=True):
            yield port


@contextlib.contextmanager
def site():
    s = routing.Site()
    try:
        s.start("router")
        s.haproxy()
        yield s
    finally:
        s.cleanup()


@contextlib.contextmanager
def by_hand(port, rules=""):
    """HAProxy as somebody would write it for one application."""
    with tempfile.TemporaryDirectory() as d:
        front = lib.free_port()
        with open(d + "/cfg", "w") as f:
            f.write(HAND % (d + "/sock", front, rules, port))
        with ended([routing.HAPROXY, "-db", "-f", d + "/cfg"], routing.ahead, stderr=subprocess.DEVNULL) as p:  # as the other is
            lib.wait_for("haproxy", lambda: os.path.exists(d + "/sock"))
            yield front, p.pid


def place(i):
    return f"127.{1 + i // 62500}.{1 + i // 250 % 250}.{1 + i % 250}"


def stack(i, port, domains, at=None):
    return routing.app(domains, {"id": f"s{i}-web-1-1", "addr": at or place(i), "port": port, "state": "ready"})


def told(s, stacks):
    """Seconds until the router has said that HAProxy is like the table."""
    return seconds(lambda: s.api.ack(s.api.put("router", {"stacks": stacks}), 120))


def processor(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) / 1024


class Wrk:
    def __init__(self, port, host, length, connections=16, close=False, address="127.0.0.1"):
        self.p = subprocess.Popen(["wrk", "-t1", f"-c{connections}", f"-d{length}s", "--latency", "-H", f"Host: {host}",
                                   *(["-H", "Connection: close"] if close else []), f"http://{address}:{port}/"],
                                  stdout=subprocess.PIPE, text=True, start_new_session=True)

    def result(self):
        out = self.p.communicate(timeout=120)[0]
        self.errors = sum(map(int, re.findall(r"(?:connect|read|write|timeout|Non-2xx or 3xx responses:) ?(\d+)", out)))
        number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
        self.p99 = float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]
        self.requests = int(re.search(r"(\d+) requests in", out).group(1))
        self.rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
        return self


def switches(row, pairs, count=1000):
    """Blue and green in turn, as a deploy does it: the new server in, the old one out."""
    with pages() as port, site() as s:
        told(s, {"a": stack(0, port, ["a.com"])})
        before, took, end = s.worker(), [], time.monotonic() + 50
        load = Wrk(s.port, "a.com", 60, close=True)
        with ahead():
            while len(took) < count and time.monotonic() < end:
                web = stack(0, port, ["a.com"], place(len(took) % 200 + 1))["backends"]
                took.append(seconds(lambda: s.api.ack(s.api.patch({"stacks": {"a": {"backends": web}}}))) * 1e3)
        load.p.send_signal(2)
        load.result()
        row(f"errors in {len(took)} router switches", load.errors, "count", 0,
            yardstick=f"{load.requests} connections, {load.rate:.0f}/s, their p99 {load.p99:.1f} ms")
        row("reloads in these", int(s.worker() != before), "count", 0)
        row("p99 of a switch, told to acknowledged", p99(took), "ms", 5, len(took), min(took), max(took),
            f"median {statistics.median(took):.2f} ms")


def many(row, pairs, count=10000):
    """10,000 domains on as many backends against one backend by hand: alone, and with the same header rules."""
    with contextlib.ExitStack() as on:
        port, s = on.enter_context(pages()), on.enter_context(site())
        first = told(s, {f"s{i}": stack(i, port, [f"d{i}.example.com"]) for i in range(count)})
        cfg = s.state("haproxy.cfg")
        with open(cfg) as f:
            frontend = f.read().split("\nfrontend http", 1)[1].split("\thttp-request set-var(txn.backend)", 1)[0]
        headers = "".join(re.findall(r"\thttp-request .*\n", frontend))
        check = [seconds(lambda: subprocess.run([routing.HAPROXY, "-c", "-q", "-f", cfg], check=True, capture_output=True)) for _ in range(pairs)]
        row("10 k domains, 10 k backends: load", statistics.median(check), "s", 0.5, pairs, min(check), max(check),
            f"haproxy -c; the table was in force after {first:.1f} s")
        row("memory of haproxy with these", resident(s.worker()), "MiB", 260)
        fronts = [(s.port, s.worker()), on.enter_context(by_hand(port, headers)), on.enter_context(by_hand(port))]
        rates, costs = [[], [], []], [[], [], []]
        for _ in range(pairs + 1):
            for i, (at, pid) in enumerate(fronts):
                used = processor(pid)
                w = Wrk(at, "d7.example.com", 2).result()
                assert w.errors == 0
                rates[i].append(w.rate), costs[i].append((processor(pid) - used) / w.requests * 1e6)
        for i, name in ((1, "by hand with its headers"), (2, "by hand")):
            of = [a / b for a, b in zip(rates[0][1:], rates[i][1:])]
            row(f"requests/s with these / {name}", statistics.median(of), "ratio", 0.97 if i == 1 else None, pairs, min(of), max(of),
                f"haproxy's processor {statistics.median(costs[0][1:]):.1f} us a request, by hand {statistics.median(costs[i][1:]):.1f}", more=True)


def one_among_many(row, pairs, count=100000, each=1000):
    with pages() as port, site() as s:
        names = [f"d{i}.example.com" for i in range(count)]
        stacks = {f"s{i}": stack(i, port, names[i * each:(i + 1) * each]) for i in range(count // each)}
        told(s, stacks)
        before, path = s.worker(), s.state("hosts.map")
        quiet = Wrk(s.port, "d7.example.com", 6, connections=4).result()
        load, took, end = Wrk(s.port, "d7.example.com", 6, connections=4), [], time.monotonic() + 5
        while time.monotonic() < end:
            for command in (f"add map {path} new.example.org b0001", f"del map {path} new.example.org"):
                took.append(seconds(lambda: s.runtime(command)) * 1e3)
            time.sleep(0.05)  # 20 domains a second come and go
        load.result()
        row("one domain among 100 k, in haproxy", p99(took), "ms", 5, len(took), min(took), max(took), "p99 of add map and del map in turn")
        row("p99 of traffic during these / before", load.p99 / quiet.p99, "ratio", 1.1, yardstick=f"before {quiet.p99:.2f} ms, errors {load.errors}")
        took = []
        for value in ("web", None) * 20 * pairs:
            took.append(seconds(lambda: s.api.ack(s.api.patch({"stacks": {"s3": {"domains": {"new.example.org": value}}}}))) * 1e3)
        row("the same, told to acknowledged", p99(took), "ms", 5, len(took), min(took), max(took), f"by a patch of the table; median {statistics.median(took):.2f} ms")
        assert before == s.worker()


BULK = """deploy:
  web: {expose: [8080], links: [db], command: [/page, "8080"]}
  db: {expose: [8080], domains: [], healthcheck: tcp, command: [/page, "8080", "%d"]}
"""


def answers(address, name):
    """MiB/s of answers of 64 KiB, eight at a time."""
    w = Wrk(address[1], name, 2, connections=8, address=address[0]).result()
    assert w.errors == 0
    return w.rate / 16


def long_answer(address, _):
    """MiB/s of one answer of a gigabyte."""
    url = f"http://{address[0]}:{address[1]}/long"
    out = subprocess.run(["curl", "-sSf", "-m", "60", "-o", "/dev/null", "-w", "%{speed_download}", url], check=True, capture_output=True, text=True).stdout
    return float(out) / 2**20


def links(row, pairs, h):
    """The same application straight and through the link's port. Application, client and proxy are three for two processors, so what the
    proxy takes of them is told as well: its share is all that can be lost where there are more."""
    name = h.name("bulk")
    tree = h.tree({"Dockerfile": f"FROM {lib.BASE}\nCOPY page /page\nEXPOSE 8080\nCMD [\"/page\"]\n", "vikingfile": BULK % (64 << 10)})
    build_page(os.path.join(tree, "page"))
    h.commit(tree)
    h.push(tree, name)
    by_node = {c["Labels"]["viking.node"]: c for c in lib.containers("viking.stack=" + name)}
    direct = (by_node["db"]["NetworkSettings"]["Networks"]["viking-" + name]["IPAddress"], 8080)
    env = dict(e.split("=", 1) for e in lib.engine("GET", f"/containers/{by_node['web']['Id']}/json")[1]["Config"]["Env"])
    linked = (env["SERVICE_DB_ADDR"], int(env["SERVICE_DB_PORT"]))
    proxy = int(subprocess.run(["pgrep", "-P", str(h.pid("links"))], check=True, capture_output=True, text=True).stdout.split()[-1])
    for label, speed in (("answers of 64 KiB", answers), ("one of 1 GiB", long_answer)):
        ratios, rates, costs = [], [], []
        for _ in range(pairs + 1):
            used, start = processor(proxy), time.monotonic()
            a = speed(linked, name)
            costs.append((processor(proxy) - used) / (time.monotonic() - start) / a * 1e6)
            rates.append(speed(direct, name))
            ratios.append(a / rates[-1])
        row(f"link / direct, {label}", statistics.median(ratios[1:]), "ratio", 0.9, pairs, min(ratios[1:]), max(ratios[1:]),
            f"direct {statistics.median(rates[1:]):.0f} MiB/s; the proxy's processor {statistics.median(costs[1:]):.0f} us a MiB", more=True)
    return by_node["db"]["NetworkSettings"]["Networks"]["viking-" + name]["Gateway"], f"db.{name}.viking"


def ask_all(address, question, count):
    took = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.connect(address)
        for _ in range(count):
            took.append(seconds(lambda: (s.send(question), s.recv(4096))) * 1e3)
    return took


def names(row, pairs, gateway, name, count=5000):
    """Questions one after the other; the yardstick sends each message back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        echo.bind((gateway, 0))

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    echo.sendto(*echo.recvfrom(4096))

        threading.Thread(target=serve, daemon=True).start()
        question = dns_test.question(name)
        bare = ask_all(echo.getsockname(), question, count)
    took = ask_all((gateway, 53), question, count)
    row("p99 of a name", p99(took), "ms", 2, count, min(took), max(took), f"an echo in Python {p99(bare):.2f} ms")


def run(row, pairs, h):
    switches(row, pairs)
    many(row, pairs)
    one_among_many(row, pairs)
    names(row, pairs, *links(row, pairs, h))
