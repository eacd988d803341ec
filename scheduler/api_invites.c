/* Invitations of hosts: made, listed, taken back. Of each only the hash of its secret is known here. */
#include <string.h>
#include <viking/crypt.h>
#include <viking/invite.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "authority.h"
#include "hosts.h"

#define ID_DIGITS   8
#define LIFE_MS     3600000
#define LIFE_MAX    (INT64_C(7) * 86400000)
#define INVITES_MAX 100

static bool invite_open(const struct invite_row *row)
{
	return row->host == NULL && row->expires_ms > vk_now_ms();
}

void api_invites(struct call *c)
{
	json_t *list = json_array();
	const struct invite_row *row;
	table_each(&c->s->st.invites, i, row) if (invite_open(row)) json_array_append_new(list,
		json_pack("{s:s%,s:O,s:s,s:I,s:I}", "id", row->name, (size_t)ID_DIGITS, "roles",
			row->roles, "who", row->who, "created_ms", (json_int_t)row->created_ms,
			"expires_ms", (json_int_t)row->expires_ms));
	call_json(c, 200, json_pack("{s:o}", "invites", list));
}

/* Must be one host's that made all certificates: another's authority nobody knows. */
static int authority_here(struct call *c, struct vk_err *err)
{
	const struct vk_config *cfg = c->s->cfg;
	const struct host_row *row;
	if (authority_exists(cfg))
		return authority_make(cfg, err);
	table_each(&c->s->st.hosts, i, row) if (row->addr != NULL &&
		!vk_streq(row->name, cfg->host_name)) return vk_err_set(err, VK_CONFLICT,
		"%s did not get its certificate from viking, so it cannot give one to others",
		cfg->host_name);
	return authority_make(cfg, err);
}

static int possible(struct call *c, struct vk_err *err)
{
	const struct vk_config *cfg = c->s->cfg;
	if (!c->s->store->shared) {
		vk_err_set(err, VK_CONFLICT,
			"%s keeps its state in a file, which no other host can share",
			cfg->host_name);
		return vk_err_hint(err, "sudo viking cluster:init");
	}
	if (vk_config_cluster_address(cfg) == NULL) {
		vk_err_set(err, VK_CONFLICT,
			"cluster.address is not set: at which address do other hosts reach %s?",
			cfg->host_name);
		return vk_err_hint(err,
			"a line `cluster.address: 10.0.0.1` in %s/viking.conf, then systemctl "
			"restart viking",
			cfg->etc_dir);
	}
	if (c->s->st.invites.n >= INVITES_MAX)
		return vk_err_set(err, VK_LIMIT, "%d invitations wait already", INVITES_MAX);
	return 0;
}

static int take(const struct call *c, struct invite_row *row, struct vk_err *err)
{
	int64_t life = vk_json_int(c->body, "expires_ms", LIFE_MS);
	json_t *roles = json_object_get(c->body, "roles"), *role;
	size_t i;
	if (life < 1 || life > LIFE_MAX)
		return vk_err_set(err, VK_INVALID, "an invitation lives up to 7 days");
	json_array_foreach(roles, i,
		role) if (hosts_role_check(json_string_value(role), err) != 0) return VK_INVALID;
	*row = (struct invite_row){.who = (char *)(uintptr_t)c->who.name,
		.roles = json_is_array(roles) ? json_incref(roles) : json_array(),
		.created_ms = vk_now_ms(),
		.expires_ms = vk_now_ms() + life};
	return 0;
}

/* From now on this host is one of a cluster: its front listens. */
static void put_self(struct call *c, struct txn *t, const char *key)
{
	const struct vk_config *cfg = c->s->cfg;
	const struct host_row *old = table_get(&c->s->st.hosts, cfg->host_name), *other;
	struct host_row row = old != NULL ? *old : (struct host_row){.created_ms = vk_now_ms()};
	bool registry = cfg->run_registry;
	table_each(&c->s->st.hosts, i, other) registry =
		registry && (other == old || !other->registry);
	row.addr = cfg->cluster_address;
	row.port = cfg->cluster_port;
	row.key = (char *)(uintptr_t)key;
	row.registry = registry;
	txn_put_row(t, host_fields, &row, "/host/%s", cfg->host_name);
}

static void forget_old(struct call *c, struct txn *t)
{
	const struct invite_row *row;
	table_each(&c->s->st.invites, i, row) if (row->expires_ms <= vk_now_ms())
		txn_del(t, "/invite/%s", row->name);
}

void api_invites_add(struct call *c)
{
	const struct vk_config *cfg = c->s->cfg;
	struct invite_row row;
	struct vk_tls_info own;
	struct vk_err err = {0};
	struct vk_invite invite = {.port = (uint16_t)cfg->cluster_port};
	char hash[65];
	if (possible(c, &err) != 0 || authority_here(c, &err) != 0 ||
		authority_own(cfg, &own, &err) != 0 || take(c, &row, &err) != 0) {
		call_error(c, &err);
		return;
	}
	snprintf(invite.addr, sizeof(invite.addr), "%s", cfg->cluster_address);
	memcpy(invite.pin, own.key, sizeof(invite.pin));
	vk_random_hex(VK_INVITE_SECRET / 2, invite.secret);
	vk_sha256_hex(invite.secret, VK_INVITE_SECRET, hash);
	vk_autofree char *token = vk_invite_format(&invite);
	struct txn *t = txn_new(c->s);
	forget_old(c, t);
	put_self(c, t, own.key);
	txn_put_row(t, invite_fields, &row, "/invite/%s", hash);
	call_commit(c, t,
		json_pack("{s:s%,s:s,s:I}", "id", hash, (size_t)ID_DIGITS, "token", token,
			"expires_ms", (json_int_t)row.expires_ms));
	json_decref(row.roles);
}

void api_invites_remove(struct call *c)
{
	const struct invite_row *row;
	struct vk_err err = {0};
	table_each(&c->s->st.invites, i, row)
	{
		if (strlen(c->part[0]) != ID_DIGITS || !vk_starts(row->name, c->part[0]) ||
			!invite_open(row))
			continue;
		struct txn *t = txn_new(c->s);
		txn_del(t, "/invite/%s", row->name);
		call_commit(c, t, NULL);
		return;
	}
	vk_err_set(&err, VK_NOTFOUND, "there is no open invitation %.64s", c->part[0]);
	vk_err_hint(&err, "viking hosts:invites");
	call_error(c, &err);
}
