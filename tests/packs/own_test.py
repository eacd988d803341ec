#!/usr/bin/python3
"""Our own packs: each template becomes an image (as viking-export expands it, by BuildKit) that answers over HTTP, and
each pack does the same through the classic contract. Nothing is fetched from outside."""
import base64
import http.client
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import unittest
import urllib.parse
import zipfile

from conformance_test import TREE, Build, add, docker

sys.path.insert(0, os.path.join(TREE, "tests/e2e"))
import lib  # noqa: E402

PACKS = os.path.join(TREE, "builder/packs")


def expand(pack, files):
    """%if WORDS / %else / %end, as builder/pack_template.h has it."""
    package = json.loads(files.get("package.json", "{}"))

    def holds(word):
        if "|" in word:
            return any(map(holds, word.split("|")))
        if word.startswith("!"):
            return not holds(word[1:])
        if word.startswith("json:"):
            at, (keys, _, begin) = package, word[5:].partition("=")
            for key in keys.split("."):
                at = at.get(key) if isinstance(at, dict) else None
            return any(v.startswith(begin) for v in at.values()) if begin and at else not begin and at is not None
        return word in files
    out, stack = [], []
    for line in open(os.path.join(PACKS, pack, "Dockerfile.in")):
        words = line.split()
        if line.startswith("%if"):
            stack.append(all(holds(w) for w in words[1:]))
        elif line.startswith("%else"):
            stack[-1] = not stack[-1]
        elif line.startswith("%end"):
            stack.pop()
        elif all(stack):
            out.append(line)
    return "".join(out)


def image(pack, files, tag):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        add(tar, "Dockerfile", expand(pack, files))
        add(tar, "site/env", "")
        add(tar, "site/ca.crt", "")
        for name, data in files.items():
            add(tar, "app/" + name, data, 0o755 if name.startswith("bin/") else 0o644)
    c = lib.UnixConnection(lib.ENGINE, 300)
    c.request("POST", f"/build?version=2&t={tag}", out.getvalue(), {"Content-Type": "application/x-tar"})
    lines, text = c.getresponse().read().decode().splitlines(), ""
    for line in map(json.loads, lines):
        if line.get("id") == "moby.buildkit.trace":
            text += base64.b64decode(line["aux"]).decode("utf-8", "replace")
        if "error" in line:
            raise AssertionError(f"{pack}: {line['error']}\n{text[-3000:]}")
    return text


def fetch(container, path="/", headers=None, seconds=30):
    ip = docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", container).stdout.decode().strip()
    end = time.monotonic() + seconds
    while True:
        try:
            c = http.client.HTTPConnection(ip, 8123, timeout=5)
            c.request("GET", path, headers=headers or {})
            r = c.getresponse()
            return r.status, r.read(), dict(r.getheaders())
        except OSError:
            if time.monotonic() > end:
                raise AssertionError(docker("logs", container).stderr.decode()) from None
            time.sleep(0.05)


def wheel():
    out = io.BytesIO()
    info = "hello_viking-1.dist-info/"
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("hello_viking.py", "word = 'from a wheel'\n")
        z.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: hello-viking\nVersion: 1\n")
        z.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(info + "RECORD", "hello_viking.py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n")
    return out.getvalue()


SERVER_JS = """const word = require('fs').existsSync('dist') ? require('fs').readFileSync('dist', 'utf8') : 'plain';
const dep = (() => { try { return require('fs').existsSync('node_modules/.generated') ? require('./node_modules/.generated') : require('dep'); } catch (e) { return 'none'; } })();
require('http').createServer((q, r) => r.end(`node ${word} ${dep} ${process.env.NODE_ENV}`)).listen(process.env.PORT);
"""
LOCK = {"name": "a", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": {
    "": {"name": "a", "version": "1.0.0", "dependencies": {"dep": "file:dep"}},
    "dep": {"version": "1.0.0"}, "node_modules/dep": {"resolved": "dep", "link": True}}}
NODE = {"package.json": json.dumps({"name": "a", "version": "1.0.0", "scripts": {"start": "node server.js"},
                                    "dependencies": {"dep": "file:dep"}}), "package-lock.json": json.dumps(LOCK),
        "server.js": SERVER_JS, "dep/package.json": '{"name": "dep", "version": "1.0.0"}', "dep/index.js": "module.exports = 'dep';"}
