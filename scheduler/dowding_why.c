/* Reasons, and the verdict of one host about one service. */
#include "dowding_why.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <viking/str.h>

static const char *const dim_name[DOW_DIMS] = {"cpu", "memory", "disk"};

static void amount(enum dow_dim k, uint64_t v, char buf[static 24])
{
	if (k == DOW_CPU)
		snprintf(buf, 24, "%g core%s", (double)v / 1000, v == 1000 ? "" : "s");
	else
		vk_format_size(v, buf);
}

static char *joined(const struct vk_strv *l)
{
	vk_autobuf b = VK_BUF_INIT(1024);
	for (size_t i = 0; i < l->n; i++)
		if (vk_buf_addf(&b, "%s%s", i > 0 ? ", " : "", l->v[i]) < 0)
			break;
	return vk_buf_take(&b);
}

/* How much of k is missing on a host; 0 = none. */
static uint64_t shortage(const struct dow_load *h, const uint64_t demand[DOW_DIMS], int k)
{
	uint64_t left = h->cap[k] > h->used[k] ? h->cap[k] - h->used[k] : 0;
	return demand[k] > left ? demand[k] - left : 0;
}

static const char *unknown_host(struct dowding *d, const struct vk_strv *hosts)
{
	for (size_t i = 0; i < hosts->n; i++)
		if (dow_find(d->host_names, hosts->v[i]) == DOW_NO_ID)
			return hosts->v[i];
	return NULL;
}

/* No host may be used at all. */
static char *why_none(struct dowding *d, const struct dow_constraint *c)
{
	vk_autofree char *roles = joined(&c->roles);
	vk_autofree char *hosts = joined(&c->hosts);
	size_t up = 0;
	for (size_t h = 0; h < d->nhosts; h++)
		up += !d->load[h].down;
	if (up == 0)
		return vk_strdup("no host is up");
	const char *unknown = unknown_host(d, &c->hosts);
	if (unknown != NULL)
		return vk_asprintf("no host is named %s", unknown);
	if (c->hosts.n > 0 && c->roles.n > 0)
		return vk_asprintf("none of the hosts %s is up and has the role %s", hosts, roles);
	if (c->hosts.n > 0)
		return vk_asprintf("%s %s down", hosts, c->hosts.n > 1 ? "are" : "is");
	if (c->roles.n > 0)
		return vk_asprintf("no host that is up has the role %s", roles);
	return vk_strdup("no host may run all members of the group");
}

/* The word that set it. */
static const char *limit_word(const struct dow_svc *s, uint32_t max)
{
	return s->spread == DOW_HARD && max == 1 ? "spread: hard" : "max_per_host";
}

char *dow_why_nowhere(struct dowding *d, const struct dow_svc *s, const struct dow_constraint *c,
	const uint64_t demand[DOW_DIMS], uint32_t max_per_host)
{
	size_t hosts_short[DOW_DIMS] = {0}, at_max = 0;
	uint64_t least[DOW_DIMS] = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
	vk_autobuf b = VK_BUF_INIT(1024);
	if (c->n == 0)
		return why_none(d, c->key != NULL ? c : s->constraint->n == 0 ? s->constraint : c);
	for (size_t i = 0; i < c->n; i++) {
		const struct dow_load *h = &d->load[c->ids[i]];
		bool full = false;
		for (int k = 0; k < DOW_DIMS; k++) {
			uint64_t missing = shortage(h, demand, k);
			hosts_short[k] += missing > 0;
			full |= missing > 0;
			if (missing > 0 && missing < least[k])
				least[k] = missing;
		}
		at_max += !full && d->count[c->ids[i]] >= max_per_host;
	}
	for (int k = 0; k < DOW_DIMS; k++) {
		char text[24];
		if (hosts_short[k] == 0)
			continue;
		amount((enum dow_dim)k, least[k], text);
		vk_buf_addf(&b, "%s%s on %zu host%s short by at least %s", b.len ? ", " : "",
			dim_name[k], hosts_short[k], hosts_short[k] > 1 ? "s" : "", text);
	}
	if (at_max > 0)
		vk_buf_addf(&b, "%s%zu host%s already run%s %" PRIu32 " of it (%s)",
			b.len ? ", " : "", at_max, at_max > 1 ? "s" : "", at_max > 1 ? "" : "s",
			max_per_host, limit_word(s, max_per_host));
	return vk_buf_take(&b);
}

