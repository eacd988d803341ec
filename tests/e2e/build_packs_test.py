"""Builds without a Dockerfile: viking-builder and viking-job with packs, in real containers of the real stack image.

As in builder_test the neighbours are stand-ins (scheduler, export.sock); the source comes through the real viking-export.
"""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

import builder_test as bt
import lib

SECRET = "s3cret-7f1c-value"
WEB = "web: python3 -m http.server $PORT\n"


def setUpModule():
    subprocess.run([bt.SOURCE + "/packaging/stack/build.sh"], check=True, timeout=1800, stdout=subprocess.DEVNULL,
                   env={**os.environ, "DOCKER_HOST": "unix://" + lib.ENGINE})
    # one registry: the stack image's layers are compressed and pushed once
    state = tempfile.mkdtemp(prefix="packs-e2e-registry-")
    bt.Bench.shared = bt.Registry(state, lib.free_port())


def tearDownModule():
    bt.Bench.shared.stop()
    shutil.rmtree(os.path.dirname(bt.Bench.shared.dir))


def docker(*words, **kw):
    return subprocess.run(["docker", "-H", "unix://" + lib.ENGINE, *words], capture_output=True, text=True, timeout=120, **kw)


def pack(compile_script, detect="echo Thing", release="echo '---'"):
    """An application with its own bin/: the shortest pack there is."""
    return {"bin/detect": "#!/bin/bash\n" + detect + "\n", "bin/compile": "#!/bin/bash\n" + compile_script + "\n",
            "bin/release": "#!/bin/bash\n" + release + "\n"}


class PackCase(bt.ExportCase):
    settings = {}

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="packs-e2e-")
        self.addCleanup(lambda: subprocess.run(["rm", "-rf", self.dir], check=False))
        libexec = self.dir + "/libexec"
        os.makedirs(libexec)
        os.makedirs(self.dir + "/packs")
        for name in ("viking-job", "viking-export", "viking-builder"):
            os.symlink(f"{bt.BIN}/{name}", f"{libexec}/{name}")
        os.symlink(bt.SOURCE + "/builder/packs", libexec + "/packs")
        os.symlink(bt.SOURCE + "/packaging/stack", libexec + "/stack")
        self.settings = {"paths.libexec": libexec, "policy.pack_paths": self.dir + "/packs", **type(self).settings}
        self.volumes = []
        super().setUp()
        self.addCleanup(self.remove_volumes)

    def remove_volumes(self):
        for name in self.volumes:
            docker("volume", "rm", "-f", name)
        network = "viking-build-" + self.root_label()[:8]
        docker("network", "rm", network)

    def root_label(self):
        import hashlib
        return hashlib.sha256(self.b.state.encode()).hexdigest()[:16]

    def boxes(self):
        return docker("ps", "-aq", "--filter", "name=^/viking-build-" + self.root_label()[:8]).stdout.split()

    def packs(self, files, packs=("inline",), **more):
        cache = f"viking-cache-{os.path.basename(self.dir)}"
        self.volumes += [cache, cache + "-launch"]
        return self.job(files, {"dockerfile": None, "builder": {"type": "packs", "packs": list(packs)}}, cache=cache,
                        env=more.pop("env", {}), **more)

    def refused(self, job, *words, seconds=120):
        done = self.fails(job, seconds)
        for word in words:
            self.assertIn(word, done["message"] + " | " + done["hint"])
        self.assertEqual(self.boxes(), [])
        return done


