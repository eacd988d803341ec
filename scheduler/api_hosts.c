/* Hosts: what they are, what they are for, and whether they take more. */
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "copies.h"
#include "holder.h"
#include "hosts.h"
#include "instances.h"
#include "join.h"
#include "moves.h"

#define ROLES_MAX 32

static const char *life_name(const struct sched *s, const struct host_row *row)
{
	static const char *const names[] = {
		[HOST_UP] = "up", [HOST_AWAY] = "away", [HOST_LOST] = "lost"};
	enum host_life life = hosts_life(s, row->name);
	return life == HOST_UP && row->draining ? "draining" : names[life];
}

static json_t *roles_of(const struct host_row *row)
{
	json_t *roles = row->told != NULL ? json_deep_copy(row->told) : json_array();
	size_t i;
	json_t *role;
	json_array_foreach(row->roles, i, role) json_array_append(roles, role);
	return roles;
}

/* who NULL: all; else of the stacks he may see. */
static json_t *placed_on(struct sched *s, const struct caller *who, const char *host)
{
	json_t *list = json_array();
	struct stack *sk;
	table_each(&s->st.stacks, i, sk)
	{
		struct inst_list l = {0};
		if (who != NULL && !rights_sees(who, sk->name))
			continue;
		stack_instances(sk, stack_overlay(sk), &l);
		for (size_t k = 0; k < l.n && sk->exists; k++)
			if (vk_streq(hosts_where(s, l.v[k].name), host))
				json_array_append_new(list, json_string(l.v[k].name));
		inst_list_release(&l);
	}
	return list;
}

/* Are the images of all releases there too? */
static bool copies_on(const struct sched *s, const char *host)
{
	const char *next, *why;
	return copies_whole(s, &next, &why) && vk_streq(next, host);
}

static json_t *host_json(struct sched *s, const struct host_row *row)
{
	const json_t *facts = hosts_facts(s, row->name);
	bool up = hosts_life(s, row->name) == HOST_UP;
	vk_autojson *placed = placed_on(s, NULL, row->name);
	const char *holder = holder_of(&s->st, s->cfg->host_name);
	return json_pack("{s:s,s:s,s:b,s:b,s:b,s:o,s:s,s:I,s:I,s:I,s:I,s:i,s:s,s:i,s:I}", "name",
		row->name, "state", life_name(s, row), "leader",
		strcmp(row->name, s->cfg->host_name) == 0, "registry", vk_streq(row->name, holder),
		"copies", copies_on(s, row->name), "roles", roles_of(row), "zone",
		row->zone != NULL ? row->zone : "", "cpus", (json_int_t)row->cpus, "memory",
		(json_int_t)row->memory, "disk", (json_int_t)row->disk, "disk_free",
		(json_int_t)(up ? vk_json_int(facts, "disk_free", 0) : 0), "load",
		(int)(up ? vk_json_int(facts, "load", 0) : 0), "engine",
		row->engine != NULL ? row->engine : "", "instances", (int)json_array_size(placed),
		"since_ms", (json_int_t)row->created_ms);
}

void api_hosts(struct call *c)
{
	json_t *list = json_array();
	const struct host_row *row;
	table_each(&c->s->st.hosts, i, row) json_array_append_new(list, host_json(c->s, row));
	call_json(c, 200, json_pack("{s:o}", "hosts", list));
}

/* The row of the host in the path; NULL: answered. */
static const struct host_row *host_of(struct call *c)
{
	const struct host_row *row = table_get(&c->s->st.hosts, c->part[0]);
	struct vk_err err = {0};
	if (row != NULL)
		return row;
	vk_err_set(&err, VK_NOTFOUND, "there is no host %.64s", c->part[0]);
	vk_err_hint(&err, "viking hosts");
	call_error(c, &err);
	return NULL;
}

void api_host_info(struct call *c)
{
	const struct host_row *row = host_of(c);
	if (row == NULL)
		return;
	json_t *j = host_json(c->s, row), *volumes = json_array();
	const struct volume_row *v;
	table_each(&c->s->st.volumes, i,
		v) if (vk_streq(v->host, row->name) && rights_sees(&c->who, v->stack))
		json_array_append_new(volumes, json_string(v->name));
	json_object_set_new(j, "placed", placed_on(c->s, &c->who, row->name));
	json_object_set_new(j, "volumes", volumes);
	call_json(c, 200, j);
}

