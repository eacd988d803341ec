#include "net.h"

#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#include "routes.h"

#define AGAIN_MS 3000

enum thing_state { THING_NEW, THING_BUSY, THING_READY, THING_BAD };
struct thing {
	struct nets *nets;
	struct thing *next;
	bool network; /* else a volume */
	bool removal; /* to be removed, not made */
	bool wanted;
	bool redo; /* the document changed while a call was in flight */
	char *name, *subnet, *stack, *node, *path;
	enum thing_state state;
	struct vk_err err;
	struct vk_engine_op *op;
	struct vk_timer *again;
};
struct nets {
	struct agent *a;
	struct thing *things;
};

static void begin(void *arg);

struct nets *nets_new(struct agent *a)
{
	struct nets *n = vk_alloc(sizeof(*n));
	n->a = a;
	return n;
}

static void thing_free(struct thing *t)
{
	if (t->op != NULL)
		vk_engine_op_cancel(t->op);
	vk_timer_free(t->again);
	free(t->name);
	free(t->subnet);
	free(t->stack);
	free(t->node);
	free(t->path);
	free(t);
}

void nets_free(struct nets *n)
{
	for (struct thing *t = n != NULL ? n->things : NULL, *next; t != NULL; t = next) {
		next = t->next;
		thing_free(t);
	}
	free(n);
}

static void settle(struct thing *t, enum thing_state state)
{
	t->state = state;
	if (t->redo) {
		t->redo = false;
		begin(t);
		return;
	}
	if (state == THING_BAD) {
		vk_log_err(VK_WARN, t->network ? "network-trouble" : "volume-trouble", &t->err);
		vk_timer_set(t->again, AGAIN_MS);
	}
	agent_step_all(t->nets->a);
}

static void call(struct thing *t, const char *method, const char *path, const json_t *body,
	vk_engine_done_fn *done)
{
	t->op = vk_engine_call_async(
		t->nets->a->engine, method, path, body, AGENT_CALL_MS, done, t);
}

static bool ours(const struct thing *t, const json_t *answer)
{
	const char *root = vk_json_str(json_object_get(answer, "Labels"), "viking.root", NULL);
	return vk_streq(root, t->nets->a->root);
}

static void foreign(struct thing *t)
{
	const char *what = t->network ? "network" : "volume";
	vk_err_set(&t->err, VK_CONFLICT, "a %s named %s exists that is not this viking's", what,
		t->name);
	vk_err_hint(&t->err, "docker %s inspect %s", what, t->name);
	settle(t, THING_BAD);
}

/* Common end of calls: true when the error was dealt with. */
static bool failed(struct thing *t, const struct vk_err *err, const char *doing)
{
	t->op = NULL;
	if (err->code == 0)
		return false;
	if (err->code == VK_UNAVAILABLE || err->code == VK_TIMEOUT)
		agent_engine_failed(t->nets->a, err);
	t->err = *err;
	vk_err_wrap(&t->err, "%s %s", doing, t->name);
	settle(t, THING_BAD);
	return true;
}

/* ---- making ---- */

static json_t *labels(const struct thing *t)
{
	json_t *l =
		json_pack("{s:s,s:s}", "viking.root", t->nets->a->root, "viking.stack", t->stack);
	if (!t->network) {
		json_object_set_new(l, "viking.node", json_string(t->node));
		json_object_set_new(l, "viking.path", json_string(t->path));
	}
	return l;
}

static void on_network_made(void *arg, const struct vk_err *err, json_t *answer)
{
	struct thing *t = arg;
	(void)answer;
	if (!failed(t, err, "network"))
		settle(t, THING_READY);
	else if (strstr(err->msg, "overlap") != NULL)
		vk_err_hint(&t->err, "networks.range in /etc/viking/viking.conf");
}

