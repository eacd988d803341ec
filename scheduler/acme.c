#include "acme.h"

#include <string.h>
#include <viking/cert.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "acme_due.h"
#include "certs.h"
#include "certwork.h"
#include "doctor.h"
#include "domains.h"
#include "router.h"
#include "routes.h"

#define LOOK_MS         INT64_C(60000)
#define SETTLE_MS       INT64_C(200) /* behind a change, so that a deploy's many are one look */
#define HOUR_MS         INT64_C(3600000)
#define UNDER_WAY_MAX   2
#define ORDERS_AN_HOUR  90 /* Let's Encrypt: 300 of an account in 3 hours */
#define ERROR_MAX       300
#define CERT_ID_LENGTH  12
#define ACCOUNT_ID_SIZE 17

struct acme {
	struct sched *s;
	struct vk_timer *timer;
	char account[ACCOUNT_ID_SIZE]; /* of the directory: another authority, another account */
	bool writing;                  /* one order is begun after the other */
	int64_t at;                    /* when the timer goes off, monotonic */
};

/* The timer goes off in ms, or sooner if it was to. */
static void arm(struct acme *a, int64_t ms)
{
	int64_t at = vk_mono_ms() + (ms < SETTLE_MS ? SETTLE_MS : ms);
	if (at >= a->at)
		return;
	a->at = at;
	vk_timer_set(a->timer, at - vk_mono_ms());
}

/* ---- what is wanted ---- */

static const char *tls_word(const json_t *entry, const char *place)
{
	const json_t *options = json_object_get(json_object_get(entry, "domain_options"), place);
	return vk_json_str(
		options, "tls", vk_json_str(json_object_get(entry, "traffic"), "tls", ""));
}

/* Spares most stacks from a look at each of their domains. */
static bool may_want(const struct sched *s, const json_t *entries)
{
	bool may = s->cfg->acme_auto || s->st.acme.n > 0;
	const char *node, *place;
	json_t *entry, *options;
	json_object_foreach((json_t *)(uintptr_t)entries, node, entry)
	{
		may = may || strcmp(tls_word(entry, ""), "auto") == 0;
		json_object_foreach(json_object_get(entry, "domain_options"), place, options) may =
			may || strcmp(vk_json_str(options, "tls", ""), "auto") == 0;
	}
	return may;
}

json_t *acme_wanted(const struct sched *s, const struct stack *sk, json_t **claimed)
{
	const json_t *entries = routes_entries(sk);
	if (!may_want(s, entries))
		return json_object();
	vk_autojson *domains = domains_among(&s->st, sk, entries, s->cfg->base_domain, claimed);
	json_t *wanted = json_object(), *v;
	const char *place;
	json_object_foreach(domains, place, v)
	{
		vk_autofree char *host = domains_host(place);
		const struct acme_row *row = table_get(&s->st.acme, host);
		const char *tls =
			tls_word(json_object_get(entries, vk_json_str(v, "node", "")), place);
		bool on = row != NULL && row->on && vk_streq(row->stack, sk->name);
		if (vk_ends(host, ".localhost") || (strcmp(tls, "off") == 0 && !on))
			continue;
		if (on || strcmp(tls, "auto") == 0 || s->cfg->acme_auto)
			json_object_set_new(wanted, host, json_true());
	}
	return wanted;
}

static const struct cert_row *cert_for(
	const struct state *st, const json_t *shown, const char *host)
{
	const char *id;
	json_t *one, *name;
	size_t i;
	json_object_foreach((json_t *)(uintptr_t)shown, id, one) json_array_foreach(
		json_object_get(one, "names"), i, name) if (strcmp(json_string_value(name), host) ==
		0) return table_get(&st->certs, vk_json_str(one, "row", ""));
	return NULL;
}

static int64_t due_ms(const struct acme_row *row, const struct cert_row *cert, const char *domain)
{
	int64_t due =
		cert != NULL ? acme_renew_ms(cert->not_before_ms, cert->not_after_ms, domain) : 0;
	return row != NULL && row->next_ms > due ? row->next_ms : due;
}

int acme_possible(const struct sched *s, const char *domain, struct vk_err *err)
{
	if (!s->cfg->acme_accept_terms) {
		vk_err_set(
			err, VK_DENIED, "the terms of %s are not accepted", s->cfg->acme_directory);
		return vk_err_hint(
			err, "acme: {accept_terms: true} in /etc/viking/viking.conf, if you agree");
	}
	if (vk_starts(domain, "*.") && s->cfg->acme_dns_hook[0] == '\0') {
		vk_err_set(err, VK_DENIED,
			"a certificate of %s needs a program that sets DNS records", domain);
		return vk_err_hint(
			err, "acme: {dns_hook: /path/of/a/program} in /etc/viking/viking.conf");
	}
	if (s->cfg->https_port == 0) {
		vk_err_set(err, VK_DENIED, "HTTPS is off");
		return vk_err_hint(err, "https: {port: 443} in /etc/viking/viking.conf");
	}
	return 0;
}

