/* Requests: who asks, which route, may they; answers and the audit line. */
#include "api.h"

#include <string.h>
#include <unistd.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "lead.h"
#include "peer.h"
#include "sessions.h"

#define ANY_WORD '{'

/* ---- the call ---- */

struct call *call_new(struct sched *s, struct vk_req *r)
{
	struct call *c = vk_alloc(sizeof(*c));
	c->s = s;
	c->r = r;
	return c;
}

static void call_free(struct call *c)
{
	free(c->part[0]);
	free(c->part[1]);
	json_decref(c->body);
	json_decref(c->state);
	json_decref(c->globs);
	explicit_bzero(c->token, sizeof(c->token));
	free(c);
}

static void call_closed(void *arg, struct vk_req *r)
{
	struct call *c = arg;
	(void)r;
	c->r = NULL;
}

void call_outlive(struct call *c)
{
	if (c->r != NULL)
		vk_req_on_closed(c->r, call_closed, c);
}

/* Only short plain values by names that hold no secrets; of "set" only the names. */
static json_t *audit_params(const struct call *c)
{
	static const char *const secret[] = {
		"key", "line", "token", "doc", "env", "keys", "cmd", "pem", NULL};
	json_t *params = json_object();
	const char *name;
	json_t *value;
	if (c->part[1] != NULL)
		json_object_set_new(
			params, "arg", vk_json_safe_string(c->part[1], strlen(c->part[1])));
	json_object_foreach(c->body, name, value)
	{
		bool hidden = false;
		for (size_t i = 0; secret[i] != NULL; i++)
			hidden = hidden || strcmp(secret[i], name) == 0;
		if (strcmp(name, "set") == 0) {
			json_t *names = json_array();
			const char *key;
			json_t *unused;
			json_object_foreach(value, key, unused)
				json_array_append_new(names, json_string(key));
			json_object_set_new(params, "set", names);
		} else if (!hidden && json_object_size(params) < 16 &&
			json_string_length(value) <= 256) {
			json_object_set(params, name, value);
		}
	}
	return params;
}

static int call_audit(struct call *c, const struct vk_err *result, struct vk_err *err)
{
	bool denied = result != NULL && result->code == VK_DENIED;
	if (c->route == NULL || (!c->route->change && !denied))
		return 0;
	vk_autojson *params = audit_params(c);
	vk_autofree char *verb = vk_asprintf("%s %s", c->route->method, c->route->path);
	return audit_add(c->s->audit,
		&(struct audit_entry){.who = c->who.name,
			.source = c->who.fingerprint,
			.verb = verb,
			.stack = c->stack,
			.result = result != NULL ? vk_err_name(result->code) : "ok",
			.params = params},
		result == NULL, err);
}

void call_error(struct call *c, const struct vk_err *err)
{
	(void)call_audit(c, err, NULL);
	if (c->r != NULL)
		vk_req_error(c->r, err);
	call_free(c);
}

void call_text_answer(struct call *c, const char *type, const struct vk_buf *text)
{
	if (c->r != NULL)
		vk_req_bytes(c->r, 200, type, text->data, text->len);
	call_free(c);
}

void call_json(struct call *c, int status, json_t *body)
{
	struct vk_err err = {0};
	if (call_audit(c, NULL, &err) != 0) {
		json_decref(body);
		if (c->r != NULL)
			vk_req_error(c->r, &err);
		call_free(c);
		return;
	}
	if (c->r != NULL)
		vk_req_json(c->r, status, body);
	else
		json_decref(body);
	call_free(c);
}

void call_ok(struct call *c)
{
	call_json(c, 200, json_object());
}

struct vk_req *call_take(struct call *c)
{
	struct vk_req *r = c->r;
	struct vk_err err = {0};
	if (call_audit(c, NULL, &err) != 0)
		vk_log_err(VK_ERROR, "audit", &err);
	call_free(c);
	return r;
}

static void call_committed(void *arg, const struct vk_err *err)
{
	struct call *c = arg;
	if (err != NULL)
		call_error(c, err);
	else
		call_json(c, 200, c->state != NULL ? json_incref(c->state) : json_object());
}

void call_commit(struct call *c, struct txn *t, json_t *answer)
{
	json_decref(c->state);
	c->state = answer;
	call_outlive(c);
	txn_commit(t, call_committed, c);
}

void call_served(void *arg, bool reached)
{
	struct call *c = arg;
	call_json(c, 200, json_pack("{s:b}", "served", reached));
}

static void call_written(void *arg, const struct vk_err *err)
{
	struct call *c = arg;
	if (err != NULL) {
		call_error(c, err);
		return;
	}
	hub_refresh(c->s);
	router_wait(c->s, (int64_t)c->s->cfg->route_ack_ms, c->routed, c);
}

