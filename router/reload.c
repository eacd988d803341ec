#include "reload.h"

#include <string.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "answers.h"
#include "exchange.h"

#define ASK_MS      2000
#define POLL_MS     20
#define DEADLINE_MS 30000

struct reload {
	struct vk_loop *l;
	char *master;
	struct exchange *x;
	struct vk_timer *timer;
	int64_t deadline; /* vk_mono_ms */
	struct workers before;
	bool sent;
	reload_done_fn *done;
	void *arg;
};

void reload_free(struct reload *r)
{
	if (r == NULL)
		return;
	exchange_free(r->x);
	vk_timer_free(r->timer);
	free(r->master);
	free(r);
}

static void finish(struct reload *r, const struct vk_err *err, pid_t worker)
{
	reload_done_fn *done = r->done;
	void *arg = r->arg;
	reload_free(r);
	done(arg, err, worker);
}

static void talk(struct reload *r, const char *request, exchange_done_fn *done)
{
	struct exchange_opts o = {
		.socket = r->master, .request = request, .shut = true, .timeout_ms = ASK_MS};
	r->x = exchange_start(r->l, &o, done, r);
}

static void on_proc(void *arg, const struct vk_err *err, const char *text);

/* The connection is cut when the master executes itself anew: that is no error. */
static void on_sent(void *arg, const struct vk_err *err, const char *text)
{
	struct reload *r = arg;
	(void)err;
	(void)text;
	r->x = NULL;
	r->sent = true;
	vk_timer_set(r->timer, POLL_MS);
}

static void on_poll(void *arg)
{
	talk(arg, "show proc\n", on_proc);
}

static void on_proc(void *arg, const struct vk_err *err, const char *text)
{
	struct reload *r = arg;
	struct vk_err why = {0};
	struct workers now;
	r->x = NULL;
	answer_proc(err->code == 0 ? text : "", &now);
	if (!r->sent && now.current != 0) {
		r->before = now;
		talk(r, "reload\n", on_sent);
		return;
	}
	if (r->sent && now.current != 0 && now.current != r->before.current) {
		finish(r, &why, now.current);
		return;
	}
	if (r->sent && now.failed > r->before.failed)
		vk_err_set(&why, VK_FAILED, "the new configuration did not load");
	else if (vk_mono_ms() > r->deadline)
		vk_err_set(&why, VK_TIMEOUT, "no new worker within %d s", DEADLINE_MS / 1000);
	if (why.code != 0)
		finish(r, &why, 0);
	else
		vk_timer_set(r->timer, POLL_MS);
}

struct reload *reload_start(struct vk_loop *l, const char *master, reload_done_fn *done, void *arg)
{
	struct reload *r = vk_alloc(sizeof(*r));
	r->l = l;
	r->master = vk_strdup(master);
	r->deadline = vk_mono_ms() + DEADLINE_MS;
	r->done = done;
	r->arg = arg;
	r->timer = vk_timer_new(l, on_poll, r);
	talk(r, "show proc\n", on_proc);
	return r;
}
