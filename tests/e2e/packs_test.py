#!/usr/bin/python3
"""Code without a Dockerfile, by real pushes to a whole viking, with pages fetched through HAProxy.

One host for both classes, as the first image on the stack image sends that one to the host's registry, once. Packs come
from a git and HTTP server in a network namespace of its own: builds reach no address of this host.
"""
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import time
import unittest

import lib
from lib import containers, wait_for

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../packs"))
import own_test as apps  # noqa: E402

SECRET = "yellow-submarine-4711-red"
SITE = "web: /opt/viking/packs/static/bin/web public"  # what the inline packs here run


def setUpModule():
    global H, SERVER
    subprocess.run([os.path.join(lib.STAGE, "libexec/viking/stack/build.sh")], check=True, stdout=sys.stderr, timeout=1800)
    SERVER = PackServer()
    unittest.addModuleCleanup(SERVER.stop)
    packs = tempfile.mkdtemp(prefix="vk-packs-")
    unittest.addModuleCleanup(shutil.rmtree, packs)
    H = unittest.enterModuleContext(lib.Host(**{"nodes.memory": "256M", "policy.pack_paths": packs}))
    H.packs = packs


def inline(compile_script, detect="echo Mine", release=None, **more):
    """An application that is its own pack."""
    files = {"bin/detect": f"#!/bin/bash\n{detect}\n", "bin/compile": "#!/bin/bash\n" + textwrap.dedent(compile_script) + "\n"}
    if release is not None:
        files["bin/release"] = f"#!/bin/bash\n{release}\n"
    return {**files, **more}


def page(text):
    """Lines of a compile script: a site of one page."""
    return f"mkdir -p $1/public && echo {text} >$1/public/index.html && echo '{SITE}' >$1/Procfile\n"


class PackServer:
    """git:// and http:// at an address that is not this host's, as far as builds can tell."""

    def __init__(self):
        self.name = f"vkp{os.getpid()}"
        net = f"10.251.{os.getpid() >> 6 & 255}.{(os.getpid() & 63) * 4}"
        base, last = net.rsplit(".", 1)
        self.host, self.address = f"{base}.{int(last) + 1}", f"{base}.{int(last) + 2}"
        self.dir = tempfile.mkdtemp(prefix="vk-pack-server-")
        self.processes = []
        for words in (f"netns add {self.name}", f"link add {self.name} type veth peer name eth0 netns {self.name}",
                      f"addr add {self.host}/30 dev {self.name}", f"link set {self.name} up",
                      f"-n {self.name} addr add {self.address}/30 dev eth0", f"-n {self.name} link set lo up",
                      f"-n {self.name} link set eth0 up", f"-n {self.name} route add default via {self.host}"):
            subprocess.run(["ip", *words.split()], check=True)
        self.run("git", "daemon", "--export-all", "--reuseaddr", "--base-path=" + self.dir, self.dir)
        self.run("/usr/bin/python3", "-c", HTTP, cwd=self.dir)
        for port in (9418, 80):
            wait_for(f"port {port} of the packs' server", lambda: self.listens(port))

    def run(self, *argv, cwd=None):
        self.processes.append(subprocess.Popen(["ip", "netns", "exec", self.name, *argv], cwd=cwd, start_new_session=True,
                                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def listens(self, port):
        return f":{port} " in subprocess.run(["ip", "netns", "exec", self.name, "ss", "-Hltn"], capture_output=True, text=True).stdout

    def stop(self):
        for p in self.processes:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()
        subprocess.run(["ip", "netns", "delete", self.name], check=False)
        shutil.rmtree(self.dir)

    def url(self, name, scheme="git"):
        return f"{scheme}://{self.address}/{name}"

    def git(self, name, files, tag=None):
        """A repository, or a further commit of it; its URL."""
        d = os.path.join(self.dir, name)
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", **{f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER")
                                                                  for what in ("NAME", "EMAIL")}}
        lib.Host.write(d, files)
        for argv in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"], *([["tag", tag]] if tag else [])):
            subprocess.run(["git", "-C", d, *argv], check=True, env=env)
        return self.url(name)

    def tarball(self, name, files):
        with tempfile.TemporaryDirectory() as d, tarfile.open(os.path.join(self.dir, name), "w:gz") as t:
            lib.Host.write(d, files)
            t.add(d, "pack-1.0")
        return self.url(name, "http")


