/* From a free start slot to a verified container: create (pull if the image is absent), start, inspect. */
#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#include "ifaddr.h"
#include "images.h"
#include "instance.h"
#include "logring.h"
#include "net.h"
#include "ports.h"
#include "spec.h"
#include "status.h"

void inst_give_slot(struct inst *i)
{
	if (!i->slot)
		return;
	i->slot = false;
	i->a->starting--;
}

static void free_slot(struct inst *i)
{
	struct agent *a = i->a;
	inst_give_slot(i);
	agent_slots(a);
}

static struct vk_engine_op *call(struct inst *i, const char *method, const json_t *body,
	vk_engine_done_fn *done, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static struct vk_engine_op *call(struct inst *i, const char *method, const json_t *body,
	vk_engine_done_fn *done, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *path = vk_vasprintf(fmt, ap);
	va_end(ap);
	return vk_engine_call_async(i->a->engine, method, path, body, AGENT_CALL_MS, done, i);
}

/* The engine is away: nobody's failure. The same again in a second. */
static void again(struct inst *i, const struct vk_err *err)
{
	agent_engine_failed(i->a, err);
	inst_reason(i, "%s", err->msg);
	inst_retry(i, AGENT_RETRY_MS);
	free_slot(i);
}

static bool mine(const struct inst *i, const json_t *labels)
{
	return vk_streq(vk_json_str(labels, "viking.root", NULL), i->a->root) &&
		vk_streq(vk_json_str(labels, "viking.instance", NULL), i->name) &&
		json_object_get(labels, "viking.run") == NULL;
}

/* The name is taken: by a container of ours (a create whose answer was lost) or by a stranger. */
static void on_clash(void *arg, const struct vk_err *err, json_t *answer)
{
	struct inst *i = arg;
	json_t *labels = json_object_get(json_object_get(answer, "Config"), "Labels");
	i->op = NULL;
	if (err->code != 0) {
		again(i, err); /* away, or gone meanwhile */
		return;
	}
	if (!mine(i, labels)) {
		inst_reason(i,
			"a container named %s exists that is not this viking's; try: docker rename "
			"%s",
			i->name, i->name);
		inst_retry(i, 5000);
		free_slot(i);
		return;
	}
	inst_adopt(i, vk_json_str(answer, "Id", ""), vk_json_str(labels, "viking.hash", NULL),
		vk_json_bool(json_object_get(answer, "State"), "Running", false));
	free_slot(i);
	inst_step(i);
}

static void on_pulled(void *arg, const struct vk_err *err)
{
	struct inst *i = arg;
	i->pull = NULL;
	if (err->code == 0) {
		i->pull_failures = 0;
		inst_phase(i, PHASE_QUEUE);
		agent_slots(i->a);
		return;
	}
	/* the registry's trouble, or a reference that cannot be had: no failure of the application, but it is
	 * tried more and more seldom */
	inst_reason(i, "cannot pull %s: %s", i->want != NULL ? i->want->image : "image", err->msg);
	inst_retry(i, supervise_backoff_ms(++i->pull_failures));
	inst_step(i);
}

static void pull(struct inst *i)
{
	inst_phase(i, PHASE_PULL);
	i->pull = images_pull(i->a->images, i->want->image, on_pulled, i);
	free_slot(i);
}

static void on_started(void *arg, const struct vk_err *err, json_t *answer)
{
	struct inst *i = arg;
	(void)answer;
	i->op = NULL;
	if (err->code == 0 || inst_away(err)) {
		free_slot(i);
		if (err->code != 0)
			agent_engine_failed(i->a, err);
		inst_verify(i); /* also finds out what an unanswered start did */
		return;
	}
	if (err->code == VK_NOTFOUND)
		nets_recheck(i->a->nets); /* its network went away */
	free_slot(i);
	inst_start_failed(i, err->msg);
}

static void start(struct inst *i)
{
	if (i->sup.started)
		i->sup.restarts++;
	i->sup.started = true;
	if (desired_is_task(i->want))
		inst_save(i, true); /* a task must not run twice, whatever happens from here */
	i->started_ms = vk_now_ms();
	inst_phase(i, PHASE_START);
	i->op = call(i, "POST", NULL, on_started, "/containers/%s/start", i->id);
}

static void on_created(void *arg, const struct vk_err *err, json_t *answer)
{
	struct inst *i = arg;
	bool wanted = i->want != NULL && !desired_wants_stop(i->want);
	i->op = NULL;
	if (err->code == VK_CONFLICT) {
		i->op = call(i, "GET", NULL, on_clash, "/containers/%s/json", i->name);
		return;
	}
	if (err->code == VK_NOTFOUND && wanted) {
		pull(i);
		return;
	}
	if (inst_away(err)) {
		again(i, err);
		return;
	}
	if (err->code != 0) {
		free_slot(i);
		inst_start_failed(i, err->msg);
		return;
	}
	snprintf(i->id, sizeof(i->id), "%s", vk_json_str(answer, "Id", ""));
	i->dead = i->outside = i->oom = false;
	if (wanted && vk_streq(i->hash, i->want->hash)) {
		start(i);
		return;
	}
	i->dead = true; /* changed or withdrawn meanwhile */
	free_slot(i);
	inst_remove(i);
}

static void create(struct inst *i)
{
	vk_autojson *env = ifaddr_env(i->want->env);
	vk_autojson *body = spec_create(i->a->config, i->a->root, i->want, env, NULL);
	spec_reach(body, i->want, ports_next, &(struct ports_at){i->a->ports, i->want->reach});
	snprintf(i->hash, sizeof(i->hash), "%s", i->want->hash);
	i->stop_ms = i->want->stop_ms;
	inst_phase(i, PHASE_CREATE);
	i->op = call(i, "POST", body, on_created, "/containers/create?name=%s", i->name);
}

void inst_start(struct inst *i)
{
	i->slot = true;
	i->a->starting++;
	create(i);
}

/* ---- inspect ---- */

/* Those that the manifest publishes, and those for other hosts. */
static void learn_ports(struct inst *i, const json_t *ports)
{
	const char *key;
	json_t *bindings;
	json_decref(i->reached);
	const char *reach = i->want != NULL ? i->want->reach : NULL;
	i->reached = i->want != NULL ? spec_reached(ports, i->want) : NULL;
	json_decref(i->published);
	i->published = json_object();
	json_object_foreach((json_t *)(uintptr_t)ports, key, bindings)
	{
		size_t at;
		json_t *b;
		uint64_t port;
		json_array_foreach(
			bindings, at, b) if (!vk_streq(vk_json_str(b, "HostIp", ""), reach) &&
			vk_parse_u64(vk_json_str(b, "HostPort", ""), 1, 65535, &port) == 0)
			json_object_set_new(i->published, key, json_integer((json_int_t)port));
	}
}

static void learn_address(struct inst *i, const json_t *settings)
{
	const json_t *nets = json_object_get(settings, "Networks");
	const char *ip = "";
	if (i->want != NULL && vk_streq(i->want->network_mode, "host"))
		ip = "127.0.0.1";
	else if (i->want != NULL && i->want->network != NULL && i->want->network[0] != '\0')
		ip = vk_json_str(json_object_get(nets, i->want->network), "IPAddress", "");
	else
		ip = vk_json_str(settings, "IPAddress", "");
	snprintf(i->ip, sizeof(i->ip), "%s", ip);
}

static void on_inspected(void *arg, const struct vk_err *err, json_t *answer)
{
	struct inst *i = arg;
	const json_t *state = json_object_get(answer, "State");
	i->op = NULL;
	if (err->code == VK_NOTFOUND) {
		inst_lost(i);
		return;
	}
	if (err->code != 0) {
		agent_engine_failed(i->a, err);
		inst_reason(i, "%s", err->msg);
		inst_retry(i, AGENT_RETRY_MS);
		return;
	}
	const char *since = vk_json_str(state, "StartedAt", "");
	int64_t started_ns = agent_time_ns(since, strlen(since), NULL);
	if (started_ns > 0)
		i->started_ms = started_ns / 1000000;
	i->pid = (int)vk_json_int(state, "Pid", 0);
	learn_ports(i, json_object_get(json_object_get(answer, "NetworkSettings"), "Ports"));
	learn_address(i, json_object_get(answer, "NetworkSettings"));
	json_decref(i->resolver);
	i->resolver = json_incref(json_object_get(json_object_get(answer, "HostConfig"), "Dns"));
	i->dead = !vk_json_bool(state, "Running", false);
	if (i->dead && vk_streq(vk_json_str(state, "Status", ""), "created")) {
		inst_start_failed(i, "its start was interrupted"); /* adopted, never ran */
		return;
	}
	if (!i->dead)
		inst_up(i);
	else
		inst_phase(i, PHASE_UP);
	inst_step(i);
}

void inst_verify(struct inst *i)
{
	inst_phase(i, PHASE_INSPECT);
	i->op = call(i, "GET", NULL, on_inspected, "/containers/%s/json", i->id);
}
