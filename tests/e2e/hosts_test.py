"""Several hosts at one scheduler: the real program, with agents of the names uno, dos, tres that this file plays (as scheduler_test
does). What runs where is read from the documents that each agent is sent.
"""
import contextlib
import socket
import time
import unittest

import lib
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


class Copies(Hosts):
    def test_only_the_host_of_the_repositories_brings_what_no_hook_has_seen(self):
        self.host("dos")
        self.host("tres")
        self.push(nodes={"web": node()})
        for name in ("uno", "dos", "tres"):
            self.w.call("POST", f"/v1/hosts/{name}/address", {"addr": "127.0.0.1", "port": 9, "registry": name == "dos"})

        def bring(**origin):
            return self.w.call("POST", "/v1/internal/git", {"stack": "ragnar", "verb": "copy"} | origin, role="receiver", token=self.token)

        def taken():
            with contextlib.suppress(ApiError):
                return bring(**{"from": "dos"})["stack"] == "ragnar"
        lib.wait_for("uno keeps copies", taken)
        for origin in ({"from": "tres"}, {"from": "uno"}, {"from": ""}, {}):
            self.refused("DENIED", bring, **origin)


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
        theirs = self.w.call("GET", "/v1/hosts/uno", token=self.w.session("deploy", ["floki-*"])["token"])
        self.assertEqual((info["instances"], []), (theirs["instances"], theirs["placed"]), "names of others' stacks")
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

    def test_a_host_is_found_where_its_agent_says_it_is_now(self):
        for name, address in (("uno", "10.9.0.1"), ("dos", "10.9.0.2")):
            self.w.call("POST", f"/v1/hosts/{name}/address", {"addr": address, "port": 8792})
        dos = self.host("dos")

        def row():
            return next(k["value"] for k in self.w.call("GET", "/v1/state")["keys"] if k["key"] == "/host/dos")
        for says, is_at in (("10.9.0.9", "10.9.0.9"), ("10.9.0.1", "10.9.0.9"), ("127.0.0.1", "10.9.0.9"), ("x", "10.9.0.9")):
            dos.facts["cluster_address"] = says
            dos.tell()
            self.assertEqual(is_at, row()["addr"], says)
        self.assertEqual([("dos is known at 10.9.0.9, and cannot be at x, as it says", None)], self.doctor())

    def doctor(self):
        return [(c["what"], c["ok"]) for c in self.w.call("GET", "/v1/doctor")["checks"] if c["name"] == "hosts"]

    def test_doctor_tells_of_hosts_that_are_away_or_drained(self):
        dos = self.host("dos")
        self.assertEqual([], self.doctor())
        dos.facts["engine"] = ""
        dos.tell()
        self.assertEqual([("the engine of dos does not answer", False)], self.doctor())
        dos.facts["engine"] = "20.10.24"
        dos.tell()
        self.w.call("POST", "/v1/hosts/dos/drain", {})
        self.assertEqual([("dos takes no instances", None)], self.doctor())
        dos.close()
        self.w.parts.remove(dos)
        self.state("dos", "away")
        self.assertEqual([("dos is away: its agent is not connected", None)], self.doctor())

    def test_a_host_is_forgotten_when_it_is_gone_and_empty(self):
        dos = self.host("dos")
        self.refused("CONFLICT", self.w.call, "DELETE", "/v1/hosts/dos")
        self.refused("CONFLICT", self.w.call, "DELETE", "/v1/hosts/uno")
        dos.close()
        self.w.parts.remove(dos)
        self.state("dos", "away")
        self.w.call("DELETE", "/v1/hosts/dos")
        self.assertEqual({"uno"}, set(self.known()))
        self.refused("NOTFOUND", self.w.call, "DELETE", "/v1/hosts/dos")