void call_commit_routed(struct call *c, struct txn *t, router_wait_fn *routed)
{
	c->routed = routed;
	call_outlive(c);
	txn_commit(t, call_written, c);
}

void call_submit(struct call *c, struct op *op, enum op_busy busy)
{
	struct vk_err err = {0};
	const char *wait = vk_req_query(c->r, "wait");
	if (busy == OP_REFUSE && wait != NULL && strcmp(wait, "0") != 0)
		busy = OP_WAIT;
	/* asked before the audit line says ok; op_submit comes to the same answer */
	int rc = op_check(c->s, op->stack, op->type->kind, busy, &err);
	if (rc == 0)
		rc = call_audit(c, NULL, &err);
	if (rc != 0) {
		op_unref(op);
		call_error(c, &err);
		return;
	}
	struct vk_req *r = c->r;
	call_free(c);
	if (op_submit(op, r, busy, &err) != 0)
		vk_req_error(r, &err);
}

struct stack *call_stack(struct call *c, struct vk_err *err)
{
	struct stack *sk = state_stack(&c->s->st, c->stack);
	if (sk == NULL)
		vk_err_set(err, VK_NOTFOUND, "there is no stack %s", c->stack);
	return sk;
}

const char *call_text(const struct call *c, const char *key)
{
	return vk_json_str(c->body, key, NULL);
}

/* ---- routes ---- */

static size_t word_length(const char *p)
{
	return strcspn(p, "/");
}

/* Does the path fit the pattern? The last {word} of a pattern takes the rest of the path. */
static bool path_fits(const char *pattern, const char *path, struct call *c, bool take)
{
	size_t n = 0;
	while (*pattern != '\0' && *path != '\0') {
		if (*pattern != ANY_WORD) {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		size_t word = word_length(pattern), length = word_length(path);
		if (length == 0)
			return false;
		if (take && n < VK_COUNT(c->part)) {
			c->part[n] = vk_strndup(path, length);
			if (strncmp(pattern, "{stack}", word) == 0)
				c->stack = c->part[n];
			n++;
		}
		pattern += word;
		path += length;
	}
	return *pattern == '\0' && *path == '\0';
}

static const struct route *route_find(
	struct call *c, const char *method, const char *path, struct vk_err *err)
{
	bool other = false;
	for (size_t i = 0; i < routes_n; i++) {
		if (!path_fits(routes[i].path, path, c, false))
			continue;
		if (strcmp(routes[i].method, method) != 0) {
			other = true;
			continue;
		}
		path_fits(routes[i].path, path, c, true);
		return &routes[i];
	}
	vk_err_set(err, VK_NOTFOUND, other ? "%s is not possible on %s" : "there is no %s %s",
		method, path);
	return NULL;
}

void api_cluster(struct call *c)
{
	call_json(c, 200, lead_json(c->s));
}

void api_print_routes(FILE *out)
{
	for (size_t i = 0; i < routes_n; i++)
		fprintf(out, "%s %s\n", routes[i].method, routes[i].path);
}

static int call_may(const struct call *c, struct vk_err *err)
{
	const struct route *route = c->route;
	/* to a stranger not even what everybody may */
	bool known = c->who.role != ROLE_STRANGER;
	if (known && (route->roles == 0 || c->who.kind == CALLER_LOCAL_ADMIN))
		return rights_check(&c->who, route->verb, c->stack, err);
	if ((c->who.role & route->roles) == 0)
		return vk_err_set(err, VK_DENIED, "%s may not %s %s", c->who.name, route->method,
			route->path);
	return 0;
}

static int call_body(struct call *c, struct vk_err *err)
{
	const struct vk_buf *b = vk_req_body(c->r);
	if (b == NULL || b->len == 0)
		return 0;
	int rc = vk_json_parse(vk_buf_str(b), b->len, &c->body, err);
	if (rc == 0 && !json_is_object(c->body) && !json_is_null(c->body))
		rc = vk_err_set(err, VK_INVALID, "the body must be a JSON object");
	return rc;
}

/* What changes something stored is refused at once while the store does not answer. */
static int call_possible(const struct call *c, struct vk_err *err)
{
	bool writes = c->route->change && c->route->verb != VERB_RUN;
	return writes ? lead_check(c->s->lead, err) : 0;
}

void api_request(void *arg, struct vk_req *r)
{
	struct call *c = call_new(arg, r);
	struct vk_err err = {0};
	int rc = peer_identify(c, &err);
	if (rc == 0) {
		c->route = route_find(c, vk_req_method(r), vk_req_path(r), &err);
		rc = c->route == NULL ? err.code : call_may(c, &err);
	}
	if (rc == 0)
		rc = call_body(c, &err);
	if (rc == 0)
		rc = call_possible(c, &err);
	if (rc != 0)
		call_error(c, &err);
	else
		c->route->fn(c);
}