HTTP = """import http.server, time
class H(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/to/"):  # /to/SCHEME/REST.tgz: a redirect
            scheme, rest = self.path[4:].split("/", 1)
            self.send_response(302); self.send_header("Location", scheme + "://" + rest); self.end_headers()
        elif self.path.startswith("/never"):
            time.sleep(3600)
        else:
            super().do_GET()
http.server.ThreadingHTTPServer(("", 80), H).serve_forever()
"""


class Case(unittest.TestCase):
    def served(self, stack, expected, path="/"):
        wait_for(f"{expected} of {stack}", lambda: H.get(f"{stack}.apps.test", path)[1].startswith(expected), 30)

    def boxes(self):
        """The build containers of this viking."""
        prefix = "/viking-build-" + hashlib.sha256(H.path("var/lib/viking").encode()).hexdigest()[:8]
        return [c["Id"] for c in containers("viking.build") if c["Names"][0].startswith(prefix)]

    def push(self, stack, files, *texts, path="/", expected=None, tree=None):
        """Pushes the files, checks what the push says and what is then served; the work tree and the output."""
        if tree is None:
            tree = H.tree(files)
        else:
            H.write(tree, files)
            H.commit(tree)
        out = H.push(tree, stack).err
        for text in texts:
            self.assertIn(text, out)
        if expected is not None:
            self.served(stack, expected, path)
        return tree, out

    def last_build(self, stack):
        return next(b for b in H.json("builds")["builds"] if b["stack"] == stack)