class Three(Hosts):
    """Three hosts: uno (4 cores), dos (4, db), tres (2, ssd)."""

    def setUp(self):
        super().setUp()
        self.dos, self.tres = self.host("dos", roles=["db"]), self.host("tres", cpus=2, memory=4 * GIB, roles=["ssd"])
        self.agents = [self.uno, self.dos, self.tres]

    def lose(self, agent):
        agent.close()
        self.agents.remove(agent)
        self.w.parts.remove(agent)

    def where(self, stack="ragnar"):
        """{instance: host} as the agents were told, which `ps` must agree with."""
        told = {n: a.host for a in self.agents for n in a.names() if n.startswith(stack + "-")}
        shown = {i["name"]: i["host"] for i in self.w.call("GET", f"/v1/stacks/{stack}/ps")["instances"]}
        for name, host in shown.items():
            self.assertEqual(host, told.get(name, host), (told, shown))
        return shown

    def settled(self, stack="ragnar"):
        def same():
            want = {n for a in self.agents for n in a.names()}
            have = {n for a in self.agents for n in a.here}
            return want == have and not self.w.router.servers(stack, "drain")
        self.w.until(same, "agents to have what is wanted")

    def fails(self, text, stack="ragnar", **kw):
        end = self.w.push(stack, document(self.w.commit(), **kw), self.token).end()
        self.assertFalse(end["ok"], end)
        self.assertIn(text, end["message"])
        return end


