#include "certwork.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "acme.h"
#include "feed.h"

#define CHECKS_MAX 32 /* at once */

struct check {
	struct certwork *w;
	char *id;
	json_t *job;
	struct vk_timer *deadline;
	certwork_fn *fn;
	void *arg;
	struct check *next;
};

struct certwork {
	struct sched *s;
	struct feed *feed;
	struct check *checks;
	uint64_t last_id;
};

void certwork_refresh(struct sched *s)
{
	struct certwork *w = s->certwork;
	json_t *jobs = json_object();
	acme_jobs(s, jobs);
	for (const struct check *c = w->checks; c != NULL; c = c->next)
		if (c->job != NULL)
			json_object_set(jobs, c->id, c->job);
	feed_set(w->feed, json_pack("{s:s,s:o}", "host", s->cfg->host_name, "jobs", jobs));
}

static void watch_changed(void *arg)
{
	acme_touch(arg);
}

struct certwork *certwork_new(struct sched *s)
{
	struct certwork *w = vk_alloc(sizeof(*w));
	*w = (struct certwork){.s = s, .feed = feed_new(s->st.epoch, watch_changed, s)};
	return w;
}

static void check_free(struct check *c)
{
	vk_timer_free(c->deadline);
	json_decref(c->job);
	free(c->id);
	free(c);
}

void certwork_free(struct certwork *w)
{
	if (w == NULL)
		return;
	while (w->checks != NULL) { /* the server is gone, and who waited with it */
		struct check *c = w->checks;
		w->checks = c->next;
		check_free(c);
	}
	feed_free(w->feed);
	free(w);
}

void certwork_watch(struct sched *s, struct vk_req *r)
{
	feed_attach(s->certwork->feed, r);
}

bool certwork_live(const struct sched *s)
{
	return feed_live(s->certwork->feed) > 0;
}

static void check_over(struct check *c, const struct vk_cert *cert, const struct vk_err *err)
{
	struct certwork *w = c->w;
	for (struct check **p = &w->checks; *p != NULL; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			break;
		}
	}
	certwork_refresh(w->s);
	c->fn(c->arg, cert, err);
	check_free(c);
}

static void check_late(void *arg)
{
	struct check *c = arg;
	struct vk_err err = {0};
	if (c->job == NULL)
		vk_err_set(&err, VK_LIMIT, "%d certificates are being read already", CHECKS_MAX);
	else
		vk_err_set(&err, VK_UNAVAILABLE,
			"viking-certs, which reads certificates, does not answer");
	vk_err_hint(&err, "%s", c->job == NULL ? "try again" : "viking doctor");
	check_over(c, NULL, &err);
}

void certwork_check(struct sched *s, const char *pem, certwork_fn *fn, void *arg)
{
	struct certwork *w = s->certwork;
	struct check *c = vk_alloc(sizeof(*c));
	size_t n = 0;
	for (const struct check *at = w->checks; at != NULL; at = at->next)
		n++;
	*c = (struct check){.w = w, .fn = fn, .arg = arg, .next = w->checks};
	c->id = vk_asprintf(
		"c%llx-%llu", (unsigned long long)s->st.epoch, (unsigned long long)++w->last_id);
	c->deadline = vk_timer_new(s->loop, check_late, c);
	w->checks = c;
	vk_timer_set(c->deadline, n < CHECKS_MAX ? CERTWORK_CHECK_MS : 0);
	if (n >= CHECKS_MAX)
		return;
	c->job = json_pack("{s:s,s:s}", "kind", "check", "pem", pem);
	certwork_refresh(w->s);
}

int certwork_cert(const json_t *body, struct vk_cert *ret, struct vk_err *err)
{
	json_t *names = json_object_get(body, "names");
	const char *pem = vk_json_str(body, "pem", NULL);
	if (!vk_json_bool(body, "ok", false)) {
		vk_err_set(err, vk_err_from_name(vk_json_str(body, "error", "")), "%s",
			vk_json_str(body, "message", "it could not be read"));
		vk_err_hint(err, "%s", vk_json_str(body, "hint", ""));
		return err->code;
	}
	if (pem == NULL || json_array_size(names) == 0)
		return vk_err_set(err, VK_INTERNAL, "viking-certs' answer has no certificate");
	*ret = (struct vk_cert){.pem = (char *)(uintptr_t)pem,
		.names = names,
		.issuer = (char *)(uintptr_t)vk_json_str(body, "issuer", ""),
		.not_before_ms = vk_json_int(body, "not_before_ms", 0),
		.not_after_ms = vk_json_int(body, "not_after_ms", 0)};
	return 0;
}

int certwork_answer(struct sched *s, const char *id, const json_t *body, struct vk_err *err)
{
	struct vk_cert cert = {0};
	struct vk_err why = {0};
	for (struct check *c = s->certwork->checks; c != NULL; c = c->next) {
		if (strcmp(c->id, id) != 0)
			continue;
		bool ok = certwork_cert(body, &cert, &why) == 0;
		check_over(c, ok ? &cert : NULL, ok ? NULL : &why);
		return 0;
	}
	return vk_err_set(err, VK_NOTFOUND, "nobody waits for %.40s", id);
}
