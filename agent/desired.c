#include "desired.h"

#include <viking/fs.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#define DOC_MAX    (64u << 20)
#define SEALED_MAX (DOC_MAX / 3 * 4 + 4096)
#define INST(type, member, json_name, needed, lo, hi) \
	{ \
		json_name, type, offsetof(struct desired_instance, member), needed, lo, hi \
	}

static const struct vk_field instance_fields[] = {
	INST(VK_F_STR, name, "name", true, 0, 159),
	INST(VK_F_STR, stack, "stack", true, 0, VK_NAME_MAX),
	INST(VK_F_STR, node, "node", true, 0, VK_NAME_MAX),
	INST(VK_F_U64, version, "version", false, 0, UINT32_MAX),
	INST(VK_F_U64, n, "n", false, 0, UINT32_MAX),
	INST(VK_F_U64, release, "release", false, 0, UINT32_MAX),
	INST(VK_F_STR, kind, "kind", false, 0, 16),
	INST(VK_F_STR, image, "image", true, 0, 512),
	INST(VK_F_ARRAY, cmd, "cmd", false, 0, 0),
	INST(VK_F_ARRAY, entrypoint, "entrypoint", false, 0, 0),
	INST(VK_F_STR, cwd, "cwd", false, 0, 4096),
	INST(VK_F_OBJECT, env, "env", false, 0, 0),
	INST(VK_F_ARRAY, expose, "expose", false, 0, 0),
	INST(VK_F_ARRAY, publish, "publish", false, 0, 0),
	INST(VK_F_ARRAY, mounts, "mounts", false, 0, 0),
	INST(VK_F_STR, reach, "reach", false, 0, 45),
	INST(VK_F_STR, network, "network", false, 0, 128),
	INST(VK_F_ARRAY, aliases, "aliases", false, 0, 0),
	INST(VK_F_ARRAY, dns, "dns", false, 0, 0),
	INST(VK_F_ARRAY, dns_search, "dns_search", false, 0, 0),
	INST(VK_F_OBJECT, health_doc, "health", false, 0, 0),
	INST(VK_F_U64, memory, "memory", false, 0, 0),
	INST(VK_F_U64, cpus_milli, "cpus_milli", false, 0, 1000000000),
	INST(VK_F_U64, disk, "disk", false, 0, 0),
	INST(VK_F_U64, pids, "pids", false, 0, 4194304),
	INST(VK_F_U64, stop_ms, "stop_ms", false, 0, 3600000),
	INST(VK_F_U64, health_timeout_ms, "health_timeout_ms", false, 0, 86400000),
	INST(VK_F_U64, gen, "gen", false, 0, 0),
	INST(VK_F_STR, restart, "restart", false, 0, 16),
	INST(VK_F_I64, restart_count, "restart_count", false, 0, 0),
	INST(VK_F_BOOL, privileged, "privileged", false, 0, 0),
	INST(VK_F_STR, network_mode, "network_mode", false, 0, 128),
	INST(VK_F_STR, pid_mode, "pid_mode", false, 0, 128),
	INST(VK_F_STR, group, "group", false, 0, VK_NAME_MAX),
	INST(VK_F_STR, group_role, "group_role", false, 0, 16),
	INST(VK_F_STR, group_policy, "group_policy", false, 0, 32),
	INST(VK_F_STR, want, "want", false, 0, 16),
	{0},
};

#define HEALTH(type_, member, lo, hi) \
	{ \
#member, type_, offsetof(struct desired_health, member), false, lo, hi \
	}
static const struct vk_field health_fields[] = {
	HEALTH(VK_F_STR, type, 0, 16),
	HEALTH(VK_F_STR, path, 0, 2048),
	HEALTH(VK_F_U64, port, 0, 65535),
	HEALTH(VK_F_U64, below, 0, 600),
	HEALTH(VK_F_ARRAY, cmd, 0, 0),
	HEALTH(VK_F_U64, interval_ms, 0, 86400000),
	HEALTH(VK_F_U64, timeout_ms, 0, 86400000),
	HEALTH(VK_F_U64, retries, 0, 1000),
	HEALTH(VK_F_U64, start_ms, 0, 86400000),
	HEALTH(VK_F_STR, on_unhealthy, 0, 16),
	{0},
};

static bool one_of(const char *s, const char *a, const char *b)
{
	return vk_streq(s, a) || vk_streq(s, b);
}

