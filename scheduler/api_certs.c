/* Certificates of a stack: list, add, remove; and, for the router, one with its key. */
#include <string.h>
#include <viking/crypt.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "acme.h"
#include "api.h"
#include "certs.h"
#include "certwork.h"
#include "domains.h"
#include "routes.h"

#define CERTS_MAX 100 /* of a stack */
#define ID_LENGTH 12

static json_t *domains_now(const struct call *c, const struct stack *sk)
{
	return domains_of(&c->s->st, sk, NULL, c->s->cfg->base_domain);
}

static json_t *cert_json(const struct cert_row *row, const json_t *shown)
{
	char from[32], until[32];
	const char *id;
	json_t *names = json_array(), *one;
	vk_format_time(row->not_before_ms, from);
	vk_format_time(row->not_after_ms, until);
	json_object_foreach((json_t *)(uintptr_t)shown, id,
		one) if (strcmp(vk_json_str(one, "row", ""), row->name) == 0)
		json_array_extend(names, json_object_get(one, "names"));
	return json_pack("{s:s,s:O,s:o,s:s,s:s,s:s,s:I,s:s}", "id", strchr(row->name, '/') + 1,
		"names", row->names, "shown", names, "issuer", row->issuer, "from", from, "until",
		until, "until_ms", (json_int_t)row->not_after_ms, "who", row->who);
}

static bool is_of(const struct cert_row *row, const char *stack)
{
	size_t n = strlen(stack);
	return strncmp(row->name, stack, n) == 0 && row->name[n] == '/';
}

void api_certs(struct call *c)
{
	struct vk_err err = {0};
	const struct stack *sk = call_stack(c, &err);
	if (sk == NULL) {
		call_error(c, &err);
		return;
	}
	vk_autojson *domains = domains_now(c, sk);
	vk_autojson *shown = certs_shown(&c->s->st, sk->name, domains);
	json_t *list = json_array();
	const struct cert_row *row;
	table_each(&c->s->st.certs, i, row) if (is_of(row, sk->name))
		json_array_append_new(list, cert_json(row, shown));
	call_json(c, 200, json_pack("{s:o,s:o}", "certs", list, "auto", acme_list(c->s, sk)));
}

/* It has to be for a domain of this stack; another's would never be shown. */
static int check_names(
	const struct call *c, const struct stack *sk, const struct vk_cert *r, struct vk_err *err)
{
	vk_autojson *domains = domains_now(c, sk);
	const char *place;
	json_t *v, *name;
	json_object_foreach(domains, place, v)
	{
		vk_autofree char *host = domains_host(place);
		size_t i;
		json_array_foreach(
			r->names, i, name) if (vk_cert_covers(json_string_value(name), host) ||
			domains_clash(host, json_string_value(name))) return 0;
	}
	vk_err_set(err, VK_INVALID, "the certificate is for %s, which is no domain of %s",
		json_string_value(json_array_get(r->names, 0)), sk->name);
	vk_err_hint(err, "viking domains %s", sk->name);
	return VK_INVALID;
}

static size_t count_of(const struct state *st, const char *stack)
{
	const struct cert_row *row;
	size_t n = 0;
	table_each(&st->certs, i, row) n += is_of(row, stack);
	return n;
}

static void put_cert(struct call *c, const char *id, const struct vk_cert *r)
{
	vk_autofree char *sealed = vk_seal(&c->s->secret, r->pem, strlen(r->pem));
	struct cert_row row = {.sealed = sealed,
		.names = r->names,
		.issuer = r->issuer,
		.who = c->who.name,
		.not_before_ms = r->not_before_ms,
		.not_after_ms = r->not_after_ms,
		.created_ms = vk_now_ms()};
	struct txn *t = txn_new(c->s);
	txn_put_row(t, cert_fields, &row, "/cert/%s/%s", c->stack, id);
	vk_autofree char *what =
		vk_asprintf("added %s for %s", id, json_string_value(json_array_get(r->names, 0)));
	hub_event(c->s, "cert", c->stack, what, c->who.name);
	call_commit(c, t, json_pack("{s:s,s:O}", "id", id, "names", r->names));
}

static int check_room(const struct call *c, struct vk_err *err)
{
	if (count_of(&c->s->st, c->stack) < CERTS_MAX)
		return 0;
	return vk_err_set(err, VK_LIMIT, "a stack may have %d certificates", CERTS_MAX);
}

