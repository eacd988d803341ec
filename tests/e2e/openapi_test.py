"""docs/openapi.json against the scheduler's own table of routes, and its references against themselves."""
import json
import os
import re
import subprocess
import tempfile
import unittest

from lib import STAGE

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "../../docs/openapi.json")) as f:
    API = json.load(f)


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


class OpenApi(unittest.TestCase):
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
