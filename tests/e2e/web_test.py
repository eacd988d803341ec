"""viking-web: straight on its socket, and behind the real HAProxy with viking-router."""
import http.client
import os
import re
import signal
import socket
import threading
import unittest

from routing import Site, wait_for

A, B = "a" * 40, "b" * 40


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


class WebTest(unittest.TestCase):
    def setUp(self):
        self.s = Site()
        self.addCleanup(self.s.cleanup)
        self.put(A, "index.html", "home")
        self.put(A, "docs/index.html", "docs")
        self.put(A, "docs/a b&c.txt", "0123456789")
        self.put(A, "empty/readme.txt", "x")
        self.put(A, "style.css", "body {}")
        self.put(A, "zero.bin", "")
        self.put(A, "big.bin", "z" * 3_000_000)
        self.put(A, ".git/config", "hidden")
        self.put(A, ".env", "hidden")
        self.put(A, "docs/.hidden", "hidden")
        self.put(A, ".well-known/acme", "known")
        self.put(A, "%2e%2e", "a file with this odd name")
        self.put(B, "index.html", "new")
        self.put(B, "404.html", "<h1>own</h1>")
        with open(self.s.path("var/lib/viking/static/secret"), "w") as f:
            f.write("outside")
        root = self.dir(A)
        os.symlink("/etc/passwd", root + "/passwd")
        os.symlink("../../../secret", root + "/up")
        os.symlink("docs", root + "/link")
        os.mkfifo(root + "/fifo")

    def dir(self, commit):
        return self.s.path("var/lib/viking/static/ragnar/help", commit)

    def put(self, commit, name, text):
        path = os.path.join(self.dir(commit), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)

    def up(self, commit=A):
        self.s.start("web")
        self.sites(commit)

    def sites(self, commit, **more):
        one = {"stack": "ragnar", "node": "help", "commit": commit}
        self.s.api.ack(self.s.api.put("web", {"sites": {"help.com": one, "*.w.com": one, **more}}))

    def ask(self, path, host="help.com", method="GET", **headers):
        c = Unix(self.s.path("run/viking/web/sites.sock"))
        c.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        c.putheader("Host", host)
        for k, v in headers.items():
            c.putheader(k.replace("_", "-"), v)
        c.endheaders()
        r = c.getresponse()
        body = r.read().decode()
        c.close()
        return r.status, {k.lower(): v for k, v in r.getheaders()}, body

    def test_files(self):
        self.up()
        self.assertIn("landlock=on", self.s.ready["web"])
        self.assertIn("seccomp=on", self.s.ready["web"])
        for path, want in [("/", "home"), ("/index.html", "home"), ("/docs/", "docs"), ("/docs//", "docs"),
                           ("/docs/a%20b%26c.txt", "0123456789"), ("/?q=/../x", "home"), ("/zero.bin", ""),
                           ("/.well-known/acme", "known"), ("/%252e%252e", "a file with this odd name")]:
            status, head, body = self.ask(path)
            self.assertEqual((status, body), (200, want), path)
            self.assertEqual(head["x-content-type-options"], "nosniff")
        self.assertEqual(self.ask("/style.css")[1]["content-type"], "text/css; charset=utf-8")
        self.assertEqual(self.ask("/big.bin")[1]["content-type"], "application/octet-stream")
        self.assertEqual(len(self.ask("/big.bin")[2]), 3_000_000)

    def test_hosts(self):
        self.up()
        for host in ["help.com", "HELP.com:80", "help.com.", "x.w.com", "x.y.w.com"]:
            self.assertEqual(self.ask("/", host)[0], 200, host)
        for host in ["w.com", "xhelp.com", "other.com", "", "help.com.evil", "[::1]", "help.com/", "127.0.0.1"]:
            self.assertEqual(self.ask("/", host)[0], 404, host)
        self.assertEqual(self.ask("/", "other.com", X_Viking_Site="help.com")[0], 200)

    def test_nothing_outside_and_nothing_hidden(self):
        self.up()
        paths = ["/../secret", "/..", "/docs/../../../secret", "/%2e%2e/secret", "/%2e%2e%2fsecret", "/..%2f..%2fsecret",
                 "/docs/..", "/docs/%2e%2e/index.html", "/./index.html", "/.git/config", "/.env", "/docs/.hidden",
                 "/docs/.well-known/x", "/%2eenv", "/passwd", "/up", "/link/", "/link/index.html", "/fifo", "/empty/",
                 "/index.html/", "/index.html/x", "/index.html%00.txt", "/%00", "/..\\secret", "/..%5csecret", "/a%0ab",
                 "/nothing", "/docs/nothing", "/" + "x" * 300, "/" + "x/" * 2000, "/%ff", "//etc/passwd", "/%2fetc%2fpasswd"]
        for path in paths:
            status, _, body = self.ask(path)
            self.assertIn(status, (404, 414), path)
            self.assertNotIn("hidden", body)
            self.assertNotIn("outside", body)
            self.assertNotIn("root:", body)

    def test_directory_redirect_stays_here(self):
        self.up()
        for path, want in [("/docs", "/docs/"), ("//docs", "/docs/"), ("/docs?x=1", "/docs/")]:
            status, head, _ = self.ask(path)
            self.assertEqual((status, head.get("location")), (301, want), path)
        self.put(A, "a b\"<>/index.html", "x")
        self.assertEqual(self.ask("/a%20b%22%3C%3E")[1]["location"], "/a%20b%22%3C%3E/")
        self.put(A, "evil.com/index.html", "x")
        self.assertEqual(self.ask("//evil.com")[1]["location"], "/evil.com/")
        self.assertEqual(self.ask("/empty")[0], 404, "no listing, and no redirect to one")

    def test_conditions(self):
        self.up()
        tag = self.ask("/style.css")[1]["etag"]
        self.assertRegex(tag, r'^"[0-9a-f-]+"$')
        for header in (tag, "W/" + tag, f'"x", {tag}', "*"):
            status, head, body = self.ask("/style.css", If_None_Match=header)
            self.assertEqual((status, head["etag"], body), (304, tag, ""), header)
        for header in ('"x"', tag[:-1], "", "W/"):
            self.assertEqual(self.ask("/style.css", If_None_Match=header)[0], 200, header)
        self.sites(B)
        self.assertNotEqual(self.ask("/")[1]["etag"], tag)

    def test_ranges(self):
        self.up()
        path = "/docs/a%20b%26c.txt"
        for header, want, part in [("bytes=0-3", "0123", "0-3"), ("bytes=4-", "456789", "4-9"), ("bytes=-2", "89", "8-9"),
                                   ("bytes=8-99", "89", "8-9"), ("bytes=-99", "0123456789", "0-9"), ("bytes=9-9", "9", "9-9")]:
            status, head, body = self.ask(path, Range=header)
            self.assertEqual((status, body, head["content-range"]), (206, want, f"bytes {part}/10"), header)
        for header in ("bytes=10-", "bytes=-0", "bytes=10-12"):
            status, head, _ = self.ask(path, Range=header)
            self.assertEqual((status, head["content-range"]), (416, "bytes */10"), header)
        for header in ("bytes=0-1,3-4", "lines=1-2", "bytes=3-1", "bytes=x-", "bytes=-", "bytes=", "bytes=99999999999999999999999-"):
            self.assertEqual(self.ask(path, Range=header)[0], 200, header)
        tag = self.ask(path)[1]["etag"]
        self.assertEqual(self.ask(path, Range="bytes=0-1", If_Range=tag)[0], 206)
        self.assertEqual(self.ask(path, Range="bytes=0-1", If_Range='"old"')[0], 200)

    def test_methods(self):
        self.up()
        status, head, body = self.ask("/style.css", method="HEAD")
        self.assertEqual((status, head["content-length"], body), (200, "7", ""))
        self.assertEqual(self.ask("/nothing", method="HEAD")[0], 404)
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            status, head, _ = self.ask("/style.css", method=method)
            self.assertEqual((status, head.get("allow")), (405, "GET, HEAD"), method)

    def test_own_404_page(self):
        self.up(B)
        status, head, body = self.ask("/nothing")
        self.assertEqual((status, body, head["content-type"]), (404, "<h1>own</h1>", "text/html; charset=utf-8"))

    def test_table(self):
        """A bad entry keeps the one before and blocks no other; a commit whose files are missing is a 503."""
        self.up()
        self.sites(B, **{"x.com": {"stack": "ragnar", "node": "help", "commit": A},
                         "bad.com": {"stack": "../..", "node": "help", "commit": A}})
        self.assertEqual(self.ask("/", "x.com")[2], "home")
        self.assertEqual(self.ask("/")[2], "new")
        self.assertEqual(self.ask("/", "bad.com")[0], 404)
        self.sites(A, **{"x.com": {"stack": "ragnar", "node": "help", "commit": "../../../etc"}})
        self.assertEqual(self.ask("/", "x.com")[2], "home")
        self.sites("c" * 40)
        self.assertEqual(self.ask("/")[0], 503)

    def test_killed_and_back(self):
        self.up()
        self.s.kill("web")
        self.s.start("web")
        wait_for("the table again", lambda: self.ask("/")[0] == 200)

    def test_many_at_once(self):
        self.up()
        got = []

        def one():
            for _ in range(10):
                got.append(self.ask("/big.bin")[0])
        threads = [threading.Thread(target=one) for _ in range(20)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(got, [200] * 200)
        fds = os.listdir(f"/proc/{self.s.procs['web'].pid}/fd")
        self.assertLess(len(fds), 60, "descriptors of files stay open")

    def test_behind_haproxy(self):
        self.s.start("router")
        self.s.haproxy()
        self.up()
        s = self.s
        s.api.ack(s.api.put("router", {"stacks": {"ragnar": {"backends": {}, "domains": {"help.com": "help", "*.w.com": "help"},
                                                             "sites": ["help"]}}}))
        self.assertEqual(s.get("help.com"), "200 home")
        self.assertEqual(s.get("Help.COM.:99"), "200 home")
        self.assertEqual(s.get("a.b.w.com", "/docs/"), "200 docs")
        self.assertEqual(s.request("help.com", "/", headers={"X-Viking-Site": "nothing.com"})[0], 200)
        self.assertEqual(s.request("help.com", "/a%00b")[0], 400)
        self.assertEqual(s.request("help.com", "/%2e%2e/secret")[0], 404)
        self.assertEqual(s.request("help.com", "/big.bin", headers={"Range": "bytes=5-6"})[2], "zz")
        tag = s.request("help.com", "/")[1]["etag"]
        self.assertEqual(s.request("help.com", "/", headers={"If-None-Match": tag})[0], 304)
        self.assertEqual(s.request("nobody.com", "/")[0], 404)
        s.kill("web", signal.SIGTERM)
        self.assertEqual(s.request("help.com", "/")[0], 503)
        s.start("web")
        wait_for("the site again", lambda: s.get("help.com") == "200 home")


if __name__ == "__main__":
    unittest.main(verbosity=2)
