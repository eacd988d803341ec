#include "probe.h"

#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "attempt.h"

#define NONE_MS 1000 /* health "none": it runs for so long */

struct probe {
	struct vk_loop *loop;
	struct vk_engine *engine;
	char *socket, *container, *ip;
	struct desired_health h; /* own copies */
	enum health health;
	unsigned tries, fails;
	struct vk_timer *timer;
	struct attempt *attempt;
	probe_fn *fn;
	void *arg;
};

int64_t probe_none_ms(int64_t age_ms)
{
	if (age_ms < 0)
		return NONE_MS;
	return age_ms < NONE_MS ? NONE_MS - age_ms : 0;
}

int64_t probe_gap_ms(unsigned n, int64_t interval_ms)
{
	static const int64_t gaps[] = {5, 5, 10, 30, 50, 100, 200, 300, 500};
	int64_t longest = interval_ms < 1000 ? interval_ms : 1000;
	int64_t gap = n < VK_COUNT(gaps) ? gaps[n] : longest;
	return gap < longest ? gap : longest;
}

enum health probe_judge(enum health old, bool ok, unsigned *fails, unsigned retries)
{
	if (ok) {
		*fails = 0;
		return HEALTH_OK;
	}
	++*fails;
	if (old == HEALTH_OK && *fails >= (retries > 0 ? retries : 1))
		return HEALTH_BAD;
	return old;
}

static void on_result(void *arg, bool ok, const char *text)
{
	struct probe *p = arg;
	p->attempt = NULL;
	p->health = probe_judge(p->health, ok, &p->fails, (unsigned)p->h.retries);
	int64_t gap = p->health == HEALTH_OK ? (int64_t)p->h.interval_ms
					     : probe_gap_ms(p->tries, (int64_t)p->h.interval_ms);
	vk_timer_set(p->timer, gap > 0 ? gap : 1);
	p->fn(p->arg, p->health, text);
}

static void try_once(void *arg)
{
	struct probe *p = arg;
	bool http = vk_streq(p->h.type, "http");
	int64_t timeout = p->h.timeout_ms > 0 ? (int64_t)p->h.timeout_ms : 2000;
	p->tries++;
	if (vk_streq(p->h.type, "none")) {
		p->health = HEALTH_OK;
		p->fn(p->arg, HEALTH_OK, "runs");
		return;
	}
	if (vk_streq(p->h.type, "cmd"))
		p->attempt = attempt_cmd(p->loop, p->engine, p->socket, p->container, p->h.cmd,
			timeout, on_result, p);
	else
		p->attempt = attempt_net(p->loop, p->ip, (uint16_t)p->h.port,
			http ? p->h.path : NULL, p->h.below != 0 ? (unsigned)p->h.below : 400,
			timeout, on_result, p);
}

struct probe *probe_new(const struct probe_target *t, const struct desired_health *h,
	enum health start, probe_fn *fn, void *arg)
{
	struct probe *p = vk_alloc(sizeof(*p));
	p->loop = t->loop;
	p->engine = t->engine;
	p->socket = vk_strdup(t->engine_socket);
	p->container = vk_strdup(t->container);
	p->ip = vk_strdup(t->ip);
	p->h = *h;
	p->h.type = vk_strdup(h->type);
	p->h.path = vk_strdup(h->path);
	p->h.cmd = json_incref(h->cmd);
	p->health = start;
	p->fn = fn;
	p->arg = arg;
	p->timer = vk_timer_new(t->loop, try_once, p);
	int64_t first = probe_gap_ms(0, (int64_t)h->interval_ms);
	if (vk_streq(h->type, "none"))
		first = probe_none_ms(t->age_ms);
	vk_timer_set(p->timer, first);
	return p;
}

bool probe_same(const struct probe *p, const struct desired_health *h)
{
	const struct desired_health *o = &p->h;
	return vk_streq(o->type, h->type) && vk_streq(o->path, h->path) && o->port == h->port &&
		o->below == h->below && o->interval_ms == h->interval_ms &&
		o->timeout_ms == h->timeout_ms && o->retries == h->retries &&
		(o->cmd == h->cmd || json_equal(o->cmd, h->cmd));
}

void probe_free(struct probe *p)
{
	if (p == NULL)
		return;
	attempt_cancel(p->attempt);
	vk_timer_free(p->timer);
	json_decref(p->h.cmd);
	free(p->h.type);
	free(p->h.path);
	free(p->socket);
	free(p->container);
	free(p->ip);
	free(p);
}