/* Container, volume and network names share the engine's rule. */
static bool engine_name_ok(const char *s)
{
	static const char first[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	if (s == NULL || s[0] == '\0' || strchr(first, s[0]) == NULL)
		return false;
	for (const char *p = s; *p != '\0'; p++)
		if (strchr(first, *p) == NULL && strchr("_.-", *p) == NULL)
			return false;
	return true;
}

static int check_strings(const json_t *array, const char *what, struct vk_err *err)
{
	size_t i;
	json_t *v;
	json_array_foreach(array, i, v) if (!json_is_string(v)) return vk_err_set(
		err, VK_INVALID, "%s[%zu] is not a string", what, i);
	return 0;
}

static int check_env(const json_t *env, struct vk_err *err)
{
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)env, key, v)
	{
		int r = vk_env_name(key, err);
		if (r < 0)
			return r;
		if (!json_is_string(v))
			return vk_err_set(err, VK_INVALID, "env %s is not a string", key);
	}
	return 0;
}

static int check_ports(const json_t *ports, const char *what, bool host, struct vk_err *err)
{
	size_t i;
	json_t *p;
	json_array_foreach(ports, i, p)
	{
		const char *proto = vk_json_str(p, "proto", "tcp");
		int64_t port = vk_json_int(p, "port", 0);
		int64_t on_host = vk_json_int(p, "host", 0);
		if (port < 1 || port > 65535 || !one_of(proto, "tcp", "udp"))
			return vk_err_set(err, VK_INVALID, "%s[%zu] is not a port", what, i);
		if (host && (on_host < 0 || on_host > 65535))
			return vk_err_set(err, VK_INVALID, "%s[%zu]: bad host port", what, i);
	}
	return 0;
}

static int check_mounts(const json_t *mounts, struct vk_err *err)
{
	size_t i;
	json_t *m;
	json_array_foreach(mounts, i, m)
	{
		const char *path = vk_json_str(m, "path", "");
		const char *volume = vk_json_str(m, "volume", NULL);
		const char *host = vk_json_str(m, "host", NULL);
		if (path[0] != '/' || (volume == NULL) == (host == NULL))
			return vk_err_set(err, VK_INVALID,
				"mounts[%zu] needs a path and a volume or host", i);
		if (volume != NULL && !engine_name_ok(volume))
			return vk_err_set(err, VK_INVALID, "mounts[%zu]: bad volume name", i);
	}
	return 0;
}

static int health_fill(struct desired_instance *in, struct vk_err *err)
{
	struct desired_health *h = &in->health;
	h->interval_ms = 5000;
	h->timeout_ms = 2000;
	h->retries = 3;
	if (in->health_doc != NULL) {
		int r = vk_json_fields(in->health_doc, health_fields, h, err);
		if (r < 0)
			return vk_err_wrap(err, "health");
	}
	if (h->type == NULL)
		h->type = vk_strdup("none");
	if (h->path == NULL || h->path[0] == '\0') {
		free(h->path);
		h->path = vk_strdup("/");
	}
	bool net = one_of(h->type, "http", "tcp");
	if (!net && !one_of(h->type, "cmd", "none"))
		return vk_err_set(err, VK_INVALID, "health type '%s' is unknown", h->type);
	if (net && h->port == 0)
		return vk_err_set(err, VK_INVALID, "health of type %s needs a port", h->type);
	for (const char *p = h->path; *p != '\0'; p++)
		if (*p <= ' ' || *p == 127)
			return vk_err_set(
				err, VK_INVALID, "health path holds a blank or control byte");
	if (vk_streq(h->type, "cmd") && json_array_size(h->cmd) == 0)
		return vk_err_set(err, VK_INVALID, "health of type cmd needs a cmd");
	return check_strings(h->cmd, "health.cmd", err);
}

static void set_default(char **slot, const char *value)
{
	if (*slot == NULL)
		*slot = vk_strdup(value);
}

static int check_lists(const struct desired_instance *in, struct vk_err *err)
{
	int r = check_strings(in->cmd, "cmd", err);
	if (r == 0)
		r = check_strings(in->entrypoint, "entrypoint", err);
	if (r == 0)
		r = check_strings(in->aliases, "aliases", err);
	if (r == 0)
		r = check_strings(in->dns, "dns", err);
	if (r == 0)
		r = check_strings(in->dns_search, "dns_search", err);
	if (r == 0)
		r = check_env(in->env, err);
	if (r == 0)
		r = check_ports(in->expose, "expose", false, err);
	if (r == 0)
		r = check_ports(in->publish, "publish", true, err);
	return r == 0 ? check_mounts(in->mounts, err) : r;
}

/* Only what a container is made of: a change of anything else must not restart it. */
static void instance_hash(struct desired_instance *in, const json_t *obj)
{
	static const char *const parts[] = {"image", "cmd", "entrypoint", "cwd", "env", "expose",
		"publish", "mounts", "network", "aliases", "memory", "cpus_milli", "pids",
		"privileged", "network_mode", "pid_mode", "kind", "gen"};
	vk_autojson *def = json_object();
	for (size_t i = 0; i < VK_COUNT(parts); i++) {
		json_t *v = json_object_get(obj, parts[i]);
		if (v != NULL && !json_is_null(v))
			json_object_set(def, parts[i], v);
	}
	vk_json_hash(def, in->hash);
}

