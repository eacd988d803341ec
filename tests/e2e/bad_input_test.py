"""Hostile and careless pushes: each ends in one clear line and a status, the old release serves, another stack is untouched."""
import json
import os
import subprocess
import time
import unittest

from lib import BASE, Host, Load, containers



class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.h = Host(**{"receive.max_files": 300, "receive.max_depth": 16, "receive.max_object": "4M", "receive.max_pack": "16M",
                        "deploy.health_timeout": "5s"})
        cls.h.__enter__()
        cls.other = cls.h.name("other")
        cls.h.push(cls.h.app("other"), cls.other)
        cls.load = Load(cls.h, cls.other + ".apps.test", rate=50, seconds=900)
        cls.load.__enter__()
        cls.stack = cls.h.name("bad")
        cls.tree = cls.h.app("good")
        cls.h.push(cls.tree, cls.stack)
        cls.good = cls.h.git(cls.tree, "rev-parse", "HEAD").out.strip()

    @classmethod
    def tearDownClass(cls):
        cls.load.__exit__()
        failed, bodies = cls.load.failed, set(cls.load.bodies)
        cls.h.__exit__(None, None, None)
        assert failed == 0 and bodies <= {b"other\n"}, (failed, bodies, cls.load.errors[:3])

    def setUp(self):
        self.h.git(self.tree, "reset", "-q", "--hard", self.good)
        self.h.git(self.tree, "clean", "-qfdx")

    def refused(self, *texts, stack=None, seconds=30, options=(), branch="master"):
        start = time.monotonic()
        r = self.h.push(self.tree, stack or self.stack, *options, branch=branch, check=False)
        took = time.monotonic() - start
        self.assertNotEqual(0, r.status, r)
        for text in texts:
            self.assertIn(text, r.err)
        self.assertLess(took, seconds, r)
        self.assertEqual((200, "good\n"), self.h.get(self.stack + ".apps.test"))
        return r

    def files(self, files, *texts, **kw):
        self.h.write(self.tree, files)
        self.h.commit(self.tree)
        return self.refused(*texts, **kw)

    def manifest(self, text, *texts):
        return self.files({"vikingfile": text}, *texts)

    def test_stack_names(self):
        for name in ("UPPER", "a_b", "123", "-x", "viking", "a" * 64, "a/b", "..", "a;b", "a%20b", "x'y"):
            r = self.h.push(self.tree, name, check=False)
            self.assertNotEqual(0, r.status, name)
            self.assertNotIn("Traceback", r.err)
        self.assertIn("it has 64 characters, at most 63", self.h.push(self.tree, "a" * 64, check=False).err)
        self.assertIn("may not end in -", self.h.push(self.tree, "shop-", check=False).err)
        r = self.h.viking("stacks:rename", self.other, "shop-")
        self.assertEqual(1, r.status, r)
        self.assertIn("may not end in -", r.err)

    def test_branches_and_tags(self):
        h = self.h
        h.git(self.tree, "branch", "-f", "feature")
        self.refused("feature:master", branch="feature")
        r = h.git(self.tree, "push", h.url(self.stack), ":master", check=False)
        self.assertNotEqual(0, r.status)
        h.commit(self.tree, "for two branches")
        r = h.git(self.tree, "push", h.url(self.stack), "master", "master:main", check=False)
        self.assertNotEqual(0, r.status)
        h.git(self.tree, "tag", "-f", "v9")
        h.git(self.tree, "push", h.url(self.stack), "v9")
        self.assertEqual(self.good, h.json("releases", self.stack)["releases"][-1]["commit"])

    def test_shallow_lfs_submodule_sha256(self):
        h = self.h
        h.commit(self.tree, "one more")
        shallow = h.path("shallow")
        subprocess.run(["git", "clone", "-q", "--depth", "1", "file://" + self.tree, shallow], check=True)
        r = h.git(shallow, "push", h.url(h.name("shallow")), "master", check=False)
        self.assertNotEqual(0, r.status)
        self.assertIn("unshallow", r.err)
        self.setUp()
        self.files({"big.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 5\n"}, "big.bin", "LFS")
        self.setUp()
        h.git(self.tree, "update-index", "--add", "--cacheinfo", "160000," + self.good + ",vendored")
        h.git(self.tree, "commit", "-q", "-m", "submodule")
        self.refused("vendored", "submodule")
        other = h.path("sha256")
        subprocess.run(["git", "init", "-q", "-b", "master", "--object-format=sha256", other], check=True)
        h.write(other, {"Dockerfile": "FROM scratch\n"})
        h.commit(other)
        self.assertNotEqual(0, h.git(other, "push", h.url(self.stack), "master", check=False).status)

    def test_sizes(self):
        self.files({f"many/{i}": str(i) for i in range(400)}, "300", "receive.max_files")
        self.setUp()
        self.files({"/".join(["d"] * 20) + "/f": "x"}, "receive.max_depth")
        self.setUp()
        self.files({"huge": os.urandom(5 << 20)}, "receive.max_object")
        self.setUp()
        self.files({f"big{i}": os.urandom(3 << 20) for i in range(7)})

    def test_manifests(self):
        b = "viking: {name: x}\nbuild: {src: {dockerfile: Dockerfile}}\n"
        self.manifest(b + "deploy:\n  web: {imgae: viking:x/src}\n", "vikingfile:4:", "image")
        self.setUp()
        self.manifest(b + "deploy:\n  web: {image: viking:x/src, scale: many}\n", "vikingfile:4:", "scale")
        self.setUp()
        self.manifest(b + "deploy:\n  web: {image: viking:x/src}\n  web: {image: viking:x/src}\n", "vikingfile:5:", "web")
        self.setUp()
        self.manifest(b + "deploy:\n  web: {image: viking:x/src, expose: [70000]}\n", "vikingfile:4:", "65535")
        self.setUp()
        self.manifest(b + "deploy:\n  web: {image: viking:x/nope}\n", "nope")
        self.setUp()
        self.manifest("viking: {name: x}\nbuild:\n  a: \"FROM viking:x/b\"\n  b: \"FROM viking:x/a\"\ndeploy:\n  web: {image: viking:x/a}\n", "circle")
        self.setUp()
        self.manifest("a: &a [x]\nb: *a\n", "vikingfile:1:")
        self.setUp()
        self.manifest("[" * 60000, "vikingfile:1:")
        self.setUp()
        self.manifest("viking: {name: x}\nx: [unclosed\n", "vikingfile:")
        self.setUp()
        self.manifest(b + "deploy:\n  web: {image: viking:x/src, privileged: true}\n", "privileged", "policy")
        self.setUp()
        self.manifest(b + "deploy:\n  web: {image: viking:x/src, volume: [\"/etc:/host\"]}\n", "policy")
        self.setUp()
        self.manifest(b + "deploy:\n  web: {image: viking:x/src, domains: [\"" + self.other + ".apps.test\"]}\n", self.other)
        self.setUp()
        self.manifest(b + "deploy:\n  web: {image: viking:x/src, domains: [\"a b;add map\"]}\n", "vikingfile:4:")

    def test_dockerfiles(self):
        h = self.h
        h.git(self.tree, "rm", "-q", "Dockerfile")
        h.git(self.tree, "commit", "-q", "-m", "none")
        self.refused("Dockerfile")
        reg = f"127.0.0.1:{h.registry_port}"
        image = next(c["ImageID"] for c in containers(f"viking.stack={self.other}"))
        for text in (f"FROM {reg}/{self.other}/web\n", f"FROM {image}\n", f"FROM {image.split(':')[1][:12]}\n",
                     f"FROM {BASE}\nCOPY --from={reg}/{self.other}/web /www /www\n", f"# syntax={reg}/x\nFROM {BASE}\n",
                     f"FROM {BASE}\nRUN --mount=type=bind,from=localhost:{h.registry_port}/x true\n",
                     f"ARG B=127.0.0.1:{h.registry_port}/x\nFROM $B\n", f"FROM {BASE}\nADD http://127.0.0.1:{h.registry_port}/v2/ /x\n",
                     f"FROM {BASE}\nADD http://169.254.169.254/ /x\n", f"FROM {BASE}\nADD http://[::1]/ /x\n", "RUN x\n", ""):
            self.setUp()
            self.files({"Dockerfile": text}, "Dockerfile")
        self.setUp()
        self.files({"Dockerfile": f"FROM {BASE}\nRUN false\nRUN true\n"}, "Dockerfile:2", "try:")
        self.setUp()
        self.files({"Dockerfile": "FROM viking:nostack/web\n"}, "nostack")

    def test_containers(self):
        self.files({"Dockerfile": f"FROM {BASE}\nEXPOSE 8080\nCMD [\"sleep\", \"100\"]\n"}, "healthy", "try:", seconds=60)
        self.setUp()
        self.files({"Dockerfile": f"FROM {BASE}\nEXPOSE 8080\nCMD [\"sh\", \"-c\", \"echo last words; exit 9\"]\n"}, "last words", "9", seconds=60)

    def test_never_healthy_but_running(self):
        """It runs and does not serve: its last lines come before the hint, as those of one that ends."""
        for what, command, probe in (
                ("listens never", "echo waiting for godot; echo on stderr >&2; sleep 100", "nothing listens on port 8080"),
                ("answers 500", "echo waiting for godot; echo on stderr >&2; while true; do printf 'HTTP/1.0 500 no\\r\\n\\r\\n' | nc -l -p 8080 > /dev/null; done", "500")):
            self.setUp()
            with self.subTest(what):
                r = self.files({"Dockerfile": f"FROM {BASE}\nEXPOSE 8080\nCMD {json.dumps(['sh', '-c', command])}\n"},
                               "was not healthy within", probe, "last lines of web.1", seconds=60)
                for line in ("waiting for godot", "on stderr"): # two streams: their order is the engine's
                    self.assertLess(r.err.index("last lines of web.1"), r.err.index(line))
                    self.assertLess(r.err.index(line), r.err.index("try:"))

    def test_image_that_ignores_sigterm_is_replaced(self):
        h = self.h
        stack = h.name("deaf")
        files = {"vikingfile": f"""viking: {{name: d}}
build: {{src: {{dockerfile: Dockerfile}}}}
deploy: {{web: {{image: "viking:d/src", expose: [8080], stop_timeout: 1s}}}}
""", "Dockerfile": f"FROM {BASE}\nCOPY www /www\nCMD [\"sh\", \"-c\", \"trap '' TERM; httpd -p 8080 -h /www; while true; do sleep 1; done\"]\n"}
        tree = h.app("d1", **files)
        h.push(tree, stack)
        h.write(tree, {"www/index.html": "d2\n"})
        h.commit(tree)
        h.push(tree, stack)
        self.assertEqual((200, "d2\n"), h.get(stack + ".apps.test"))

    def test_options_and_unknown_stack(self):
        self.h.commit(self.tree)
        self.refused("note=", options=("nonsense=1",))
        r = self.h.viking("ps", "no-such-stack")
        self.assertEqual(3, r.status, r)
        r = self.h.viking("config:set", self.stack, "1BAD=x")
        self.assertNotEqual(0, r.status)

    def test_garbage_on_the_port(self):
        import socket
        for data in (b"GET / HTTP/1.0\r\n\r\n", os.urandom(4096), b"SSH-2.0-x\r\n" + os.urandom(1000), b""):
            s = socket.create_connection(("127.0.0.1", self.h.ssh_port))
            s.settimeout(5)
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
            except OSError:
                pass
            s.close()
        self.assertEqual(0, self.h.ssh("version").status)

    def test_hostile_trees(self):
        """Objects that git itself would not make: names with .git, .., slashes, odd modes."""
        for name, mode in ((".git", "100644"), ("..", "40000"), ("a\nb", "100644")):
            env = self.h.git_env()
            blob = subprocess.run(["git", "-C", self.tree, "hash-object", "-w", "--stdin"], input=b"x", capture_output=True).stdout.decode().strip()
            obj = blob
            if mode == "40000":
                obj = subprocess.run(["git", "-C", self.tree, "mktree"], input=f"100644 blob {blob}\tf\n".encode(), capture_output=True).stdout.decode().strip()
            raw = f"{mode} {name}\0".encode() + bytes.fromhex(obj)
            tree = subprocess.run(["git", "-C", self.tree, "hash-object", "-t", "tree", "-w", "--stdin", "--literally"], input=raw,
                                  capture_output=True).stdout.decode().strip()
            commit = subprocess.run(["git", "-C", self.tree, "commit-tree", tree, "-m", "evil"], capture_output=True, env=env).stdout.decode().strip()
            r = self.h.git(self.tree, "push", "-f", self.h.url(self.stack), f"{commit}:refs/heads/master", check=False)
            self.assertNotEqual(0, r.status, name)
        self.assertEqual((200, "good\n"), self.h.get(self.stack + ".apps.test"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