char *dow_why_bound(struct dowding *d, const struct dow_group *g, uint32_t host,
	const uint64_t demand[DOW_DIMS], bool pinned, uint32_t i)
{
	const char *name = d->host_name[host];
	for (size_t m = 0; pinned && m < g->n; m++) {
		const struct dow_svc *s = &d->svc[g->members[m]];
		if (s->volume && i < s->replicas && s->place[i] >= 0 &&
			(uint32_t)s->place[i] != host)
			return vk_asprintf(
				"group %s cannot be on one host: its volumes are on %s and %s",
				g->name, name, d->host_name[s->place[i]]);
	}
	if (d->load[host].down)
		return vk_asprintf(
			"waits for host %s: the volume of group %s is there", name, g->name);
	for (size_t m = 0; m < g->n; m++) {
		const struct dow_svc *s = &d->svc[g->members[m]];
		if (i < s->replicas && s->place[i] < 0 && !dow_may(s->constraint, host))
			return vk_asprintf(
				"group %s is on %s, which %s may not use", g->name, name, s->name);
	}
	for (int k = 0; k < DOW_DIMS; k++) {
		uint64_t missing = shortage(&d->load[host], demand, k);
		char text[24];
		if (missing == 0)
			continue;
		amount((enum dow_dim)k, missing, text);
		return vk_asprintf("group %s is on %s, where %s is short by %s", g->name, name,
			dim_name[k], text);
	}
	return NULL;
}

static uint32_t replicas_on(const struct dow_svc *s, uint32_t host)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->replicas; i++)
		n += s->place[i] == (int32_t)host;
	return n;
}

static char *refused(struct dowding *d, const struct dow_svc *s, uint32_t host, uint32_t here)
{
	const struct dow_load *h = &d->load[host];
	vk_autofree char *roles = joined(&s->constraint->roles);
	if (h->down)
		return vk_strdup(h->draining ? "is draining" : "is down");
	if (s->constraint->hosts.n > 0 && !vk_strv_has(&s->constraint->hosts, d->host_name[host]))
		return vk_strdup("is not one of the hosts it names");
	if (!dow_may(s->constraint, host))
		return vk_asprintf("does not have the role %s", roles);
	for (int k = 0; k < DOW_DIMS; k++) {
		uint64_t missing = shortage(h, s->demand, k);
		char text[24];
		if (missing == 0)
			continue;
		amount((enum dow_dim)k, missing, text);
		return vk_asprintf("%s is short by %s", dim_name[k], text);
	}
	if (here >= s->max_per_host)
		return vk_asprintf(
			"already runs %" PRIu32 " (%s)", here, limit_word(s, s->max_per_host));
	return NULL;
}

char *dow_explain(struct dowding *d, const char *service, const char *host, bool *ret_can)
{
	uint32_t id = dow_find(d->svc_names, service), at = dow_find(d->host_names, host);
	if (id == DOW_NO_ID || at == DOW_NO_ID)
		return NULL;
	dow_settle_hosts(d);
	const struct dow_svc *s = &d->svc[id];
	uint32_t here = replicas_on(s, at);
	char *why = refused(d, s, at, here);
	*ret_can = why == NULL;
	if (why != NULL)
		return why;
	uint64_t share = dow_score(&d->load[at], s->demand) >> 32;
	return vk_asprintf("could take one: %" PRIu32 " of it here, %" PRIu64 ".%" PRIu64
			   " %% full with it",
		here, share * 100 >> 20, (share * 1000 >> 20) % 10);
}