class Packs(PackCase):
    def test_a_pack_makes_an_image(self):
        files = {**pack("""
set -e
[ "$PWD" = "$(cd "$(dirname "$0")/.." && pwd)" ] && [ -f "$3/TOKEN" ] && [ -z "${TOKEN:-}" ]
echo "-----> compiling with $(cat "$3/TOKEN" | wc -c) bytes of token, version $SOURCE_VERSION"
printf '       indented\\n' >&2
ls -A "$2"; date +%s%N > "$2/kept"
[ ! -e "$1/dropped.log" ] && cp "$1/source.txt" "$1/built.txt"
""", release="printf -- '---\\nconfig_vars:\\n  GREETING: \"it'\"'\"'s a default\"\\ndefault_process_types:\\n  web: from release\\n'"),
                 "source.txt": "hello\n", "dropped.log": "x", ".slugignore": "*.log\n", "Procfile": WEB + "worker: cat built.txt\n"}
        job = self.packs(files, env={"TOKEN": SECRET, "OTHER": "x"}, source_version="c" * 40)
        done = self.build(job, 300)
        self.assertTrue(done["ok"], done)
        out = self.s.out(job["id"])
        self.assertIn("-----> Thing app detected", out)
        self.assertIn(f"-----> compiling with {len(SECRET)} bytes of token, version {'c' * 40}", out)
        self.assertIn("       indented", out)
        self.assertIn("       Procfile declares types -> web, worker", out)
        self.assertEqual(done["processes"], {"web": WEB[5:].strip(), "worker": "cat built.txt"})
        self.assertEqual((done["packs"], done["entrypoint"]), (["Thing"], True))
        self.assertEqual(sorted(done["timings"]), ["commit", "create", "push", "run", "upload"])
        self.assertEqual(self.boxes(), [])
        image = lib.engine("GET", f"/images/{done['image']}/json")[1]["Config"]
        self.assertEqual((image["Entrypoint"], image["Cmd"], image["User"], image["WorkingDir"]),
                         (["/opt/viking/bin/exec"], ["-c", WEB[5:].strip()], "1000:1000", "/app"))
        self.assertEqual(image["Labels"]["viking.build"], "")
        stack = lib.engine("GET", "/images/viking-stack:build/json")[1]["Config"]
        self.assertEqual(sorted(image["Env"]), sorted(stack["Env"]))
        run = docker("run", "--rm", "--network", "none", done["ref"], "-c", 'cat built.txt; echo "$GREETING"; ls /tmp; id -u')
        self.assertEqual(run.stdout, "hello\nit's a default\n1000\n", run.stderr)
        own = docker("run", "--rm", "--network", "none", "-e", "GREETING=mine", done["ref"], "-c", 'echo "$GREETING"')
        self.assertEqual(own.stdout, "mine\n")
        # the secret: not in any layer of the image, its configuration, its history, the lines, or our log
        inside = docker("run", "--rm", "--network", "none", "-u", "0", done["ref"], "-c",
                        f"grep -rlF {SECRET} / --exclude-dir=proc --exclude-dir=sys 2>/dev/null; echo ended")
        self.assertEqual(inside.stdout, "ended\n")
        self.assertNotIn(SECRET, json.dumps(image) + docker("history", "--no-trunc", done["ref"]).stdout + "\n".join(out))
        with open(self.b.root + "/builder.log") as f:
            self.assertNotIn(SECRET, f.read())
        # the same again is no build; another variable is one, with the cache of the first
        facts = ("ref", "digest", "image", "processes", "packs", "entrypoint")
        known = {done["key"]: {k: done[k] for k in facts}}
        again = self.build(self.packs(files, env={"TOKEN": SECRET, "OTHER": "x"}, source_version="d" * 40, known=known))
        self.assertTrue(again["cached"], again)
        self.assertEqual({k: again[k] for k in facts}, {k: done[k] for k in facts})
        other = self.packs(files, env={"TOKEN": SECRET, "OTHER": "y"}, known=known)
        self.assertFalse(self.build(other, 300)["cached"])
        self.assertIn("kept", self.s.out(other["id"]))

    def test_packs_of_the_host_in_order(self):
        for name, script in {"one": 'echo \'export FROM_ONE=yes\' > "$(dirname "$0")/../export"; echo one > "$1/one"',
                             "two": 'echo "two sees $FROM_ONE"; cp "$1/one" "$1/two"'}.items():
            for file, text in pack(script, detect=f"echo {name}").items():
                path = f"{self.dir}/packs/{name}/{file}"
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w") as f:  # without the run bit, as some packs ship
                    f.write(text)
        paths = [f"{self.dir}/packs/one", f"{self.dir}/packs/two"]
        job = self.packs({"Procfile": "web: cat two\n"}, paths)
        done = self.build(job, 300)
        self.assertTrue(done["ok"], done)
        self.assertIn("two sees yes", self.s.out(job["id"]))
        self.assertEqual(done["packs"], ["one", "two"])
        # a changed pack is another build
        known = {done["key"]: {k: done[k] for k in ("ref", "digest", "image")}}
        self.assertTrue(self.build(self.packs({"Procfile": "web: cat two\n"}, paths, known=known))["cached"])
        with open(paths[1] + "/bin/compile", "a") as f:
            f.write("echo changed\n")
        self.assertFalse(self.build(self.packs({"Procfile": "web: cat two\n"}, paths, known=known), 300)["cached"])
        self.refused(self.packs({}, ["/etc/ssl"]), "not in a directory that is allowed", "policy.pack_paths")
        os.symlink("/etc/ssl", self.dir + "/packs/way-out")
        self.refused(self.packs({}, [self.dir + "/packs/way-out"]), "not in a directory that is allowed")

    def test_failures_say_who_and_what(self):
        files = pack("echo going; echo wrong >&2; exit 7")
        done = self.refused(self.packs(files), "buildpack inline: bin/compile ended with status 7")
        for line in ("-----> Thing app detected", "wrong"):  # two streams: in any order
            self.assertIn(line, done["tail"])
        self.refused(self.packs(pack("true", detect="exit 3")), "buildpack inline does not take", "status 3")
        self.refused(self.packs(pack("true", release="exit 4")), "buildpack inline: bin/release ended with status 4")
        self.refused(self.packs(pack("true", release="echo '- a list'")), "bin/release", "has to print a map")
        self.refused(self.packs({**pack("true"), "Procfile": "web x\n"}), "Procfile:1")
        self.refused(self.packs(pack("printf 'web: a\\nweb: b\\n' > \"$1/Procfile\"")), "Procfile:2: the process type web is there twice")
        self.refused(self.packs({"a": "b"}), "inline could not be fetched")
        self.refused(self.packs({}, ["https://packs.invalid/x.git"]), "buildpack x could not be fetched")
        self.refused(self.packs({}, ["ext::sh -c id"]), "has a blank")

    def test_cancelled_and_killed_builds_leave_nothing(self):
        hang = self.packs(pack("trap '' TERM; echo hanging; sleep 600"))
        self.s.want(hang)
        self.s.wait_line(hang["id"], "hanging")
        self.assertEqual(len(self.boxes()), 1)
        self.s.want()
        lib.wait_for("box gone after a cancel", lambda: self.boxes() == [], 30)
        again = self.packs(pack("trap '' TERM; echo hanging; sleep 600"))
        self.s.want(again)
        self.s.wait_line(again["id"], "hanging")
        self.b.stop(signal.SIGKILL)
        self.assertEqual(len(self.boxes()), 1)
        self.s.want()
        self.b.start()
        lib.wait_for("box gone after the builder was killed", lambda: self.boxes() == [], 20)

    def container_of_a_stack(self, port):
        """Its address, on a network of its own as stacks have; something listens there, which this host reaches."""
        name = f"packs-e2e-{os.path.basename(self.dir)}"
        docker("network", "create", name)
        self.addCleanup(docker, "network", "rm", name)
        docker("run", "-d", "--name", name, "--network", name, "--entrypoint", "python3", "viking-stack:run", "-m", "http.server", str(port))
        self.addCleanup(docker, "rm", "-f", name)
        address = docker("inspect", "-f", f"{{{{(index .NetworkSettings.Networks \"{name}\").IPAddress}}}}", name).stdout.strip()

        def answers():
            with contextlib.suppress(OSError), socket.create_connection((address, port), 2):
                return True
        lib.wait_for("the other container", answers)
        return address

    def test_the_build_cannot_reach_this_host(self):
        port = self.b.port  # the registry listens on loopback; a listener on every address stands for the rest
        script = """
exec 2>&1
gateway=$(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'); echo "gateway $gateway"
for host in $gateway 169.254.169.254 %s %s; do
    timeout 3 bash -c "exec 3<>/dev/tcp/$host/%d" 2>/dev/null && echo "reached $host" || echo "no way to $host"
done
ls -l /var/run/docker.sock 2>/dev/null && echo has socket; id -u; ip route add 10.9.9.9 dev lo 2>/dev/null && echo is admin; true
"""
        with socket.create_server(("0.0.0.0", 0)) as server:
            other = server.getsockname()[1]
            own = docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "bridge").stdout.strip()
            job = self.packs({**pack(script % (own, self.container_of_a_stack(other), other)), "Procfile": "web: true\n"})
            self.assertTrue(self.build(job, 300)["ok"])
        out = self.s.out(job["id"])
        self.assertTrue(port)
        self.assertTrue(any(line.startswith("gateway 1") for line in out), out)
        self.assertEqual(len([line for line in out if line.startswith("no way to")]), 4, out)
        self.assertNotIn("has socket", out)
        self.assertNotIn("is admin", out)
        self.assertIn("1000", out)

    def test_megabytes_of_output(self):
        job = self.packs({**pack("head -c 40000000 /dev/zero | tr '\\0' x | fold -w 1000; echo last words"), "Procfile": "web: true\n"})
        done = self.build(job, 300)
        self.assertTrue(done["ok"], done)
        self.assertLess(sum(len(line) + 1 for line in self.s.out(job["id"])), 17 << 20)


