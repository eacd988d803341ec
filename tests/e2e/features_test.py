"""What users do after the first push: config, domains, scale, logs, run, enter, releases, options. One host for all."""
import json
import os
import pty
import select
import signal
import subprocess
import time
import unittest

from lib import BASE, HostCase, Load, containers, engine, wait_for

MANIFEST = """viking: {{name: ship, comment: all hands}}
env: {{COLOUR: red}}
build:
  base: |
    FROM {base}
    RUN echo from-base > /base.txt
  src: |
    FROM viking:ship/base
    COPY www /www
    CMD ["httpd", "-f", "-p", "8080", "-h", "/www"]
deploy:
  web:
    image: viking:ship/src
    scale: 2
    expose: [8080]
    domains: ["{domain}", "*.{domain}"]
    healthcheck: /
  worker:
    image: viking:ship/base
    run: sh -c 'while true; do echo worker $COLOUR; sleep 1; done'
    healthcheck: none
  db:
    image: {base}:latest
    run: sleep 3600
    service: true
    volume: [/data]
    healthcheck: none
  help:
    type: website
    document_root: ./site
    domains: ["help.{domain}"]
"""


class Features(HostCase):
    def ship(self):
        h = self.h
        stack = h.name("ship")
        domain = stack + ".example.org"
        tree = h.tree({"vikingfile": MANIFEST.format(base=BASE, domain=domain), "www/index.html": "ship\n",
                       "site/index.html": "<h1>help</h1>\n", "site/a/index.html": "a\n"})
        h.push(tree, stack)
        return stack, domain, tree

    def running(self, stack):
        """Builds under way; none while the stack itself is not there yet."""
        return [b for b in self.h.json("builds")["builds"] if b["stack"] == stack and b["state"] == "running"]

    def instances(self, stack, node):
        return [i for i in self.h.json("ps", stack)["instances"] if i["node"] == node]

    def test_manifest_with_everything(self):
        h = self.h
        stack, domain, tree = self.ship()
        self.assertEqual((200, "ship\n"), h.get(domain))
        self.assertEqual((200, "ship\n"), h.get("any." + domain))
        self.assertEqual((200, "ship\n"), h.get(domain.upper() + ".:80"))
        self.assertEqual(404, h.get("x" + domain)[0])
        self.assertEqual((200, "<h1>help</h1>\n"), h.get("help." + domain))
        self.assertEqual((200, "a\n"), h.get("help." + domain, "/a/"))
        self.assertIn(h.get("help." + domain, "/%2e%2e/vikingfile")[0], (400, 404))
        self.assertEqual(2, len(self.instances(stack, "web")))
        db = self.instances(stack, "db")[0]
        worker = self.instances(stack, "worker")[0]
        # a push that changes only the page leaves service and unchanged nodes alone
        ids = {c["Names"][0]: c["Id"] for c in containers(f"viking.stack={stack}")}
        h.write(tree, {"www/index.html": "ship 2\n"})
        h.commit(tree)
        r = h.push(tree, stack)
        self.assertIn("unchanged", r.err)
        self.assertEqual((200, "ship 2\n"), h.get(domain))
        now = {c["Names"][0]: c["Id"] for c in containers(f"viking.stack={stack}")}
        for name in (db["name"], worker["name"]):
            self.assertEqual(ids["/" + name], now["/" + name])

    def test_config_is_a_release_and_never_leaks(self):
        h = self.h
        stack = h.name()
        h.push(h.app("c"), stack)
        secret = "s3cr3t-" + os.urandom(8).hex()
        r = h.viking("config:set", stack, "TOKEN=" + secret, "EMPTY=")
        self.assertEqual(0, r.status, r)
        self.assertEqual(2, h.json("releases", stack)["releases"][0]["n"])
        self.assertEqual(secret + "\n", h.viking("config:get", stack, "TOKEN").out)
        self.assertEqual(secret + "\n", h.viking("run", stack, "sh", "-c", "echo $TOKEN").out)
        self.assertNotIn(secret, h.tail(10000))
        self.assertNotIn(secret, r.out)
        for folder, _, files in os.walk(h.path("var/lib/viking/sched")):
            for f in files:
                with open(os.path.join(folder, f), "rb") as fd:
                    self.assertNotIn(secret.encode(), fd.read(), f)
        self.assertEqual(0, h.viking("config:unset", stack, "TOKEN").status)
        self.assertEqual(3, h.viking("config:get", stack, "TOKEN").status)
        h.viking("rollback", stack, "v2")
        self.assertEqual(secret + "\n", h.viking("config:get", stack, "TOKEN").out, "a rollback brings its config")

    def test_no_address_is_shown_that_nothing_serves(self):
        h = self.h
        stack = h.name()
        tree = h.app("idle")
        h.push(tree, stack)
        self.assertEqual(0, h.viking("ps:scale", stack, "web=0").status)
        h.commit(tree)
        r = h.push(tree, stack)
        self.assertIn(f"web has 0 instances: viking ps:scale {stack} web=1", r.err)
        self.assertNotIn("http://", r.err)

    def test_scale_stays_over_pushes(self):
        h = self.h
        stack = h.name()
        tree = h.app("s")
        h.push(tree, stack)
        self.assertEqual(0, h.viking("ps:scale", stack, "web=3").status)
        self.assertEqual(3, len(self.instances(stack, "web")))
        h.write(tree, {"www/index.html": "s2\n"})
        h.commit(tree)
        h.push(tree, stack)
        self.assertEqual(3, len(self.instances(stack, "web")))
        self.assertEqual(0, h.viking("ps:scale", stack, "web=0").status)
        self.assertEqual(503, h.get(stack + ".apps.test")[0])
        self.assertEqual(0, h.viking("ps:scale", stack, "web=1").status)
        self.assertEqual(200, h.get(stack + ".apps.test")[0])

    def test_refusals_say_what_to_type(self):
        h, stack = self.h, self.h.name()
        h.push(h.app("r"), stack)
        host = h.json("hosts")["hosts"][0]["name"]
        for status, words, said, hint in (
                (3, ("rollback", stack, "v99"), "no good release v99", "viking releases " + stack),
                (3, ("rollback", stack), "no earlier good release", "viking releases " + stack),
                (2, ("ps:scale", stack, "web=1", "web=2"), "web is named twice", "viking ps:scale " + stack),
                (2, ("logs", stack, "-n", "many"), "-n takes a number", f"viking logs {stack} -n"),
                (5, ("hosts:drain", host), host + " is the only host", "viking hosts:invite"),
                (5, ("hosts:remove", host, "--data-lost"), host + " is the only host", "apt-get purge viking")):
            with self.subTest(words):
                r = h.viking(*words)
                self.assertEqual(status, r.status, r)
                self.assertIn(said, r.err)
                self.assertIn("try: " + hint, r.err)
        self.assertEqual("up", h.json("hosts")["hosts"][0]["state"])

    def test_domains_have_one_owner(self):
        h = self.h
        a, b = h.name(), h.name()
        h.push(h.app("a"), a)
        h.push(h.app("b"), b)
        d = a + ".example.com"
        self.assertEqual(0, h.viking("domains:add", a, d).status)
        self.assertEqual((200, "a\n"), h.get(d))
        r = h.viking("domains:add", b, d)
        self.assertEqual(5, r.status, r)
        self.assertIn(a, r.err)
        for bad in ("-x.com", "a..b.com", "a b.com", "1.2.3.4", "x.com;add", "a\nb.com", "*.*.com", "a" * 64 + ".com"):
            self.assertNotEqual(0, h.viking("domains:add", a, bad).status, bad)
        self.assertEqual(0, h.viking("domains:remove", a, d).status)
        self.assertEqual(404, h.get(d)[0])

    def test_logs_are_kept_over_deploys(self):
        h = self.h
        stack, _, tree = self.ship()
        wait_for("a log line", lambda: "worker red" in h.viking("logs", stack, "-p", "worker").out)
        first = self.instances(stack, "worker")[0]["name"]
        r = h.viking("logs", stack, "-p", "workre")
        self.assertEqual(3, r.status, r)
        self.assertIn("did you mean worker?", r.err)
        self.assertIn("web", r.err)
        h.viking("config:set", stack, "COLOUR=blue")
        wait_for("a line of the new one", lambda: "worker blue" in h.viking("logs", stack, "-p", "worker", "-n", "500").out)
        out = h.viking("logs", stack, "-p", "worker", "-n", "500").out
        self.assertIn(f"{first}: worker red", out)
        p = subprocess.Popen(["ssh", *h.ssh_options(), "-p", str(h.ssh_port), "viking@127.0.0.1", "logs", stack, "-f", "-n", "0"],
                             stdout=subprocess.PIPE, text=True)
        try:
            self.assertTrue(select.select([p.stdout], [], [], 10)[0], "nothing followed")
            self.assertIn("worker blue", p.stdout.readline())
        finally:
            p.kill()
            p.wait()

    def test_run_and_enter_give_status_streams_and_a_terminal(self):
        h = self.h
        stack = h.name()
        h.push(h.app("r"), stack)
        for call in (h.viking, h.ssh):
            r = call("run", stack, "sh", "-c", "'echo out; echo err >&2; exit 7'" if call == h.ssh else "echo out; echo err >&2; exit 7")
            self.assertEqual((7, "out\n"), (r.status, r.out), r)
            self.assertIn("err", r.err)
        r = h.viking("enter", stack, "cat", "/www/index.html")
        self.assertEqual((0, "r\n"), (r.status, r.out))
        before = len(containers(f"viking.stack={stack}"))
        self.assertEqual(1, before, "run's containers are gone")
        # a real terminal over SSH: size, then a change of it
        pid, fd = pty.fork()
        if pid == 0:
            os.execvp("ssh", ["ssh", "-tt", *h.ssh_options(), "-p", str(h.ssh_port), "viking@127.0.0.1", "enter", stack])
        try:
            import fcntl
            import struct
            import termios
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
            text = b""

            def until(what):
                nonlocal text
                end = time.monotonic() + 15
                while what not in text:
                    self.assertLess(time.monotonic(), end, text)
                    if select.select([fd], [], [], 0.2)[0]:
                        text += os.read(fd, 4096)

            until(b"#")
            os.write(fd, b"stty size; echo ma''rk\n")
            until(b"mark\r\n")
            self.assertIn(b"33 99", text)
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 70, 0, 0))
            time.sleep(0.5)
            text = b""
            os.write(fd, b"stty size; echo ma''rk\n")
            until(b"mark\r\n")
            self.assertIn(b"20 70", text)
            os.write(fd, b"exit 5\n")
            self.assertEqual(5, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        finally:
            os.close(fd)

    def test_push_options(self):
        h = self.h
        stack = h.name()
        tree = h.app("o")
        h.push(tree, stack)
        h.write(tree, {"www/index.html": "o2\n"})
        h.commit(tree)
        r = h.push(tree, stack, "dry-run", check=False)
        self.assertNotEqual(0, r.status)
        self.assertIn("dry run", r.err)
        self.assertEqual((200, "o\n"), h.get(stack + ".apps.test"))
        self.assertEqual(1, len(h.json("releases", stack)["releases"]))
        r = h.push(tree, stack, "note=second try", "no-cache")
        self.assertEqual("second try", h.json("releases", stack)["releases"][0]["note"])
        h.commit(tree)
        r = h.push(tree, stack, "supersed", check=False)
        self.assertIn("supersede", r.err)

    def test_busy_stack_tells_wait_and_supersede(self):
        h = self.h
        stack = h.name()
        slow = h.app("slow", Dockerfile=f"FROM {BASE}\nCOPY www /www\nRUN sleep 60\nCMD [\"httpd\",\"-f\",\"-p\",\"8080\",\"-h\",\"/www\"]\n")
        p = subprocess.Popen(["git", "-C", slow, "push", h.url(stack), "master"], env=h.git_env(), stderr=subprocess.PIPE, text=True)
        try:
            wait_for("the build", lambda: self.running(stack))
            quick = h.app("quick")
            r = h.push(quick, stack, check=False)
            self.assertNotEqual(0, r.status)
            self.assertIn("supersede", r.err)
            self.assertIn("admin", r.err)
            r = h.viking("config:set", stack, "A=b")
            self.assertEqual(5, r.status, r)
            self.assertIn("try: viking ps " + stack, r.err)
            self.assertNotIn("git push", r.err)
            h.push(quick, stack, "supersede", timeout=60)
            self.assertEqual((200, "quick\n"), h.get(stack + ".apps.test"))
            self.assertNotEqual(0, p.wait(20))
        finally:
            p.kill()
            p.communicate()

    def test_a_push_that_waited_must_hold_what_it_waited_for(self):
        h = self.h
        stack = h.name()
        tree = h.app("one")
        h.push(tree, stack)
        other = tree + "-other"
        subprocess.run(["cp", "-a", tree, other], check=True)
        h.write(tree, {"Dockerfile": f"FROM {BASE}\nENV OF={stack}\nCOPY www /www\nRUN sleep 4\nCMD [\"httpd\",\"-f\",\"-p\",\"8080\",\"-h\",\"/www\"]\n",
                       "www/index.html": "two\n"})
        h.commit(tree)
        h.write(other, {"www/index.html": "three\n"})
        h.commit(other)
        p = subprocess.Popen(["git", "-C", tree, "push", h.url(stack), "master"], env=h.git_env(), stderr=subprocess.DEVNULL)
        wait_for("the build", lambda: self.running(stack))
        r = h.push(other, stack, "wait", check=False, timeout=60)
        self.assertEqual(0, p.wait(20))
        self.assertNotEqual(0, r.status)
        self.assertIn("while this push waited refs/heads/master got commits that are not in it", r.err)
        self.assertIn("git pull", r.err)
        self.assertEqual((200, "two\n"), h.get(stack + ".apps.test"))
        wait_for("the stack's rest", lambda: not self.running(stack))
        self.assertEqual(2, len(h.json("releases", stack)["releases"]))

    def test_interrupt_cancels_and_cleans(self):
        h = self.h
        stack = h.name()
        tree = h.app("i")
        h.push(tree, stack)
        h.write(tree, {"Dockerfile": f"FROM {BASE}\nENV OF={stack}\nRUN sleep 61\n"})  # never in a layer cache
        h.commit(tree)
        p = subprocess.Popen(["git", "-C", tree, "push", h.url(stack), "master"], env=h.git_env(), stderr=subprocess.DEVNULL,
                             start_new_session=True)
        wait_for("the build", lambda: self.running(stack))
        os.killpg(p.pid, signal.SIGINT)  # as a terminal's Ctrl-C: git and ssh
        p.wait()
        wait_for("the build to end", lambda: not self.running(stack), 10)
        wait_for("no sleep left", lambda: subprocess.run(["pgrep", "-fx", "sleep 61"], capture_output=True).returncode == 1, 10)
        self.assertEqual((200, "i\n"), h.get(stack + ".apps.test"))
        h.write(tree, {"Dockerfile": f"FROM {BASE}\nCOPY www /www\nCMD [\"httpd\",\"-f\",\"-p\",\"8080\",\"-h\",\"/www\"]\n"})
        h.commit(tree)
        h.push(tree, stack, "wait", timeout=60)

    def test_unhealthy_release_fails_and_tells_why(self):
        h = self.h
        stack = h.name()
        tree = h.app("healthy")
        h.push(tree, stack)
        h.write(tree, {"Dockerfile": f"FROM {BASE}\nEXPOSE 8080\nCMD [\"sh\", \"-c\", \"echo I cannot; exit 3\"]\n"})
        h.commit(tree)
        r = h.push(tree, stack, check=False)
        self.assertNotEqual(0, r.status)
        self.assertIn("I cannot", r.err)
        self.assertIn("try:", r.err)
        self.assertEqual((200, "healthy\n"), h.get(stack + ".apps.test"))
        self.assertEqual("failed", h.json("releases", stack)["releases"][0]["outcome"])
        wait_for("the new ones gone", lambda: len(containers(f"viking.stack={stack}")) == 1)

    def test_release_task_runs_once_before_the_switch(self):
        h = self.h
        stack = h.name()
        files = {"vikingfile": f"""viking: {{name: t}}
build: {{src: {{dockerfile: Dockerfile}}}}
deploy:
  web: {{image: "viking:t/src", expose: [8080], volume: [/data], release: "sh -c 'echo ran >> /data/ran; cat /data/ran'"}}
"""}
        tree = h.app("task", **files)
        h.push(tree, stack)
        self.assertEqual("ran\n", h.viking("enter", stack, "cat", "/data/ran").out)
        h.write(tree, {"vikingfile": files["vikingfile"].replace("echo ran >> /data/ran; cat /data/ran", "echo broken; exit 1")})
        h.commit(tree)
        r = h.push(tree, stack, check=False)
        self.assertNotEqual(0, r.status)
        self.assertIn("broken", r.err)
        self.assertEqual((200, "task\n"), h.get(stack + ".apps.test"))

    def test_no_failed_request_through_deploys(self):
        h = self.h
        stack = h.name()
        tree = h.app("0")
        h.push(tree, stack)
        with Load(h, stack + ".apps.test", rate=200, seconds=240) as load:
            for i in range(1, 51):
                if i % 5 == 0:
                    h.write(tree, {"www/index.html": f"{i}\n"})
                    h.commit(tree)
                    h.push(tree, stack)
                else:
                    self.assertEqual(0, h.viking("config:set", stack, f"N={i}").status)
        self.assertEqual(0, load.failed, load.errors[:5])
        self.assertGreater(load.sent, 500)

    def test_state_events_explain_doctor(self):
        h = self.h
        stack, _, _ = self.ship()
        out = h.viking("state", "--keys", "/ports/" + stack).out
        self.assertIn(f"/ports/{stack}/web/8080/tcp/", out)
        for prefix in ("/proc/", "/run/", "/images/"):
            self.assertIn(stack, h.viking("state", "--keys", prefix + stack).out, prefix)
        self.assertIn("stage", h.viking("events", stack).out)
        self.assertEqual(0, h.viking("explain", stack + "/web").status)
        r = h.viking("doctor")
        self.assertIn("sandbox", r.out)
        self.assertEqual(0, r.status, r)

    def test_restart_stop_start_rebuild_redeploy(self):
        h = self.h
        stack = h.name()
        h.push(h.app("v"), stack)
        first = containers(f"viking.stack={stack}")[0]["Id"]
        self.assertEqual(0, h.viking("ps:restart", stack).status)
        wait_for("another container or start", lambda: engine("GET", f"/containers/{first}/json")[0] == 404 or
                 engine("GET", f"/containers/{first}/json")[1]["RestartCount"] >= 0)
        self.assertEqual((200, "v\n"), h.get(stack + ".apps.test"))
        self.assertEqual(0, h.viking("ps:stop", stack).status)
        self.assertEqual(503, h.get(stack + ".apps.test")[0])
        self.assertEqual(0, h.viking("ps:start", stack).status)
        self.assertEqual((200, "v\n"), h.get(stack + ".apps.test"))
        self.assertEqual(0, h.viking("ps:rebuild", stack).status)
        self.assertEqual(0, h.viking("redeploy", stack + "/web").status)
        self.assertEqual((200, "v\n"), h.get(stack + ".apps.test"))

    def test_clone_and_fetch_own_stack(self):
        h = self.h
        stack = h.name()
        tree = h.app("clone")
        h.push(tree, stack)
        target = h.path("clone-" + stack)
        subprocess.run(["git", "clone", "-q", h.url(stack), target], env=h.git_env(), check=True)
        self.assertEqual(h.git(tree, "rev-parse", "HEAD").out, h.git(target, "rev-parse", "HEAD").out)

    def test_rename_and_lock(self):
        h = self.h
        a, b = h.name(), h.name()
        tree = h.app("n")
        h.push(tree, a)
        self.assertEqual(0, h.viking("stacks:lock", a, "moving").status)
        h.commit(tree)
        r = h.push(tree, a, check=False)
        self.assertIn("moving", r.err)
        self.assertIn("unlock", r.err)
        self.assertEqual(0, h.viking("stacks:unlock", a).status)
        h.viking("run", a, "true")
        said = h.viking("enter", a, "sh", "-c", "echo before the rename > /proc/1/fd/1")
        self.assertEqual(0, said.status, said)
        wait_for("the line", lambda: "before the rename" in h.viking("logs", a).out)
        r = h.viking("stacks:rename", a, b)
        self.assertEqual(0, r.status, r)
        self.assertIn("1 instance bears the old name: stopped, and started under the new one", r.out)
        self.assertEqual((200, "n\n"), h.get(b + ".apps.test"))
        self.assertIn("before the rename", h.viking("logs", b).out)
        # twice, and the repository still has its first name: what is built is found by the stack's identity
        c = h.name()
        self.assertEqual(0, h.viking("stacks:rename", b, c).status)
        self.assertIn("before the rename", h.viking("logs", c).out)
        r = h.viking("ps:rebuild", c)
        self.assertEqual(0, r.status, r)
        self.assertEqual((200, "n\n"), h.get(c + ".apps.test"))
        h.commit(tree)
        h.push(tree, c)
        self.assertEqual([], [d for d in os.listdir(h.path("var/lib/viking/repos")) if d in (a + ".git", b + ".git")])


assert json and Load
if __name__ == "__main__":
    unittest.main(verbosity=2)
