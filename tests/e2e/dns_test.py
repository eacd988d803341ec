"""viking-dns: names of instances for containers and for the host, straight over the wire and from inside containers."""
import contextlib
import os
import random
import socket
import struct
import subprocess
import threading
import unittest

import lib

A, SRV, TXT = 1, 33, 16
MANIFEST = """deploy:
  web:
    expose: [8080]
    scale: 2
    dns_update_policy: %s
    links: [back_end]
  back_end:
    image: %s
    run: [httpd, -f, -p, "7000", -h, /]
    expose: [{name: echo, port: 7000}]
    healthcheck: {type: tcp, port: 7000}
"""


DEAF = """deploy:
  web:
    image: %s
    run: sh -c 'trap "" TERM; httpd -p 8080 -h /; while :; do sleep 1; done'
    expose: [8080]
    stop_timeout: 8s
"""


def name_bytes(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".") if p) + b"\0"


def question(name, kind=A, ident=None, edns=False):
    ident = random.randrange(65536) if ident is None else ident
    opt = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0) if edns else b""
    return struct.pack(">HHHHHH", ident, 0x0100, 1, 0, 0, 1 if edns else 0) + name_bytes(name) + struct.pack(">HH", kind, 1) + opt


def read_name(m, at):
    labels, end, hops = [], None, 0
    while m[at]:
        if m[at] >= 0xc0:
            end = end or at + 2
            at = (m[at] & 0x3f) << 8 | m[at + 1]
            hops += 1
            assert hops < 10
            continue
        labels.append(m[at + 1:at + 1 + m[at]].decode("latin-1"))
        at += 1 + m[at]
    return ".".join(labels), end or at + 1


def read_answer(m):
    """(rcode, truncated, answers): A as text, SRV as (port, target)."""
    _, flags, qd, an, ns, ar = struct.unpack(">HHHHHH", m[:12])
    at, records = 12, []
    for _ in range(qd):
        at = read_name(m, at)[1] + 4
    for _ in range(an + ns + ar):
        name, at = read_name(m, at)
        kind, _, ttl, size = struct.unpack(">HHIH", m[at:at + 10])
        at += 10
        if kind == A:
            records.append((name, ttl, socket.inet_ntoa(m[at:at + 4])))
        elif kind == SRV:
            records.append((name, ttl, (struct.unpack(">H", m[at + 4:at + 6])[0], read_name(m, at + 6)[0])))
        at += size
    assert at == len(m), (at, len(m))
    return flags & 15, bool(flags & 0x200), [r[2] for r in records[:an]], records


def ask(server, name, kind=A, edns=False, tcp=False, timeout=3):
    q = question(name, kind, edns=edns)
    if tcp:
        with socket.create_connection((server, 53), timeout) as s:
            s.sendall(struct.pack(">H", len(q)) + q)
            f = s.makefile("rb")
            m = f.read(struct.unpack(">H", f.read(2))[0])
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(timeout)
            s.connect((server, 53))
            s.send(q)
            m = s.recv(65535)
    assert m[:2] == q[:2]
    return read_answer(m)


class Upstream:
    """The host's resolver, as far as the tests need one: UDP and TCP on a port 53 of loopback."""

    def __init__(self):
        self.address = f"127.{random.randrange(10, 250)}.{random.randrange(1, 250)}.{random.randrange(1, 250)}"
        self.silent, self.asked = False, []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((self.address, 53))
        self.tcp = socket.create_server((self.address, 53))
        for f in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=f, daemon=True).start()

    @staticmethod
    def answer(q, tcp):
        end = read_name(q, 12)[1] + 4
        name = read_name(q, 12)[0]
        n = 60 if name.startswith("many.") and tcp else 1
        flags = 0x8380 if name.startswith("many.") and not tcp else 0x8180
        record = b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 60, 4) + socket.inet_aton("192.0.2.77")
        return q[:2] + struct.pack(">HHHHH", flags, 1, n, 0, 0) + q[12:end] + record * n

    def serve_udp(self):
        while True:
            try:
                q, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            self.asked.append(read_name(q, 12)[0])
            if not self.silent:
                wrong = bytes([q[0] ^ 1]) + self.answer(q, False)[1:]
                self.udp.sendto(wrong, peer)  # a stray answer must not be taken
                self.udp.sendto(self.answer(q, False), peer)

    def serve_tcp(self):
        while True:
            try:
                c, _ = self.tcp.accept()
                n = struct.unpack(">H", c.recv(2))[0]
                a = self.answer(c.recv(n), True)
                c.sendall(struct.pack(">H", len(a)) + a)
                c.close()
            except OSError:
                return

    def close(self):
        self.udp.close()
        self.tcp.close()