static void on_read(void *arg, const struct vk_cert *r, const struct vk_err *why)
{
	struct call *c = arg;
	struct vk_err err = why != NULL ? *why : (struct vk_err){0};
	if (err.code != 0 && err.code != VK_UNAVAILABLE)
		vk_err_wrap(&err, "the certificate is not taken");
	const struct stack *sk = err.code == 0 ? call_stack(c, &err) : NULL;
	if (err.code == 0 && check_names(c, sk, r, &err) == 0)
		check_room(c, &err);
	if (err.code != 0) {
		call_error(c, &err);
		return;
	}
	char id[65];
	vk_sha256_hex(r->pem, strlen(r->pem), id);
	id[ID_LENGTH] = '\0';
	put_cert(c, id, r);
}

void api_certs_add(struct call *c)
{
	struct vk_err err = {0};
	const char *pem = call_text(c, "pem");
	if (call_stack(c, &err) != NULL && pem == NULL)
		vk_err_set(&err, VK_INVALID, "pem is missing: the certificate and its key");
	else if (err.code == 0 && strlen(pem) > VK_CERT_INPUT_MAX)
		vk_err_set(&err, VK_LIMIT, "the certificate is not taken: it has more than 64 KiB");
	if (err.code == 0)
		check_room(c, &err);
	if (err.code != 0) {
		call_error(c, &err);
		return;
	}
	call_outlive(c);
	certwork_check(c->s, pem, on_read, c);
}

void api_certs_remove(struct call *c)
{
	struct vk_err err = {0};
	const struct stack *sk = call_stack(c, &err);
	vk_autofree char *key = vk_asprintf("%s/%.64s", c->stack, c->part[1]);
	if (sk != NULL && table_get(&c->s->st.certs, key) == NULL) {
		vk_err_set(&err, VK_NOTFOUND, "%s has no certificate %.64s", c->stack, c->part[1]);
		vk_err_hint(&err, "viking certs %s", c->stack);
	}
	if (err.code != 0) {
		call_error(c, &err);
		return;
	}
	struct txn *t = txn_new(c->s);
	txn_del(t, "/cert/%s", key);
	vk_autofree char *what = vk_asprintf("removed %s", c->part[1]);
	hub_event(c->s, "cert", c->stack, what, c->who.name);
	call_commit(c, t, NULL);
}

/* ---- for our own processes ---- */

void api_certs_watch(struct call *c)
{
	struct sched *s = c->s;
	certwork_watch(s, call_take(c));
}

void api_certs_job(struct call *c)
{
	struct vk_err err = {0};
	struct txn *t = NULL;
	if (certwork_answer(c->s, c->part[0], c->body, &err) == 0)
		call_ok(c);
	else if (acme_answer(c->s, c->part[0], c->body, &t, &err) == 0)
		call_commit(c, t, NULL);
	else
		call_error(c, &err);
}

static const struct cert_row *row_by_id(struct sched *s, const char *id)
{
	struct stack *sk;
	table_each(&s->st.stacks, i, sk)
	{
		if (!sk->exists || count_of(&s->st, sk->name) == 0)
			continue;
		vk_autojson *domains =
			domains_of(&s->st, sk, routes_entries(sk), s->cfg->base_domain);
		vk_autojson *shown = certs_shown(&s->st, sk->name, domains);
		const json_t *one = json_object_get(shown, id);
		if (one != NULL)
			return table_get(&s->st.certs, vk_json_str(one, "row", ""));
	}
	return NULL;
}

void api_router_cert(struct call *c)
{
	struct vk_err err = {0};
	const struct cert_row *row = row_by_id(c->s, c->part[0]);
	vk_autobuf pem = VK_BUF_INIT(VK_CERT_PEM_MAX + 1);
	if (row == NULL)
		vk_err_set(&err, VK_NOTFOUND, "there is no certificate of that id now");
	else
		vk_unseal(&c->s->secret, row->sealed, &pem, &err);
	if (err.code != 0)
		call_error(c, &err);
	else
		call_json(c, 200, json_pack("{s:s}", "pem", vk_buf_str(&pem)));
	explicit_bzero(pem.data, pem.len);
}
