"""The stack image of buildpacks, from the builder's side: stored in the registry before a push needs it, made anew by an upgrade,
told of to the scheduler; and what a site gives to builds (builder.build_env, builder.extra_ca) and to nothing else.

Real engine, registry, build.sh, viking-builder; the scheduler and export.sock are builder_test's stand-ins.
"""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

import build_packs_test as packs
import builder_test as bt
import cnb_test as cnb
import lib

docker = packs.docker


def setUpModule():
    packs.setUpModule()


def tearDownModule():
    packs.tearDownModule()


def stack_ids():
    return [lib.engine("GET", f"/images/viking-stack:{tag}/json")[1]["Id"] for tag in ("run", "build")]


class StackImage(packs.PackCase):
    settings = {"builder.stack_ahead": True, "images.budget": "100GiB"}

    def stored(self, tag):
        """Digest under the tag in the registry, or None."""
        status, _, headers = self.b.registry.get("viking-stack/manifests/" + tag, "HEAD")
        return headers["Docker-Content-Digest"] if status == 200 else None

    def facts(self, image, seconds=60):
        """The scheduler was told of this image, and last."""
        return self.s.wait(f"facts of {image}", lambda: ([b for _, j, b in self.s.reports if j == "facts"] or [{}])[-1]
                           .get("stack_image") == image, seconds)

    def registry_bytes(self):
        return int(subprocess.run(["du", "-sk", bt.Bench.shared.dir + "/data"], check=True, capture_output=True, text=True)
                   .stdout.split()[0]) << 10

    def log(self):
        with open(self.b.root + "/builder.log") as f:
            return f.read()

    def wait_stored(self, times=1):
        lib.wait_for("the stack image in the registry", lambda: self.log().count("is in the registry, after") == times, 600)

    def test_is_stored_ahead_and_kept_and_replaced(self):
        run, build = stack_ids()
        self.facts(run)
        self.wait_stored()
        first = [self.stored("run"), self.stored("build")]
        self.assertTrue(all(first), first)

        # the first push of an application brings its own layer, and the 400 MB below it are there
        before = self.registry_bytes()
        job = self.packs({**packs.pack("head -c 300000 /dev/urandom > $1/blob"), "Procfile": packs.WEB})
        done = self.build(job, 600)
        self.assertTrue(done["ok"], done)
        grown = self.registry_bytes() - before
        self.assertTrue(300000 < grown < 20 << 20, grown)

        # it is nobody's garbage, though no release names it
        gc = self.b.job(kind="gc", stack="", boat="")
        gc.update(keep=[done["ref"]], budget=0)
        self.assertTrue(self.build(gc, 300)["ok"])
        self.assertEqual((first, [run, build]), ([self.stored("run"), self.stored("build")], stack_ids()))
        self.assertEqual(self.b.registry.get("ragnar/web/manifests/" + done["digest"])[0], 200)

        # an upgrade brings other scripts: the builder that starts with them makes the image anew, tells of it, stores it, and
        # what it replaces leaves the registry
        stack = self.settings["paths.libexec"] + "/stack"
        os.unlink(stack)
        shutil.copytree(bt.SOURCE + "/packaging/stack", stack)
        shutil.copytree(bt.SOURCE + "/builder/packs", os.path.dirname(stack) + "/../builder/packs")
        with open(stack + "/bin/exec", "a") as f:
            f.write(f"# {self.dir}\n")
        self.addCleanup(subprocess.run, [bt.SOURCE + "/packaging/stack/build.sh"], check=True, timeout=600,
                        stdout=subprocess.DEVNULL, env={**os.environ, "DOCKER_HOST": "unix://" + lib.ENGINE})
        self.b.stop()
        self.b.start()
        lib.wait_for("another stack image", lambda: not {run, build} & set(stack_ids()), 300)
        newer = stack_ids()
        self.facts(newer[0], 300)
        self.wait_stored(2)
        self.assertNotEqual(self.stored("run"), first[0])
        for digest in first:
            self.assertEqual(self.b.registry.get("viking-stack/manifests/" + digest)[0], 404)
        # a scheduler that comes back is told again; one who made another image by hand says so by SIGHUP
        self.s.close()
        self.s.reports.clear()
        self.s.open()
        self.facts(newer[0])
        with open(stack + "/bin/exec", "a") as f:
            f.write("# by hand\n")
        subprocess.run([stack + "/build.sh"], check=True, timeout=600, stdout=subprocess.DEVNULL,
                       env={**os.environ, "DOCKER_HOST": "unix://" + lib.ENGINE})
        self.b.builder.send_signal(signal.SIGHUP)
        self.facts(stack_ids()[0])


PROXY = "http://s3cret-proxy.invalid:3128"