NODE_BUILD = {"package.json": json.dumps({"name": "a", "version": "1.0.0", "scripts": {
    "build": "printf built >dist && mkdir -p node_modules/.generated && printf \"module.exports = 'generated'\" >node_modules/.generated/index.js"}}),
    "server.js": SERVER_JS}
PYTHON_APP = """import http.server, os
try:
    from hello_viking import word
except ImportError:
    word = 'no wheel'
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(('python ' + word).encode())
http.server.ThreadingHTTPServer(('', int(os.environ['PORT'])), H).serve_forever()
"""
PYTHON = {"requirements.txt": "--no-index\n--find-links wheels\nhello-viking\n", "app.py": PYTHON_APP,
          "wheels/hello_viking-1-py3-none-any.whl": wheel()}
GO_MAIN = """package main
import ("fmt"; "net/http"; "os")
func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "go ", os.Getenv("PORT")) })
	panic(http.ListenAndServe(":" + os.Getenv("PORT"), nil))
}
"""
GO = {"go.mod": "module example.org/a/hello\n\ngo 1.19\n", "main.go": GO_MAIN}
PHP = {"composer.json": json.dumps({"autoload": {"classmap": ["src/"]}}), "src/Word.php": "<?php class Word { const IT = 'loaded'; }",
       "public/index.php": "<?php require '../vendor/autoload.php'; echo 'php ', Word::IT, ' ', $_SERVER['REQUEST_URI'];",
       "public/style.css": "css"}
STATIC = {"index.html": "home", "about.html": "about " * 200, "404.html": "lost", ".env": "secret", "sub/index.html": "sub"}
PROCFILE = {"Procfile": "web: python3 -m http.server $PORT\n", "x.txt": "from a procfile"}


