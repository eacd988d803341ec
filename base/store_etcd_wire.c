#include "store_etcd_wire.h"

#include <string.h>
#include <viking/crypt.h>
#include <viking/mem.h>
#include <viking/str.h>

#define KEY_MAX   4096
#define VALUE_MAX (8u << 20) /* etcd's own bound is --max-request-bytes, 1.5 MiB */

/* ---- requests ---- */

static json_t *bytes(const void *p, size_t n)
{
	vk_autofree char *text = vk_base64(p, n);
	return json_string(text);
}

static json_t *number(uint64_t n)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	return json_string(text);
}

static void set_key(json_t *o, const char *prefix, const char *key)
{
	vk_autofree char *full = vk_asprintf("%s%s", prefix, key);
	json_object_set_new(o, "key", bytes(full, strlen(full)));
}

/* The first key behind all that start with `key`; NUL stands for the end of all keys. */
static json_t *end_of(const char *prefix, const char *key)
{
	vk_autofree char *full = vk_asprintf("%s%s", prefix, key);
	size_t n = strlen(full);
	while (n > 0 && (unsigned char)full[n - 1] == 0xff)
		n--;
	if (n == 0)
		return bytes("", 1);
	full[n - 1] = (char)((unsigned char)full[n - 1] + 1);
	return bytes(full, n);
}

static void set_below(json_t *o, const char *prefix, const char *key)
{
	const char *from = *key != '\0' ? key : "/";
	set_key(o, prefix, from);
	json_object_set_new(o, "range_end", end_of(prefix, from));
}

json_t *vk_etcd_range_body(const struct vk_etcd_range *q)
{
	json_t *o = json_object();
	if (q->below)
		set_below(o, q->prefix, q->key);
	else
		set_key(o, q->prefix, q->key);
	if (q->after != NULL) {
		vk_autofree char *full = vk_asprintf("%s%s", q->prefix, q->after);
		json_object_set_new(o, "key", bytes(full, strlen(full) + 1));
	}
	if (q->limit != 0)
		json_object_set_new(o, "limit", number(q->limit));
	if (q->rev != 0)
		json_object_set_new(o, "revision", number(q->rev));
	if (q->newest) {
		json_object_set_new(o, "sort_order", json_string("DESCEND"));
		json_object_set_new(o, "sort_target", json_string("MOD"));
		json_object_set_new(o, "keys_only", json_true());
	}
	return o;
}

json_t *vk_etcd_watch_body(const char *prefix, const char *key, uint64_t from_rev)
{
	json_t *o = json_object();
	set_below(o, prefix, key);
	json_object_set_new(o, "start_revision", number(from_rev));
	return json_pack("{s:o}", "create_request", o);
}

static json_t *compare(const char *prefix, const char *key, enum vk_cmp_target target, uint64_t rev)
{
	bool mod = target == VK_CMP_MOD_REV;
	json_t *o = json_pack("{s:s,s:s,s:o}", "target", mod ? "MOD" : "CREATE", "result", "EQUAL",
		mod ? "mod_revision" : "create_revision", number(rev));
	set_key(o, prefix, key);
	return o;
}

static json_t *put(
	const char *prefix, const char *key, const void *value, size_t len, uint64_t lease)
{
	json_t *o = json_pack("{s:o}", "value", bytes(value, len));
	set_key(o, prefix, key);
	if (lease != 0)
		json_object_set_new(o, "lease", number(lease));
	return json_pack("{s:o}", "request_put", o);
}

static json_t *put_guard(const char *prefix, const struct vk_etcd_guard *g)
{
	return put(prefix, g->key, g->nonce, strlen(g->nonce), 0);
}

static json_t *delete (const char *prefix, const struct vk_op *op)
{
	json_t *o = json_object();
	if (op->prefix)
		set_below(o, prefix, op->key);
	else
		set_key(o, prefix, op->key);
	return json_pack("{s:o}", "request_delete_range", o);
}

/* Transactions that only delete change the guard only when there is something to delete, as one without effect takes
 * no revision: unless all these keys are absent. */
static json_t *put_guard_unless_absent(
	const char *prefix, const struct vk_request *r, const struct vk_etcd_guard *g)
{
	json_t *absent = json_array();
	for (size_t i = 0; i < r->no; i++) {
		json_t *c = compare(prefix, r->ops[i].key, VK_CMP_CREATE_REV, 0);
		if (r->ops[i].prefix)
			set_below(c, prefix, r->ops[i].key);
		json_array_append_new(absent, c);
	}
	return json_pack("{s:{s:o,s:[o]}}", "request_txn", "compare", absent, "failure",
		put_guard(prefix, g));
}

static bool only_deletes(const struct vk_request *r)
{
	for (size_t i = 0; i < r->no; i++)
		if (!r->ops[i].del)
			return false;
	return true;
}