class Packs(Case):
    def test_own_packs_are_served_and_end_on_sigterm(self):
        stacks, began = {}, int(time.time())
        for pack, files, path, expected in (
                ("static", apps.STATIC, "/about", "about "), ("node", apps.NODE, "/", "node plain dep production"),
                ("python", {"app.py": apps.PYTHON_APP}, "/", "python no wheel"), ("go", apps.GO, "/", "go "),
                ("php", apps.PHP, "/a", "php loaded /a"), ("procfile", apps.PROCFILE, "/x.txt", "from a procfile")):
            with self.subTest(pack=pack):
                stack = H.name(pack)
                tree, _ = self.push(stack, files, f"Building web with the {pack} pack", "chosen by its files; other: viking "
                                    f"buildpacks:set {stack} URL", path=path, expected=expected)
                # the same tree in another commit
                H.commit(tree)
                again = H.push(tree, stack).err
                self.assertIn("web unchanged: no build", again)
                self.assertTrue(self.last_build(stack)["cached"])
                self.assertEqual(0, H.viking("ps:stop", stack).status)
                stacks[stack] = pack
        query = json.dumps({"type": ["container"], "event": ["die"]})
        died = {}
        with contextlib.closing(lib.UnixConnection(lib.ENGINE)) as c:
            c.request("GET", f"/events?since={began}&until={int(time.time()) + 1}&filters=" + query.replace(" ", "").replace('"', "%22"))
            for line in c.getresponse():
                a = json.loads(line)["Actor"]["Attributes"]
                died.setdefault(stacks.get(a.get("viking.stack")), []).append(a["exitCode"])
        for pack in stacks.values():
            self.assertLessEqual(set(died.get(pack, ["none"])), {"0", "143"}, (pack, died))

    def test_inline_pack_keeps_its_cache_and_no_secret(self):
        stack = H.name("inline")
        H.viking("stacks:create", stack)
        self.assertEqual(0, H.viking("config:set", stack, "WORD=" + SECRET).status)
        files = inline("""
            set -e
            [ -z "${WORD:-}" ]
            n=$(( $(cat $2/n 2>/dev/null || echo 0) + 1 )); echo $n >$2/n
            """ + page('"build $n $(wc -c <$3/WORD)"'))
        tree, out = self.push(stack, files, "Building web with its own scripts", "chosen by bin/detect and bin/compile", "-----> Mine app detected",
                              "Procfile declares types -> web", expected="build 1 25")
        _, again = self.push(stack, {"more": "x"}, tree=tree, expected="build 2 25")
        again += self.push(stack, {}, "web unchanged: no build", tree=tree, expected="build 2 25")[1]
        self.assertEqual([], self.boxes())
        self.assertEqual(SECRET + "\n", H.viking("run", stack, "printenv", "WORD").out, "it has to be there to be looked for")
        tag = next(t for i in lib.engine("GET", "/images/json")[1] for t in i.get("RepoTags") or [] if f"/{stack}/web:" in t)
        self.assertFalse(self.in_image(tag), "the secret is in the image")
        shown = [subprocess.run(["docker", *argv, tag], capture_output=True, text=True).stdout for argv in
                 (["history", "--no-trunc"], ["image", "inspect"])]
        logs = [H.viking("builds:output", b["id"]).out for b in H.json("builds")["builds"] if b["stack"] == stack]
        self.assertEqual([2, 2], [len(shown), len([text for text in logs if "Mine app detected" in text])])
        for text in (out, again, H.tail(100000), json.dumps(H.events()), *shown, *logs):
            self.assertNotIn(SECRET, text)
        for top in ("var/lib/viking", "run/viking"):
            for path, _, names in os.walk(H.path(top)):
                for file in (os.path.join(path, n) for n in names if "/registry/data" not in path):
                    if os.path.isfile(file):
                        with open(file, "rb") as f:
                            self.assertNotIn(SECRET.encode(), f.read(), file)

    def in_image(self, tag):
        """Whether the secret is anywhere in what `docker save` gives: configuration and layers."""
        last, p = b"", subprocess.Popen(["docker", "save", tag], stdout=subprocess.PIPE)
        with p.stdout:
            while data := p.stdout.read(1 << 20):
                if SECRET.encode() in last + data:
                    return True
                last = data[-len(SECRET):]
        self.assertEqual(0, p.wait(60))
        return False

    def test_chain(self):
        """Ours, a directory of the host, and the application's own; what one exports is there for the next."""
        lib.Host.write(H.packs + "/exports", {"bin/detect": "#!/bin/sh\n", "bin/compile": "#!/bin/sh\necho 'export BETWEEN=yes' >export\n"})
        self.push(H.name("chain"), {**apps.NODE_BUILD, **inline("echo ' by two' >>$1/dist; [ $BETWEEN = yes ]"), "vikingfile":
                  f"build:\n  web:\n    builder: [node, {H.packs}/exports, inline]\ndeploy:\n  web: {{boat: web}}\n"},
                  "Building web with 3 packs", "chosen by builder: of vikingfile", "-----> Node.js app detected", "-----> Mine app detected",
                  expected="node built by two")

    def test_packs_from_elsewhere(self):
        stack = H.name("far")
        says = {"bin/detect": "#!/bin/sh\necho $(basename $PWD)\n", "bin/release": "#!/bin/sh\n"}
        site = "#!/bin/bash\necho \"${SOURCE_VERSION:0:7}\" >>$1/from\n" + page("$(cat $1/word) of %s")
        # .buildpacks: a git server, at a tag that is not its newest
        one = SERVER.git("one.git", {**says, "bin/compile": site % "one"}, tag="v1")
        SERVER.git("one.git", {"bin/compile": "#!/bin/sh\nexit 9\n"})
        tree, out = self.push(stack, {".buildpacks": f"# ours\n\n{one}#v1\n", "word": "first"}, "chosen by .buildpacks", f"Fetching {one} at v1",
                              expected="first of one")
        # config:set BUILDPACK_URL: a tarball
        two = SERVER.tarball("two.tgz", {**says, "bin/compile": site % "two"})
        self.assertEqual(0, H.viking("config:set", stack, "BUILDPACK_URL=" + two).status)
        self.push(stack, {"word": "second"}, f"Building web with {two}", f"viking config:unset {stack} BUILDPACK_URL", tree=tree,
                  expected="second of two")
        self.assertEqual(0, H.viking("config:unset", stack, "BUILDPACK_URL").status)
        # buildpacks:set: a directory of the host, and a list of two
        lib.Host.write(H.packs + "/three", {**says, "bin/compile": site % "three"})
        self.assertEqual(0, H.viking("buildpacks:set", stack, H.packs + "/three").status)
        self.push(stack, {"word": "third"}, "chosen by buildpacks:set", f"viking buildpacks:clear {stack}", tree=tree, expected="third of three")
        self.assertEqual(0, H.viking("buildpacks:add", stack, two).status)
        self.push(stack, {"word": "fourth"}, "Building web with 2 packs", tree=tree, expected="fourth of two")
        self.assertEqual([H.packs + "/three", two], H.json("buildpacks:list", stack)["buildpacks"])
        # a changed file of the directory is another build; builder: of the vikingfile rules over the setting
        manifest = f"build:\n  web: {{builder: {H.packs}/three}}\ndeploy:\n  web: {{boat: web}}\n"
        self.push(stack, {"vikingfile": manifest}, "chosen by builder: of vikingfile", tree=tree, expected="fourth of three")
        lib.Host.write(H.packs + "/three", {"bin/compile": site % "three again"})
        _, out = self.push(stack, {}, tree=tree, expected="fourth of three again")
        self.assertNotIn("no build", out)

    def test_process_types_and_their_environment(self):
        stack = H.name("types")
        files = {"Procfile": "web: python3 -m http.server $PORT\nworker: echo \"worker: ${PORT-no port}, $FROM_PROFILE\"; exec sleep 1000\n"
                 "release: echo \"release: $WORD, $FROM_PROFILE\"; grep -qs again again.txt && exit 5; true\n",
                 ".profile.d/a.sh": "[[ -n $HOME ]] && export FROM_PROFILE=$HOME/profiled\n", ".profile": "export LAST=$FROM_PROFILE\n", "x.txt": "served"}
        H.viking("stacks:create", stack)
        H.viking("config:set", stack, "WORD=configured")
        tree, _ = self.push(stack, files, "web 1, worker 0", "       release: configured, /app/profiled", path="/x.txt", expected="served")
        nodes = lambda: sorted(i["node"] for i in H.json("ps", stack)["instances"])  # noqa: E731
        self.assertEqual(["web"], nodes())
        r = H.viking("ps:scale", stack, "worker=1")
        self.assertEqual(0, r.status, r)
        self.assertEqual(["web", "worker"], nodes())
        wait_for("the worker's line", lambda: "worker: no port, /app/profiled" in H.viking("logs", stack, "-p", "worker").out)
        for call in (H.viking, H.ssh):
            for words in (["run", stack], ["enter", stack], ["enter", stack, "-p", "worker"]):
                r = call(*words, "printenv", "LAST")
                self.assertEqual((0, "/app/profiled\n"), (r.status, r.out), (words, r))
        self.push(stack, {"y.txt": "two"}, tree=tree, path="/y.txt", expected="two")
        self.assertEqual(["web", "worker"], nodes(), "a scale stays")
        H.write(tree, {"again.txt": "again", "y.txt": "three"})
        H.commit(tree)
        r = H.push(tree, stack, check=False)
        self.assertNotEqual(0, r.status)
        self.assertIn("release task of web ended with status 5", r.err)
        self.served(stack, "two", "/y.txt")

    def test_carriage_returns_are_no_part_of_a_command(self):
        self.push(H.name("crlf"), inline("mkdir $1/public; echo crlf >$1/public/index.html", Procfile=SITE + "\r\n\r\n# x\r\n"), expected="crlf")

    def test_nothing_fits(self):
        r = H.push(H.tree({"notes.txt": "x"}), H.name("nothing"), check=False)
        self.assertNotEqual(0, r.status)
        for name in ("Dockerfile", "project.toml", ".buildpacks", "bin/detect and bin/compile", "package.json", "requirements.txt", "index.php",
                     "go.mod", "index.html", "Procfile", "buildpacks:set"):
            self.assertIn(name, r.err)


