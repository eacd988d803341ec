"""Several hosts at one scheduler: the real program, with agents of the names uno, dos, tres that this file plays (as scheduler_test
does). What runs where is read from the documents that each agent is sent.
"""
import time
import unittest

import scheduler_test
from scheduler_test import Agent, ApiError, Case, document, node

GIB = 1 << 30


class HostAgent(Agent):
    def __init__(self, world, host, cpus=4, memory=8 * GIB, roles=(), zone=None, ident=None):
        self.host, self.ident = host, ident or host
        self.path = f"/v1/internal/agent/watch?host={host}&id={self.ident}"
        self.facts = {"host": host, "cpus": cpus, "memory": memory, "disk": 100 * GIB, "disk_free": 50 * GIB, "engine": "20.10.24",
                      "cgroup": 1, "load": 25, "roles": list(roles), "zone": zone, "routes": []}
        super().__init__(world)
        self.tell()

    def tell(self):
        self.post("/v1/internal/agent/host", self.facts)

    def post(self, path, body):
        return super().post(path, body | {"host": self.host})

    def names(self):
        return sorted(i["name"] for i in (self.doc or {"instances": []})["instances"] if i["want"] == "run")


class Hosts(Case):
    def setUp(self):
        super().setUp()
        self.w.agent.close()
        self.w.parts.remove(self.w.agent)
        self.uno = self.w.agent = self.host("uno")

    def host(self, name, **kw):
        agent = HostAgent(self.w, name, **kw)
        self.w.parts.append(agent)
        return agent

    def known(self):
        return {h["name"]: h for h in self.w.call("GET", "/v1/hosts")["hosts"]}

    def state(self, name, want):
        deadline = time.monotonic() + scheduler_test.DEADLINE
        while self.known()[name]["state"] != want:
            self.assertLess(time.monotonic(), deadline, (want, self.known()))
            time.sleep(0.05)


class Records(Hosts):
    def test_a_host_is_listed_with_what_its_agent_says(self):
        self.host("dos", cpus=2, roles=["db"], zone="b")
        self.push(nodes={"web": node(scale=2)})
        known = self.known()
        self.assertEqual({"uno", "dos"}, set(known))
        self.assertEqual((2, ["db"], "b", "up", False, 25, "20.10.24"),
                         tuple(known["dos"][k] for k in ("cpus", "roles", "zone", "state", "leader", "load", "engine")))
        self.assertTrue(known["uno"]["leader"])
        info = self.w.call("GET", "/v1/hosts/uno")
        self.assertEqual(info["instances"], len(info["placed"]))
        self.refused("NOTFOUND", self.w.call, "GET", "/v1/hosts/nobody")

    def test_labels_and_drains_outlive_the_scheduler_and_its_agent(self):
        self.host("dos", roles=["ssd"])
        self.w.call("POST", "/v1/hosts/dos/label", {"add": ["db", "ssd-2"], "remove": []})
        self.w.call("POST", "/v1/hosts/dos/label", {"add": ["db"], "remove": ["ssd-2"]})
        self.w.call("POST", "/v1/hosts/dos/drain", {})
        self.refused("INVALID", self.w.call, "POST", "/v1/hosts/dos/label", {"add": ["No Role"]})
        self.refused("NOTFOUND", self.w.call, "POST", "/v1/hosts/dos/label", {"remove": ["never"]})
        self.w.kill()
        self.w.again()
        known = self.known()["dos"]
        self.assertEqual((["ssd", "db"], "draining"), (known["roles"], known["state"]))
        self.w.call("POST", "/v1/hosts/dos/undrain", {})
        self.assertEqual("up", self.known()["dos"]["state"])

    def test_only_one_machine_goes_by_a_name(self):
        dos = self.host("dos", ident="aa")
        with self.assertRaises(ApiError) as e:
            HostAgent(self.w, "dos", ident="bb")
        self.assertEqual("CONFLICT", e.exception.name)
        self.assertIn("another machine", e.exception.message)
        dos.close()
        self.state("dos", "away")
        HostAgent(self.w, "dos", ident="bb").close()

    def test_a_host_is_forgotten_when_it_is_gone_and_empty(self):
        dos = self.host("dos")
        self.refused("CONFLICT", self.w.call, "DELETE", "/v1/hosts/dos")
        self.refused("CONFLICT", self.w.call, "DELETE", "/v1/hosts/uno")
        dos.close()
        self.w.parts.remove(dos)
        self.state("dos", "away")
        self.w.call("DELETE", "/v1/hosts/dos")
        self.assertEqual({"uno"}, set(self.known()))


if __name__ == "__main__":
    unittest.main()