static bool clashes(struct thing *t, const struct cidr *c)
{
	vk_autofree struct route *routes = NULL;
	size_t n = 0;
	char text[20];
	routes_read(&routes, &n);
	const struct route *r = routes_clash(routes, n, c);
	if (r == NULL)
		return false;
	cidr_print(&r->net, text);
	vk_err_set(&t->err, VK_CONFLICT,
		"network %s: subnet %s clashes with this host's route %s on %s", t->name, t->subnet,
		text, r->device);
	vk_err_hint(&t->err, "networks.range in /etc/viking/viking.conf");
	settle(t, THING_BAD);
	return true;
}

static void make_network(struct thing *t)
{
	struct cidr c;
	if (cidr_parse(t->subnet, &c) < 0) {
		vk_err_set(
			&t->err, VK_INVALID, "network %s: '%s' is no subnet", t->name, t->subnet);
		settle(t, THING_BAD);
		return;
	}
	if (clashes(t, &c))
		return;
	vk_autojson *body = json_pack("{s:s,s:b,s:s,s:{s:s,s:[{s:s}]},s:o}", "Name", t->name,
		"CheckDuplicate", 1, "Driver", "bridge", "IPAM", "Driver", "default", "Config",
		"Subnet", t->subnet, "Labels", labels(t));
	call(t, "POST", "/networks/create", body, on_network_made);
}

static void on_old_removed(void *arg, const struct vk_err *err, json_t *answer)
{
	struct thing *t = arg;
	(void)answer;
	if (!failed(t, err, "network with another subnet"))
		make_network(t);
}

static void on_network_seen(void *arg, const struct vk_err *err, json_t *answer)
{
	struct thing *t = arg;
	json_t *config = json_object_get(json_object_get(answer, "IPAM"), "Config");
	if (err->code == VK_NOTFOUND) {
		t->op = NULL;
		make_network(t);
		return;
	}
	if (failed(t, err, "network"))
		return;
	if (!ours(t, answer)) {
		foreign(t);
		return;
	}
	if (vk_streq(vk_json_str(json_array_get(config, 0), "Subnet", ""), t->subnet)) {
		settle(t, THING_READY);
		return;
	}
	vk_autofree char *path = vk_asprintf("/networks/%s", t->name);
	call(t, "DELETE", path, NULL, on_old_removed);
}

static void on_volume_seen(void *arg, const struct vk_err *err, json_t *answer)
{
	struct thing *t = arg;
	if (failed(t, err, "volume"))
		return;
	if (ours(t, answer))
		settle(t, THING_READY);
	else
		foreign(t);
}

/* Making an existing one answers with it, but after a restart of the engine (20.10) without its labels until it has been
 * inspected once. */
static void on_volume_made(void *arg, const struct vk_err *err, json_t *answer)
{
	struct thing *t = arg;
	if (failed(t, err, "volume"))
		return;
	if (ours(t, answer)) {
		settle(t, THING_READY);
		return;
	}
	vk_autofree char *path = vk_asprintf("/volumes/%s", t->name);
	call(t, "GET", path, NULL, on_volume_seen);
}

/* ---- removing ---- */

static void on_removed(void *arg, const struct vk_err *err, json_t *answer)
{
	struct thing *t = arg;
	(void)answer;
	if (err->code == VK_NOTFOUND) {
		t->op = NULL;
		settle(t, THING_READY);
		return;
	}
	if (!failed(t, err, "removing"))
		settle(t, THING_READY);
}

static void on_seen_for_removal(void *arg, const struct vk_err *err, json_t *answer)
{
	struct thing *t = arg;
	if (err->code == VK_NOTFOUND) {
		t->op = NULL;
		settle(t, THING_READY);
		return;
	}
	if (failed(t, err, "removing"))
		return;
	if (!ours(t, answer)) {
		settle(t, THING_READY); /* not ours to remove */
		return;
	}
	vk_autofree char *path =
		vk_asprintf("/%s/%s", t->network ? "networks" : "volumes", t->name);
	call(t, "DELETE", path, NULL, on_removed);
}