json_t *vk_etcd_txn_body(
	const char *prefix, const struct vk_request *r, const struct vk_etcd_guard *g)
{
	json_t *compares = json_array(), *ops = json_array(), *failure = json_array();
	for (size_t i = 0; i < r->nc; i++)
		json_array_append_new(compares,
			compare(prefix, r->cmps[i].key, r->cmps[i].target, r->cmps[i].rev));
	if (r->no > 0) { /* one that changes nothing may be sent as often as one likes */
		json_array_append_new(compares, compare(prefix, g->key, VK_CMP_MOD_REV, g->rev));
		json_array_append_new(ops,
			only_deletes(r) ? put_guard_unless_absent(prefix, r, g)
					: put_guard(prefix, g));
		json_t *read = json_object();
		set_key(read, prefix, g->key);
		json_array_append_new(failure, json_pack("{s:o}", "request_range", read));
	}
	for (size_t i = 0; i < r->no; i++) {
		const struct vk_op *op = &r->ops[i];
		json_array_append_new(ops,
			op->del ? delete (prefix, op)
				: put(prefix, op->key, op->value, op->len, op->lease));
	}
	return json_pack("{s:o,s:o,s:o}", "compare", compares, "success", ops, "failure", failure);
}

/* ---- answers ---- */

static int malformed(struct vk_err *err, const char *what)
{
	return vk_err_set(err, VK_INTERNAL, "etcd's answer has no valid %s", what);
}

int vk_etcd_number(const json_t *obj, const char *name, uint64_t *ret, struct vk_err *err)
{
	const json_t *v = json_object_get(obj, name);
	if (v == NULL) {
		*ret = 0;
		return 0;
	}
	if (json_is_integer(v) && json_integer_value(v) >= 0) {
		*ret = (uint64_t)json_integer_value(v);
		return 0;
	}
	if (!json_is_string(v) || vk_parse_u64(json_string_value(v), 0, UINT64_MAX, ret) != 0)
		return malformed(err, name);
	return 0;
}

static int header_rev(const json_t *answer, uint64_t *ret, struct vk_err *err)
{
	const json_t *header = json_object_get(answer, "header");
	return json_is_object(header) ? vk_etcd_number(header, "revision", ret, err)
				      : malformed(err, "header");
}

static int unbase64(const json_t *kv, const char *name, struct vk_buf *out, struct vk_err *err)
{
	const json_t *v = json_object_get(kv, name);
	if (v == NULL)
		return 0;
	if (!json_is_string(v) ||
		vk_unbase64(json_string_value(v), json_string_length(v), out, NULL) != 0)
		return malformed(err, name);
	return 0;
}

/* *ret_key is what stands behind the prefix, or NULL for a key that is none of ours. */
static int read_kv(const char *prefix, const json_t *kv, struct vk_buf *key, struct vk_buf *value,
	struct vk_row *ret, struct vk_err *err)
{
	int rc = json_is_object(kv) ? unbase64(kv, "key", key, err) : malformed(err, "kv");
	if (rc == 0)
		rc = unbase64(kv, "value", value, err);
	if (rc == 0)
		rc = vk_etcd_number(kv, "create_revision", &ret->create_rev, err);
	if (rc == 0)
		rc = vk_etcd_number(kv, "mod_revision", &ret->mod_rev, err);
	if (rc != 0)
		return rc;
	const char *text = vk_buf_str(key);
	bool ours = strlen(text) == key->len && vk_starts(text, prefix);
	ret->key = ours ? text + strlen(prefix) : NULL;
	ret->value = vk_buf_str(value);
	ret->len = value->len;
	return 0;
}

static int add_row(
	const char *prefix, const json_t *kv, struct vk_rows *rows, bool *added, struct vk_err *err)
{
	vk_autobuf key = VK_BUF_INIT(KEY_MAX), value = VK_BUF_INIT(VALUE_MAX);
	struct vk_row row = {0};
	int rc = read_kv(prefix, kv, &key, &value, &row, err);
	*added = rc == 0 && row.key != NULL;
	if (*added)
		vk_rows_add(rows, &row);
	return rc;
}

int vk_etcd_range_read(const char *prefix, const json_t *answer, struct vk_rows *rows,
	struct vk_etcd_page *ret, struct vk_err *err)
{
	int rc = header_rev(answer, &ret->rev, err);
	if (rc == 0)
		rc = vk_etcd_number(answer, "count", &ret->count, err);
	ret->more = json_is_true(json_object_get(answer, "more"));
	const json_t *kvs = json_object_get(answer, "kvs"), *kv;
	size_t i;
	bool added;
	json_array_foreach(kvs, i, kv) if (rc == 0) rc = add_row(prefix, kv, rows, &added, err);
	return rc;
}