int hosts_role_check(const char *role, struct vk_err *err)
{
	if (role != NULL && role[0] != '\0' && strlen(role) <= VK_NAME_MAX &&
		role[strspn(role, "abcdefghijklmnopqrstuvwxyz0123456789_.-")] == '\0')
		return 0;
	return vk_err_set(err, VK_INVALID, "%.64s is no role: a word of a-z, 0-9, _, . and -",
		role != NULL ? role : "a role");
}

static bool has_role(const json_t *roles, const char *role)
{
	size_t i;
	json_t *r;
	json_array_foreach(roles, i, r) if (vk_streq(json_string_value(r), role)) return true;
	return false;
}

static int roles_change(const json_t *body, json_t *roles, struct vk_err *err)
{
	size_t i, k;
	json_t *role, *had;
	json_array_foreach(json_object_get(body, "add"), i, role)
	{
		int rc = hosts_role_check(json_string_value(role), err);
		if (rc != 0)
			return rc;
		if (!has_role(roles, json_string_value(role)))
			json_array_append(roles, role);
	}
	json_array_foreach(json_object_get(body, "remove"), i, role)
	{
		if (!has_role(roles, json_string_value(role)))
			return vk_err_set(err, VK_NOTFOUND,
				"no role %.64s was given by hosts:label",
				json_is_string(role) ? json_string_value(role) : "?");
		json_array_foreach(roles, k, had) if (json_equal(had, role))
		{
			json_array_remove(roles, k);
			break;
		}
	}
	return json_array_size(roles) <= ROLES_MAX
		? 0
		: vk_err_set(err, VK_LIMIT, "a host has at most %d roles", ROLES_MAX);
}

static void host_put(struct call *c, const struct host_row *row)
{
	struct txn *t = txn_new(c->s);
	txn_put_row(t, host_fields, row, "/host/%s", c->part[0]);
	call_commit(c, t, NULL);
}

void api_host_label(struct call *c)
{
	const struct host_row *old = host_of(c);
	struct vk_err err = {0};
	if (old == NULL)
		return;
	struct host_row row = *old;
	vk_autojson *roles = old->roles != NULL ? json_deep_copy(old->roles) : json_array();
	if (roles_change(c->body, roles, &err) != 0) {
		call_error(c, &err);
		return;
	}
	row.roles = roles;
	host_put(c, &row);
}

static int address_check(const struct call *c, struct vk_err *err)
{
	const char *key = vk_json_str(c->body, "key", "");
	if (!vk_is_host(c->part[0]))
		return vk_err_set(err, VK_INVALID, "%.80s is not a host's name", c->part[0]);
	int rc = join_address_check(
		vk_json_str(c->body, "addr", ""), vk_json_int(c->body, "port", 0), err);
	if (rc != 0)
		return rc;
	if (key[0] != '\0' && (strlen(key) != 64 || key[strspn(key, "0123456789abcdef")] != '\0'))
		return vk_err_set(err, VK_INVALID, "key must be 64 hex digits");
	return 0;
}

/* Where the other hosts reach its viking-front, and whether it has the registry: from then on it is in the cluster. */
void api_host_address(struct call *c)
{
	const struct host_row *old = table_get(&c->s->st.hosts, c->part[0]);
	struct vk_err err = {0};
	if (address_check(c, &err) != 0) {
		call_error(c, &err);
		return;
	}
	struct host_row row = old != NULL ? *old : (struct host_row){.created_ms = vk_now_ms()};
	row.addr = (char *)(uintptr_t)call_text(c, "addr");
	row.key = (char *)(uintptr_t)call_text(c, "key");
	row.port = (uint64_t)vk_json_int(c->body, "port", 0);
	row.registry = vk_json_bool(c->body, "registry", row.registry);
	host_put(c, &row);
}

