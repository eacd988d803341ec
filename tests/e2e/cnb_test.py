"""Cloud Native Buildpacks, the platform's side: real pushes, builder, engine and registry. One part is a FAKE, and called so: the
lifecycle in the builder image (tests/packs/fake_creator.sh), as no real one can be had where the tests run.
"""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import build_packs_test as packs
import builder_test as bt
import lib

docker = packs.docker
HERE = os.path.dirname(os.path.abspath(__file__))


def setUpModule():
    packs.setUpModule()


def tearDownModule():
    packs.tearDownModule()


def builder_image(name, supported=("0.3", "0.9", "0.12", "0.15"), api="0.12"):
    """A builder image: the stack image with the fake creator, and the labels of a real one."""
    label = json.dumps({"stack": {"runImage": {"image": lib.BASE + ":latest"}}, "lifecycle": {"apis": {"platform": {"supported": supported}}}})
    with tempfile.TemporaryDirectory() as d:
        shutil.copy(HERE + "/../packs/fake_creator.sh", d + "/creator")
        with open(d + "/Dockerfile", "w") as f:
            f.write(f"FROM viking-stack:build\nUSER 0\nCOPY creator /cnb/lifecycle/creator\n"
                    f"ENV CNB_USER_ID=1001 CNB_GROUP_ID=1001 RUN={lib.BASE}:latest API={api}\n"
                    f"LABEL io.buildpacks.builder.metadata='{label}'\n")
        r = docker("build", "-q", "-t", name, d)
    assert r.returncode == 0, r.stderr
    return name


class Platform(packs.PackCase):
    def builder(self, *args):
        name = f"fake-cnb-builder-{os.path.basename(self.dir)}:1".lower().replace("_", "x")
        self.addCleanup(docker, "rmi", "-f", name)
        return builder_image(name, *args)

    def cnb(self, files, image, **more):
        job = self.packs(files, env={"TOKEN": "value", "CNB_USER_ID": "0"}, **more)
        job["recipe"]["builder"] = {"type": "cnb", "image": image}
        return job

    def test_creator_is_called_as_the_platform_specification_says(self):
        image = self.builder()
        job = self.cnb({"app.txt": "x"}, image)
        done = self.build(job, 300)
        self.assertTrue(done["ok"], (done, self.s.out(job["id"])))
        self.assertEqual(done["processes"], {"web": "node server.js -p", "worker": "work"})
        self.assertEqual(done["entrypoint"], "cnb")
        self.assertIn("[fake creator] image made", self.s.out(job["id"]))
        self.refused(self.cnb({"app.txt": "fail"}, image), "a buildpack failed", "51")
        self.refused(self.cnb({"b": "x"}, image), "none of the builder's buildpacks", "20")
        known = {done["key"]: {k: done[k] for k in ("ref", "digest", "image", "processes", "entrypoint")}}
        self.assertTrue(self.build(self.cnb({"app.txt": "x"}, image, known=known))["cached"])
        again = self.cnb({"app.txt": "y"}, image)
        self.assertTrue(self.build(again, 300)["ok"])
        self.assertIn("[fake creator] cache kept, launch cache kept", self.s.out(again["id"]))
        empty = self.cnb({"app.txt": "z"}, image, no_cache=True)
        self.assertTrue(self.build(empty, 300)["ok"])
        self.assertIn("[fake creator] cache empty, launch cache empty", self.s.out(empty["id"]))

    def test_both_ends_of_the_apis_that_are_spoken(self):
        for supported, api in ((["0.6", "0.7"], "0.7"), (["0.14", "0.15", "1.0"], "0.14")):
            job = self.cnb({"app.txt": "x"}, self.builder(supported, api))
            done = self.build(job, 300)
            self.assertTrue(done["ok"], (api, done, self.s.out(job["id"])))

    def test_builders_that_cannot_be_used(self):
        self.refused(self.cnb({"app.txt": "x"}, self.builder(["0.3", "0.15", 7])), "none of the platform APIs 0.7 to 0.14")
        self.refused(self.cnb({"app.txt": "x"}, lib.BASE + ":latest"), "this is no builder image")


class Push(unittest.TestCase):
    """The whole way, by git push."""

    def caches(self, prefix):
        return sorted(v["Name"] for v in lib.engine("GET", "/volumes")[1]["Volumes"] or [] if v["Name"].startswith(prefix))

    def test_from_a_push_to_a_page_and_away_again(self):
        image = builder_image(f"fake-cnb-builder-{os.getpid()}:1")
        self.addCleanup(docker, "rmi", "-f", image)
        with lib.Host(**{"policy.cnb_builders": image, "nodes.memory": "128M"}) as h:
            stack = h.name("cnb")
            file = ("viking: {{name: sails}}\nbuild:\n  src: {{builder: {{cnb: \"{}\"}}}}\n"
                    "deploy:\n  web: {{image: \"viking:sails/src\"}}\n  worker: {{image: \"viking:sails/src\"}}\n")
            tree = h.tree({"app.txt": "x", "www/index.html": "by a builder\n", "vikingfile": file.format("other/builder:1")})
            r = h.push(tree, stack, check=False)
            self.assertNotEqual(r.status, 0)
            self.assertIn("other/builder:1", r.err)
            self.assertIn("policy.cnb_builders", r.err)
            h.write(tree, {"vikingfile": file.format(image)})
            h.commit(tree)
            r = h.push(tree, stack)
            self.assertIn("[fake creator] image made", r.err)
            self.assertIn("cache empty, launch cache empty", r.err)
            self.assertEqual(h.get(f"{stack}.apps.test")[:2], (200, "by a builder\n"))
            # a command goes through the launcher, a worker runs
            self.assertEqual(h.viking("run", stack, "cat", "/workspace/app.txt").out.strip(), "x")
            lib.wait_for("the worker", lambda: "works" in h.viking("logs", stack).out)

            # a failing build says what the lifecycle's status means, and the page stays
            h.write(tree, {"app.txt": "fail\n"})
            h.commit(tree)
            r = h.push(tree, stack, check=False)
            self.assertNotEqual(r.status, 0)
            self.assertIn("a buildpack failed (lifecycle status 51)", r.err)
            self.assertEqual(h.get(f"{stack}.apps.test")[0], 200)

            # the caches keep their contents over a rename and go with the stack
            before = self.caches("viking-cache-")
            new = h.name("cnb2")
            h.viking("stacks:rename", stack, new)
            h.write(tree, {"app.txt": "y\n", "vikingfile": file.format(image)})
            h.commit(tree)
            r = h.push(tree, new)
            self.assertIn("cache kept, launch cache kept", r.err)
            self.assertEqual(h.get(f"{new}.apps.test")[0], 200)
            self.assertEqual(self.caches("viking-cache-"), before)
            ident = next(n for n in before if n.endswith("-src-launch") and n[:-len("-launch")] in before and
                         docker("volume", "inspect", "-f", "{{index .Labels \"viking.stack\"}}", n).stdout.strip() == stack)
            prefix = ident[:-len("src-launch")]
            self.assertEqual(self.caches(prefix), [prefix + "src", prefix + "src-launch"])
            h.viking("stacks:destroy", new, "--force")
            lib.wait_for("the caches gone", lambda: self.caches(prefix) == [], 60)


if __name__ == "__main__":
    unittest.main(verbosity=2)
