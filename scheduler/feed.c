/* Documents to watchers. */
#include "feed.h"

#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#define QUEUE_MAX   ((size_t)32 << 20)
#define EPOCH_SHIFT 24 /* 16 million changes an epoch */

struct feed_client {
	struct feed *f;
	struct vk_req *r;
	bool patches;
	struct feed_client *next;
};

struct feed {
	json_t *doc;
	uint64_t rev;
	struct feed_client *clients;
	feed_change_fn *change;
	void *arg;
};

struct feed *feed_new(uint64_t epoch, feed_change_fn *change, void *arg)
{
	struct feed *f = vk_alloc(sizeof(*f));
	f->rev = epoch << EPOCH_SHIFT;
	f->change = change;
	f->arg = arg;
	return f;
}

void feed_end(struct feed *f)
{
	for (struct feed_client *c; (c = f->clients) != NULL;) {
		f->clients = c->next;
		vk_req_end(c->r);
		free(c);
	}
}

void feed_free(struct feed *f)
{
	if (f == NULL)
		return;
	feed_end(f);
	json_decref(f->doc);
	free(f);
}

uint64_t feed_rev(const struct feed *f)
{
	return f->rev;
}

const json_t *feed_doc(const struct feed *f)
{
	return f->doc;
}

size_t feed_live(const struct feed *f)
{
	size_t n = 0;
	for (const struct feed_client *c = f->clients; c != NULL; c = c->next)
		n++;
	return n;
}

static void send(const struct feed *f, json_t *patch)
{
	vk_autojson *line = patch == NULL
		? NULL
		: json_pack("{s:I,s:I,s:O}", "from", (json_int_t)(f->rev - 1), "rev",
			  (json_int_t)f->rev, "patch", patch);
	for (const struct feed_client *c = f->clients; c != NULL; c = c->next)
		vk_req_line(c->r, json_incref(c->patches && line != NULL ? line : f->doc));
}

uint64_t feed_set(struct feed *f, json_t *doc)
{
	vk_autojson *was = f->doc, *patch = NULL;
	f->doc = doc;
	if (was != NULL) {
		json_object_set(doc, "rev", json_object_get(was, "rev"));
		if ((patch = vk_json_diff(was, doc)) == NULL)
			return f->rev;
	}
	json_object_set_new(doc, "rev", json_integer((json_int_t)++f->rev));
	send(f, patch);
	return f->rev;
}

bool feed_has(const struct feed *f, const char *host)
{
	for (const struct feed_client *c = f->clients; c != NULL; c = c->next)
		if (vk_streq(vk_req_peer_host(c->r), host))
			return true;
	return false;
}

static void client_closed(void *arg, struct vk_req *r)
{
	struct feed_client *c = arg;
	struct feed *f = c->f;
	(void)r;
	for (struct feed_client **p = &f->clients; *p != NULL; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			break;
		}
	}
	free(c);
	if (f->change != NULL)
		f->change(f->arg);
}

void feed_attach(struct feed *f, struct vk_req *r)
{
	struct feed_client *c = vk_alloc(sizeof(*c));
	*c = (struct feed_client){.f = f,
		.r = r,
		.patches = vk_streq(vk_req_query(r, "patches"), "1"),
		.next = f->clients};
	f->clients = c;
	vk_req_stream(r, 200, NULL, QUEUE_MAX, client_closed, c);
	if (f->doc != NULL)
		vk_req_line(r, json_incref(f->doc));
	if (f->change != NULL)
		f->change(f->arg);
}
