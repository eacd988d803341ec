/* Automatic certificates: on and off for a domain; and, from the certs process, what an authority asks for. */
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "acme.h"
#include "api.h"
#include "domains.h"

#define ANSWER_MAX 512
#define BASE64URL  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

static bool has_host(const json_t *domains, const char *host)
{
	const char *place;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)domains, place, v)
	{
		size_t n = strcspn(place, "/");
		if (strncmp(place, host, n) == 0 && host[n] == '\0')
			return true;
	}
	return false;
}

static int check_domain(const struct call *c, const struct stack *sk, const char *domain, bool on,
	struct vk_err *err)
{
	vk_autojson *domains = domains_of(&c->s->st, sk, NULL, c->s->cfg->base_domain);
	const struct acme_row *row = table_get(&c->s->st.acme, domain);
	if (!has_host(domains, domain) && (on || row == NULL || !vk_streq(row->stack, sk->name))) {
		vk_err_set(err, VK_NOTFOUND, "%s is no domain of %s", domain, sk->name);
		return vk_err_hint(err, "viking domains %s", sk->name);
	}
	if (on && vk_ends(domain, ".localhost"))
		return vk_err_set(err, VK_INVALID,
			"%s is no name on the net: no authority can reach it", domain);
	return on ? acme_possible(c->s, domain, err) : 0;
}

/* The manifest's word stays; the row's failures are forgotten, but not how short ago the last order was. */
static void put_on(struct call *c, const char *domain, bool on)
{
	const struct acme_row *old = table_get(&c->s->st.acme, domain);
	struct acme_row row = old != NULL ? *old : (struct acme_row){0};
	struct txn *t = txn_new(c->s);
	int64_t first = (int64_t)c->s->cfg->acme_retry_ms, now = vk_now_ms();
	row.stack = c->part[0];
	row.on = on;
	row.failures = 0;
	row.error = row.hint = NULL;
	row.next_ms = row.order_ms + first > now ? row.order_ms + first : 0;
	txn_put_row(t, acme_fields, &row, "/acme/%s", domain);
	vk_autofree char *what = vk_asprintf("automatic for %s: %s", domain, on ? "on" : "off");
	hub_event(c->s, "cert", c->stack, what, c->who.name);
	call_commit(c, t,
		json_pack("{s:s,s:b,s:I}", "domain", domain, "on", on, "next_ms",
			(json_int_t)row.next_ms));
}

void api_certs_auto(struct call *c)
{
	struct vk_err err = {0};
	const struct stack *sk = call_stack(c, &err);
	const char *text = call_text(c, "domain");
	bool on = vk_json_bool(c->body, "on", true);
	char domain[VK_DOMAIN_MAX + 1];
	int rc = sk == NULL ? err.code : 0;
	if (rc == 0)
		rc = text == NULL ? vk_err_set(&err, VK_INVALID, "domain is missing")
				  : vk_domain(text, true, domain, &err);
	if (rc == 0)
		rc = check_domain(c, sk, domain, on, &err);
	if (rc != 0)
		call_error(c, &err);
	else
		put_on(c, domain, on);
}

/* ---- for the certs process ---- */

static void routed(void *arg, bool reached)
{
	struct call *c = arg;
	struct vk_err err = {0};
	if (reached) {
		call_ok(c);
		return;
	}
	vk_err_set(&err, VK_UNAVAILABLE, "the router does not answer the challenge");
	vk_err_hint(&err, "viking doctor");
	call_error(c, &err);
}

static bool word_ok(const char *text, const char *bytes)
{
	return text != NULL && text[0] != '\0' && strlen(text) <= ANSWER_MAX &&
		text[strspn(text, bytes)] == '\0';
}

/* Answered when every router has it: the authority may be told to look. */
void api_certs_challenge(struct call *c)
{
	struct vk_err err = {0};
	const char *order = call_text(c, "order"), *token = call_text(c, "token"),
		   *answer = call_text(c, "answer");
	const struct acme_row *old = order != NULL ? acme_order(c->s, order) : NULL;
	if (old == NULL)
		vk_err_set(&err, VK_NOTFOUND, "there is no such order");
	else if (!word_ok(token, BASE64URL) || !word_ok(answer, BASE64URL "."))
		vk_err_set(&err, VK_INVALID, "token and answer of a challenge are base64url");
	if (err.code != 0) {
		call_error(c, &err);
		return;
	}
	vk_autojson *challenge = json_pack("{s:s}", token, answer);
	struct acme_row row = *old;
	row.challenge = challenge;
	struct txn *t = txn_new(c->s);
	txn_put_row(t, acme_fields, &row, "/acme/%s", row.name);
	call_commit_routed(c, t, routed);
}