/* ---- orders ---- */

const struct acme_row *acme_order(const struct sched *s, const char *order)
{
	const struct acme_row *row;
	table_each(&s->st.acme, i, row) if (vk_streq(row->order, order)) return row;
	return NULL;
}

static size_t under_way(const struct sched *s)
{
	const struct acme_row *row;
	size_t n = 0;
	table_each(&s->st.acme, i, row) n += row->order != NULL;
	return n;
}

static void written(void *arg, const struct vk_err *err)
{
	struct acme *a = arg;
	a->writing = false;
	if (err != NULL)
		vk_log_err(VK_ERROR, "acme", err);
	certwork_refresh(a->s);
	arm(a, err != NULL ? LOOK_MS : 0);
}

static void commit(struct acme *a, struct txn *t)
{
	a->writing = true;
	txn_commit(t, written, a);
}

/* Counts an order of this hour; the account's key is made with its first one. False: enough for now. */
static bool put_account(struct acme *a, struct txn *t, int64_t now)
{
	const struct account_row *old = table_get(&a->s->st.accounts, a->account);
	struct account_row row = old != NULL ? *old : (struct account_row){.created_ms = now};
	vk_autofree char *sealed = NULL;
	if (now - row.hour_ms >= HOUR_MS || now < row.hour_ms) {
		row.hour_ms = now;
		row.hour_n = 0;
	}
	if (++row.hour_n > ORDERS_AN_HOUR)
		return false;
	if (row.sealed == NULL) {
		vk_autofree char *key = vk_cert_new_key();
		if (key == NULL)
			return false;
		row.sealed = sealed = vk_seal(&a->s->secret, key, strlen(key));
		explicit_bzero(key, strlen(key));
	}
	row.directory = a->s->cfg->acme_directory;
	txn_put_row(t, account_fields, &row, "/account/%s", a->account);
	return true;
}

static void begin(struct acme *a, const struct stack *sk, const char *domain, int64_t now)
{
	const struct acme_row *old = table_get(&a->s->st.acme, domain);
	struct acme_row row = old != NULL ? *old : (struct acme_row){0};
	struct txn *t = txn_new(a->s);
	char hash[65];
	vk_sha256_hex(domain, strlen(domain), hash);
	vk_autofree char *id = vk_asprintf("o%llx-%.8s", (unsigned long long)now, hash);
	if (!put_account(a, t, now)) {
		txn_free(t);
		return;
	}
	row.stack = sk->name;
	row.order = id;
	row.order_ms = now;
	row.challenge = NULL;
	txn_put_row(t, acme_fields, &row, "/acme/%s", domain);
	vk_autofree char *what = vk_asprintf("ordering one for %s", domain);
	hub_event(a->s, "cert", sk->name, what, "viking");
	commit(a, t);
}

static void look_stack(struct acme *a, const struct stack *sk, int64_t now, json_t **claimed)
{
	vk_autojson *wanted = acme_wanted(a->s, sk, claimed);
	if (json_object_size(wanted) == 0)
		return;
	vk_autojson *shown = certs_shown(&a->s->st, sk->name, wanted);
	const char *domain;
	json_t *v;
	json_object_foreach(wanted, domain, v)
	{
		const struct acme_row *row = table_get(&a->s->st.acme, domain);
		const struct cert_row *cert = cert_for(&a->s->st, shown, domain);
		if (due_ms(row, cert, domain) > now)
			arm(a, due_ms(row, cert, domain) - now);
		if (a->writing || under_way(a->s) >= UNDER_WAY_MAX)
			continue;
		if ((row == NULL || row->order == NULL) && due_ms(row, cert, domain) <= now &&
			acme_possible(a->s, domain, NULL) == 0)
			begin(a, sk, domain, now);
	}
}

/* Rows of domains that are not to have one any more, an order under way included; what was ordered for such, and has ended. */
static void sweep(struct acme *a, json_t **claimed)
{
	const struct acme_row *row;
	struct txn *t = NULL;
	table_each(&a->s->st.acme, i, row)
	{
		const struct stack *sk = state_stack(&a->s->st, row->stack);
		vk_autojson *wanted = sk != NULL ? acme_wanted(a->s, sk, claimed) : json_object();
		if (json_object_get(wanted, row->name) != NULL ||
			(row->on && sk != NULL && row->order == NULL))
			continue;
		if (t == NULL)
			t = txn_new(a->s);
		txn_del(t, "/acme/%s", row->name);
	}
	const struct cert_row *cert;
	table_each(&a->s->st.certs, i, cert)
	{
		if (cert->ordered_for == NULL || cert->not_after_ms > vk_now_ms() ||
			table_get(&a->s->st.acme, cert->ordered_for) != NULL)
			continue;
		if (t == NULL)
			t = txn_new(a->s);
		txn_del(t, "/cert/%s", cert->name);
	}
	if (t != NULL)
		commit(a, t);
}

