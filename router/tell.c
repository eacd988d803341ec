#include "tell.h"

#include <stdlib.h>
#include <string.h>
#include <viking/fs.h>
#include <viking/str.h>

#include "answers.h"
#include "exchange.h"

#define EXCHANGE_MS 5000

struct tell {
	struct vk_loop *l;
	struct tell_opts o;
	tell_done_fn *done;
	void *arg;
	struct exchange *x;
	struct vk_timer *timer; /* steps begin from the loop */
	size_t step;
	unsigned version; /* of the map that is being swapped */
	size_t swapped;
	unsigned part;     /* of the certificate that is being added */
	char trouble[200]; /* the first objection */
};

static void next_step(void *arg);

void tell_free(struct tell *t)
{
	if (t == NULL)
		return;
	exchange_free(t->x);
	vk_timer_free(t->timer);
	free(t);
}

static void finish(struct tell *t, const struct vk_err *err)
{
	tell_done_fn *done = t->done;
	void *arg = t->arg;
	char trouble[sizeof(t->trouble)];
	memcpy(trouble, t->trouble, sizeof(trouble));
	tell_free(t);
	done(arg, err, trouble);
}

static void talk(struct tell *t, const char *request, exchange_done_fn *done)
{
	struct exchange_opts o = {
		.socket = t->o.admin, .request = request, .timeout_ms = EXCHANGE_MS};
	t->x = exchange_start(t->l, &o, done, t);
}

/* False: the exchange failed and the tell is over. */
static bool heard(struct tell *t, const struct vk_err *err, const char *text)
{
	size_t n;
	t->x = NULL;
	if (err->code != 0) {
		finish(t, err);
		return false;
	}
	const char *line = answer_trouble(text, &n);
	if (line != NULL && t->trouble[0] == '\0')
		vk_str_printable(line, n, t->trouble, sizeof(t->trouble) - 1);
	return true;
}

static void on_told(void *arg, const struct vk_err *err, const char *text)
{
	struct tell *t = arg;
	if (!heard(t, err, text))
		return;
	t->step++;
	next_step(t);
}

/* swaps of maps */

static const char *swap_path(const struct tell *t)
{
	return t->o.files->maps[t->o.plan->steps[t->step].map];
}

static const struct routes *swap_routes(const struct tell *t)
{
	return &t->o.want->maps[t->o.plan->steps[t->step].map];
}

static void on_swapped(void *arg, const struct vk_err *err, const char *text)
{
	struct tell *t = arg;
	if (!heard(t, err, text))
		return;
	if (t->swapped < swap_routes(t)->n) {
		vk_autobuf b = VK_BUF_INIT(PLAN_LINE_MAX + 4096);
		t->swapped =
			plan_swap_chunk(swap_routes(t), t->swapped, swap_path(t), t->version, &b);
		talk(t, vk_buf_str(&b), on_swapped);
		return;
	}
	vk_autofree char *commit = vk_asprintf("commit map @%u %s\n", t->version, swap_path(t));
	talk(t, commit, on_told);
}

static void on_prepared(void *arg, const struct vk_err *err, const char *text)
{
	struct tell *t = arg;
	t->version = err->code == 0 ? answer_version(text) : 0;
	if (err->code == 0 && t->version == 0) {
		on_told(t, err, text); /* refused: the read shows it */
		return;
	}
	t->swapped = 0;
	on_swapped(t, err, text);
}

/* certificates: a store, its content, the commit, its line in the list */

static void on_cert(void *arg, const struct vk_err *err, const char *text);

static char *cert_request(const struct tell *t, const struct step *s)
{
	vk_autofree char *path = files_cert(t->o.files, s->line);
	vk_autobuf pem = VK_BUF_INIT(CERT_PEM_MAX), names = VK_BUF_INIT(PLAN_LINE_MAX);
	const struct route *cert = routes_find(&t->o.want->certs, s->line);
	switch (t->part) {
	case 0:
		return vk_asprintf("new ssl cert %s\n", path);
	case 1:
		if (vk_fs_read(path, &pem, NULL) != 0)
			return NULL;
		return vk_asprintf("set ssl cert %s <<\n%s\n", path, vk_buf_str(&pem));
	case 2:
		return vk_asprintf("commit ssl cert %s\n", path);
	case 3:
		render_cert(path, cert->value, &names);
		return vk_asprintf(
			"add ssl crt-list %s <<\n%s\n", t->o.files->certs, vk_buf_str(&names));
	default:
		return NULL;
	}
}

static void tell_cert(struct tell *t)
{
	vk_autofree char *request = cert_request(t, &t->o.plan->steps[t->step]);
	if (request != NULL) {
		talk(t, request, on_cert);
		return;
	}
	t->part = 0;
	t->step++;
	next_step(t);
}

static void on_cert(void *arg, const struct vk_err *err, const char *text)
{
	struct tell *t = arg;
	if (!heard(t, err, text))
		return;
	t->part++;
	tell_cert(t);
}

static void next_step(void *arg)
{
	struct tell *t = arg;
	struct vk_err none = {0};
	if (t->step == t->o.plan->n) {
		finish(t, &none);
		return;
	}
	const struct step *s = &t->o.plan->steps[t->step];
	if (s->kind == STEP_LINE) {
		talk(t, s->line, on_told);
	} else if (s->kind == STEP_CERT) {
		tell_cert(t);
	} else {
		vk_autofree char *prepare = vk_asprintf("prepare map %s\n", swap_path(t));
		talk(t, prepare, on_prepared);
	}
}

struct tell *tell_start(struct vk_loop *l, const struct tell_opts *o, tell_done_fn *done, void *arg)
{
	struct tell *t = vk_alloc(sizeof(*t));
	*t = (struct tell){.l = l, .o = *o, .done = done, .arg = arg};
	t->timer = vk_timer_new(l, next_step, t);
	vk_timer_set(t->timer, 0);
	return t;
}
