"""docs/openapi.json against the scheduler: its table of routes, and what every GET answers while a stack is deployed."""
import http.client
import json
import os
import re
import subprocess
import tempfile
import unittest

from lib import BASE, STAGE, Host, UnixConnection, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))


def once(pairs):
    """An object without a key that stands there twice: the later would hide the earlier."""
    assert len({k for k, _ in pairs}) == len(pairs), [k for k, _ in pairs]
    return dict(pairs)


with open(os.path.join(HERE, "../../docs/openapi.json")) as f:
    API = json.load(f, object_pairs_hook=once)


def described():
    return {(m.upper(), p): op for p, ops in API["paths"].items() for m, op in ops.items()}


def served():
    with tempfile.TemporaryDirectory() as root:
        out = subprocess.run([STAGE + "/libexec/viking/viking-scheduler", "--root", root, "--routes"], check=True,
                             capture_output=True, text=True, timeout=20).stdout
    return {tuple(line.split(" ", 1)) for line in out.splitlines()}


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for v in node.values():
            yield from references(v)
    elif isinstance(node, list):
        for v in node:
            yield from references(v)


def resolve(schema):
    """A schema without references; the parts of allOf in one."""
    out = {"properties": {}, "required": []}
    parts = [schema]
    while parts:
        s = parts.pop()
        if "$ref" in s:
            node = API
            for part in s["$ref"].removeprefix("#/").split("/"):
                node = node[part]
            parts.append(node)
        parts += s.get("allOf", [])
        out["properties"].update(s.get("properties", {}))
        out["required"] += s.get("required", [])
        out.update({k: v for k, v in s.items() if k not in ("properties", "required", "allOf", "$ref")})
    return out


TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "number": (int, float)}


def breaches(value, schema, where="answer"):
    """What of a value the schema does not allow; a key that is not described is a breach, too."""
    s = resolve(schema)
    if value is None:
        return [] if s.get("nullable") or "type" not in s else [f"{where} is null"]
    kind = TYPES.get(s.get("type"), object)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return [f"{where} is {value!r}, not of type {s['type']}"]
    found = [] if value in s.get("enum", [value]) else [f"{where} is {value!r}, none of {s['enum']}"]
    if isinstance(value, list):
        for i, v in enumerate(value):
            found += breaches(v, s.get("items", {}), f"{where}[{i}]")
    elif isinstance(value, dict):
        found += [f"{where} has no {k}" for k in s["required"] if k not in value]
        other = s.get("additionalProperties", not s["properties"])
        for k, v in value.items():
            if k in s["properties"]:
                found += breaches(v, s["properties"][k], f"{where}.{k}")
            elif other is False:
                found.append(f"{where}.{k} is not described")
            elif isinstance(other, dict):
                found += breaches(v, other, f"{where}.{k}")
    return found


class Description(unittest.TestCase):
    def test_every_route_is_described_and_no_other(self):
        routes = served()
        self.assertGreater(len(routes), 50)
        self.assertEqual(routes, set(described()))

    def test_every_reference_leads_somewhere_and_every_schema_is_used(self):
        used = set(references(API))
        for ref in used:
            node = API
            for part in ref.removeprefix("#/").split("/"):
                self.assertIn(part, node, ref)
                node = node[part]
        for name in API["components"]["schemas"]:
            self.assertIn("#/components/schemas/" + name, used, f"{name} is of no use")

    def test_every_operation_is_whole(self):
        ids = [op["operationId"] for op in described().values()]
        self.assertEqual(len(ids), len(set(ids)))
        for (method, path), op in described().items():
            with self.subTest(method=method, path=path):
                names = {p["name"] for p in op.get("parameters", []) if p["in"] == "path"}
                self.assertEqual(set(re.findall(r"{(\w+)}", path)), names)
                self.assertTrue(op["summary"])
                self.assertIn("default", op["responses"])
                self.assertEqual(1, ("x-verb" in op) + ("x-roles" in op), "who may call it")

    def test_the_check_of_shapes_sees_breaches(self):
        schema = {"type": "object", "required": ["a"], "properties": {
            "a": {"type": "integer"}, "l": {"type": "array", "items": {"$ref": "#/components/schemas/Domain"}},
            "n": {"type": "string", "nullable": True}, "m": {"type": "object", "additionalProperties": {"type": "boolean"}}}}
        domain = {"domain": "a.test", "node": "web", "from": "manifest"}
        self.assertEqual([], breaches({"a": 1, "l": [domain], "n": None, "m": {"x": True}}, schema))
        for bad in ({}, {"a": "1"}, {"a": True}, {"a": None}, {"a": 1, "b": 2}, {"a": 1, "l": {}}, {"a": 1, "n": 3}, {"a": 1, "m": {"x": 1}},
                    {"a": 1, "l": [dict(domain, **{"from": "air"})]}, {"a": 1, "l": [{"domain": "a.test", "node": "web"}]}, []):
            self.assertEqual(1, len(breaches(bad, schema)), bad)