static void look(void *arg)
{
	struct acme *a = arg;
	const struct stack *sk;
	int64_t now = vk_now_ms();
	vk_autojson *claimed = NULL;
	a->at = INT64_MAX;
	arm(a, LOOK_MS);
	if (a->writing || !certwork_live(a->s) || !router_live(a->s))
		return;
	sweep(a, &claimed);
	table_each(&a->s->st.stacks, i, sk) if (sk->exists) look_stack(a, sk, now, &claimed);
}

void acme_touch(struct sched *s)
{
	if (s->acme != NULL)
		arm(s->acme, SETTLE_MS);
}

struct acme *acme_new(struct sched *s)
{
	struct acme *a = vk_alloc(sizeof(*a));
	char hash[65];
	vk_sha256_hex(s->cfg->acme_directory, strlen(s->cfg->acme_directory), hash);
	*a = (struct acme){.s = s};
	memcpy(a->account, hash, ACCOUNT_ID_SIZE - 1);
	a->timer = vk_timer_new(s->loop, look, a);
	a->at = INT64_MAX;
	arm(a, SETTLE_MS);
	return a;
}

void acme_free(struct acme *a)
{
	if (a == NULL)
		return;
	vk_timer_free(a->timer);
	free(a);
}

void acme_jobs(struct sched *s, json_t *jobs)
{
	const struct account_row *account = table_get(&s->st.accounts, s->acme->account);
	const struct acme_row *row;
	vk_autobuf key = VK_BUF_INIT(VK_CERT_PEM_MAX);
	struct vk_err err = {0};
	if (under_way(s) == 0)
		return;
	if (account == NULL || vk_unseal(&s->secret, account->sealed, &key, &err) != 0) {
		vk_log_err(VK_ERROR, "account-key", &err);
		return;
	}
	table_each(&s->st.acme, i, row) if (row->order != NULL)
		json_object_set_new(jobs, row->order,
			json_pack("{s:s,s:s,s:s}", "kind", "order", "domain", row->name,
				"account_key", vk_buf_str(&key)));
	explicit_bzero(key.data, key.len);
}

json_t *acme_challenges(const struct state *st)
{
	json_t *all = json_object();
	const struct acme_row *row;
	table_each(&st->acme, i, row) if (row->order != NULL && row->challenge != NULL)
		json_object_set(all, row->name, row->challenge);
	return all;
}

/* ---- answers ---- */

static bool names_domain(const struct vk_cert *c, const char *domain)
{
	size_t i;
	json_t *name;
	json_array_foreach(
		c->names, i, name) if (vk_cert_covers(json_string_value(name), domain)) return true;
	return false;
}

/* The new one, and those that were ordered for the domain before are gone: one transaction. */
static void put_ordered(
	struct sched *s, struct txn *t, const struct acme_row *row, const struct vk_cert *c)
{
	char id[65];
	vk_sha256_hex(c->pem, strlen(c->pem), id);
	id[CERT_ID_LENGTH] = '\0';
	vk_autofree char *name = vk_asprintf("%s/%s", row->stack, id);
	vk_autofree char *sealed = vk_seal(&s->secret, c->pem, strlen(c->pem));
	vk_autofree char *stem = vk_asprintf("%s/", row->stack);
	const struct cert_row *old;
	table_each(&s->st.certs, i, old) if (vk_streq(old->ordered_for, row->name) &&
		vk_starts(old->name, stem) && strcmp(old->name, name) != 0)
		txn_del(t, "/cert/%s", old->name);
	struct cert_row cert = {.sealed = sealed,
		.names = c->names,
		.issuer = c->issuer,
		.who = (char *)(uintptr_t) "acme",
		.ordered_for = row->name,
		.not_before_ms = c->not_before_ms,
		.not_after_ms = c->not_after_ms,
		.created_ms = vk_now_ms()};
	txn_put_row(t, cert_fields, &cert, "/cert/%s", name);
}

static void put_over(
	struct sched *s, struct txn *t, const struct acme_row *old, const struct vk_err *why)
{
	int64_t now = vk_now_ms(), first = (int64_t)s->cfg->acme_retry_ms;
	struct acme_row row = *old;
	char text[ERROR_MAX];
	row.order = NULL;
	row.challenge = NULL;
	row.error = row.hint = NULL;
	row.failures = why != NULL ? old->failures + 1 : 0;
	row.next_ms = now + acme_wait_ms(first, row.failures, row.name);
	if (why != NULL) {
		vk_str_printable(why->msg, strlen(why->msg), text, sizeof(text));
		row.error = text;
		row.hint = (char *)(uintptr_t)why->hint;
		if (why->code == VK_LIMIT && row.next_ms < now + HOUR_MS)
			row.next_ms = now + HOUR_MS;
	}
	txn_put_row(t, acme_fields, &row, "/acme/%s", row.name);
}