def resident(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) << 10


class Dns(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.up = Upstream()
        cls.host = lib.Host(**{"dns.upstream": cls.up.address})
        cls.addClassCleanup(cls.up.close)
        cls.host.__enter__()
        cls.addClassCleanup(lambda: cls.host.__exit__(None, None, None))
        cls.stack, cls.other = cls.host.name("dns"), cls.host.name("oth")
        cls.tree = cls.host.app("x", vikingfile=MANIFEST % ("append", lib.BASE))
        cls.host.push(cls.tree, cls.stack)
        cls.host.push(cls.host.app("y"), cls.other)
        cls.gateway = cls.gateway_of(cls.stack)
        lib.wait_for("the resolver to know both web instances", lambda: len(cls.addresses("web")) == 2)

    @classmethod
    def gateway_of(cls, stack):
        for n in lib.engine("GET", "/networks")[1]:
            if n["Name"] == "viking-" + stack:
                return n["IPAM"]["Config"][0]["Subnet"].replace(".0/24", ".1")
        raise AssertionError("no network of " + stack)

    @classmethod
    def addresses(cls, node, zone="viking"):
        return ask(cls.gateway, f"{node}.{cls.stack}.{zone}")[2]

    def ips(self, node, stack=None):
        return sorted(i["ip"] for i in self.host.json("ps", stack or self.stack)["instances"] if i["node"] == node)

    def exec(self, node, words, stack=None):
        stack = stack or self.stack
        for c in lib.containers("viking.stack=" + stack):
            if c["Labels"]["viking.node"] == node and c["State"] == "running":
                return lib.Result(subprocess.run(["docker", "-H", "unix://" + lib.ENGINE, "exec", c["Id"], *words],
                                                 capture_output=True, text=True, timeout=30))
        raise AssertionError("no container of " + node)

    def test_addresses_of_a_node_are_all_and_rotate(self):
        firsts, want = set(), self.ips("web")
        for _ in range(4):
            rcode, _, answers, records = ask(self.gateway, f"WEB.{self.stack}.viking")
            self.assertEqual((0, want), (rcode, sorted(answers)))
            self.assertEqual({5}, {r[1] for r in records})
            firsts.add(answers[0])
        self.assertEqual(set(want), firsts)

    def test_instances_have_names(self):
        one = ask(self.gateway, f"1.web.{self.stack}.viking")[2]
        full = ask(self.gateway, f"{self.stack}-web-1-1.web.{self.stack}.viking")[2]
        self.assertEqual(one, full)
        self.assertEqual(1, len(one))
        self.assertEqual(3, ask(self.gateway, f"9.web.{self.stack}.viking")[0])

    def test_services_by_number_and_name(self):
        for name in (f"_8080._tcp.web.{self.stack}.viking", f"web.{self.stack}.viking", f"web.{self.stack}.skydns.local"):
            rcode, _, answers, records = ask(self.gateway, name, SRV)
            self.assertEqual((0, {8080}), (rcode, {a[0] for a in answers}), name)
            self.assertEqual(2, len(answers))
            glue = {r[0]: r[2] for r in records if isinstance(r[2], str)}
            self.assertEqual(sorted(glue[a[1]] for a in answers), self.ips("web"))
        self.assertEqual(7000, ask(self.gateway, f"_echo._tcp.back-end.{self.stack}.viking", SRV)[2][0][0])
        self.assertEqual(3, ask(self.gateway, f"_echo._udp.back-end.{self.stack}.viking", SRV)[0])
        self.assertEqual(3, ask(self.gateway, f"_99._tcp.web.{self.stack}.viking", SRV)[0])

    def test_zones_of_older_systems(self):
        self.assertEqual(self.ips("web"), sorted(self.addresses("web", "skydns.local")))
        for name in ("back-end.veo", "7000.back-end.veo", "back-end.local.zone", "back-end-1.local.zone"):
            self.assertEqual(self.ips("back_end"), self.nslookup("web", name), name)

    def test_every_form_of_a_service(self):
        """SRV with the address beside it; what a link leads to is its port of the gateway."""
        s, back = self.stack, self.ips("back_end")
        env = next(e for c in lib.containers("viking.stack=" + s) if c["Labels"]["viking.node"] == "web"
                   for e in lib.engine("GET", f"/containers/{c['Id']}/json")[1]["Config"]["Env"] if e.startswith("SERVICE_BACK_END_PORT="))
        for name in (f"_7000._tcp.back-end.{s}.viking", f"_echo._tcp.back_end.{s}.viking", f"back-end.{s}.viking", f"1.back-end.{s}.viking",
                     f"{s}-back_end-1-1.back-end.{s}.viking", f"back-end.{s}.skydns.local"):
            rcode, _, answers, records = ask(self.gateway, name, SRV)
            self.assertEqual((0, [7000]), (rcode, [a[0] for a in answers]), name)
            self.assertEqual(back, [r[2] for r in records if isinstance(r[2], str)], name)
        self.assertEqual([self.gateway], self.nslookup("web", "backends"))
        self.assertTrue(env)

    def test_forms_that_only_a_container_may_ask(self):
        """From inside, where the stack is known by the address."""
        for name, kind in (("_7000._tcp.back-end.veo", "srv"), ("_echo._tcp.back-end.veo", "srv"), (f"_7000._tcp.back-end.{self.stack}.viking", "srv")):
            r = self.exec("web", ["nslookup", "-type=" + kind, name])
            self.assertIn("7000", r.out, (name, r))

    def nslookup(self, node, name, stack=None):
        r = self.exec(node, ["nslookup", name], stack)
        text = r.out.split("Name:", 1)[1] if "Name:" in r.out else ""
        return sorted({line.split()[-1].split(":")[0] for line in text.splitlines() if line.startswith("Address")})

    def test_containers_use_it(self):
        self.assertEqual(self.ips("web"), self.nslookup("back_end", f"web.{self.stack}.viking"))
        self.assertEqual(["192.0.2.77"], self.nslookup("back_end", "elsewhere.example.org"))
        inspect = lib.engine("GET", "/containers/" + lib.containers("viking.stack=" + self.stack)[0]["Id"] + "/json")[1]
        self.assertEqual([self.gateway], inspect["HostConfig"]["Dns"])

    def test_a_stack_does_not_see_another(self):
        self.assertEqual([], self.nslookup("web", f"web.{self.stack}.viking", self.other))
        self.assertEqual([], self.nslookup("web", f"back-end.{self.stack}.skydns.local", self.other))
        self.assertEqual(self.ips("web", self.other), self.nslookup("web", f"web.{self.other}.viking", self.other))
        # the host sees all, from any address
        self.assertEqual(self.ips("web"), sorted(ask(self.gateway_of(self.other), f"web.{self.stack}.viking")[2]))

    def test_removed_within_a_second_of_the_stop(self):
        gone = self.host.name("stop")
        self.host.push(self.host.app("z", vikingfile=DEAF % lib.BASE), gone)
        lib.wait_for("the name", lambda: ask(self.gateway, f"web.{gone}.viking")[2])
        stop = threading.Thread(target=lambda: self.host.viking("ps:stop", gone))
        stop.start()
        lib.wait_for("the name to go", lambda: not ask(self.gateway, f"web.{gone}.viking")[2])
        # the container does not hear SIGTERM: its name was gone long before it
        self.assertEqual(["running"], [c["State"] for c in lib.containers("viking.stack=" + gone)])
        stop.join()
        self.assertEqual(0, self.host.viking("ps:start", gone).status)
        lib.wait_for("the name to come back", lambda: ask(self.gateway, f"web.{gone}.viking")[2])
        c = [c for c in lib.containers("viking.stack=" + gone) if c["State"] == "running"][0]
        lib.engine("POST", f"/containers/{c['Id']}/kill")
        lib.wait_for("the name of a killed container to go",
                     lambda: c["NetworkSettings"]["Networks"]["viking-" + gone]["IPAddress"] not in
                     ask(self.gateway, f"web.{gone}.viking")[2])

    def test_policies(self):
        s = self.host.name("pol")
        tree = self.host.app("p", vikingfile=MANIFEST % ("REPLACE", lib.BASE))
        self.host.push(tree, s)
        lib.wait_for("one address", lambda: len(ask(self.gateway, f"web.{s}.viking")[2]) == 1)
        self.assertEqual(1, len(ask(self.gateway, f"2.web.{s}.viking")[2]))
        self.host.write(tree, {"vikingfile": MANIFEST % ("hide", lib.BASE)})
        self.host.commit(tree)
        self.host.push(tree, s)
        lib.wait_for("none", lambda: ask(self.gateway, f"web.{s}.viking")[0] == 3)
        self.assertEqual(3, ask(self.gateway, f"1.web.{s}.viking")[0])
        self.host.write(tree, {"vikingfile": MANIFEST % ("most", lib.BASE)})
        self.host.commit(tree)
        self.assertIn("APPEND, REPLACE or HIDE", self.host.push(tree, s, check=False).err)

    def test_forwarding_over_udp_and_tcp(self):
        self.assertEqual(["192.0.2.77"], ask(self.gateway, "a.example.org")[2])
        self.assertTrue(ask(self.gateway, "many.example.org")[1], "truncated over UDP")
        self.assertEqual(60, len(ask(self.gateway, "many.example.org", tcp=True)[2]))
        self.assertEqual(sorted(self.ips("web")), sorted(ask(self.gateway, f"web.{self.stack}.viking", tcp=True)[2]))

    def test_a_silent_upstream_is_a_failure_and_blocks_nobody(self):
        self.up.silent = True
        try:
            got = []
            t = threading.Thread(target=lambda: got.append(ask(self.gateway, "slow.example.org", timeout=10)[0]))
            t.start()
            self.assertEqual(2, len(self.addresses("web")))
            t.join()
            self.assertEqual([2], got)
        finally:
            self.up.silent = False

    def test_names_of_ours_are_never_asked_outside(self):
        for name in (f"nope.{self.stack}.viking", "x.viking", "plain", "q.veo", "r.local.zone", "s.skydns.local"):
            self.assertEqual(3, ask(self.gateway, name)[0], name)
            self.assertNotIn(name, self.up.asked)

    def test_malformed_messages_and_floods_are_harmless(self):
        pid = self.host.pid("dns")
        before = resident(pid)
        rnd = random.Random(7)
        other = self.gateway_of(self.other)
        good = question(f"web.{self.stack}.viking", edns=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect((self.gateway, 53))
            s.setblocking(False)
            for i in range(20000):
                if i % 100 == 0:  # another stack's address answers meanwhile
                    self.assertEqual(1, len(ask(other, f"web.{self.other}.viking")[2]))
                m = bytearray(good)
                for _ in range(rnd.randrange(1, 6)):
                    m[rnd.randrange(len(m))] = rnd.randrange(256)
                try:
                    s.send(bytes(m[:rnd.randrange(len(m) + 1)]) if i % 2 else bytes(m))
                    s.recv(4096)
                except OSError:
                    pass
        for junk in (b"", b"\0", b"\0\0", b"\0\5abc", struct.pack(">H", 65535) + b"x" * 5000):
            with socket.create_connection((self.gateway, 53), 5) as s:
                s.sendall(junk)
        idle = [socket.create_connection((self.gateway, 53), 5) for _ in range(40)]
        lib.wait_for("the flooded address to answer", self.answers_again, 10)
        for s in idle:
            s.close()
        self.assertEqual(pid, self.host.pid("dns"))
        self.assertLess(resident(pid), before + (8 << 20))

    def test_questions_for_a_silent_upstream_are_bounded(self):
        """A stack's 128 questions wait; the rest is not kept, and neither its own names nor another stack wait with them."""
        pid, other = self.host.pid("dns"), self.gateway_of(self.other)
        files, before = len(os.listdir(f"/proc/{pid}/fd")), resident(pid)
        self.up.silent = True
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.connect((self.gateway, 53))
                for i in range(3000):
                    s.send(question(f"n{i}.example.org"))
                    if i % 300 == 0:
                        lib.wait_for("its own names", self.answers_again, 10)  # a full socket drops: clients ask again
                        self.assertEqual(1, len(ask(other, f"web.{self.other}.viking")[2]))
                        self.assertLessEqual(len(os.listdir(f"/proc/{pid}/fd")), files + 128 + 8)
            self.assertLess(resident(pid), before + (8 << 20))
        finally:
            self.up.silent = False
        self.assertEqual(pid, self.host.pid("dns"))
        lib.wait_for("questions outside to be answered again", lambda: self.answers_again("again.example.org", ["192.0.2.77"]))

    def test_comes_back_after_a_kill_and_is_in_doctor(self):
        self.host.kill("dns")
        lib.wait_for("an answer", self.answers_again, 10)
        checks = {c["name"]: c for c in self.host.json_any("doctor")["checks"]}
        self.assertTrue(checks["dns"]["ok"], checks["dns"])

    def answers_again(self, name=None, want=None):
        """Like a client of the system's: who hears nothing asks again."""
        try:
            got = ask(self.gateway, name or f"web.{self.stack}.viking", timeout=0.5)[2]
            return got == want if want else len(got) == 2
        except OSError:
            return False


def answer(server, name):
    """The addresses; None while nobody answers there."""
    with contextlib.suppress(OSError):
        return ask(server, name)[2]


class Taken(unittest.TestCase):
    def test_an_address_that_is_taken_is_named_and_got_later(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            host = lib.Host()
            base = host.settings["networks.range"].replace("0.0/16", "")
            s.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
            s.bind((base + "0.1", 53))
            with host:
                stack = host.name("taken")
                host.push(host.app("t"), stack)
                # before its first answer the resolver is in the doctor's list for that
                self.until(host, "the doctor to say it", lambda c: c["ok"] is False and base + "0.1 port 53" in c["what"])
                s.close()
                self.until(host, "the address", lambda c: c["ok"])

    def until(self, host, what, good):
        seen = []

        def look():
            seen[:] = [c for c in host.json_any("doctor")["checks"] if c["name"] == "dns"]
            return any(map(good, seen))
        try:
            lib.wait_for(what, look, 60)
        except AssertionError as e:
            listeners = lib.subprocess.run(["ss", "-lntup", "sport = 53"], capture_output=True, text=True).stdout
            self.fail(f"{e}\n{seen}\n{listeners}")


class Later(unittest.TestCase):
    def test_zones_that_are_off_and_containers_from_before(self):
        up = Upstream()
        self.addCleanup(up.close)
        with lib.Host(**{"dns.enabled": False, "dns.upstream": up.address, "dns.zones": "veo"}) as host:
            stack = host.name("was")
            host.push(host.app("w"), stack)
            host.stop()
            host.configure(**{"dns.enabled": True})
            host.start()
            gateway = Dns.gateway_of(stack)
            lib.wait_for("the name", lambda: answer(gateway, f"web.{stack}.viking"))
            # a zone that is off belongs to the outside
            for name in (f"web.{stack}.skydns.local", "web.local.zone"):
                lib.wait_for("the outside's answer", lambda: answer(gateway, name) == ["192.0.2.77"])
            self.assertIn("web.local.zone", up.asked)
            self.assertEqual(3, ask(gateway, "none.veo")[0])
            self.assertNotIn("none.veo", up.asked)
            # the container still has the engine's resolver
            old = lambda: [c for c in host.json_any("doctor")["checks"] if c["name"] == "resolver"]  # noqa: E731
            check = lib.wait_for("the doctor to say it", old)[0]
            self.assertIn(f"{stack}-web-1-1", check["what"])
            self.assertEqual(f"viking ps:restart {stack}", check["hint"])
            self.assertEqual(0, host.viking("ps:restart", stack).status)
            lib.wait_for("the new container to ask viking", lambda: not old())
            c = next(c for c in lib.containers("viking.stack=" + stack) if c["State"] == "running")
            self.assertEqual([gateway], lib.engine("GET", f"/containers/{c['Id']}/json")[1]["HostConfig"]["Dns"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