class Placement(Three):
    def test_instances_are_spread_and_stay_over_a_restart(self):
        self.push(nodes={"web": node(scale=3)})
        first = self.where()
        self.assertEqual({"uno", "dos", "tres"}, set(first.values()))
        rows = {k["key"]: k["value"] for k in self.w.call("GET", "/v1/state?prefix=/assign/")["keys"]}
        self.assertEqual({"ragnar": ["ragnar-web-1-1"]}, rows["/assign/" + first["ragnar-web-1-1"]]["stacks"])
        self.w.kill()
        self.w.again()
        self.settled()
        self.assertEqual(first, self.where())
        self.assertEqual(sorted(first), sorted(n for a in self.agents for n in a.here))

    def test_roles_and_hosts_rule(self):
        self.push(nodes={"db": node(place={"roles": ["db"]}), "web": node(scale=2, place={"hosts": ["uno", "tres"]})})
        at = self.where()
        self.assertEqual("dos", at["ragnar-db-1-1"])
        self.assertEqual({"uno", "tres"}, {at["ragnar-web-1-1"], at["ragnar-web-1-2"]})
        def early(text, **place):  # before anything is built
            with self.assertRaises(ApiError) as e:
                self.w.check("ragnar", document(self.w.commit(), nodes={"web": node(place=place)}), self.token)
            self.assertIn(text, e.exception.message)
        early("node web: no host has the role gpu", roles=["gpu"])
        early("node web: there is no host quatro", hosts=["uno", "quatro"])
        end = self.fails("no host for web.1: none of the hosts uno is up and has the role db",
                         nodes={"web": node(place={"hosts": ["uno"], "roles": ["db"]})})
        self.assertIn("viking hosts", end["hint"])
        self.assertEqual(at, self.where(), "what serves was touched")

    def test_what_is_reserved_is_taken_and_missing_room_is_named(self):
        self.push(nodes={"web": node(scale=2, cpus_milli=3000)})
        self.assertEqual({"uno", "dos"}, set(self.where().values()))
        end = self.fails("cpu on 3 hosts short by at least", stack="floki", nodes={"job": node(domains=[], cpus_milli=2500)})
        self.assertIn("no host for job.1", end["message"])
        self.push("bjorn", nodes={"job": node(cpus_milli=2000)})
        self.assertEqual({"tres"}, set(self.where("bjorn").values()))

    def test_without_room_for_both_the_old_stop_first(self):
        self.push(nodes={"web": node(scale=2, cpus_milli=3000)})
        n, stream = self.push(nodes={"web": node(scale=2, cpus_milli=3000, env={"A": "1"})})
        self.assertTrue(any("the old stop first" in line for line in stream.out()), stream.out())
        self.settled()
        self.assertEqual(["ragnar-web-2-1", "ragnar-web-2-2"], sorted(self.where()))

    def test_a_group_is_together_and_its_data_holds_it(self):
        volume = {"path": "/data", "name": "", "host": ""}
        def nodes(**more):
            return {"db": node(volumes=[volume], place={"group": "g", "roles": ["ssd"]}), "app": node(place={"group": "g"}, **more)}
        self.push(nodes=nodes())
        self.assertEqual({"tres"}, set(self.where().values()))
        self.push(nodes=nodes(env={"B": "2"}))
        self.settled()
        self.assertEqual({"tres"}, set(self.where().values()))
        rows = self.w.call("GET", "/v1/volumes")["volumes"]
        self.assertEqual(["tres"], [v["host"] for v in rows])

    def test_hard_spread_and_max_per_host(self):
        self.fails("no host for web.4", nodes={"web": node(scale=4, place={"spread": "hard"})})
        self.push(nodes={"web": node(scale=4, place={"max_per_host": 2})})
        hosts = list(self.where().values())
        self.assertEqual(3, len(set(hosts)))

    def test_scaling_places_only_what_is_new(self):
        self.push(nodes={"web": node()})
        first = self.where()
        end = self.w.stream("POST", "/v1/stacks/ragnar/ps/scale", {"web": 3}, token=self.token).end()
        self.assertTrue(end["ok"], end)
        at = self.where()
        self.assertEqual(3, len(set(at.values())))
        self.assertEqual(first.items() & at.items(), first.items())

    def test_nothing_new_goes_to_a_host_that_is_draining(self):
        self.w.call("POST", "/v1/hosts/uno/drain", {})
        self.w.call("POST", "/v1/hosts/tres/drain", {})
        self.push(nodes={"web": node(scale=2)})
        self.assertEqual({"dos"}, set(self.where().values()))
        lines = self.w.call("GET", "/v1/explain/ragnar/web")["lines"]
        self.assertTrue(any("uno is draining" in line for line in lines), lines)
        self.assertTrue(any("dos could take one" in line for line in lines), lines)


    def test_jobs_that_reserve_nothing_are_spread_too(self):
        for name in ("a1", "a2", "a3", "a4", "a5", "a6"):
            self.push(name, nodes={"job": node(domains=[])})
        hosts = [h for name in ("a1", "a2", "a3", "a4", "a5", "a6") for h in self.where(name).values()]
        # in proportion to what they have: tres is half of each of the others
        self.assertEqual([1, 2, 3], sorted(hosts.count(h) for h in ("uno", "dos", "tres")), hosts)
        self.assertEqual(1, hosts.count("tres"), hosts)

    def test_a_plan_says_where_and_why_not(self):
        self.push(nodes={"web": node(cpus_milli=3000)})
        plan = self.w.call("GET", "/v1/plan/ragnar")
        self.assertEqual([("ragnar-web-1-1", self.where()["ragnar-web-1-1"])], [(p["instance"], p["host"]) for p in plan["placements"]])
        self.assertTrue(any("web on tres cpu is short by 1 core" in line for line in plan["lines"]), plan["lines"])

    def test_a_plan_of_a_stack_without_a_release_says_so(self):
        self.w.call("POST", "/v1/stacks", {"name": "empty"})
        e = self.refused("NOTFOUND", self.w.call, "GET", "/v1/plan/empty")
        self.assertEqual(("empty has no release yet", "git push ssh://viking@HOST:2222/empty master"), (e.body["message"], e.body["hint"]))

    def test_the_host_that_answers_is_not_removed_and_says_what_to_do(self):
        e = self.refused("CONFLICT", self.w.call, "DELETE", "/v1/hosts/uno")
        self.assertIn("viking hosts:drain uno", e.body["hint"])

    def test_a_new_host_gets_its_share_when_asked(self):
        for name in ("dos", "tres"):
            self.w.call("POST", f"/v1/hosts/{name}/drain", {})
        self.push(nodes={"web": node(scale=3)})
        self.assertEqual({"uno"}, set(self.where().values()))
        for name in ("dos", "tres"):
            self.w.call("POST", f"/v1/hosts/{name}/undrain", {})
        plan = self.w.call("POST", "/v1/rebalance", {"dry_run": True})["moves"]
        self.assertEqual([("ragnar", "web", 3)], [(m["stack"], m["node"], len(set(m["to"]))) for m in plan])
        self.assertEqual({"uno"}, set(self.where().values()), "a dry run moved something")
        self.w.call("POST", "/v1/rebalance", {})
        self.w.until(lambda: {"ragnar-web-2-1", "ragnar-web-2-2", "ragnar-web-2-3"} == {n for a in self.agents for n in a.here}, "the move")
        self.assertEqual({"uno", "dos", "tres"}, set(self.where().values()))
        self.w.until(lambda: self.w.call("GET", "/v1/stacks")["stacks"][0]["state"] == "running", "its end")
        self.assertEqual([], self.w.call("POST", "/v1/rebalance", {"dry_run": True})["moves"])