class Site(packs.PackCase):
    """A proxy's address and an authority of the site reach each build, and no image."""

    def setUp(self):
        d = tempfile.mkdtemp(prefix="packs-e2e-site-")
        self.addCleanup(shutil.rmtree, d)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=the site's own", "-keyout", d + "/key", "-out", d + "/ca.crt"], check=True,
                       capture_output=True)
        with open(d + "/env", "w") as f:
            f.write(f"# of the site\nSITE_PROXY={PROXY}\n\nNPM_CONFIG_REGISTRY=http://mirror.invalid/\r\n")
        with open(d + "/ca.crt") as f:
            self.ca = f.read()
        self.settings = {}
        type(self).settings = {"builder.build_env": d + "/env", "builder.extra_ca": d + "/ca.crt"}
        super().setUp()

    # prints what it was given, and fails without
    LOOK = ('echo "proxy $SITE_PROXY, mirror $NPM_CONFIG_REGISTRY"; openssl crl2pkcs7 -nocrl -certfile "$SSL_CERT_FILE" | '
            "openssl pkcs7 -print_certs -noout | grep -c \"the site's own\" | sed 's/^/authority /'")

    def look_through(self, done, out):
        self.assertTrue(any(line.strip().endswith(f"proxy {PROXY}, mirror http://mirror.invalid/") for line in out), out)
        self.assertTrue(any(line.strip().endswith("authority 2") for line in out), out)  # subject and issuer
        marker = self.ca.splitlines()[2]
        inside = docker("run", "--rm", "--network", "none", "-u", "0", done["ref"], "-c",
                        f"grep -rlF -e {PROXY} -e '{marker}' / --exclude-dir=proc --exclude-dir=sys 2>/dev/null; env; echo ended")
        self.assertTrue(inside.stdout.endswith("ended\n"), inside)
        image = lib.engine("GET", f"/images/{done['image']}/json")[1]
        everywhere = inside.stdout + json.dumps(image) + docker("history", "--no-trunc", done["ref"]).stdout
        for word in (PROXY, "SITE_PROXY", marker, "viking-site-ca"):
            self.assertNotIn(word, everywhere)
        return marker

    def test_packs_of_others(self):
        job = self.packs({**packs.pack(self.LOOK), "Procfile": packs.WEB})
        done = self.build(job, 600)
        self.assertTrue(done["ok"], done)
        self.look_through(done, self.s.out(job["id"]))

    def test_our_packs(self):
        files = {"package.json": json.dumps({"name": "x", "version": "1.0.0", "scripts": {"build": "./look", "start": "node ."}}),
                 "look": "#!/bin/bash\n" + self.LOOK + "\n", "index.js": "1\n"}
        files["package.json"] = files["package.json"].replace("./look", "bash look")
        job = self.job(files, {"dockerfile": None, "builder": {"type": "own", "pack": "node"}})
        done = self.build(job, 600)
        self.assertTrue(done["ok"], done)
        marker = self.look_through(done, self.s.out(job["id"]))
        # a Dockerfile has many layers, and what one has removed is still in the one below
        save = subprocess.run(f"docker -H unix://{lib.ENGINE} save {done['image']} | tar -xO --wildcards '*/layer.tar' | grep -c -aF "
                              f"-e {PROXY} -e '{marker}'", shell=True, capture_output=True, text=True, timeout=300)
        self.assertEqual(save.stdout.strip(), "0", save.stderr)

    def test_cloud_native(self):
        image = "fake-cnb-builder-" + os.path.basename(self.dir).lower().replace("_", "x") + ":1"
        self.addCleanup(docker, "rmi", "-f", cnb.builder_image(image))
        job = self.packs({"app.txt": "x"})
        job["recipe"]["builder"] = {"type": "cnb", "image": image}
        done = self.build(job, 300)
        self.assertTrue(done["ok"], (done, self.s.out(job["id"])))
        self.assertIn(f"[fake creator] binding ca-certificates, 1 authority, proxy {PROXY}", self.s.out(job["id"]))
        self.assertNotIn(PROXY, json.dumps(lib.engine("GET", f"/images/{done['image']}/json")[1]))

    def test_what_is_wrong_with_the_files_is_said(self):
        def said(setting, text):
            with open(type(self).settings[setting], "w") as f:
                f.write(text)
            return self.refused(self.packs({**packs.pack("true"), "Procfile": packs.WEB}), setting)
        done = said("builder.build_env", "GOOD=1\nno equals sign s3cret\n")
        self.assertIn("line 2", done["message"])
        self.assertNotIn("s3cret", done["message"] + done["hint"])
        os.unlink(type(self).settings["builder.build_env"])
        self.refused(self.packs({**packs.pack("true"), "Procfile": packs.WEB}), "builder.build_env", "/etc/viking/viking.conf")


if __name__ == "__main__":
    unittest.main(verbosity=2)