int desired_instance_parse(const json_t *obj, struct desired_instance *in, struct vk_err *err)
{
	*in = (struct desired_instance){.restart_count = -1, .stop_ms = 10000};
	int r = vk_json_fields(obj, instance_fields, in, err);
	if (r < 0)
		return r;
	if (!engine_name_ok(in->name))
		return vk_err_set(err, VK_INVALID, "bad instance name");
	r = vk_stack_name(in->stack, err);
	if (r == 0)
		r = vk_node_name(in->node, err);
	if (r < 0)
		return r;
	set_default(&in->kind, "app");
	set_default(&in->restart, "always");
	set_default(&in->want, "run");
	set_default(&in->network_mode, "default");
	set_default(&in->pid_mode, "");
	if (in->network != NULL && in->network[0] != '\0' && !engine_name_ok(in->network))
		return vk_err_set(err, VK_INVALID, "bad network name");
	if (!one_of(in->kind, "app", "task") || !one_of(in->restart, "always", "never") ||
		!one_of(in->want, "run", "stop"))
		return vk_err_set(err, VK_INVALID, "unknown kind, restart or want");
	r = check_lists(in, err);
	if (r == 0)
		r = health_fill(in, err);
	instance_hash(in, obj);
	return r;
}

void desired_instance_release(struct desired_instance *in)
{
	vk_fields_release(health_fields, &in->health);
	vk_fields_release(instance_fields, in);
}

bool desired_is_task(const struct desired_instance *i)
{
	return vk_streq(i->kind, "task");
}

bool desired_wants_stop(const struct desired_instance *i)
{
	return vk_streq(i->want, "stop");
}

#define NETWORK(member) \
	{ \
#member, VK_F_STR, offsetof(struct desired_network, member), true, 0, 128 \
	}
static const struct vk_field network_fields[] = {
	NETWORK(name), NETWORK(subnet), NETWORK(stack), {0}};
#define VOLUME(member, len) \
	{ \
#member, VK_F_STR, offsetof(struct desired_volume, member), true, 0, len \
	}
static const struct vk_field volume_fields[] = {
	VOLUME(name, 255), VOLUME(stack, 63), VOLUME(node, 63), VOLUME(path, 4096), {0}};
#define REMOVE(member) \
	{ \
#member, VK_F_STR, offsetof(struct desired_remove, member), false, 0, 255 \
	}
static const struct vk_field remove_fields[] = {REMOVE(volume), REMOVE(network), {0}};

