/* Keys: who may log in. */
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "sessions.h"

#define LINE_MAX_BYTES (16 << 10)

void api_keys(struct call *c)
{
	json_t *list = json_array();
	struct key_row *k;
	table_each(&c->s->st.keys, i, k) json_array_append_new(list,
		json_pack("{s:s,s:s,s:s,s:O?,s:I,s:I,s:I}", "name", k->name, "fingerprint",
			k->fingerprint, "role", k->role, "stacks", k->stacks, "expires_ms",
			(json_int_t)k->expires_ms, "created_ms", (json_int_t)k->created_ms,
			"last_used_ms", (json_int_t)k->last_used_ms));
	call_json(c, 200, json_pack("{s:o}", "keys", list));
}

static int check_stacks(const json_t *stacks, struct vk_err *err)
{
	size_t i;
	json_t *glob;
	if (stacks == NULL || json_is_null(stacks))
		return 0;
	if (!json_is_array(stacks))
		return vk_err_set(err, VK_INVALID, "stacks must be a list of names or patterns");
	json_array_foreach(stacks, i, glob)
	{
		const char *text = json_string_value(glob);
		if (text == NULL || text[0] == '\0' || strlen(text) > VK_NAME_MAX ||
			text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-*?")] != '\0')
			return vk_err_set(err, VK_INVALID,
				"stacks: %s is no name or pattern of a stack",
				text != NULL ? text : "?");
	}
	return 0;
}

static int check_role(const char *role, struct vk_err *err)
{
	static const char *const roles[] = {"admin", "deploy", NULL};
	if (vk_streq(role, "admin") || vk_streq(role, "deploy"))
		return 0;
	vk_err_set(err, VK_INVALID, "role %.20s is unknown", role);
	const char *near = vk_suggest(role, roles);
	vk_err_hint(err, "--role %s", near != NULL ? near : "admin or deploy");
	return VK_INVALID;
}

static int expiry(const struct call *c, int64_t *ret, struct vk_err *err)
{
	const char *text = call_text(c, "expires");
	if (text == NULL)
		return 0;
	if (vk_parse_time(text, ret) != 0)
		return vk_err_set(err, VK_INVALID, "expires %.40s is no date (2026-12-31)", text);
	return *ret > vk_now_ms() ? 0
				  : vk_err_set(err, VK_INVALID, "expires %s is in the past", text);
}

/* Fills what the caller frees with vk_fields_release. */
static int key_fill(struct call *c, struct key_row *row, struct vk_err *err)
{
	vk_autofree char *comment = NULL;
	char fp[64];
	const char *line = vk_json_str(c->body, "line", "");
	row->role = vk_strdup(vk_json_str(c->body, "role", "deploy"));
	int rc = vk_key_name(vk_json_str(c->body, "name", ""), err);
	if (rc == 0)
		rc = check_role(row->role, err);
	if (rc == 0)
		rc = check_stacks(json_object_get(c->body, "stacks"), err);
	if (rc == 0)
		rc = expiry(c, &row->expires_ms, err);
	if (rc == 0)
		rc = vk_pubkey_parse(line, strlen(line), &row->line, fp, &comment, err);
	if (rc != 0)
		return rc;
	row->fingerprint = vk_strdup(fp);
	row->created_ms = vk_now_ms();
	json_t *stacks = json_object_get(c->body, "stacks");
	bool given = json_array_size(stacks) > 0;
	row->stacks = given ? json_incref(stacks) : json_pack("[s]", "*");
	return 0;
}

struct key_claim {
	const char *name, *line;
};

static bool key_coming(void *arg, const char *key, const json_t *value)
{
	const struct key_claim *k = arg;
	return vk_streq(key + strlen("/key/"), k->name) ||
		vk_streq(vk_json_str(value, "line", NULL), k->line);
}

static int key_unique(struct call *c, const struct key_row *row, struct vk_err *err)
{
	const char *name = call_text(c, "name");
	struct key_row *k;
	if (table_get(&c->s->st.keys, name) != NULL)
		return vk_err_set(err, VK_EXISTS, "there is a key %s already", name);
	table_each(&c->s->st.keys, i, k) if (strcmp(k->line, row->line) == 0) return vk_err_set(
		err, VK_EXISTS, "this key is there already, as %s", k->name);
	struct key_claim claim = {.name = name, .line = row->line};
	if (txn_pending(c->s, "/key/", key_coming, &claim))
		return vk_err_set(err, VK_EXISTS, "this key, or one of this name, is being added");
	return 0;
}

void api_keys_add(struct call *c)
{
	struct key_row row = {0};
	struct vk_err err = {0};
	int rc = key_fill(c, &row, &err);
	if (rc == 0)
		rc = key_unique(c, &row, &err);
	if (rc != 0) {
		call_error(c, &err);
	} else {
		const char *name = call_text(c, "name");
		struct txn *t = txn_new(c->s);
		txn_put_row(t, key_fields, &row, "/key/%s", name);
		hub_event(c->s, "key", NULL, "added", c->who.name);
		call_commit(c, t,
			json_pack("{s:s,s:s,s:s}", "name", name, "fingerprint", row.fingerprint,
				"role", row.role));
	}
	vk_fields_release(key_fields, &row);
}

static void key_removed(void *arg, const struct vk_err *err)
{
	struct call *c = arg;
	if (err != NULL) {
		call_error(c, err);
		return;
	}
	sessions_revoke(c->s, c->part[0], "key removed");
	hub_event(c->s, "key", NULL, "removed", c->who.name);
	call_ok(c);
}

void api_keys_remove(struct call *c)
{
	struct vk_err err = {0};
	if (table_get(&c->s->st.keys, c->part[0]) == NULL) {
		vk_err_set(&err, VK_NOTFOUND, "there is no key %s", c->part[0]);
		call_error(c, &err);
		return;
	}
	struct txn *t = txn_new(c->s);
	txn_del(t, "/key/%s", c->part[0]);
	call_outlive(c);
	txn_commit(t, key_removed, c);
}