static void tell(struct sched *s, const struct acme_row *row, const struct vk_cert *c,
	const struct vk_err *why)
{
	char until[32];
	vk_format_time(c->not_after_ms, until);
	vk_autofree char *what = why != NULL
		? vk_asprintf("none for %s: %.*s", row->name, ERROR_MAX, why->msg)
		: vk_asprintf("ordered for %s, until %.10s", row->name, until);
	hub_event(s, "cert", row->stack, what, "viking");
	vk_log(why != NULL ? VK_WARN : VK_INFO, "certificate", "domain=%s failures=%llu why=\"%s\"",
		row->name, (unsigned long long)row->failures + (why != NULL),
		why != NULL ? why->msg : "");
}

int acme_answer(struct sched *s, const char *order, const json_t *body, struct txn **ret,
	struct vk_err *err)
{
	const struct acme_row *row = acme_order(s, order);
	struct vk_cert c = {0};
	struct vk_err why = {0};
	if (row == NULL)
		return vk_err_set(err, VK_NOTFOUND, "there is no order %.40s", order);
	if (certwork_cert(body, &c, &why) == 0 && !names_domain(&c, row->name)) {
		vk_err_set(&why, VK_INVALID, "the authority sent a certificate for %s",
			json_string_value(json_array_get(c.names, 0)));
		vk_err_hint(
			&why, "acme.directory in /etc/viking/viking.conf: is it the right one?");
	}
	const struct vk_err *failed = why.code != 0 ? &why : NULL;
	*ret = txn_new(s);
	if (failed == NULL)
		put_ordered(s, *ret, row, &c);
	put_over(s, *ret, row, failed);
	tell(s, row, &c, failed);
	return 0;
}

/* ---- for people ---- */

static json_t *list_one(const struct sched *s, const json_t *shown, const char *domain)
{
	const struct acme_row *row = table_get(&s->st.acme, domain);
	const struct cert_row *cert = cert_for(&s->st, shown, domain);
	int64_t due = due_ms(row, cert, domain);
	struct vk_err err = {0};
	bool failed = row != NULL && row->failures > 0;
	bool ordering = row != NULL && row->order != NULL;
	if (acme_possible(s, domain, &err) == 0 && failed) {
		vk_err_set(&err, VK_FAILED, "%s", row->error != NULL ? row->error : "it failed");
		vk_err_hint(&err, "%s", row->hint != NULL ? row->hint : "");
	}
	const char *state = ordering ? "ordering"
		: failed             ? "failed"
		: err.code != 0      ? "blocked"
		: due <= vk_now_ms() ? "due"
				     : "ok";
	return json_pack("{s:s,s:s,s:I,s:I,s:s,s:s}", "domain", domain, "state", state, "due_ms",
		(json_int_t)due, "failures", (json_int_t)(row != NULL ? row->failures : 0), "error",
		err.msg, "hint", err.hint);
}

json_t *acme_list(const struct sched *s, const struct stack *sk)
{
	vk_autojson *wanted = acme_wanted(s, sk, NULL);
	vk_autojson *shown = certs_shown(&s->st, sk->name, wanted);
	json_t *list = json_array(), *v;
	const char *domain;
	json_object_foreach(wanted, domain, v)
		json_array_append_new(list, list_one(s, shown, domain));
	return list;
}

void acme_doctor(struct sched *s, json_t *checks)
{
	const struct stack *sk;
	table_each(&s->st.stacks, k, sk)
	{
		if (!sk->exists)
			continue;
		vk_autojson *list = acme_list(s, sk);
		size_t i;
		json_t *one;
		json_array_foreach(list, i, one)
		{
			const char *error = vk_json_str(one, "error", "");
			char next[32];
			vk_format_time(vk_json_int(one, "due_ms", 0), next);
			if (strcmp(vk_json_str(one, "state", ""), "failed") == 0)
				doctor_add(checks, "certs", VERDICT_WARN,
					vk_json_str(one, "hint", ""),
					"no new certificate of %s for %s: %s; next try %s",
					sk->name, vk_json_str(one, "domain", ""), error, next);
			else if (error[0] != '\0')
				doctor_add(checks, "certs", VERDICT_WARN,
					vk_json_str(one, "hint", ""),
					"%s asks for a certificate: %s", sk->name, error);
		}
	}
}
