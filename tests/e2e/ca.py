"""Certificates of a cluster's hosts."""
import os
import shutil
import subprocess
import tempfile


class Ca:
    """Made with openssl(1), not with our own code: whatever keeps to the form is taken."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="ca-")
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=viking",
                 "-days", "10", "-keyout", "ca.key", "-out", "ca.pem")

    def run(self, *words):
        subprocess.run(["openssl", *words], cwd=self.dir, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def path(self, name):
        return os.path.join(self.dir, name)

    def host(self, name):
        with open(self.path("ext"), "w") as f:
            f.write(f"subjectAltName=DNS:{name},IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n"
                    "basicConstraints=critical,CA:FALSE\nkeyUsage=digitalSignature\n")
        if not os.path.exists(self.path(name + ".key")):
            self.run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", name + ".key")
        self.run("req", "-new", "-key", name + ".key", "-subj", "/CN=" + name, "-out", name + ".csr")
        self.run("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "5",
                 "-extfile", "ext", "-out", name + ".pem")

    def install(self, name, root):
        """Into the root of a viking, each file by a rename."""
        self.host(name)
        d = os.path.join(root, "var/lib/viking/tls")
        os.makedirs(d, exist_ok=True)
        for ours, theirs in (("ca.pem", "ca.pem"), (name + ".key", "host.key"), (name + ".pem", "host.pem")):
            shutil.copy(self.path(ours), os.path.join(d, "new"))
            os.rename(os.path.join(d, "new"), os.path.join(d, theirs))