class Away(Three):
    def setUp(self):
        scheduler_test.CONFIG["cluster"] = {"host_grace": "1m"}
        self.addCleanup(scheduler_test.CONFIG.pop, "cluster")
        super().setUp()

    def test_a_host_that_has_been_away_for_a_moment_takes_nothing_new(self):
        self.lose(self.tres)
        time.sleep(5.5)  # the moment
        self.assertEqual("away", self.known()["tres"]["state"])
        self.push(nodes={"web": node(scale=3)})
        self.assertEqual({"uno", "dos"}, set(self.where().values()))


class Silent(Three):
    """Nobody is lost for being away, but for having a machine that does not answer."""

    def setUp(self):
        scheduler_test.CONFIG["cluster"] = {"host_grace": "10m"}
        self.addCleanup(scheduler_test.CONFIG.pop, "cluster")
        super().setUp()
        self.push(nodes={"web": node(scale=3)})

    def machine(self, name, answers):
        """A port that refuses connections, or one that does nothing with them, as its queue is full."""
        with contextlib.ExitStack() as sockets:
            listener = sockets.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            self.w.call("POST", f"/v1/hosts/{name}/address", {"addr": "127.0.0.1", "port": listener.getsockname()[1], "registry": False})
            if answers:
                return
            listener.listen(0)
            for _ in range(3):
                s = sockets.enter_context(socket.socket())
                s.setblocking(False)
                s.connect_ex(listener.getsockname())
            self.addCleanup(sockets.pop_all().close)

    def test_a_machine_that_is_silent_is_not_waited_for_and_one_that_refuses_is(self):
        self.machine("dos", answers=True)
        self.machine("tres", answers=False)
        self.lose(self.dos)
        self.lose(self.tres)
        self.state("tres", "lost")
        self.assertEqual("away", self.known()["dos"]["state"])
        self.w.until(lambda: len(self.uno.names()) == 2, "what ran there to start elsewhere")
        self.agents.append(self.host("tres", cpus=2, memory=4 * GIB, roles=["ssd"]))
        self.state("tres", "up")

    def test_who_finds_half_of_the_cluster_silent_gives_up_nobody(self):
        for name in ("dos", "tres"):
            self.machine(name, answers=False)
        self.lose(self.tres)
        self.w.until(lambda: "silent=2 of=3" in self.w.log(), "the roll call")
        self.assertEqual(("up", "away"), tuple(self.known()[n]["state"] for n in ("dos", "tres")))
        self.assertEqual({"uno", "dos", "tres"}, {i["host"] for i in self.w.call("GET", "/v1/stacks/ragnar/ps")["instances"]})