class Own(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        subprocess.run([os.path.join(TREE, "packaging/stack/build.sh")], check=True, stdout=sys.stderr, timeout=1800)

    def serve(self, tag, *argv):
        self.addCleanup(docker, "image", "rm", "-f", tag, check=False)
        c = docker("run", "-d", "--init", "-e", "PORT=8123", tag, *argv).stdout.decode().strip()
        self.addCleanup(docker, "rm", "-f", c, check=False)
        return c

    def both(self, pack, files, path, expected, types=True):
        """By the template, and by the contract."""
        tag = f"viking-own-test:{pack}-{os.getpid()}"
        image(pack, files, tag)
        web = f"/opt/viking/packs/{pack}/bin/web"
        c = self.serve(tag, "-c", web)
        self.assertEqual(expected, fetch(c, path)[1][:len(expected)], docker("logs", c).stderr.decode())
        self.assertEqual("app", docker("inspect", "-f", "{{.Config.User}}", tag).stdout.decode().strip())
        volume = f"viking-own-test-{pack}-{os.getpid()}"
        docker("volume", "create", volume)
        self.addCleanup(docker, "volume", "rm", "-f", volume, check=False)
        b = Build(volume, packs=f"own {pack}\n", files=files)
        self.addCleanup(b.__exit__)
        self.assertEqual(0, b.status, b.out + b.err)
        if types:
            self.assertIn(f"web: {web}", b.result("release"))
        slug = b.commit()
        self.assertEqual(expected, fetch(self.serve(slug, "-c", web), path)[1][:len(expected)])
        return c, tag

    def test_node(self):
        self.both("node", NODE, "/", b"node plain dep production")

    def test_node_with_a_build(self):
        self.both("node", NODE_BUILD, "/", b"node built generated production")

    def test_node_change_of_source_keeps_the_dependencies(self):
        tag = f"viking-own-test:again-{os.getpid()}"
        image("node", NODE, tag)
        before = docker("inspect", "-f", "{{json .RootFS.Layers}}", tag).stdout
        image("node", {**NODE, "server.js": SERVER_JS + "// changed\n"}, tag)
        self.addCleanup(docker, "image", "rm", "-f", tag, check=False)
        before, after = json.loads(before), json.loads(docker("inspect", "-f", "{{json .RootFS.Layers}}", tag).stdout)
        self.assertEqual(before[:-1], after[:-1])
        self.assertNotEqual(before[-1], after[-1])

    def test_python(self):
        self.both("python", PYTHON, "/", b"python from a wheel")
        self.both("python", {"main.py": PYTHON_APP}, "/", b"python no wheel")

    def test_node_with_a_directory_of_the_source_and_no_lock_file(self):
        self.both("node", {k: v for k, v in NODE.items() if k != "package-lock.json"}, "/", b"node plain dep production")

    def test_python_by_its_other_files(self):
        wheels = {k: v for k, v in PYTHON.items() if k.startswith("wheels/")}
        find = "[project]\nname = 'x'\nversion = '1'\ndependencies = ['hello-viking @ file:///app/wheels/hello_viking-1-py3-none-any.whl']\n"
        # directories beside each other, which are no package: the dependencies are installed all the same
        self.by_template("python", {"pyproject.toml": find, "app.py": PYTHON_APP, "one/x.py": "", "two/x.py": "", **wheels},
                         b"python from a wheel")

    def by_template(self, pack, files, expected):
        tag = f"viking-own-test:one-{pack}-{os.getpid()}"
        image(pack, files, tag)
        c = self.serve(tag, "-c", f"/opt/viking/packs/{pack}/bin/web")
        self.assertEqual(expected, fetch(c, "/")[1])

    def test_what_a_pack_cannot_do_is_one_line(self):
        rows = [("node", {"package.json": '{"name": "x"}', "yarn.lock": "__metadata:\n  version: 6\n"}, "yarn.lock is of Yarn 2 or later"),
                ("python", {"pyproject.toml": "[tool.poetry]\nname = 'x'\n", "app.py": "1\n"}, "[tool.poetry] without [build-system]"),
                ("python", {"pyproject.toml": "name = \n", "app.py": "1\n"}, "pyproject.toml cannot be read"),
                ("python", {"manage.py": "import django\n"}, "manage.py is there, but Django is not")]
        for pack, files, line in rows:
            with self.subTest(line), self.assertRaises(AssertionError) as e:
                image(pack, files, f"viking-own-test:bad-{os.getpid()}")
            self.assertIn(line, str(e.exception))

    def test_go(self):
        self.both("go", GO, "/", b"go 8123")

    def test_php(self):
        c, _ = self.both("php", PHP, "/a/b?c=d", b"php loaded /a/b?c=d")
        self.assertEqual(b"css", fetch(c, "/style.css")[1])
        plain = {"index.php": "<?php echo 'plain ', getenv('PORT');", ".env": "secret", "composer.lock": "{}"}
        c, _ = self.both("php", plain, "/", b"plain 8123")
        self.assertEqual(404, fetch(c, "/.env")[0])
        self.assertEqual(404, fetch(c, "/composer.lock")[0])
        docker("stop", "-t", "20", c)
        self.assertEqual("143", docker("inspect", "-f", "{{.State.ExitCode}}", c).stdout.decode().strip())

    def test_static(self):
        c, _ = self.both("static", STATIC, "/", b"home")
        self.assertEqual(b"about ", fetch(c, "/about")[1][:6])
        self.assertEqual("gzip", fetch(c, "/about", {"Accept-Encoding": "gzip"})[2].get("Content-Encoding"))
        self.assertEqual((404, b"lost"), fetch(c, "/nothing")[:2])
        self.assertEqual(404, fetch(c, "/.env")[0])
        self.assertEqual(b"sub", fetch(c, "/sub/")[1])
        self.both("static", {"public/index.html": "public", "secret.txt": "x"}, "/", b"public")

    def test_procfile(self):
        tag = f"viking-own-test:procfile-{os.getpid()}"
        image("procfile", PROCFILE, tag)
        c = self.serve(tag, "-c", PROCFILE["Procfile"][5:].strip())
        self.assertEqual(b"from a procfile", fetch(c, "/x.txt")[1])

    def test_site_files_reach_the_build_and_stay_out(self):
        text = expand("node", NODE_BUILD)
        for line in text.splitlines():
            if line.startswith("RUN"):
                self.assertIn("--mount=type=bind,source=site,target=/run/viking-site", line)
        self.assertNotRegex(text, r"COPY.* site")


if __name__ == "__main__":
    unittest.main()