static void begin(void *arg)
{
	struct thing *t = arg;
	vk_autofree char *path =
		vk_asprintf("/%s/%s", t->network ? "networks" : "volumes", t->name);
	if (t->op != NULL)
		return;
	t->state = THING_BUSY;
	if (t->removal) {
		call(t, "GET", path, NULL, on_seen_for_removal);
	} else if (t->network) {
		call(t, "GET", path, NULL, on_network_seen);
	} else {
		vk_autojson *body = json_pack("{s:s,s:o}", "Name", t->name, "Labels", labels(t));
		call(t, "POST", "/volumes/create", body, on_volume_made);
	}
}

/* ---- the table ---- */

static struct thing *find(const struct nets *n, const char *name, bool network)
{
	for (struct thing *t = n->things; t != NULL; t = t->next)
		if (t->network == network && vk_streq(t->name, name))
			return t;
	return NULL;
}

static struct thing *want(struct nets *n, const char *name, bool network, bool removal)
{
	struct thing *t = find(n, name, network);
	if (t == NULL) {
		t = vk_alloc(sizeof(*t));
		t->nets = n;
		t->name = vk_strdup(name);
		t->network = network;
		t->again = vk_timer_new(n->a->loop, begin, t);
		t->next = n->things;
		n->things = t;
	} else if (t->removal != removal) {
		t->redo = t->op != NULL;
		t->state = THING_NEW;
	}
	t->removal = removal;
	t->wanted = true;
	return t;
}

static void set(char **slot, const char *value)
{
	free(*slot);
	*slot = vk_strdup(value);
}

static void want_network(struct nets *n, const struct desired_network *d)
{
	struct thing *t = want(n, d->name, true, false);
	if (t->subnet != NULL && !vk_streq(t->subnet, d->subnet)) {
		t->redo = t->op != NULL;
		t->state = THING_NEW;
	}
	set(&t->subnet, d->subnet);
	set(&t->stack, d->stack);
}

static void want_volume(struct nets *n, const struct desired_volume *d)
{
	struct thing *t = want(n, d->name, false, false);
	set(&t->stack, d->stack);
	set(&t->node, d->node);
	set(&t->path, d->path);
}

static void forget_unwanted(struct nets *n)
{
	for (struct thing **at = &n->things; *at != NULL;) {
		struct thing *t = *at;
		if (t->wanted) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		thing_free(t);
	}
}

void nets_want(struct nets *n, const struct desired *d)
{
	for (struct thing *t = n->things; t != NULL; t = t->next)
		t->wanted = false;
	for (size_t i = 0; i < d->n_removes; i++) {
		const struct desired_remove *r = &d->removes[i];
		want(n, r->network != NULL ? r->network : r->volume, r->network != NULL, true);
	}
	for (size_t i = 0; i < d->n_networks; i++)
		want_network(n, &d->networks[i]);
	for (size_t i = 0; i < d->n_volumes; i++)
		want_volume(n, &d->volumes[i]);
	forget_unwanted(n);
	for (struct thing *t = n->things; t != NULL; t = t->next)
		if (t->state == THING_NEW)
			begin(t);
}

static bool ready(const struct nets *n, const char *name, bool network, struct vk_err *why)
{
	const struct thing *t = find(n, name, network);
	if (t == NULL || t->removal) {
		vk_err_set(why, VK_INVALID, "%s %s is not in the document",
			network ? "network" : "volume", name);
		return false;
	}
	if (t->state == THING_READY)
		return true;
	if (t->err.code != 0)
		*why = t->err;
	return false;
}

bool nets_ready(const struct nets *n, const struct desired_instance *in, struct vk_err *why)
{
	size_t i;
	json_t *m;
	if (in->network != NULL && in->network[0] != '\0' && !vk_streq(in->network_mode, "host") &&
		!vk_streq(in->network_mode, "none") && !ready(n, in->network, true, why))
		return false;
	json_array_foreach(in->mounts, i, m)
	{
		const char *volume = vk_json_str(m, "volume", NULL);
		if (volume != NULL && !ready(n, volume, false, why))
			return false;
	}
	return true;
}

void nets_recheck(struct nets *n)
{
	for (struct thing *t = n->things; t != NULL; t = t->next)
		if (t->state == THING_READY && !t->removal)
			begin(t);
}