class Limits(PackCase):
    settings = {"builds.memory": "200M", "builds.pids": 150, "builds.timeout": "25s"}

    def test_memory(self):
        done = self.refused(self.packs(pack("python3 -c 'x = bytearray(900 << 20)'")), "out of memory", "builds.memory")
        self.assertIn("buildpack inline", done["message"])

    def test_forks_without_end(self):
        script = "python3 -c 'import os, time\nfor i in range(400):\n  os.fork() or (time.sleep(30), os._exit(0))'"
        self.refused(self.packs(pack(script)), "builds.pids", seconds=60)

    def test_hangs(self):
        self.refused(self.packs(pack("echo waiting; sleep 600")), "buildpack inline was at its compile", "builds.timeout", seconds=120)


class Disk(PackCase):
    settings = {"builds.disk": "200M"}
    FILL = "for i in $(seq 100); do head -c 25000000 /dev/urandom > %s/$i; sleep 0.2; done"

    def test_layer(self):
        for where in ("$1", "/tmp"):
            done = self.refused(self.packs(pack(f"mkdir -p {where}/x; " + self.FILL % (where + "/x"))),
                                "buildpack inline was at its compile", "builds.disk is 200.0 MiB", "let it write less", seconds=60)
            self.assertEqual(done["error"], "LIMIT")

    def test_cache_in_a_closed_directory(self):
        words = "builds.disk", "of it in its cache", "git push -o no-cache"
        self.refused(self.packs(pack("mkdir $2/x; chmod 300 $2/x; " + self.FILL % "$2/x")), *words, seconds=60)
        # it is in the way of the next build too, until it is emptied
        self.refused(self.packs(pack("sleep 20")), *words, seconds=60)
        done = self.build(self.packs({**pack("ls -A $2; sleep 3"), "Procfile": WEB}, no_cache=True), 300)
        self.assertTrue(done["ok"], done)


