"""viking-job copies images from a registry into the storage of another, which then serves them: a real docker-registry does."""
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import unittest
import urllib.error
import urllib.request

from lib import STAGE, free_port, wait_for

LINK = "docker/registry/v2/repositories/{}/_manifests/revisions/sha256/{}/link"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Source(http.server.ThreadingHTTPServer):
    """A registry as the job sees it: manifests and blobs by digest; what is in `wrong` comes as something else."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.wrong, self.asked = {}, {}, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def add(self, data):
        self.content[digest(data)] = data
        return {"digest": digest(data), "size": len(data), "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"}

    def image(self, *layers):
        """Its reference behind the repository's name."""
        config = {**self.add(json.dumps({"of": [x.decode() for x in layers]}).encode()), "mediaType": "application/vnd.docker.container.image.v1+json"}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "config": config,
                    "layers": [self.add(x) for x in layers]}
        return self.add(json.dumps(manifest).encode())["digest"]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.rsplit("/", 1)[1]
        self.server.asked.append(name)
        data = self.server.wrong.get(name, self.server.content.get(name))
        if self.headers["Authorization"] is None or data is None:
            self.send_error(401 if data is not None else 404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class CopyTest(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="vcopy-")
        self.addCleanup(shutil.rmtree, self.root)
        self.data = self.root + "/var/lib/viking/registry/data"
        os.makedirs(os.path.dirname(self.data))
        with open(os.path.dirname(self.data) + "/password", "w") as f:
            f.write("secret")
        self.source = Source()
        self.addCleanup(self.source.server_close)
        self.addCleanup(self.source.shutdown)
        self.server = f"127.0.0.1:{self.source.server_address[1]}"
        os.makedirs(self.root + "/etc/viking")
        with open(self.root + "/etc/viking/viking.conf", "w") as f:
            f.write(f"registry.port: {self.source.server_address[1]}\n")

    def copy(self, *refs):
        job = {"id": "copy-1-1", "kind": "copy", "images": [f"{self.server}/{r}" for r in refs]}
        p = subprocess.run([STAGE + "/libexec/viking/viking-job", "--root", self.root], input=json.dumps(job), text=True, capture_output=True,
                           timeout=120, check=False)
        return json.loads(p.stdout.splitlines()[-1])["done"]

    def linked(self, ref):
        repo, name = ref.split("@sha256:")
        return os.path.exists(os.path.join(self.data, LINK.format(repo, name)))

    def test_what_was_copied_a_registry_serves(self):
        refs = ["app/web@" + self.source.image(b"base", b"one"), "app/web@" + self.source.image(b"base", b"two"), "other/web@" + self.source.image(b"base")]
        self.assertTrue(self.copy(*refs)["ok"])
        self.assertEqual(self.source.asked.count(digest(b"base")), 1)
        before = len(self.source.asked)
        self.assertTrue(self.copy(*refs)["ok"])
        self.assertEqual(len(self.source.asked), before)  # also while the source is away
        port = free_port()
        config = self.root + "/registry.yml"
        with open(config, "w") as f:
            f.write(f'version: 0.1\nstorage: {{filesystem: {{rootdirectory: "{self.data}"}}}}\nhttp: {{addr: "127.0.0.1:{port}"}}\n')
        registry = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(registry.wait, 20)
        self.addCleanup(registry.kill)

        def get(path):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/{path}", timeout=20) as r:
                return r.read()

        def serves():
            try:
                return get("") is not None
            except OSError:
                return False
        wait_for("the registry", serves, 60)
        for ref in refs:
            repo, name = ref.split("@")
            manifest = get(f"{repo}/manifests/{name}")
            self.assertEqual(digest(manifest), name)
            for part in [json.loads(manifest)["config"], *json.loads(manifest)["layers"]]:
                self.assertEqual(digest(get(f"{repo}/blobs/{part['digest']}")), part["digest"])

    def test_what_comes_as_something_else_is_not_there(self):
        good, bad = "app/web@" + self.source.image(b"good"), "app/web@" + self.source.image(b"bad")
        self.source.wrong[digest(b"bad")] = b"evil"
        done = self.copy(bad, good)
        self.assertFalse(done["ok"])
        self.assertIn("1 of 2 images are not copied", done["message"])
        self.assertEqual((self.linked(good), self.linked(bad)), (True, False))
        self.source.wrong = {bad.split("@")[1]: b"{}"}
        self.assertIn("came as something else", self.copy(bad)["message"])
        self.source.wrong = {}
        self.assertTrue(self.copy(bad)["ok"])
        self.assertTrue(self.linked(bad))

    def test_names_do_not_leave_the_storage(self):
        image = self.source.image(b"x")
        for repo in ("../../x", "/x", "a/../../b"):
            self.assertIn("has no digest", self.copy(f"{repo}@{image}")["message"], repo)
        self.assertEqual(self.source.asked, [])

    def test_what_no_release_names_goes_in_the_end(self):
        old = ["app/web@" + self.source.image(b"base", str(n).encode()) for n in range(20)]
        new = "app/web@" + self.source.image(b"base", b"new")
        self.assertTrue(self.copy(*old)["ok"])
        self.assertTrue(self.copy(*old[1:], new)["ok"])
        self.assertTrue(self.linked(old[0]))
        config = os.path.dirname(self.data) + "/config.yml"
        with open(config, "w") as f:
            f.write(f'version: 0.1\nstorage: {{filesystem: {{rootdirectory: "{self.data}"}}, delete: {{enabled: true}}}}\n')
        done = self.copy(new)
        self.assertTrue(done["ok"], done)
        self.assertEqual([self.linked(r) for r in (*old, new)], [False] * 20 + [True])
        blobs = self.data + "/docker/registry/v2/blobs/sha256"
        left = {name for part in os.listdir(blobs) for name in os.listdir(f"{blobs}/{part}")}
        self.assertNotIn(digest(b"7")[7:], left)
        self.assertIn(digest(b"base")[7:], left)


if __name__ == "__main__":
    unittest.main(verbosity=2)