class BadPacks(Case):
    """Each ends in one clear line; the old release, an inline pack's, serves all the time."""

    limits = {"builds.timeout": "20s", "builds.memory": "200M", "builds.pids": 150}

    @classmethod
    def setUpClass(cls):
        cls.stack = H.name("bad")
        cls.tree = H.tree(inline(page("good")))
        H.push(cls.tree, cls.stack)
        cls.good = H.git(cls.tree, "rev-parse", "HEAD").out.strip()
        cls.limit(**cls.limits)

    @classmethod
    def tearDownClass(cls):
        for name in cls.limits:
            del H.settings[name]
        cls.limit()

    @classmethod
    def limit(cls, **settings):
        """Only the builder has to know."""
        H.configure(**settings)
        old = H.kill("builder")
        wait_for("another builder", lambda: H.pid("builder") != old)

    def setUp(self):
        H.git(self.tree, "reset", "-q", "--hard", self.good)
        H.git(self.tree, "clean", "-qfdx")

    def refused(self, files, *texts, still="good"):
        H.write(self.tree, files)
        H.commit(self.tree)
        r = H.push(self.tree, self.stack, check=False)
        self.assertNotEqual(0, r.status, r)
        for text in texts:
            self.assertIn(text, r.err)
        self.assertEqual([], self.boxes())
        self.served(self.stack, still)
        return r.err

    def compile_refused(self, script, *texts):
        return self.refused({"bin/compile": "#!/bin/bash\n" + script + "\n"}, *texts)

    def test_scripts_that_fail(self):
        self.compile_refused("echo first; echo last words >&2; exit 37", "first", "last words", "buildpack inline: bin/compile ended with status 37",
                             "BUILDPACK_XTRACE")
        self.compile_refused("kill -9 $$", "bin/compile ended with status 137")
        self.refused({"bin/detect": "#!/bin/sh\necho not mine >&2; exit 3\n"}, "not mine", "inline does not take this application",
                     "bin/detect ended with status 3", "buildpacks:set")
        self.refused({"bin/detect": "#!/bin/sh\n", "bin/compile": "#!/bin/sh\n", "bin/release": "#!/bin/sh\nexit 4\n"},
                     "bin/release ended with status 4")
        self.refused({"bin/compile": "#!/no/such/shell\n"}, "bin/compile ended with status 12")

    def test_what_a_pack_says_about_processes(self):
        for text, said in (("- a list", "has to print a map"), ("a: [", "release:"), ("default_process_types: {web: }", "web has no command")):
            self.refused({"bin/compile": "#!/bin/sh\n", "bin/release": f"#!/bin/sh\necho '{text}'\n"}, said,
                         "what bin/release of the last buildpack prints")
        self.setUp()
        for text, said in ((b"web x\n", 'Procfile:1: "web x" is not of the form NAME: COMMAND'), (b"web: a\0b\n", "NUL byte"),
                           (b"a b: x\n", '"a b" is no name'), (b"web: a\nweb: b\n", "Procfile:2: the process type web is there twice"),
                           (b"web:\n", "web has no command"), (b"../x: y\n", "is no name"), (b"web: \x1b[2J\n", "control character")):
            self.refused({"Procfile": text}, said)
        self.setUp()
        self.compile_refused("printf 'web: a\\nweb: b\\n' >$1/Procfile", "Procfile:2: the process type web is there twice")
        self.compile_refused("printf 'Web: a\\nweb: b\\n' >$1/Procfile", "process type web is there twice")
        self.compile_refused("echo release: x >$1/Procfile", "nothing would run")
        self.compile_refused("true", "neither a Procfile nor the pack names a process type")

    def test_limits_of_a_build(self):
        self.compile_refused("echo waiting; sleep 600", "waiting", "buildpack inline was at its compile", "longer than 20.0 s", "builds.timeout")
        self.compile_refused("python3 -c 'x = bytearray(900 << 20)'", "buildpack inline", "out of memory", "builds.memory")
        self.compile_refused("bomb() { bomb | bomb & }; bomb; wait; exit 1", "buildpack inline", "too many processes (builds.pids is 150)")
        out = self.compile_refused("head -c 40000000 /dev/zero | tr '\\0' x | fold -w 1000; echo last words; exit 3", "last words",
                                   "ended with status 3")
        self.assertLess(len(out), 18 << 20)

    def test_packs_that_cannot_be_had(self):
        self.refused({".buildpacks": SERVER.url("nowhere.git") + "\n"}, "the pack nowhere could not be fetched (status 128)", "may builds reach it?")
        gone = f"http://{SERVER.address}:1/x.tgz"
        self.refused({".buildpacks": gone}, "the pack x could not be fetched (status 7)", "buildpack x could not be fetched")
        self.refused({".buildpacks": SERVER.git("none.git", {"README": "x"})}, "none is no buildpack: it has no bin/detect or no bin/compile")
        self.refused({".buildpacks": SERVER.url("none.git") + "#v9"}, "the pack none could not be fetched")
        self.refused({".buildpacks": SERVER.url("none.git/README.tgz", "http")}, "the pack README could not be fetched")
        self.refused({".buildpacks": SERVER.url("never.tgz", "http")}, "buildpack never was at its fetch", "builds.timeout")
        for to in ("file//etc/passwd.tgz", "http/169.254.169.254/x.tgz", f"http/{SERVER.host}:{H.registry_port}/x.tgz"):
            self.refused({".buildpacks": SERVER.url("to/" + to, "http")}, "could not be fetched")

    def test_hostile_names(self):
        out = H.packs + "/way-out"
        os.symlink("/etc/ssl", out)
        self.refused({".buildpacks": out + "\n"}, f"the buildpack {out} is not in a directory that is allowed", "policy.pack_paths")
        for name in HOSTILE:
            with self.subTest(name=name):
                said = self.refused({".buildpacks": name + "\n"}, "buildpack")
                self.assertNotIn("Building", said)
                self.assertNotIn("hunter2", said)
                self.assertIn(H.viking("buildpacks:set", self.stack, "--", name).status, (1, 4))
        # a config var is only looked at when a push wants it; builder: as all of a manifest
        H.viking("config:set", self.stack, "BUILDPACK_URL=ext::sh")
        self.addCleanup(H.viking, "config:unset", self.stack, "BUILDPACK_URL")
        self.refused({".buildpacks": ""}, "config BUILDPACK_URL: buildpack \"ext::sh\"")
        self.refused({"vikingfile": "build: {web: {builder: 'ext::sh'}}\ndeploy: {web: {boat: web}}\n"}, "vikingfile:1:24", "a transport that runs a program is not allowed")


