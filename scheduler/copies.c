#include "copies.h"

#include <string.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "builds.h"
#include "feed.h"
#include "gc.h"
#include "holder.h"
#include "hosts.h"

#define JOB      "copy-"
#define AGAIN_MS 30000 /* after a failure */
#define LOOK_MS  200   /* for all changes that come together: every release is looked at */

struct copies {
	struct sched *s;
	char host[VK_NAME_MAX + 1], id[64], why[200];
	json_t *images; /* of the job */
	unsigned n;     /* jobs so far */
	bool whole, giving, changed;
	struct feed *feed;
	struct vk_timer *again, *look;
};

static void ask(struct copies *c)
{
	c->whole = false;
	snprintf(c->id, sizeof(c->id), JOB "%llu-%u", (unsigned long long)c->s->st.epoch, ++c->n);
	feed_set(c->feed,
		json_pack("{s:[{s:s,s:s,s:O}]}", "jobs", "id", c->id, "kind", "copy", "images",
			c->images));
}

static void ask_again(void *arg)
{
	struct copies *c = arg;
	if (!c->whole)
		ask(c);
}

static void look(void *arg);

struct copies *copies_new(struct sched *s)
{
	struct copies *c = vk_alloc(sizeof(*c));
	*c = (struct copies){
		.s = s, .images = json_array(), .feed = feed_new(s->st.epoch, NULL, NULL)};
	c->again = vk_timer_new(s->loop, ask_again, c);
	c->look = vk_timer_new(s->loop, look, c);
	return c;
}

void copies_free(struct copies *c)
{
	if (c == NULL)
		return;
	vk_timer_free(c->again);
	vk_timer_free(c->look);
	feed_free(c->feed);
	json_decref(c->images);
	free(c);
}

const char *copies_host(const struct sched *s)
{
	const char *host = s->copies->host;
	return host[0] != '\0' && hosts_life(s, host) == HOST_UP ? host : NULL;
}

struct feed *copies_feed(const struct sched *s, const char *host)
{
	const struct copies *c = s->copies;
	return vk_streq(c->host, host[0] != '\0' ? host : s->cfg->host_name) ? c->feed : NULL;
}

bool copies_is_job(const char *id)
{
	return vk_starts(id, JOB);
}

bool copies_whole(const struct sched *s, const char **ret_host, const char **ret_why)
{
	*ret_host = s->copies->host[0] != '\0' ? s->copies->host : NULL;
	*ret_why = s->copies->why;
	return s->copies->whole;
}

void copies_report(struct sched *s, const char *host, const char *id, const json_t *body)
{
	struct copies *c = s->copies;
	const json_t *done = json_object_get(body, "done");
	if (done == NULL || copies_feed(s, host) == NULL || !vk_streq(id, c->id))
		return;
	c->whole = vk_json_bool(done, "ok", false);
	snprintf(c->why, sizeof(c->why), "%s", c->whole ? "" : vk_json_str(done, "message", "?"));
	vk_log(c->whole ? VK_INFO : VK_WARN, "copies", "host=%s images=%zu whole=%d why=\"%s\"",
		c->host, json_array_size(c->images), c->whole, c->why);
	if (!c->whole)
		vk_timer_set(c->again, AGAIN_MS);
	hub_touch(s);
}

/* ---- the holder is lost ---- */

static void given(void *arg, const struct vk_err *err)
{
	struct sched *s = arg;
	(void)err;
	s->copies->giving = false;
	hub_touch(s);
}

static void take_role(struct sched *s, const char *holder)
{
	struct copies *c = s->copies;
	vk_autofree char *what = vk_asprintf(
		"%s has the repositories and the registry now: %s is lost", c->host, holder);
	struct txn *t = txn_new(s);
	c->giving = true;
	hub_event(s, "host", NULL, what, "viking");
	vk_log(VK_WARN, "holder-lost", "host=%s next=%s", holder, c->host);
	holder_give(s, t, c->host);
	txn_commit(t, given, s);
}

static void look(void *arg)
{
	struct copies *c = arg;
	struct sched *s = c->s;
	const char *holder = holder_of(&s->st, s->cfg->host_name);
	const char *next = holder != NULL ? holder_next(s) : NULL;
	c->changed = false;
	if (next == NULL)
		next = "";
	bool moved = strcmp(c->host, next) != 0;
	snprintf(c->host, sizeof(c->host), "%s", next);
	if (next[0] != '\0') {
		vk_autojson *images = gc_refs(&s->st, s->cfg->releases_keep);
		if (moved || !json_equal(images, c->images)) {
			json_decref(c->images);
			c->images = VK_TAKE(images);
			ask(c);
		}
	}
	if (moved) { /* builders ask anew for their lists */
		c->whole = false;
		feed_end(c->feed);
		builds_others_moved(s);
	}
	if (c->whole && !c->giving && hosts_synced(s) && hosts_lost(s, holder))
		take_role(s, holder);
}

void copies_look(struct sched *s)
{
	struct copies *c = s->copies;
	if (s->st.hosts.n > 1 && !c->changed)
		vk_timer_set(c->look, LOOK_MS);
	c->changed = s->st.hosts.n > 1;
}
