/* Field tables of the stored structs, and the one encoder and decoder that read them. */
#include "model.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <viking/mem.h>

#define DOC_MAX (1 << 20)
#define F(type_, struct_, member_) \
	{ \
#member_, type_, offsetof(struct struct_, member_), false, 0, 0 \
	}
#define REQ(type_, struct_, member_) \
	{ \
#member_, type_, offsetof(struct struct_, member_), true, 0, 0 \
	}
#define END \
	{ \
		NULL, 0, 0, false, 0, 0 \
	}

bool model_of_leader(const char *key)
{
	return strcmp(key, "/leader") == 0 || strcmp(key, "/epoch") == 0;
}

const struct vk_field key_fields[] = {
	REQ(VK_F_STR, key_row, line),
	REQ(VK_F_STR, key_row, fingerprint),
	REQ(VK_F_STR, key_row, role),
	F(VK_F_ARRAY, key_row, stacks),
	F(VK_F_I64, key_row, created_ms),
	F(VK_F_I64, key_row, expires_ms),
	F(VK_F_I64, key_row, last_used_ms),
	END,
};

const struct vk_field stack_fields[] = {
	REQ(VK_F_STR, stack_row, id),
	F(VK_F_STR, stack_row, who),
	F(VK_F_STR, stack_row, renamed_from),
	F(VK_F_U64, stack_row, subnet),
	F(VK_F_I64, stack_row, created_ms),
	F(VK_F_U64, stack_row, next),
	END,
};

const struct vk_field lock_fields[] = {
	F(VK_F_STR, lock_row, reason),
	F(VK_F_STR, lock_row, who),
	F(VK_F_I64, lock_row, when_ms),
	END,
};

const struct vk_field node_fields[] = {
	F(VK_F_I64, node_row, scale),
	F(VK_F_U64, node_row, gen),
	F(VK_F_BOOL, node_row, stopped),
	END,
};

const struct vk_field config_fields[] = {
	{"sealed", VK_F_STR, offsetof(struct config_row, sealed), true, 0, DOC_MAX},
	END,
};

const struct vk_field domain_fields[] = {
	REQ(VK_F_STR, domain_row, stack),
	REQ(VK_F_STR, domain_row, node),
	END,
};

const struct vk_field release_fields[] = {
	F(VK_F_STR, release, kind),
	F(VK_F_STR, release, commit),
	F(VK_F_STR, release, tree),
	F(VK_F_STR, release, who),
	F(VK_F_STR, release, why),
	F(VK_F_STR, release, note),
	REQ(VK_F_STR, release, outcome),
	F(VK_F_STR, release, cause),
	F(VK_F_I64, release, when_ms),
	F(VK_F_I64, release, ms),
	{"doc", VK_F_STR, offsetof(struct release, doc), false, 0, DOC_MAX},
	F(VK_F_OBJECT, release, boats),
	F(VK_F_OBJECT, release, nodes),
	F(VK_F_OBJECT, release, config),
	F(VK_F_OBJECT, release, receipt),
	END,
};

const struct vk_field build_fields[] = {
	REQ(VK_F_STR, build_row, stack),
	F(VK_F_STR, build_row, boat),
	F(VK_F_STR, build_row, node),
	F(VK_F_STR, build_row, commit),
	F(VK_F_STR, build_row, who),
	F(VK_F_STR, build_row, led),
	REQ(VK_F_STR, build_row, state),
	F(VK_F_STR, build_row, cause),
	F(VK_F_I64, build_row, started_ms),
	F(VK_F_I64, build_row, ms),
	F(VK_F_U64, build_row, bytes),
	F(VK_F_BOOL, build_row, cached),
	END,
};

const struct vk_field cert_fields[] = {
	{"sealed", VK_F_STR, offsetof(struct cert_row, sealed), true, 0, DOC_MAX},
	REQ(VK_F_ARRAY, cert_row, names),
	F(VK_F_STR, cert_row, issuer),
	F(VK_F_STR, cert_row, who),
	F(VK_F_STR, cert_row, ordered_for),
	F(VK_F_I64, cert_row, not_before_ms),
	F(VK_F_I64, cert_row, not_after_ms),
	F(VK_F_I64, cert_row, created_ms),
	END,
};

const struct vk_field acme_fields[] = {
	REQ(VK_F_STR, acme_row, stack),
	F(VK_F_BOOL, acme_row, on),
	F(VK_F_STR, acme_row, order),
	F(VK_F_OBJECT, acme_row, challenge),
	F(VK_F_I64, acme_row, order_ms),
	F(VK_F_I64, acme_row, next_ms),
	F(VK_F_U64, acme_row, failures),
	F(VK_F_STR, acme_row, error),
	F(VK_F_STR, acme_row, hint),
	END,
};

const struct vk_field account_fields[] = {
	REQ(VK_F_STR, account_row, directory),
	REQ(VK_F_STR, account_row, sealed),
	F(VK_F_I64, account_row, created_ms),
	F(VK_F_I64, account_row, hour_ms),
	F(VK_F_U64, account_row, hour_n),
	END,
};

