"""Links: the environment they give, the proxy behind it, and what may not be linked."""
import os
import socket
import subprocess
import unittest

import lib

PAIR = """deploy:
  web:
    expose: [8080]
    links: [%s]
  db:
    expose: [8080]
    service: true
    domains: []
    healthcheck: tcp
%s"""


class Links(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.host = lib.Host()
        cls.host.__enter__()
        cls.addClassCleanup(lambda: cls.host.__exit__(None, None, None))

    def deploy(self, manifest, text="x", stack=None, check=True):
        stack = stack or self.host.name("ln")
        tree = self.host.app(text, vikingfile=manifest)
        return stack, tree, self.host.push(tree, stack, check=check)

    def container(self, stack, node):
        for c in lib.containers("viking.stack=" + stack):
            if c["Labels"]["viking.node"] == node and c["State"] == "running":
                return c
        raise AssertionError(f"no container of {stack}/{node}")

    def exec(self, stack, node, *words):
        return lib.Result(subprocess.run(["docker", "-H", "unix://" + lib.ENGINE, "exec", self.container(stack, node)["Id"], *words],
                                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30))

    def env(self, stack, node):
        c = lib.engine("GET", "/containers/" + self.container(stack, node)["Id"] + "/json")[1]
        return dict(e.split("=", 1) for e in c["Config"]["Env"])

    def fetch(self, stack, node, address, port):
        r = self.exec(stack, node, "sh", "-c", f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} {port}")
        return r.out.split("\n\n", 1)[-1].strip() if r.status == 0 else None

    def refused(self, stack, node, address, port):
        """Not even the handshake: who waits for a port to open must not be told that it is."""
        r = self.exec(stack, node, "nc", "-w", "2", address, str(port))
        return r.status != 0 and "refused" in r.err

    def until(self, want, stack, address, port, node="web"):
        return lib.wait_for(f"{want} at {address}:{port}", lambda: self.fetch(stack, node, address, port) == want, 15)

    def test_environment_and_proxy(self):
        s, _, _ = self.deploy(PAIR % ("db", ""), "pair")
        env = self.env(s, "web")
        gateway, port = env["SERVICE_DB_ADDR"], env["SERVICE_DB_PORT"]
        self.assertTrue(gateway.endswith(".1") and int(port) >= 10000, env)
        self.assertEqual(f"tcp://{gateway}:{port}", env["DB_PORT"])
        self.assertEqual((f"tcp://{gateway}:{port}", "tcp", gateway, port),
                         tuple(env["DB_PORT_8080_TCP" + x] for x in ("", "_PROTO", "_ADDR", "_PORT")))
        self.assertEqual(gateway, env["DB_SERVICE_IP"])
        self.assertEqual((f"db.{s}.skydns.local", s), (env["BACKENDS_" + port], env["DOKKAA_APP_NAME"]))
        self.until("pair", s, gateway, port)
        self.until("pair", s, env["DB_SERVICE_IP"], 8080)  # the target's own port, for who has an address only
        self.assertNotIn("SERVICE_DB_ADDR", self.env(s, "db"))

    def test_survives_the_restart_of_its_target_and_of_everything(self):
        s, _, _ = self.deploy(PAIR % ("db", ""), "moved")
        env = self.env(s, "web")
        at = env["SERVICE_DB_ADDR"], env["SERVICE_DB_PORT"]
        self.until("moved", s, *at)
        web = self.container(s, "web")["Id"]
        before = self.host.pid("links")
        for _ in range(2):
            lib.engine("POST", f"/containers/{self.container(s, 'db')['Id']}/kill")
            self.until("moved", s, *at)
        self.assertEqual(0, self.host.viking("ps:restart", s, "db").status)
        self.until("moved", s, *at)
        self.assertEqual(before, self.host.pid("links"))
        for name in ("router", "links", "scheduler"):
            self.host.kill(name)
            lib.wait_for(name + " back", lambda: self.host.processes()[name]["ready"] and self.host.pid(name), 20)
            self.until("moved", s, *at)
        self.assertEqual(web, self.container(s, "web")["Id"])

    def test_what_stands_between_and_what_decides_go_before_builds_and_tenants(self):
        wished = subprocess.check_output(["nice", "-n", "-10", "nice"], stderr=subprocess.DEVNULL, text=True).strip()  # 0 where nobody may
        for name in ("haproxy", "links", "router", "dns", "scheduler", "agent"):
            pid = self.host.pid(name)
            self.assertEqual(wished, str(os.getpriority(os.PRIO_PROCESS, pid)), name)
            if os.path.exists(f"/proc/{pid}/autogroup"):
                with open(f"/proc/{pid}/autogroup") as f:
                    self.assertTrue(f.read().endswith(f" nice {wished}\n"), name)
        self.assertEqual(0, os.getpriority(os.PRIO_PROCESS, self.host.pid("builder")))

    def test_a_link_never_blocks_a_start(self):
        s, _, _ = self.deploy(PAIR % ("db", ""), "late")
        env = self.env(s, "web")
        at = env["SERVICE_DB_ADDR"], env["SERVICE_DB_PORT"]
        self.assertEqual(0, self.host.viking("ps:stop", s, "db").status)
        lib.wait_for("connections to be refused", lambda: self.refused(s, "web", *at))
        self.assertEqual(0, self.host.viking("ps:restart", s, "web").status)
        self.assertTrue(self.refused(s, "web", *at))
        self.host.kill("links")
        lib.wait_for("the proxy", lambda: self.host.processes()["links"]["ready"] and self.host.pid("links"), 20)
        lib.wait_for("connections to be refused again", lambda: self.refused(s, "web", *at))
        self.assertEqual(0, self.host.viking("ps:start", s, "db").status)
        self.until("late", s, *at)

    def test_variables_from_interfaces(self):
        one = "deploy: {web: {expose: [8080], env: {SERVICE_IP: from_%s, GREETING: from_nope0}}}\n"
        s, _, _ = self.deploy(one % "lo")
        env = self.env(s, "web")
        self.assertEqual(("127.0.0.1", "from_nope0"), (env["SERVICE_IP"], env["GREETING"]))
        self.assertIn("127.0.0.1", self.host.viking("run", s, "sh", "-c", "echo $SERVICE_IP").out)
        _, _, r = self.deploy(one % "nope0", check=False)
        self.assertNotEqual(0, r.status)
        self.assertIn("env SERVICE_IP: this host has no interface nope0", r.err)

    def test_names(self):
        s, _, _ = self.deploy(PAIR % ('"db-1:store"', ""), "named")
        env = self.env(s, "web")
        self.assertIn("SERVICE_STORE_PORT", env)
        r = self.exec(s, "web", "nslookup", f"store.{s}.viking")
        self.assertIn(env["SERVICE_STORE_ADDR"], r.out.split("Name:")[-1], r)

    def test_other_stacks_only_where_shared(self):
        shared, tree, _ = self.deploy("deploy: {auth: {expose: [8080], domains: [], healthcheck: tcp}}\n", "auth")
        one = f"deploy: {{web: {{expose: [8080], links: [{shared}/auth]}}}}\n"
        s, _, r = self.deploy(one, check=False)
        self.assertNotEqual(0, r.status)
        self.assertIn(f"{shared}/auth is not there, or not shared with {s}", r.err)
        self.assertIn("shared:", r.err)
        self.host.write(tree, {"vikingfile": f"deploy: {{auth: {{expose: [8080], domains: [], healthcheck: tcp, shared: [{s}]}}}}\n"})
        self.host.commit(tree)
        self.host.push(tree, shared)
        self.deploy(one, stack=s)
        env = self.env(s, "web")
        self.until("auth", s, env["SERVICE_AUTH_ADDR"], env["SERVICE_AUTH_PORT"])
        target = self.container(shared, "auth")["NetworkSettings"]["Networks"]["viking-" + shared]["IPAddress"]
        self.assertIsNone(self.fetch(s, "web", target, 8080), "no way around the link")
        # not shared any more: the port refuses
        self.host.write(tree, {"vikingfile": "deploy: {auth: {expose: [8080], domains: [], healthcheck: tcp}}\n"})
        self.host.commit(tree)
        self.host.push(tree, shared)
        lib.wait_for("the link to end", lambda: self.fetch(s, "web", env["SERVICE_AUTH_ADDR"], env["SERVICE_AUTH_PORT"]) != "auth")

    def test_require_starts_in_order_and_only_what_runs(self):
        s, _, _ = self.deploy("""deploy:
  web: {expose: [8080], require: [logic]}
  logic: {expose: [8080], domains: [], healthcheck: tcp, require: [db]}
  db: {expose: [8080], domains: [], healthcheck: tcp}
""")
        started = [lib.engine("GET", f"/containers/{self.container(s, n)['Id']}/json")[1]["State"]["StartedAt"]
                   for n in ("db", "logic", "web")]
        self.assertEqual(sorted(started), started)
        _, _, r = self.deploy("deploy: {web: {expose: [8080], require: [nowhere/db]}}\n", check=False)
        self.assertIn("nowhere/db is not there, or not shared", r.err)

    def test_a_stack_requires_another(self):
        base, s = self.host.name("base"), self.host.name("over")
        one = f"viking: {{name: over, require: [{base}]}}\ndeploy: {{web: {{expose: [8080]}}}}\n"
        _, _, r = self.deploy(one, stack=s, check=False)
        self.assertIn(f"viking.require: {base} is not there, or shares no node with {s}", r.err)
        self.deploy(f"deploy: {{web: {{expose: [8080], shared: [{s}]}}}}\n", stack=base)
        self.assertEqual(0, self.host.viking("ps:stop", base).status)
        _, tree, r = self.deploy(one, stack=s, check=False)
        self.assertIn(f"viking.require: {base}/web does not run", r.err)
        self.assertEqual(0, self.host.viking("ps:start", base).status)
        lib.wait_for("a push that is taken", lambda: self.host.push(tree, s, check=False).status == 0)

    def test_a_pattern_that_means_several_is_told(self):
        _, _, r = self.deploy(PAIR % ('"d*:d"', "  dc: {run: [sleep, '99'], expose: [8080], domains: [], healthcheck: none}\n"))
        self.assertIn("vikingfile:4: deploy.web: the link \"d*\" means 2 nodes; db is taken", r.err)

    def test_what_cannot_be_linked(self):
        for links, more, message in (
                ("nowhere", "", 'there is no node "nowhere" in this stack'),
                ("dv", "", 'did you mean "db"'),
                ("web", "", "a link to itself"),
                ("db, db", "", "two links are called db"),
                ("help", "  help: {type: website, document_root: www}\n", "help is a website"),
                ("mute", "  mute: {run: [sleep, '100']}\n", "exposes no TCP port"),
                ("x", "  x: {expose: [1], links: [y]}\n  y: {expose: [1], links: [web]}\n", "links in a circle: web -> x -> y -> web"),
                ("'a;b'", "", "is not NODE, STACK/NODE or NODE-N:NAME"),
                ("'A/b'", "", "is not STACK/NODE")):
            _, _, r = self.deploy(PAIR % (links, more), check=False)
            self.assertNotEqual(0, r.status, links)
            self.assertIn(message, r.err, links)

    def test_a_taken_port_blocks_only_its_own_link(self):
        s, _, _ = self.deploy(PAIR % ("db", ""), "free")
        env = self.env(s, "web")
        self.until("free", s, env["SERVICE_DB_ADDR"], env["SERVICE_DB_PORT"])
        t = self.host.name("tk")
        tree = self.host.app("second")
        self.host.push(tree, t)
        gateway = self.container(t, "web")["NetworkSettings"]["Networks"]["viking-" + t]["Gateway"]
        with socket.create_server((gateway, 10000)):
            self.host.write(tree, {"vikingfile": PAIR % ("db", "")})
            self.host.commit(tree)
            self.host.push(tree, t)
            check = lib.wait_for("the doctor to say it", lambda: next(
                (c for c in self.host.json_any("doctor")["checks"] if c["name"] == "links" and c["ok"] is False), None))
            self.assertIn(f"{gateway}:10000", check["what"])
            self.until("free", s, env["SERVICE_DB_ADDR"], env["SERVICE_DB_PORT"])
        self.until("second", t, gateway, 10000)

    def test_a_long_connection_outlives_reloads(self):
        s, _, _ = self.deploy(PAIR % ("db", ""), "long")
        env = self.env(s, "web")
        at = env["SERVICE_DB_ADDR"], int(env["SERVICE_DB_PORT"])
        self.until("long", s, *at)
        with socket.create_connection(at, 10) as c:
            c.sendall(b"GET / HT")
            self.deploy(PAIR % ("db", ""), "another")  # a further listener: a reload
            c.sendall(b"TP/1.0\r\n\r\n")
            got = b""
            while chunk := c.recv(4096):
                got += chunk
            self.assertIn(b"long", got)


if __name__ == "__main__":
    unittest.main(verbosity=2)