static bool is_only(const struct sched *s, const struct host_row *row)
{
	return s->st.hosts.n == 1 && vk_streq(row->name, s->cfg->host_name);
}

static void host_drain(struct call *c, bool draining)
{
	const struct host_row *old = host_of(c);
	if (old == NULL)
		return;
	struct vk_err err = {0};
	if (draining && is_only(c->s, old)) {
		vk_err_set(&err, VK_CONFLICT,
			"%s is the only host: its instances have nowhere to go", old->name);
		vk_err_hint(&err, "viking hosts:invite, for another host");
		call_error(c, &err);
		return;
	}
	struct host_row row = *old;
	row.draining = draining;
	moves_again(c->s);
	hub_event(c->s, "host", NULL, draining ? "draining" : "takes instances again", c->who.name);
	host_put(c, &row);
}

void api_host_drain(struct call *c)
{
	host_drain(c, true);
}

void api_host_undrain(struct call *c)
{
	host_drain(c, false);
}

static int remove_check(struct sched *s, const struct host_row *row, bool lost, struct vk_err *err)
{
	vk_autojson *placed = placed_on(s, NULL, row->name);
	const struct volume_row *v;
	if (is_only(s, row)) {
		vk_err_set(err, VK_CONFLICT, "%s is the only host", row->name);
		return vk_err_hint(err, "apt-get purge viking, to end all of it");
	}
	if (strcmp(row->name, s->cfg->host_name) == 0) {
		vk_err_set(err, VK_CONFLICT, "%s is the host that answers you", row->name);
		return vk_err_hint(err,
			"viking hosts:drain %s; stop viking there; then viking hosts:remove %s on "
			"another host",
			row->name, row->name);
	}
	if (hosts_life(s, row->name) == HOST_UP) {
		vk_err_set(err, VK_CONFLICT, "%s is up", row->name);
		return vk_err_hint(err, "viking hosts:drain %s; then stop viking there", row->name);
	}
	table_each(&s->st.volumes, i, v) if (!lost && vk_streq(v->host, row->name))
	{
		vk_err_set(err, VK_CONFLICT, "%s has data: volume %s of %s/%s", row->name, v->name,
			v->stack, v->node);
		return vk_err_hint(err, "viking hosts:remove %s --data-lost", row->name);
	}
	const char *next, *why;
	if (!lost && vk_streq(row->name, holder_of(&s->st, s->cfg->host_name)) &&
		!copies_whole(s, &next, &why)) {
		vk_err_set(err, VK_CONFLICT,
			"%s has the repositories and the images, and no other host has all of "
			"these",
			row->name);
		return vk_err_hint(err,
			"start it again; or viking hosts:remove %s --data-lost, then push again",
			row->name);
	}
	if (json_array_size(placed) == 0 || lost)
		return 0;
	vk_err_set(err, VK_CONFLICT, "%zu instances are placed on %s, %s among them",
		json_array_size(placed), row->name, json_string_value(json_array_get(placed, 0)));
	return vk_err_hint(err, "viking hosts:drain %s", row->name);
}

/* ?data_lost=1: it will not come back; nodes with volumes there begin anew, empty, elsewhere. */
void api_host_remove(struct call *c)
{
	bool lost = vk_streq(vk_req_query(c->r, "data_lost"), "1");
	const struct host_row *row = host_of(c); /* NULL: the request is answered and gone */
	struct vk_err err = {0};
	if (row == NULL)
		return;
	if (remove_check(c->s, row, lost, &err) != 0) {
		call_error(c, &err);
		return;
	}
	struct txn *t = txn_new(c->s);
	const struct volume_row *v;
	const char *next = vk_streq(row->name, holder_of(&c->s->st, c->s->cfg->host_name))
		? holder_next(c->s)
		: NULL;
	if (next != NULL)
		holder_give(c->s, t, next);
	table_each(&c->s->st.volumes, i, v) if (vk_streq(v->host, row->name))
		txn_del(t, "/volume/%s", v->name);
	txn_del(t, "/assign/%s", row->name);
	txn_del(t, "/host/%s", row->name);
	call_commit(c, t, json_pack("{s:s*}", "registry", next));
}