class Loss(Three):
    """A host is lost two seconds after its agent went."""

    def setUp(self):
        scheduler_test.CONFIG["cluster"] = {"host_grace": "2s"}
        self.addCleanup(scheduler_test.CONFIG.pop, "cluster")
        super().setUp()

    def shown(self, stack="ragnar"):
        return {i["name"]: i for i in self.w.call("GET", f"/v1/stacks/{stack}/ps")["instances"]}

    def test_what_can_go_runs_elsewhere_and_only_that_moves(self):
        self.push(nodes={"web": node(scale=3), "job": node(domains=[], restart="never", place={"hosts": ["tres"]})})
        before = self.where()
        name = next(n for n, h in before.items() if h == "tres" and "-web-" in n)
        old = self.tres
        self.lose(old)
        self.w.until(lambda: any(name in a.here for a in self.agents), name + " to start elsewhere")
        after = self.where()
        self.assertEqual({name}, {n for n in before if after[n] != before[n]})
        self.assertEqual("lost", self.known()["tres"]["state"])
        self.assertEqual("delayed", self.shown()["ragnar-job-1-1"]["state"], "a job that is not restarted was done there")
        self.w.until(lambda: name in self.w.router.servers("ragnar"), "its route")
        told = [e["what"] for e in self.w.call("GET", "/v1/events") if e.get("type") == "host" and e.get("instance") == name]
        self.assertEqual(1, len(told), told)
        self.assertIn("tres is lost", told[0])
        # it returns with what it had: that is no longer its own, whatever it says
        back = self.host("tres", cpus=2, memory=4 * GIB, roles=["ssd"])
        self.agents.append(back)
        self.assertNotIn(name, back.names())
        back.post("/v1/internal/agent/status", {"host": "tres", "rev": back.doc["rev"], "full": True,
                                                "instances": [back.status(dict(old.here[name]), "healthy", ip="10.9.9.9")]})
        addresses = [s["addr"] for b in self.w.router.doc["stacks"]["ragnar"]["backends"].values() for s in b["servers"]]
        self.assertNotIn("10.9.9.9", addresses)
        self.assertEqual(after, self.where())

    def deploying(self, **kw):
        """A push whose instance on tres has been told to start, and has not."""
        for a in self.agents:
            a.hold("web", "everything")
        s = self.w.push("ragnar", document(self.w.commit(), **kw), self.token)
        self.w.until(self.tres.names, "something to start on tres")
        return s

    def test_a_deploy_follows_when_its_host_is_lost(self):
        s = self.deploying(nodes={"web": node(scale=3)})
        self.lose(self.tres)
        for a in self.agents:
            a.release()
        end = s.end()
        self.assertTrue(end["ok"], end)
        self.assertEqual(1, sum("goes to" in x and "tres is lost" in x for x in s.out()), s.out())
        self.assertEqual({"uno", "dos"}, set(self.where().values()))
        self.settled()

    def test_a_release_task_is_not_run_twice(self):
        s = self.deploying(nodes={"web": node(release=["migrate"], place={"hosts": ["tres"]})})
        self.lose(self.tres)
        self.assertIn("release task of web: its host tres is lost", self.failed(s, "UNAVAILABLE")["message"])

    def test_data_holds_a_node_where_it_is(self):
        volume = {"path": "/data", "name": "", "host": ""}
        self.push(nodes={"db": node(volumes=[volume], place={"roles": ["db"]}), "web": node(place={"hosts": ["uno"]})})
        self.assertEqual("dos", self.where()["ragnar-db-1-1"])
        self.lose(self.dos)
        self.state("dos", "lost")
        self.w.until(lambda: True)
        db = self.shown()["ragnar-db-1-1"]
        self.assertEqual(("delayed", "pinned to dos, which is lost", "dos"), (db["state"], db["reason"], db["host"]))
        self.assertFalse(any("ragnar-db-1-1" in a.names() for a in self.agents), "it was started twice")
        end = self.fails("db.1 is delayed: pinned to dos, which is lost",
                         nodes={"db": node(volumes=[volume], env={"A": "2"}), "web": node(place={"hosts": ["uno"]})})
        self.assertEqual("UNAVAILABLE", end["error"])
        self.refused("CONFLICT", self.w.call, "DELETE", "/v1/hosts/dos")
        back = self.host("dos", roles=["db"])
        self.agents.append(back)
        self.w.until(lambda: "ragnar-db-1-1" in back.here, "the database where it was")
        self.assertEqual("running", self.shown()["ragnar-db-1-1"]["state"])

    def test_a_lost_host_is_found_by_the_next_scheduler_too(self):
        self.push(nodes={"web": node(scale=3)})
        name = next(n for n, h in self.where().items() if h == "dos")
        self.lose(self.dos)
        self.w.kill()
        self.w.again()
        self.w.until(lambda: any(name in a.here for a in self.agents), name + " to start elsewhere")

    def test_killed_at_the_move_it_is_moved_once(self):
        self.push(nodes={"web": node(scale=3)})
        name = next(n for n, h in self.where().items() if h == "dos")
        seen = self.w.follow("ragnar", on_line=lambda e: e.get("type") == "host" and self.w.process.kill())
        self.lose(self.dos)
        self.w.until(lambda: seen.over, "the end of the scheduler")
        self.w.kill()
        self.w.again()
        self.w.until(lambda: any(name in a.here for a in self.agents), name + " to start elsewhere")
        self.assertEqual(1, sum(name in a.names() for a in self.agents))

    def test_a_draining_host_gives_away_what_can_go(self):
        volume = {"path": "/data", "name": "", "host": ""}
        self.push(nodes={"web": node(scale=3), "db": node(volumes=[volume], place={"hosts": ["tres"]})})
        self.w.call("POST", "/v1/hosts/tres/drain", {})
        self.w.until(lambda: self.tres.names() == ["ragnar-db-1-1"] and not self.w.router.servers("ragnar", "drain"),
                     "only the data to be left")
        self.settled()
        self.assertEqual({"uno", "dos"}, {h for n, h in self.where().items() if "-web-" in n})
        newest = self.w.call("GET", "/v1/stacks/ragnar/releases")["releases"]
        self.assertIn("drain of tres", [r["why"] for r in newest])


if __name__ == "__main__":
    unittest.main()