static int read_guard(const json_t *response, struct vk_etcd_txn_answer *ret, struct vk_err *err)
{
	const json_t *kv = json_array_get(
		json_object_get(json_object_get(response, "response_range"), "kvs"), 0);
	if (kv == NULL)
		return 0;
	vk_autobuf value = VK_BUF_INIT(sizeof(ret->guard_value) - 1);
	int rc = unbase64(kv, "value", &value, err);
	if (rc == 0)
		rc = vk_etcd_number(kv, "mod_revision", &ret->guard_rev, err);
	snprintf(ret->guard_value, sizeof(ret->guard_value), "%s", vk_buf_str(&value));
	return rc;
}

int vk_etcd_txn_read(const json_t *answer, struct vk_etcd_txn_answer *ret, struct vk_err *err)
{
	*ret = (struct vk_etcd_txn_answer){0};
	ret->succeeded = json_is_true(json_object_get(answer, "succeeded"));
	const json_t *first = json_array_get(json_object_get(answer, "responses"), 0);
	const json_t *nested = json_object_get(first, "response_txn");
	ret->guarded = json_object_get(first, "response_put") != NULL ||
		(nested != NULL && !json_is_true(json_object_get(nested, "succeeded")));
	int rc = header_rev(answer, &ret->rev, err);
	return rc != 0 || ret->succeeded ? rc : read_guard(first, ret, err);
}

/* ---- watches ---- */

static int read_event(
	const char *prefix, const json_t *event, struct vk_etcd_message *m, struct vk_err *err)
{
	bool added;
	int rc = add_row(prefix, json_object_get(event, "kv"), &m->rows, &added, err);
	if (rc != 0 || !added)
		return rc;
	size_t n = m->rows.n;
	if (n > 1 && m->rows.v[n - 1].mod_rev < m->rows.v[n - 2].mod_rev)
		return malformed(err, "order of events");
	m->del[n - 1] = vk_streq(vk_json_str(event, "type", ""), "DELETE");
	return 0;
}

int vk_etcd_message_read(
	const char *prefix, const json_t *line, struct vk_etcd_message *ret, struct vk_err *err)
{
	*ret = (struct vk_etcd_message){0};
	const json_t *failed = json_object_get(line, "error"),
		     *result = json_object_get(line, "result");
	if (failed != NULL)
		return vk_etcd_refusal(503, json_is_object(failed) ? failed : line, err);
	if (!json_is_object(result))
		return malformed(err, "result");
	ret->created = json_is_true(json_object_get(result, "created"));
	ret->canceled = json_is_true(json_object_get(result, "canceled"));
	int rc = vk_etcd_number(result, "compact_revision", &ret->compact_rev, err);
	const json_t *events = json_object_get(result, "events"), *event;
	ret->del = vk_calloc(json_array_size(events) + 1, sizeof(*ret->del));
	size_t i;
	json_array_foreach(events, i, event) if (rc == 0) rc = read_event(prefix, event, ret, err);
	if (rc != 0)
		vk_etcd_message_release(ret);
	return rc;
}

void vk_etcd_message_release(struct vk_etcd_message *m)
{
	vk_rows_release(&m->rows);
	free(m->del);
	m->del = NULL;
}

/* ---- errors ---- */

/* gRPC's codes (grpc/codes) as viking's. */
static int code_of(int64_t grpc)
{
	switch (grpc) {
	case 3: /* InvalidArgument */
		return VK_INVALID;
	case 5:
		return VK_NOTFOUND;
	case 7:  /* PermissionDenied */
	case 16: /* Unauthenticated */
		return VK_DENIED;
	case 8: /* ResourceExhausted */
		return VK_LIMIT;
	case 9:  /* FailedPrecondition */
	case 11: /* OutOfRange: compacted */
		return VK_CONFLICT;
	default: /* no leader, timed out, shutting down, cancelled */
		return VK_UNAVAILABLE;
	}
}

int vk_etcd_refusal(long status, const json_t *body, struct vk_err *err)
{
	const char *text = vk_json_str(body, "message", vk_json_str(body, "error", NULL));
	int64_t grpc = vk_json_int(body, "code", vk_json_int(body, "grpc_code", -1));
	char shown[256] = "no reason given";
	if (text != NULL)
		vk_str_printable(text, strlen(text), shown, sizeof(shown));
	int code = grpc >= 0 ? code_of(grpc) : status >= 500 ? VK_UNAVAILABLE : VK_INTERNAL;
	/* bounds that etcd does not tell as such */
	if (strstr(shown, "too many operations") != NULL || strstr(shown, "too large") != NULL ||
		strstr(shown, "larger than max") != NULL) {
		vk_err_set(err, VK_LIMIT, "etcd: %s", shown);
		return vk_err_hint(
			err, "start etcd with --max-txn-ops=65536 --max-request-bytes=8388608");
	}
	if (text == NULL)
		return vk_err_set(err, code, "etcd answered HTTP %ld", status);
	return vk_err_set(
		err, code, "%s%s", vk_starts(shown, "etcdserver: ") ? "" : "etcd: ", shown);
}
