/* Which certificate is shown for which domain, and who is told when one ends. */
#include "certs.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "doctor.h"
#include "domains.h"

#define LOOK_MS INT64_C(3600000)
#define DAY_MS  INT64_C(86400000)

struct certs {
	struct sched *s;
	struct vk_timer *timer;
	json_t *warned; /* {"STACK/KEY": day it was last warned of} */
};

/* The name to show a certificate for, if one of its names and a domain of the stack have to do with each other: the
 * narrower of the two. */
static const char *common_name(const char *name, const char *host)
{
	if (vk_cert_covers(name, host))
		return host;
	return vk_starts(host, "*.") && !vk_starts(name, "*.") && domains_clash(host, name) ? name
											    : NULL;
}

static bool newer(const struct cert_row *a, const struct cert_row *b)
{
	return a->created_ms != b->created_ms ? a->created_ms > b->created_ms
					      : strcmp(a->name, b->name) > 0;
}

/* taken: {"a.com": row's name}, the newest certificate for each. */
static void take_names(
	const struct state *st, const struct cert_row *row, const char *host, json_t *taken)
{
	size_t i;
	json_t *v;
	json_array_foreach(row->names, i, v)
	{
		const char *name = common_name(json_string_value(v), host);
		if (name == NULL)
			continue;
		const struct cert_row *has = table_get(&st->certs, vk_json_str(taken, name, ""));
		if (has == NULL || newer(row, has))
			json_object_set_new(taken, name, json_string(row->name));
	}
}

static json_t *names_of(const json_t *taken, const char *row)
{
	json_t *names = json_array(), *v;
	const char *name;
	json_object_foreach(
		(json_t *)(uintptr_t)taken, name, v) if (strcmp(json_string_value(v), row) == 0 &&
		json_array_size(names) < VK_CERT_NAMES_MAX)
		json_array_append_new(names, json_string(name));
	return names;
}

json_t *certs_shown(const struct state *st, const char *stack, const json_t *domains)
{
	vk_autojson *taken = json_object();
	json_t *shown = json_object(), *v;
	const struct cert_row *row;
	const char *place;
	table_each(&st->certs, i, row)
	{
		size_t n = strlen(stack);
		if (strncmp(row->name, stack, n) != 0 || row->name[n] != '/')
			continue;
		json_object_foreach((json_t *)(uintptr_t)domains, place, v)
		{
			vk_autofree char *host = domains_host(place);
			take_names(st, row, host, taken);
		}
	}
	table_each(&st->certs, i, row)
	{
		json_t *names = names_of(taken, row->name);
		char hash[65];
		if (json_array_size(names) == 0) {
			json_decref(names);
			continue;
		}
		json_t *one = json_pack("{s:o,s:s}", "names", names, "row", row->name);
		vk_json_hash(one, hash);
		hash[24] = '\0';
		json_object_set_new(shown, hash, one);
	}
	return shown;
}

bool certs_cover(const json_t *shown, const char *host, size_t n)
{
	const char *id, *name;
	json_t *one, *v;
	size_t i;
	json_object_foreach((json_t *)(uintptr_t)shown, id, one)
		json_array_foreach(json_object_get(one, "names"), i, v)
	{
		name = json_string_value(v);
		if (strncmp(name, host, n) == 0 && name[n] == '\0')
			return true;
	}
	return false;
}

/* A domain's own word wins over its node's. */
static bool redirects(const json_t *entry, const char *place)
{
	const json_t *own = json_object_get(json_object_get(entry, "domain_options"), place);
	return vk_json_bool(
		own, "https", vk_json_bool(json_object_get(entry, "traffic"), "https", false));
}

void certs_missing(const struct sched *s, const struct stack *sk, struct vk_strv *ret)
{
	const struct release *r = stack_current(sk);
	vk_autojson *domains = domains_of(&s->st, sk, NULL, s->cfg->base_domain);
	vk_autojson *shown = NULL; /* few redirect */
	const char *place;
	json_t *v;
	json_object_foreach(domains, place, v)
	{
		vk_autofree char *host = domains_host(place);
		if (r == NULL || vk_strv_has(ret, host) ||
			!redirects(json_object_get(r->nodes, vk_json_str(v, "node", "")), place))
			continue;
		if (shown == NULL)
			shown = certs_shown(&s->st, sk->name, domains);
		if (!certs_cover(shown, host, strlen(host)))
			vk_strv_add(ret, host);
	}
}

/* ---- warnings ---- */

static int64_t days_left(const struct cert_row *row, int64_t now)
{
	return (row->not_after_ms - now) / DAY_MS;
}

static void warn(struct certs *c, const struct cert_row *row, int64_t now)
{
	if (vk_json_int(c->warned, row->name, -1) == now / DAY_MS)
		return;
	json_object_set_new(c->warned, row->name, json_integer(now / DAY_MS));
	vk_autofree char *stack = vk_strndup(row->name, strcspn(row->name, "/"));
	vk_autofree char *what = row->not_after_ms <= now
		? vk_asprintf("certificate of %s has ended",
			  json_string_value(json_array_get(row->names, 0)))
		: vk_asprintf("certificate of %s ends in %lld days",
			  json_string_value(json_array_get(row->names, 0)),
			  (long long)days_left(row, now));
	hub_event(c->s, "cert", stack, what, "viking");
}

static void look(void *arg)
{
	struct certs *c = arg;
	const struct cert_row *row;
	int64_t now = vk_now_ms();
	table_each(&c->s->st.certs, i, row) if (days_left(row, now) < CERT_WARN_DAYS)
		warn(c, row, now);
	vk_timer_set(c->timer, LOOK_MS);
}

struct certs *certs_new(struct sched *s)
{
	struct certs *c = vk_alloc(sizeof(*c));
	*c = (struct certs){.s = s, .warned = json_object()};
	c->timer = vk_timer_new(s->loop, look, c);
	vk_timer_set(c->timer, 0);
	return c;
}

void certs_free(struct certs *c)
{
	if (c == NULL)
		return;
	vk_timer_free(c->timer);
	json_decref(c->warned);
	free(c);
}

static void doctor_missing(const struct sched *s, const struct stack *sk, json_t *checks)
{
	vk_autostrv hosts = {0};
	vk_autofree char *hint = vk_asprintf("viking certs:add %s", sk->name);
	certs_missing(s, sk, &hosts);
	for (size_t i = 0; i < hosts.n; i++)
		doctor_add(checks, "certs", VERDICT_WARN, hint,
			"%s of %s redirects to HTTPS and has no certificate", hosts.v[i], sk->name);
}

void certs_doctor(struct sched *s, json_t *checks)
{
	struct stack *sk;
	const struct cert_row *row;
	int64_t now = vk_now_ms();
	table_each(&s->st.certs, i, row)
	{
		int64_t days = days_left(row, now);
		vk_autofree char *stack = vk_strndup(row->name, strcspn(row->name, "/"));
		vk_autofree char *hint = row->ordered_for != NULL
			? vk_asprintf("viking certs:info %s %s", stack, row->ordered_for)
			: vk_asprintf("viking certs:add %s", stack);
		const char *name = json_string_value(json_array_get(row->names, 0));
		if (row->not_after_ms <= now)
			doctor_add(checks, "certs", VERDICT_BROKEN, hint, "%s of %s has ended",
				name, stack);
		else if (days < CERT_WARN_DAYS)
			doctor_add(checks, "certs", VERDICT_WARN, hint,
				"%s of %s ends in %lld days", name, stack, (long long)days);
	}
	table_each(&s->st.stacks, k, sk) if (sk->exists) doctor_missing(s, sk, checks);
}