class Interrupted(Case):
    """Pushes that meet each other, or whose people and processes go away while a pack compiles."""

    # waits in its first build, where the cache is empty; the kernel tells if ever two are in it at the same time
    SLOW = """
        exec 8>$2/lock; flock -n 8 || { echo two at once; exit 9; }
        if [ ! -e $2/seen ]; then touch $2/seen; echo compiling slowly; sleep %s; fi
        """

    def start(self, tree, stack):
        p = subprocess.Popen(["git", "-C", tree, "push", H.url(stack), "master"], env=H.git_env(), stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True, start_new_session=True)
        self.addCleanup(p.stderr.close)
        self.addCleanup(p.kill)
        return p

    def until(self, p, text):
        """Reads what the push says up to a line with the text."""
        said = ""
        for line in p.stderr:
            said += line
            if text in line:
                return said
        raise AssertionError(said)

    def compiling(self, seconds):
        """A stack that serves "old", and a push of "new" which compiles slowly."""
        stack = H.name("slow")
        tree, _ = self.push(stack, inline(page("old")), expected="old")
        H.write(tree, inline(textwrap.dedent(self.SLOW) % seconds + page("new")))
        H.commit(tree)
        p = self.start(tree, stack)
        self.until(p, "compiling slowly")
        self.assertEqual(1, len(self.boxes()))
        return stack, tree, p

    def test_client_is_killed(self):
        stack, tree, p = self.compiling(600)
        os.killpg(p.pid, signal.SIGKILL)
        wait_for("an end of the build's container", lambda: not self.boxes(), 60)
        self.served(stack, "old")
        self.assertEqual("cancelled", self.last_build(stack)["state"])
        self.push(stack, {"x": "y"}, tree=tree, expected="new")

    def test_build_is_cancelled(self):
        stack, tree, p = self.compiling(600)
        self.assertEqual(0, H.viking("builds:cancel", self.last_build(stack)["id"]).status)
        self.assertNotEqual(0, p.wait(60))
        self.assertIn("cancelled", p.stderr.read())
        wait_for("an end of the build's container", lambda: not self.boxes(), 60)
        self.served(stack, "old")

    def test_builder_is_killed(self):
        stack, tree, p = self.compiling(600)
        box = self.boxes()[0]
        H.kill("builder")
        # its job and container go with it; the push is still wanted, so that another build does it
        self.until(p, "the builder went away: web is built anew when it is back")
        self.until(p, "-----> Mine app detected")
        self.assertNotIn(box, self.boxes())
        self.until(p, f"{stack} v2 deployed")
        self.assertEqual(0, p.wait(60))
        self.assertEqual([], self.boxes())
        self.served(stack, "new")

    def test_pushes_of_one_boat(self):
        stack, tree, first = self.compiling(600)
        newer = tempfile.mkdtemp(dir=H.root)
        H.git(tree, "clone", "-q", tree, newer)
        H.write(newer, {"x": "y"})
        H.commit(newer)
        r = H.push(newer, stack, check=False)
        self.assertNotEqual(0, r.status)
        self.assertIn(f"{stack} is busy: push by key:admin", r.err)
        self.assertIn("git push -o wait (or -o supersede)", r.err)
        self.assertEqual(1, len(self.boxes()))
        out = H.push(newer, stack, "supersede").err
        self.assertNotIn("two at once", out)
        self.assertNotEqual(0, first.wait(60))
        self.served(stack, "new")
        # both, one after the other; the cache goes with the stack
        H.write(newer, {"bin/compile": "#!/bin/bash" + textwrap.dedent(self.SLOW).replace("seen", "second") % 3 + page("newer")})
        H.commit(newer)
        second = self.start(newer, stack)
        self.until(second, "compiling slowly")
        newest = tempfile.mkdtemp(dir=H.root)
        H.git(newer, "clone", "-q", newer, newest)
        H.write(newest, {"bin/compile": "#!/bin/bash" + textwrap.dedent(self.SLOW) % 3 + page("newest")})
        H.commit(newest)
        H.push(newest, stack, "wait")
        self.assertEqual(0, second.wait(60))
        self.served(stack, "newest")
        mine = lambda: [v["Name"] for v in lib.engine("GET", "/volumes")[1]["Volumes"] or [] if (v["Labels"] or {}).get("viking.stack") == stack]  # noqa: E731
        self.assertEqual(1, len(mine()))
        self.assertEqual(0, H.viking("stacks:destroy", stack, "--force").status)
        wait_for("an end of the cache", lambda: not mine())


HOSTILE = ("ext::sh -c id", "ext::id", "fd::7", "--upload-pack=id", "-oProxyCommand=id", "file:///etc", "/etc", "/proc/self/root", "ssh://h/x",
           "git@h:x", "ftp://h/x.tgz", "http://127.0.0.1/x", "https://localhost/x", "http://[::1]/x", "http://169.254.169.254/latest",
           "http://2130706433/x", "http://0x7f.1/x", "http://127.1/x", "http://[::ffff:127.0.0.1]/x", "http://0.0.0.0/x", "https://-x/y",
           "https://user:hunter2@h/x", "https://h/x#--upload-pack=id", "https://h/x#../y", "https://h/$(id)", "https://h/`id`", "https:///x",
           "http://h/x\x1b[2J", "javascript:x", "x" * 5000)


if __name__ == "__main__":
    unittest.main()