class OwnPacks(PackCase):
    def own(self, pack, files, **more):
        return self.job(files, {"dockerfile": None, "builder": {"type": "own", "pack": pack}}, **more)

    def test_a_generated_dockerfile(self):
        files = {"package.json": '{"name": "x", "version": "1.0.0"}', "server.js": "console.log(1)\n", "Procfile": "web: node server.js\n",
                 "drop.log": "x", ".slugignore": "*.log\n"}
        job = self.own("node", files)
        done = self.build(job, 300)
        self.assertTrue(done["ok"], done)
        self.assertEqual((done["processes"], done["entrypoint"], done["packs"]), ({"web": "node server.js"}, True, ["node"]))
        self.assertEqual(done["stack_image"], lib.engine("GET", "/images/viking-stack:run/json")[1]["Id"])
        run = docker("run", "--rm", "--network", "none", done["ref"], "-c", "node server.js; ls /app; ls /")
        self.assertEqual(run.stdout.split()[0], "1", run.stderr)
        self.assertNotIn("drop.log", run.stdout)
        self.assertNotIn("site", run.stdout.split())
        # only the source changed: the dependencies' layer is the engine's old one
        job = self.own("node", {**files, "server.js": "console.log(2)\n"})
        self.assertTrue(self.build(job)["ok"])
        out = self.s.out(job["id"])
        steps = [i for i, line in enumerate(out) if "bin/dependencies" in line and line.startswith("Step")]
        self.assertTrue(steps and "(cached)" in out[steps[0]] + out[steps[0] + 1], out)
        again = self.own("node", files, known={done["key"]: {k: done[k] for k in ("ref", "digest", "image", "processes")}})
        done = self.build(again)
        self.assertTrue(done["cached"] and done["processes"], done)

    def test_bad_input(self):
        self.refused(self.own("node", {"package.json": "{"}), "package.json")
        self.refused(self.own("procfile", {"a": "b"}), "needs a Procfile")
        self.refused(self.own("rust", {"a": "b"}), "none of viking's packs")
        self.refused(self.own("static", {"index.html": "x", "Procfile": "web\n"}), "Procfile:1")


if __name__ == "__main__":
    unittest.main(verbosity=2)