MANIFEST = f"""viking: {{name: shapes}}
build:
  src: |
    FROM {BASE}
    COPY www /www
    CMD ["sh", "-c", "echo started; exec httpd -f -p 8080 -h /www"]
deploy:
  web: {{image: "viking:shapes/src", expose: [8080], healthcheck: /, volume: [/data], error_pages: {{503: www/index.html}}, domains: [{{host: shapes.test, tls: auto}}]}}
  pages: {{type: website, document_root: www, domains: [pages.test]}}
"""


class Answers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.h = h = Host()
        h.__enter__()
        cls.addClassCleanup(h.__exit__, None, None, None)
        cls.stack = h.name("shapes")
        app = h.tree({"vikingfile": MANIFEST, "www/index.html": "x\n"})
        h.push(app, cls.stack)
        assert h.viking("config:set", cls.stack, "A=1").status == 0
        assert h.viking("buildpacks:add", cls.stack, "node").status == 0
        assert h.viking("lock", cls.stack, "a look").status == 0
        wait_for("a log line", lambda: "started" in h.viking("logs", cls.stack).out)
        assert h.viking("hosts:label", h.json("hosts:list")["hosts"][0]["name"], "db").status == 0
        cls.build = h.json("builds")["builds"][0]["id"]
        pem = h.path("shapes")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "90", "-subj",
                        "/CN=shapes", "-addext", "subjectAltName=DNS:shapes.test", "-keyout", pem + ".key", "-out", pem + ".crt"],
                       check=True, capture_output=True)
        assert h.viking("certs:add", cls.stack, pem + ".crt", pem + ".key").status == 0

    def named(self):
        """The ids of the certificate and the page that the router knows."""
        table = self.first_lines("/v1/internal/router/watch", "router")[0]
        return next(iter(table["stacks"][self.stack]["certs"])), table["stacks"][self.stack]["backends"]["web"]["pages"]["503"]

    def first_lines(self, path, role):
        """Some lines of a stream that may have no end."""
        c = UnixConnection(self.h.api_socket, timeout=10)
        c.request("GET", path, headers={"Viking-Role": role} if role else {})
        r = c.getresponse()
        lines = []
        try:
            while len(lines) < (1 if role else 1000):
                text = r.readline()
                if not text:
                    break
                if json.loads(text):
                    lines.append(json.loads(text))
        except (TimeoutError, http.client.IncompleteRead):
            pass
        c.close()
        self.assertEqual(200, r.status, lines)
        return lines

    def values(self, path, op):
        host = self.h.settings.get("host.name") or os.uname().nodename.split(".")[0]
        query = {"/v1/internal/agent/watch": "?host=" + host, "/v1/stacks/{stack}/config": "?reveal=1"}.get(path, "")
        named = "/router/certs/" in path or "/router/pages/" in path
        ident = self.named()["pages" in path] if named else self.build
        url = path.format(stack=self.stack, n=2, id=ident, node="web", host=host) + query
        role = op.get("x-roles", [None])[0]
        if "application/x-ndjson" in op["responses"]["200"]["content"]:
            return self.first_lines(url, role)
        status, body = self.h.api("GET", url, headers={"Viking-Role": role} if role else {})
        self.assertEqual(200, status, body)
        return [body.decode() if isinstance(body, bytes) else body]

    def test_every_get_answers_as_described(self):
        # the watches last: a second agent or router at the hub makes its answers those of another host
        gets = sorted(((p, ops["get"]) for p, ops in API["paths"].items() if "get" in ops), key=lambda g: "watch" in g[0])
        self.assertGreater(len(gets), 20)
        for path, op in gets:
            with self.subTest(path=path):
                (media,) = op["responses"]["200"]["content"].values()
                values = self.values(path, op)
                self.assertTrue(values, "no answer to look at")
                self.assertEqual([], [b for v in values for b in breaches(v, media["schema"])][:10])
                for k, v in values[0].items() if "watch" not in path and isinstance(values[0], dict) else ():
                    if (path, k) in (("/v1/cluster", "endpoints"), ("/v1/invites", "invites")):
                        continue  # this is one host, without an etcd
                    self.assertNotIn(v, ([], {}), f"{k} is empty: nothing of it was looked at")

    def test_errors_are_as_described(self):
        schema = {"$ref": "#/components/schemas/Error"}
        for method, path, status in (("GET", "/v1/stacks/none-such", 404), ("GET", "/v1/nothing", 404), ("POST", "/v1/stacks", 400),
                                     ("GET", f"/v1/stacks/{self.stack}/releases/999", 404)):
            got, body = self.h.api(method, path)
            self.assertEqual(status, got, (path, body))
            self.assertEqual([], breaches(body, schema), path)


if __name__ == "__main__":
    unittest.main(verbosity=2)