/* Fills a fresh array of n structs of `size` bytes by one table. */
static int fill_rows(const json_t *array, const struct vk_field *fields, size_t size, void **ret,
	size_t *ret_n, struct vk_err *err)
{
	size_t i;
	json_t *v;
	*ret = vk_calloc(json_array_size(array) + 1, size);
	*ret_n = json_array_size(array);
	json_array_foreach(array, i, v)
	{
		int r = vk_json_fields(v, fields, (char *)*ret + i * size, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int fill_names(struct desired *d, struct vk_err *err)
{
	for (size_t i = 0; i < d->n_networks; i++)
		if (!engine_name_ok(d->networks[i].name))
			return vk_err_set(err, VK_INVALID, "bad network name");
	for (size_t i = 0; i < d->n_volumes; i++)
		if (!engine_name_ok(d->volumes[i].name))
			return vk_err_set(err, VK_INVALID, "bad volume name");
	for (size_t i = 0; i < d->n_removes; i++) {
		const struct desired_remove *m = &d->removes[i];
		const char *name = m->volume != NULL ? m->volume : m->network;
		if ((m->volume == NULL) == (m->network == NULL) || !engine_name_ok(name))
			return vk_err_set(
				err, VK_INVALID, "remove[%zu] names no volume or network", i);
	}
	return 0;
}

static int fill_instances(struct desired *d, const json_t *array, struct vk_err *err)
{
	size_t i;
	json_t *v;
	vk_autojson *seen = json_object();
	d->instances = vk_calloc(json_array_size(array) + 1, sizeof(*d->instances));
	json_array_foreach(array, i, v)
	{
		struct desired_instance *in = &d->instances[i];
		d->n_instances = i + 1;
		struct vk_err why = {0};
		if (desired_instance_parse(v, in, &why) < 0)
			in->refused = why;
		if (!engine_name_ok(in->name))
			return vk_err_set(err, VK_INVALID, "instances[%zu] has no usable name", i);
		if (json_object_get(seen, in->name) != NULL)
			return vk_err_set(err, VK_INVALID, "instance %s is listed twice", in->name);
		json_object_set_new(seen, in->name, json_true());
		set_default(&in->want, "run");
		set_default(&in->kind, "app");
		set_default(&in->stack, "");
		set_default(&in->node, "");
	}
	return 0;
}

struct frame {
	uint64_t rev, epoch;
	json_t *networks, *volumes, *instances, *remove, *forget_logs, *move_logs;
};
#define FRAME(type, member, needed) \
	{ \
#member, type, offsetof(struct frame, member), needed, 0, 0 \
	}
static const struct vk_field frame_fields[] = {FRAME(VK_F_U64, rev, true),
	FRAME(VK_F_U64, epoch, false), FRAME(VK_F_ARRAY, networks, false),
	FRAME(VK_F_ARRAY, volumes, false), FRAME(VK_F_ARRAY, instances, true),
	FRAME(VK_F_ARRAY, remove, false), FRAME(VK_F_ARRAY, forget_logs, false),
	FRAME(VK_F_OBJECT, move_logs, false), {0}};

static void fill_moves(struct desired *d, json_t *moves)
{
	const char *from;
	json_t *v;
	json_object_foreach(moves, from, v)
	{
		const char *to = json_is_string(v) ? json_string_value(v) : "";
		if (vk_stack_name(from, NULL) != 0 || vk_stack_name(to, NULL) != 0)
			continue;
		vk_strv_add(&d->move_logs, from);
		vk_strv_add(&d->move_logs, to);
	}
}

static int fill_frame(struct desired *d, const struct frame *f, struct vk_err *err)
{
	d->rev = f->rev;
	d->epoch = f->epoch;
	int r = fill_rows(f->networks, network_fields, sizeof(*d->networks), (void **)&d->networks,
		&d->n_networks, err);
	if (r == 0)
		r = fill_rows(f->volumes, volume_fields, sizeof(*d->volumes), (void **)&d->volumes,
			&d->n_volumes, err);
	if (r == 0)
		r = fill_rows(f->remove, remove_fields, sizeof(*d->removes), (void **)&d->removes,
			&d->n_removes, err);
	if (r == 0)
		r = fill_names(d, err);
	if (r == 0)
		r = fill_instances(d, f->instances, err);
	size_t i;
	json_t *v;
	json_array_foreach(f->forget_logs, i, v) if (r == 0 &&
		vk_stack_name(json_string_value(v) ? json_string_value(v) : "", NULL) == 0)
		vk_strv_add(&d->forget_logs, json_string_value(v));
	fill_moves(d, f->move_logs);
	return r;
}

int desired_parse(const json_t *doc, struct desired **ret, struct vk_err *err)
{
	struct frame f = {0};
	struct desired *d = vk_alloc(sizeof(*d));
	int r = vk_json_fields(doc, frame_fields, &f, err);
	if (r == 0)
		r = fill_frame(d, &f, err);
	vk_fields_release(frame_fields, &f);
	if (r < 0) {
		desired_free(d);
		return vk_err_wrap(err, "desired document");
	}
	*ret = d;
	return 0;
}

void desired_free(struct desired *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->n_networks; i++)
		vk_fields_release(network_fields, &d->networks[i]);
	for (size_t i = 0; i < d->n_volumes; i++)
		vk_fields_release(volume_fields, &d->volumes[i]);
	for (size_t i = 0; i < d->n_removes; i++)
		vk_fields_release(remove_fields, &d->removes[i]);
	for (size_t i = 0; i < d->n_instances; i++)
		desired_instance_release(&d->instances[i]);
	free(d->networks);
	free(d->volumes);
	free(d->removes);
	free(d->instances);
	vk_strv_release(&d->forget_logs);
	vk_strv_release(&d->move_logs);
	free(d);
}

struct desired_instance *desired_find(const struct desired *d, const char *name)
{
	for (size_t i = 0; d != NULL && i < d->n_instances; i++)
		if (vk_streq(d->instances[i].name, name))
			return &d->instances[i];
	return NULL;
}

int desired_save(
	const char *path, const struct vk_secret_key *key, const json_t *doc, struct vk_err *err)
{
	vk_autofree char *text = vk_json_text(doc);
	vk_autofree char *sealed = vk_seal(key, text, strlen(text));
	return vk_fs_write_atomic(path, sealed, strlen(sealed), 0600, err);
}

int desired_load(
	const char *path, const struct vk_secret_key *key, json_t **ret_doc, struct vk_err *err)
{
	vk_autobuf sealed = VK_BUF_INIT(SEALED_MAX), plain = VK_BUF_INIT(SEALED_MAX);
	int r = vk_fs_read(path, &sealed, err);
	if (r == 0)
		r = vk_unseal(key, vk_buf_str(&sealed), &plain, err);
	return r < 0 ? r : vk_json_parse_max(vk_buf_str(&plain), plain.len, DOC_MAX, ret_doc, err);
}
