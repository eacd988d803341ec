#include "images.h"

#include <viking/fs.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#define SILENCE_MS     120000
#define LINE_MAX_BYTES 65536

struct images_wait {
	struct images_wait *next;
	struct pull *pull;
	images_fn *fn;
	void *arg;
};

struct pull {
	struct images *s;
	struct pull *next;
	char *image;
	struct vk_engine_op *op;
	struct vk_timer *silence;
	struct vk_jsonl lines;
	struct vk_err err; /* told inside the stream */
	struct images_wait *waits;
};

struct images {
	const struct vk_config *config;
	struct vk_loop *loop;
	struct vk_engine *engine;
	struct pull *pulls;
};

struct images *images_new(const struct vk_config *c, struct vk_loop *l, struct vk_engine *e)
{
	struct images *s = vk_alloc(sizeof(*s));
	s->config = c;
	s->loop = l;
	s->engine = e;
	return s;
}

static void pull_unlink(struct pull *p)
{
	for (struct pull **at = &p->s->pulls; *at != NULL; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			return;
		}
}

static void pull_free(struct pull *p)
{
	pull_unlink(p);
	if (p->op != NULL)
		vk_engine_op_cancel(p->op);
	vk_timer_free(p->silence);
	vk_jsonl_release(&p->lines);
	for (struct images_wait *w = p->waits, *next; w != NULL; w = next) {
		next = w->next;
		free(w);
	}
	free(p->image);
	free(p);
}

void images_free(struct images *s)
{
	if (s == NULL)
		return;
	while (s->pulls != NULL)
		pull_free(s->pulls);
	free(s);
}

/* Takes the waits off one by one, as fn may pull again or cancel another. */
static void conclude(struct pull *p, const struct vk_err *err)
{
	struct vk_err copy = *err;
	pull_unlink(p); /* who asks again from fn starts a new one */
	while (p->waits != NULL) {
		struct images_wait *w = p->waits;
		images_fn *fn = w->fn;
		void *arg = w->arg;
		p->waits = w->next;
		free(w);
		fn(arg, &copy);
	}
	pull_free(p);
}

static int on_line(void *arg, json_t *line, struct vk_err *err)
{
	struct pull *p = arg;
	const char *text = vk_json_str(line, "error", NULL);
	(void)err;
	if (text != NULL && p->err.code == 0)
		vk_err_set(&p->err, VK_FAILED, "%s", text);
	return 0;
}

static void on_bytes(void *arg, const void *bytes, size_t n)
{
	struct pull *p = arg;
	vk_timer_set(p->silence, SILENCE_MS);
	vk_jsonl_feed(&p->lines, bytes, n, on_line, p, NULL);
}

static void on_done(void *arg, const struct vk_err *err, json_t *answer)
{
	struct pull *p = arg;
	(void)answer;
	p->op = NULL;
	conclude(p, err->code != 0 ? err : &p->err);
}

static void on_silence(void *arg)
{
	struct pull *p = arg;
	struct vk_err err = {0};
	vk_err_set(&err, VK_TIMEOUT, "no progress for %d s", SILENCE_MS / 1000);
	conclude(p, &err);
}

/* NULL when the image is not of our registry, or there is no password. */
static char *auth_for(const struct vk_config *c, const char *image)
{
	vk_autofree char *server =
		vk_asprintf("%s:%llu", c->registry_address, (unsigned long long)c->registry_port);
	size_t n = strlen(server);
	vk_autobuf password = VK_BUF_INIT(1024);
	vk_autofree char *path = vk_state_path(c, "registry/password");
	if (strncmp(image, server, n) != 0 || image[n] != '/' ||
		vk_fs_read(path, &password, NULL) < 0)
		return NULL;
	while (password.len > 0 && password.data[password.len - 1] == '\n')
		password.data[--password.len] = '\0';
	char *auth = vk_engine_registry_auth("viking", vk_buf_str(&password), server);
	explicit_bzero(password.data, password.len);
	return auth;
}

/* Without tag and digest the engine would fetch every tag. */
static char *pull_path(const char *image)
{
	const char *slash = strrchr(image, '/');
	bool named =
		strchr(image, '@') != NULL || strchr(slash != NULL ? slash : image, ':') != NULL;
	vk_autofree char *escaped = vk_engine_escape(image);
	return vk_asprintf("/images/create?fromImage=%s%s", escaped, named ? "" : "&tag=latest");
}

static struct pull *pull_new(struct images *s, const char *image)
{
	struct pull *p = vk_alloc(sizeof(*p));
	vk_autofree char *path = pull_path(image);
	vk_autofree char *auth = auth_for(s->config, image);
	p->s = s;
	p->image = vk_strdup(image);
	p->next = s->pulls;
	s->pulls = p;
	vk_jsonl_init(&p->lines, LINE_MAX_BYTES);
	p->silence = vk_timer_new(s->loop, on_silence, p);
	vk_timer_set(p->silence, SILENCE_MS);
	p->op = vk_engine_stream_async(s->engine, "POST", path, auth, on_bytes, on_done, p);
	return p;
}

struct images_wait *images_pull(struct images *s, const char *image, images_fn *fn, void *arg)
{
	struct pull *p = s->pulls;
	while (p != NULL && !vk_streq(p->image, image))
		p = p->next;
	if (p == NULL)
		p = pull_new(s, image);
	struct images_wait *w = vk_alloc(sizeof(*w));
	w->fn = fn;
	w->arg = arg;
	w->pull = p;
	w->next = p->waits;
	p->waits = w;
	return w;
}

void images_cancel(struct images_wait *w)
{
	for (struct images_wait **at = &w->pull->waits; *at != NULL; at = &(*at)->next)
		if (*at == w) {
			*at = w->next;
			free(w);
			return;
		}
}
