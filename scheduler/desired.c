/* What each host shall run, as one document. */
#include "desired.h"

#include <string.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "net.h"

static const char *const copied[] = {
	"image",
	"cwd",
	"env",
	"expose",
	"mounts",
	"aliases",
	"health",
	"memory",
	"cpus_milli",
	"pids",
	"stop_ms",
	"restart_count",
	"privileged",
	"network_mode",
	"pid_mode",
	"group",
	"group_role",
	"group_policy",
};

json_t *desired_instance(
	const struct stack *sk, const struct inst *i, const json_t *def, int64_t health_timeout_ms)
{
	vk_autofree char *network = vk_asprintf("viking-%s", sk->name);
	json_t *j = json_pack("{s:s,s:s,s:s,s:i,s:i,s:i,s:s,s:n,s:s,s:I,s:s,s:I}", "name", i->name,
		"stack", sk->name, "node", i->node, "version", (int)i->version, "n", (int)i->n,
		"release", (int)i->born, "kind", i->task ? "task" : "app", "entrypoint", "network",
		network, "health_timeout_ms", (json_int_t)health_timeout_ms, "want",
		i->stop ? "stop" : "run", "gen", (json_int_t)i->gen);
	for (size_t c = 0; c < VK_COUNT(copied); c++)
		json_object_set(j, copied[c], json_object_get(def, copied[c]));
	json_t *disk = json_object_get(json_object_get(def, "place"), "disk");
	if (disk != NULL)
		json_object_set(j, "disk", disk);
	json_object_set(j, "cmd", json_object_get(def, i->task ? "release" : "cmd"));
	const char *entry = i->task ? "release_entrypoint" : "entrypoint";
	if (json_object_get(def, entry) != NULL)
		json_object_set(j, "entrypoint", json_object_get(def, entry));
	json_object_set_new(j, "restart",
		json_string(i->task ? "never" : vk_json_str(def, "restart", "always")));
	if (i->task) { /* a task answers no requests and holds no host port */
		json_object_set_new(j, "publish", json_array());
		json_object_set_new(j, "aliases", json_array());
		json_object_set_new(j, "health", json_pack("{s:s}", "type", "none"));
	} else {
		json_object_set(j, "publish", json_object_get(def, "publish"));
	}
	return j;
}

/* Not a part of the definition: containers that run keep what they were started with. */
static void desired_dns(const struct desired_in *in, const struct stack *sk, json_t *j)
{
	char gateway[32];
	net_gateway(&in->range, sk, gateway);
	json_object_set_new(j, "dns", json_pack("[s]", gateway));
	json_object_set_new(j, "dns_search", json_pack("[o]", json_sprintf("%s.viking", sk->name)));
}

/* Neither a part of the definition. Containers have IPv4 addresses. */
static void desired_reach(const struct desired_in *in, const char *host, json_t *j)
{
	const struct host_row *own = table_get(&in->st->hosts, in->own),
			      *row = table_get(&in->st->hosts, host[0] != '\0' ? host : in->own);
	bool cluster = own != NULL && own->addr != NULL && row != NULL && row->addr != NULL;
	if (cluster && strchr(row->addr, ':') == NULL)
		json_object_set_new(j, "reach", json_string(row->addr));
}

static json_t *host_doc(const struct desired_in *in, json_t *docs, const char *host)
{
	json_t *doc = json_object_get(docs, host[0] != '\0' ? host : in->own);
	return doc != NULL ? doc : json_object_get(docs, in->own);
}

static void add_network(const struct desired_in *in, const struct stack *sk, json_t *doc)
{
	json_t *list = json_object_get(doc, "networks");
	const json_t *last = json_array_get(list, json_array_size(list) - 1);
	char subnet[32];
	if (last != NULL && strcmp(vk_json_str(last, "stack", ""), sk->name) == 0)
		return;
	subnet_text(&in->range, sk->row.subnet, subnet);
	json_array_append_new(list,
		json_pack("{s:o,s:s,s:s}", "name", json_sprintf("viking-%s", sk->name), "subnet",
			subnet, "stack", sk->name));
}

/* A stack's network is on the hosts where it runs, and always on this one. */
static void desired_stack(const struct desired_in *in, const struct stack *sk, json_t *docs)
{
	struct inst_list list = {0};
	stack_instances(sk, stack_overlay(sk), &list);
	for (size_t i = 0; i < list.n; i++) {
		const json_t *def = in->def(in->arg, sk, list.v[i].born, list.v[i].node);
		if (def == NULL)
			continue;
		json_t *doc = host_doc(in, docs, list.v[i].host);
		json_t *j = desired_instance(sk, &list.v[i], def, in->health_timeout_ms);
		if (in->dns)
			desired_dns(in, sk, j);
		desired_reach(in, list.v[i].host, j);
		json_array_append_new(json_object_get(doc, "instances"), j);
		add_network(in, sk, doc);
	}
	inst_list_release(&list);
	add_network(in, sk, json_object_get(docs, in->own));
}

static void desired_gone(const struct state *st, json_t *remove, json_t *forget, json_t *move)
{
	const struct gone_row *row;
	table_each(&st->gone, i, row)
	{
		const char *name = strchr(row->name, '/');
		if (name == NULL || vk_starts(row->name, "repo/"))
			continue;
		if (row->to != NULL)
			json_object_set_new(move, name + 1, json_string(row->to));
		else if (vk_starts(row->name, "logs/"))
			json_array_append_new(forget, json_string(name + 1));
		else
			json_array_append_new(remove,
				json_pack("{s:s}",
					vk_starts(row->name, "volume/") ? "volume" : "network",
					name + 1));
	}
}

json_t *desired_none(uint64_t epoch)
{
	return json_pack("{s:I,s:[],s:[],s:[],s:[],s:{},s:[]}", "epoch", (json_int_t)epoch,
		"networks", "volumes", "instances", "forget_logs", "move_logs", "remove");
}

/* Every host's, but for networks, volumes and instances. */
static json_t *empty_docs(const struct desired_in *in)
{
	json_t *docs = json_object();
	vk_autojson *remove = json_array(), *forget = json_array(), *move = json_object();
	const struct host_row *h;
	desired_gone(in->st, remove, forget, move);
	json_object_set_new(docs, in->own, json_object());
	table_each(&in->st->hosts, i, h) json_object_set_new(docs, h->name, json_object());
	const char *host;
	json_t *doc;
	json_object_foreach(docs, host, doc)
	{
		vk_autojson *none = desired_none(in->st->epoch);
		json_object_update(doc, none);
		json_object_set(doc, "forget_logs", forget);
		json_object_set(doc, "move_logs", move);
		json_object_set(doc, "remove", remove);
	}
	return docs;
}

json_t *desired_build(const struct desired_in *in)
{
	json_t *docs = empty_docs(in);
	struct stack *sk;
	table_each(&in->st->stacks, i, sk) if (sk->exists) desired_stack(in, sk, docs);
	struct volume_row *v;
	table_each(&in->st->volumes, i, v) json_array_append_new(
		json_object_get(host_doc(in, docs, v->host != NULL ? v->host : ""), "volumes"),
		json_pack("{s:s,s:s,s:s,s:s}", "name", v->name, "stack", v->stack, "node", v->node,
			"path", v->path));
	return docs;
}
