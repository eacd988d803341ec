/* What happened, as far as the caller may see it: the past, and with follow what comes. */
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"

#define QUEUE_MAX ((size_t)8 << 20) /* a follower that falls behind further is cut off */

struct watcher {
	struct sched *s;
	struct vk_req *r;
	struct events_follower *follower;
	struct caller who; /* with copies of what it borrows */
	bool all;          /* events of no stack too */
	json_t *globs;
	char key_role[16];
	char *stack; /* only this one; NULL = all */
};

static void watcher_free(struct watcher *w)
{
	if (w->follower != NULL)
		events_unfollow(w->s->events, w->follower);
	json_decref(w->globs);
	free(w->stack);
	free(w);
}

static void on_closed(void *arg, struct vk_req *r)
{
	(void)r;
	watcher_free(arg);
}

static void on_event(void *arg, json_t *event)
{
	struct watcher *w = arg;
	const char *stack = vk_json_str(event, "stack", NULL);
	bool seen = stack != NULL && stack[0] != '\0' ? rights_sees(&w->who, stack) : w->all;
	if (seen && (w->stack == NULL || vk_streq(w->stack, stack)))
		vk_req_line(w->r, json_incref(event));
}

static struct watcher *watcher_new(const struct call *c, const char *stack)
{
	struct watcher *w = vk_alloc(sizeof(*w));
	w->s = c->s;
	w->who = c->who;
	w->who.token = w->who.fingerprint = NULL;
	memcpy(w->key_role, c->key_role, sizeof(w->key_role));
	w->who.key_role = w->key_role;
	w->globs = json_incref(c->globs);
	w->who.stacks = w->globs;
	w->all = rights_check(&w->who, VERB_ADMIN, NULL, NULL) == 0;
	w->stack = vk_strdup(stack);
	return w;
}

static int parse(struct call *c, const char **ret_stack, uint64_t *ret_since, struct vk_err *err)
{
	const char *stack = vk_req_query(c->r, "stack"), *since = vk_req_query(c->r, "since");
	if (stack != NULL && stack[0] == '\0')
		stack = NULL;
	int rc = stack != NULL ? rights_check(&c->who, VERB_READ, stack, err) : 0;
	if (rc == 0 && since != NULL && since[0] != '\0' &&
		vk_parse_u64(since, 0, UINT64_MAX, ret_since) != 0)
		rc = vk_err_set(err, VK_INVALID, "since must be the number of an event");
	*ret_stack = stack;
	return rc;
}

void api_events(struct call *c)
{
	struct vk_err err = {0};
	const char *stack;
	uint64_t since = 0;
	if (parse(c, &stack, &since, &err) != 0) {
		call_error(c, &err);
		return;
	}
	const char *follow = vk_req_query(c->r, "follow");
	bool go_on = follow != NULL && strcmp(follow, "0") != 0;
	struct watcher *w = watcher_new(c, stack);
	w->r = call_take(c);
	vk_req_stream(w->r, 200, NULL, QUEUE_MAX, on_closed, w);
	events_each(w->s->events, since, on_event, w);
	if (go_on) {
		w->follower = events_follow(w->s->events, on_event, w);
		return;
	}
	struct vk_req *r = w->r;
	watcher_free(w);
	vk_req_line(r, json_pack("{s:{s:b}}", "end", "ok", 1));
	vk_req_end(r);
}
