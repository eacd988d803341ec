"""Who may come in and what they may do: real OpenSSH, dropbear and paramiko, rights, removal, expiry, odd keys."""
import os
import subprocess
import time
import unittest

from lib import STAGE, HostCase, wait_for


class Keys(HostCase):
    def key(self, name, kind="ed25519", *args):
        path = self.h.path("key-" + name)
        return path if os.path.exists(path) else self.h.make_key(name, kind, *args)

    def add(self, name, key, *args):
        with open(key + ".pub") as f:
            return self.h.viking("keys:add", name, *args, stdin=f)

    def test_kinds_of_keys(self):
        for kind, args in (("ed25519", ()), ("ecdsa", ("-b", "256")), ("ecdsa", ("-b", "521")), ("rsa", ("-b", "2048"))):
            name = f"{kind}{''.join(args[1:])}"
            key = self.key(name, kind, *args)
            self.assertEqual(0, self.add(name, key, "--role", "admin").status)
            self.assertIn("viking 0", self.h.ssh("version", key=key).out)
            printed = subprocess.run(["ssh-keygen", "-lf", key], capture_output=True, text=True).stdout.split()[1]
            self.assertIn(printed, self.h.viking("keys:list").out)

    def test_bad_keys_are_refused(self):
        h = self.h
        short = self.key("short", "rsa", "-b", "1024")
        good = self.key("good1")
        self.assertNotEqual(0, self.add("short", short).status)
        self.assertEqual(0, self.add("good1", good).status)
        r = self.add("good2", good)
        self.assertEqual(5, r.status, r)
        line = open(self.key("bad1") + ".pub").read().strip()
        for text in ("", "x", line + "\n" + line, 'command="x" ' + line, line.replace("AAAA", "AAAB"), "ssh-dss AAAA", line[:40]):
            p = subprocess.run([STAGE + "/bin/viking", "--root", h.root, "keys:add", "bad"], input=text, text=True,
                               capture_output=True, env=dict(os.environ, VIKING_SINGLE_UID="1"))
            self.assertNotEqual(0, p.returncode, text)
            self.assertIn(" !     ", p.stderr)

    def test_unknown_key_is_denied(self):
        r = self.h.ssh("version", key=self.key("stranger"))
        self.assertEqual(255, r.status)
        self.assertIn("Permission denied (publickey)", r.err)

    def test_rights_are_stacks_times_verbs(self):
        h = self.h
        mine, other = h.name("mine"), h.name("other")
        key = self.key("dev")
        self.assertEqual(0, self.add("dev", key, "--stacks", mine).status)
        h.push(h.app("m"), mine, key=key)
        r = h.push(h.app("o"), other, key=key, check=False)
        self.assertNotEqual(0, r.status)
        self.assertEqual(0, h.ssh("ps", mine, key=key).status)
        for words in (("keys:list",), ("keys:remove", "admin"), ("ps", other), ("stacks:destroy", other, "--force"), ("stacks:lock", other)):
            self.assertIn(h.ssh(*words, key=key).status, (3, 4), words)
        self.assertNotIn(other, h.ssh("stacks:list", key=key).out)

    def test_no_names_of_others_below_the_base_domain(self):
        h = self.h
        mine, later = h.name("squat"), h.name("later")
        key = self.key("squatter")
        self.assertEqual(0, self.add("squatter", key, "--stacks", mine).status)
        tree = h.app("mine")
        h.push(tree, mine, key=key)
        for domain in (later + ".apps.test", "x." + later + ".apps.test", "apps.test", "'*.apps.test'"):
            r = h.ssh("domains:add", mine, domain, key=key)
            self.assertIn(r.status, (4, 5), r)
        self.assertEqual(0, h.ssh("domains:add", mine, "x." + mine + ".apps.test", key=key).status)
        for what in (f"domains: [{later}.apps.test]", f"publish: ['{h.registry_port}:8080']"):
            h.write(tree, {"vikingfile": "deploy:\n  web: {" + what + "}\n"})
            h.commit(tree)
            r = h.push(tree, mine, key=key, check=False)
            self.assertNotEqual(0, r.status, what)
            self.assertRegex(r.err, "is kept for the stack " + later + "|is viking's own")
        h.push(h.app("later"), later)
        self.assertEqual((200, "later\n"), h.get(later + ".apps.test"))

    def test_what_is_taken_does_not_tell_by_whom(self):
        h = self.h
        mine, other = h.name("mine"), h.name("hidden")
        h.push(h.app("x", vikingfile="viking: {name: x}\nbuild: {src: {dockerfile: Dockerfile}}\n"
                     "deploy:\n  web: {image: viking:x/src, expose: [8080], domains: [taken.example]}\n"), other)
        h.make_key("narrow")
        h.add_key("narrow", "--stacks", mine)
        tree = h.app("y", vikingfile="viking: {name: x}\nbuild: {src: {dockerfile: Dockerfile}}\n"
                     "deploy:\n  web: {image: viking:x/src, expose: [8080], domains: [taken.example]}\n")
        r = h.push(tree, mine, key=h.path("key-narrow"), check=False)
        self.assertIn("domain taken.example belongs to another stack", r.err)
        self.assertNotIn(other, r.err)
        r = h.push(tree, mine, check=False)
        self.assertIn("domain taken.example belongs to " + other, r.err)

    def test_removal_works_at_once(self):
        h = self.h
        key = self.key("leaver")
        self.add("leaver", key, "--role", "admin")
        p = subprocess.Popen(["ssh", *h.ssh_options(key), "-p", str(h.ssh_port), "viking@127.0.0.1", "events", "-f"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(1)  # it is open now, and stays open
        self.assertIsNone(p.poll())
        self.assertEqual(0, h.viking("keys:remove", "leaver").status)
        wait_for("the open connection to end", lambda: p.poll() is not None, 5)
        p.communicate()
        self.assertEqual(255, h.ssh("version", key=key).status)

    def test_expiry(self):
        key = self.key("old")
        self.assertEqual(0, self.add("old", key, "--expires", "2030-01-01").status)
        self.assertEqual(0, self.h.ssh("version", key=key).status)
        self.h.viking("keys:remove", "old")
        r = self.add("old", key, "--expires", "2020-01-01")
        if r.status == 0:
            self.assertEqual(255, self.h.ssh("version", key=key).status)

    def test_other_clients(self):
        h = self.h
        out = subprocess.run(["ssh-keyscan", "-p", str(h.ssh_port), "127.0.0.1"], capture_output=True, text=True).stdout
        self.assertIn("ssh-ed25519", out)
        self.assertIn("ssh-rsa", out)
        db = h.path("key-dropbear")
        subprocess.run(["dropbearkey", "-t", "ed25519", "-f", db], check=True, capture_output=True)
        pub = subprocess.run(["dropbearkey", "-y", "-f", db], capture_output=True, text=True, check=True).stdout
        with open(db + ".pub", "w") as f:
            f.write(next(x for x in pub.splitlines() if x.startswith("ssh-")) + "\n")
        self.assertEqual(0, self.add("dropbear", db, "--role", "admin").status)
        p = subprocess.run(["dbclient", "-y", "-y", "-i", db, "-p", str(h.ssh_port), "viking@127.0.0.1", "version"], capture_output=True,
                           text=True, timeout=20, stdin=subprocess.DEVNULL, env=dict(os.environ, HOME=h.root))
        self.assertIn("viking 0", p.stdout, p.stderr)
        import paramiko
        c = paramiko.SSHClient()
        c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        c.connect("127.0.0.1", h.ssh_port, "viking", pkey=paramiko.Ed25519Key.from_private_key_file(h.key), allow_agent=False, look_for_keys=False)
        self.assertIn("viking 0", c.exec_command("version")[1].read().decode())
        c.close()

    def test_words_are_never_a_shell(self):
        h = self.h
        for words in ("version; id", "$(id)", "`id`", "ps | cat", "check /etc/passwd", "--root /etc version", "backup /tmp/x"):
            r = h.ssh(words)
            self.assertNotIn("uid=", r.out + r.err)
            self.assertNotIn("root:", r.out + r.err)
            self.assertNotEqual(0, r.status, words)
        r = h.ssh("relases")
        self.assertEqual(2, r.status)
        self.assertIn("releases", r.err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
