/* Rounds of questions; one at a time. */
#include "rollcall.h"

#include <string.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>

#include "hub.h"
#include "ping.h"

#define ANSWER_MS 2000 /* the kernel asks twice in this time */

struct asked {
	struct rollcall *r;
	char *host;
	struct ping *ping;
	bool silent;
};

struct rollcall {
	struct sched *s;
	json_t *silent;      /* {host: true} by the last round */
	struct asked *asked; /* all others, in this round */
	size_t n, open;
	bool again; /* somebody went away during the round */
};

struct rollcall *rollcall_new(struct sched *s)
{
	struct rollcall *r = vk_alloc(sizeof(*r));
	r->s = s;
	r->silent = json_object();
	return r;
}

static void forget_round(struct rollcall *r)
{
	for (size_t i = 0; i < r->n; i++) {
		ping_cancel(r->asked[i].ping);
		free(r->asked[i].host);
	}
	free(VK_TAKE(r->asked));
	r->n = 0;
}

void rollcall_free(struct rollcall *r)
{
	if (r == NULL)
		return;
	forget_round(r);
	json_decref(r->silent);
	free(r);
}

bool rollcall_silent(const struct rollcall *r, const char *host)
{
	return json_object_get(r->silent, host) != NULL;
}

static void ask_all(struct rollcall *r);

static void round_over(struct rollcall *r)
{
	size_t silent = 0, all = r->n + 1; /* with us */
	for (size_t i = 0; i < r->n; i++)
		silent += r->asked[i].silent;
	json_object_clear(r->silent);
	for (size_t i = 0; i < r->n && silent * 2 < all; i++)
		if (r->asked[i].silent)
			json_object_set_new(r->silent, r->asked[i].host, json_true());
	vk_log(VK_INFO, "roll-call", "silent=%zu of=%zu", silent, all);
	forget_round(r);
	hub_touch(r->s);
	if (r->again)
		ask_all(r);
}

/* A refusal comes from the machine as well. */
static void on_answer(void *arg, const struct vk_err *err)
{
	struct asked *a = arg;
	a->ping = NULL;
	a->silent = err != NULL;
	if (--a->r->open == 0)
		round_over(a->r);
}

static void ask_all(struct rollcall *r)
{
	const struct host_row *row;
	r->again = false;
	r->asked = vk_calloc(r->s->st.hosts.n + 1, sizeof(*r->asked));
	table_each(&r->s->st.hosts, i, row)
	{
		struct asked *a = &r->asked[r->n];
		const struct ping_spec spec = {.address = row->addr, .port = (uint16_t)row->port};
		if (row->addr == NULL || strcmp(row->name, r->s->cfg->host_name) == 0)
			continue;
		*a = (struct asked){.r = r, .host = vk_strdup(row->name)};
		a->ping = ping_start(r->s->loop, &spec, ANSWER_MS, on_answer, a);
		r->n++;
	}
	r->open = r->n;
	if (r->n == 0)
		forget_round(r);
}

void rollcall_begin(struct rollcall *r, const char *host)
{
	json_object_del(r->silent, host);
	if (r->open > 0)
		r->again = true;
	else
		ask_all(r);
}