const struct vk_field traffic_fields[] = {
	F(VK_F_STR, traffic_row, maintenance),
	F(VK_F_U64, traffic_row, hold_ms),
	F(VK_F_STR, traffic_row, who),
	F(VK_F_I64, traffic_row, since_ms),
	END,
};

const struct vk_field image_fields[] = {
	REQ(VK_F_STR, image_row, ref),
	F(VK_F_STR, image_row, digest),
	F(VK_F_STR, image_row, image),
	F(VK_F_STR, image_row, commit),
	F(VK_F_STR, image_row, key),
	F(VK_F_ARRAY, image_row, expose),
	F(VK_F_OBJECT, image_row, launch),
	F(VK_F_I64, image_row, time_ms),
	END,
};

const struct vk_field volume_fields[] = {
	REQ(VK_F_STR, volume_row, stack),
	REQ(VK_F_STR, volume_row, node),
	REQ(VK_F_STR, volume_row, path),
	F(VK_F_STR, volume_row, host),
	F(VK_F_I64, volume_row, created_ms),
	END,
};

const struct vk_field host_fields[] = {
	F(VK_F_STR, host_row, id),
	F(VK_F_STR, host_row, engine),
	F(VK_F_STR, host_row, zone),
	F(VK_F_ARRAY, host_row, roles),
	F(VK_F_ARRAY, host_row, told),
	F(VK_F_U64, host_row, cpus),
	F(VK_F_U64, host_row, memory),
	F(VK_F_U64, host_row, disk),
	F(VK_F_BOOL, host_row, draining),
	F(VK_F_STR, host_row, addr),
	F(VK_F_U64, host_row, port),
	F(VK_F_STR, host_row, key),
	F(VK_F_BOOL, host_row, registry),
	F(VK_F_I64, host_row, created_ms),
	END,
};

const struct vk_field invite_fields[] = {
	REQ(VK_F_STR, invite_row, who),
	REQ(VK_F_ARRAY, invite_row, roles),
	F(VK_F_I64, invite_row, created_ms),
	REQ(VK_F_I64, invite_row, expires_ms),
	F(VK_F_STR, invite_row, host),
	F(VK_F_STR, invite_row, key),
	END,
};

const struct vk_field assign_fields[] = {
	REQ(VK_F_OBJECT, assign_row, stacks),
	END,
};

int model_decode(const struct vk_field *fields, const json_t *value, void *row, struct vk_err *err)
{
	int64_t v = vk_json_int(value, "v", 0);
	if (v > MODEL_VERSION)
		return vk_err_set(
			err, VK_CONFLICT, "written by a newer viking (schema %lld)", (long long)v);
	vk_autojson *copy = json_copy((json_t *)(uintptr_t)value);
	json_object_del(copy, "v");
	return vk_json_fields(copy, fields, row, err);
}

static json_t *field_encode(const struct vk_field *f, const void *row)
{
	const char *at = (const char *)row + f->offset;
	switch (f->type) {
	case VK_F_STR: {
		const char *s = *(char *const *)at;
		return s != NULL ? vk_json_safe_string(s, strlen(s)) : NULL;
	}
	case VK_F_BOOL:
		return json_boolean(*(const bool *)at);
	case VK_F_U64:
		return json_integer((json_int_t) * (const uint64_t *)at);
	case VK_F_I64:
		return json_integer(*(const int64_t *)at);
	case VK_F_JSON:
	case VK_F_OBJECT:
	case VK_F_ARRAY:
		return json_incref(*(json_t *const *)at);
	}
	return NULL;
}

json_t *model_encode(const struct vk_field *fields, const void *row)
{
	json_t *j = json_pack("{s:i}", "v", MODEL_VERSION);
	for (const struct vk_field *f = fields; f->name != NULL; f++) {
		json_t *value = field_encode(f, row);
		if (value != NULL)
			json_object_set_new(j, f->name, value);
	}
	return j;
}

static void row_free(const struct vk_field *fields, void *row)
{
	if (row == NULL)
		return;
	vk_fields_release(fields, row);
	free(*(char **)row);
	free(row);
}

void key_row_free(void *row)
{
	row_free(key_fields, row);
}

void node_row_free(void *row)
{
	row_free(node_fields, row);
}

void config_row_free(void *row)
{
	row_free(config_fields, row);
}

void domain_row_free(void *row)
{
	row_free(domain_fields, row);
}

void build_row_free(void *row)
{
	row_free(build_fields, row);
}

void image_row_free(void *row)
{
	row_free(image_fields, row);
}

void volume_row_free(void *row)
{
	row_free(volume_fields, row);
}

void cert_row_free(void *row)
{
	row_free(cert_fields, row);
}

void acme_row_free(void *row)
{
	row_free(acme_fields, row);
}

void account_row_free(void *row)
{
	row_free(account_fields, row);
}

void traffic_row_free(void *row)
{
	row_free(traffic_fields, row);
}

void host_row_free(void *row)
{
	row_free(host_fields, row);
}

void invite_row_free(void *row)
{
	row_free(invite_fields, row);
}

void assign_row_free(void *row)
{
	row_free(assign_fields, row);
}

void release_free(struct release *r)
{
	if (r == NULL)
		return;
	vk_fields_release(release_fields, r);
	json_decref(r->defs);
	free(r);
}
