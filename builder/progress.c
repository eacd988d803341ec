#include "progress.h"

#include <string.h>
#include <viking/crypt.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "buildkit.h"

#define TRACE_BYTES_MAX (4u << 20) /* of one decoded progress record */

void progress_init(struct progress *p, struct buildlog *log)
{
	*p = (struct progress){.log = log, .shown = -1};
	linefold_init(&p->classic);
}

void progress_release(struct progress *p)
{
	for (size_t i = 0; i < p->n; i++) {
		vk_freep(&p->steps[i].error);
		linefold_release(&p->steps[i].fold);
	}
	vk_freep(&p->steps);
	vk_freep(&p->error);
	linefold_release(&p->classic);
	p->n = 0;
}

static void copy_span(char *out, size_t size, const char *s, size_t n)
{
	vk_str_printable(s, n, out, size - 1);
}

static void show_line(void *arg, const char *line, size_t n)
{
	buildlog_line(arg, line, n);
}

/* A number without sign at the front of [s, end); returns what follows it or NULL. */
static const char *read_number(const char *s, const char *end, unsigned *ret)
{
	unsigned v = 0;
	const char *p = s;
	while (p < end && *p >= '0' && *p <= '9' && v < 100000)
		v = v * 10 + (unsigned)(*p++ - '0');
	*ret = v;
	return p > s ? p : NULL;
}

/* "[base  2/12] RUN x": the stage, the place in it, the instruction. Anything else is BuildKit's own. */
static void step_name(struct progress_step *s, const char *name, size_t n)
{
	const char *end = name + n, *close = memchr(name, ']', n);
	if (n == 0 || name[0] != '[' || close == NULL) {
		copy_span(s->text, sizeof(s->text), name, n);
		return;
	}
	const char *word = close;
	while (word > name + 1 && word[-1] != ' ')
		word--;
	const char *text = close + 1;
	if (text < end && *text == ' ')
		text++;
	copy_span(s->text, sizeof(s->text), text, (size_t)(end - text));
	unsigned at, total;
	const char *slash = read_number(word, close, &at);
	if (slash == NULL || slash == close || *slash != '/' ||
		read_number(slash + 1, close, &total) != close)
		return;
	s->n = at;
	s->total = total;
	while (word > name + 1 && word[-1] == ' ')
		word--;
	copy_span(s->stage, sizeof(s->stage), name + 1, (size_t)(word - (name + 1)));
}

static struct progress_step *step_find(struct progress *p, struct span digest)
{
	for (size_t i = p->n; i-- > 0;) {
		struct progress_step *s = &p->steps[i];
		if (strlen(s->digest) == digest.n && memcmp(s->digest, digest.p, digest.n) == 0)
			return s;
	}
	return NULL;
}

static struct progress_step *step_add(struct progress *p, struct span digest)
{
	if (p->n == STEPS_MAX || digest.n == 0 || digest.n >= sizeof(p->steps->digest))
		return NULL;
	p->steps = vk_reallocarray(p->steps, p->n + 1, sizeof(*p->steps));
	struct progress_step *s = &p->steps[p->n++];
	*s = (struct progress_step){0};
	memcpy(s->digest, digest.p, digest.n);
	linefold_init(&s->fold);
	return s;
}

/* Names the step unless it is the one that was named last. */
static void step_show(struct progress *p, struct progress_step *s)
{
	static const char library[] = "FROM docker.io/library/";
	if (p->shown == s - p->steps)
		return;
	const char *from = "", *text = s->text;
	if (vk_starts(text, library)) {
		from = "FROM ";
		text += sizeof(library) - 1;
	}
	buildlog_linef(p->log, "Step %s%s%u/%u: %s%s%s", s->stage, s->stage[0] != '\0' ? " " : "",
		s->n, s->total, from, text, s->named ? " (continued)" : "");
	s->named = true;
	p->shown = s - p->steps;
}

static void on_vertex(void *arg, const struct buildkit_vertex *v)
{
	struct progress *p = arg;
	struct progress_step *s = step_find(p, v->digest);
	if (s == NULL && (s = step_add(p, v->digest)) == NULL)
		return;
	if (s->text[0] == '\0' && v->name.n > 0)
		step_name(s, v->name.p, v->name.n);
	if (v->error.n > 0 && s->error == NULL)
		s->error = vk_strndup(v->error.p, v->error.n);
	if (s->total == 0)
		return;
	if ((v->started || v->cached) && !s->named)
		step_show(p, s);
	if (v->cached && !s->cached) {
		s->cached = true;
		step_show(p, s);
		buildlog_linef(p->log, "(cached)");
	}
	if (v->completed && !s->ended) {
		s->ended = true;
		linefold_end(&s->fold, show_line, p->log);
	}
}

static void on_log(void *arg, const struct buildkit_log *l)
{
	struct progress *p = arg;
	struct progress_step *s = step_find(p, l->vertex);
	if (s == NULL || s->total == 0 || l->text.n == 0)
		return;
	step_show(p, s);
	linefold_feed(&s->fold, l->text.p, l->text.n, p->now_ms, show_line, p->log);
}

static int trace_line(struct progress *p, const char *base64, struct vk_err *err)
{
	static const struct buildkit_events events = {.vertex = on_vertex, .log = on_log};
	vk_autobuf raw = VK_BUF_INIT(TRACE_BYTES_MAX);
	if (vk_unbase64(base64, strlen(base64), &raw, err) != 0)
		return vk_err_wrap(err, "the engine's build progress");
	return buildkit_decode(vk_buf_str(&raw), raw.len, &events, p, err);
}

static bool is_hex(const char *s, size_t n)
{
	return n > 0 && strspn(s, "0123456789abcdef") >= n;
}

/* The classic builder's own remarks; true when the line is one and has been dealt with. */
static bool classic_remark(struct progress *p, const char *line)
{
	if (vk_streq(line, " ---> Using cache")) {
		buildlog_linef(p->log, "(cached)");
		return true;
	}
	if (vk_starts(line, " ---> Running in "))
		return is_hex(line + 17, strlen(line) - 17);
	if (vk_starts(line, " ---> "))
		return is_hex(line + 6, strlen(line) - 6);
	if (vk_starts(line, "Removing intermediate container "))
		return is_hex(line + 32, strlen(line) - 32);
	return vk_starts(line, "Successfully built ") || vk_starts(line, "Successfully tagged ");
}

/* "Step 2/5 : RUN make" */
static bool classic_step(struct progress *p, const char *line)
{
	const char *end = line + strlen(line), *s;
	unsigned n, total;
	if (!vk_starts(line, "Step ") || (s = read_number(line + 5, end, &n)) == NULL ||
		*s != '/' || (s = read_number(s + 1, end, &total)) == NULL || !vk_starts(s, " : "))
		return false;
	if (n != p->classic_step + 1) /* output that looks like a step */
		return false;
	p->classic_step = n;
	if (total > p->own_steps && n > total - p->own_steps)
		return true; /* our labels: nobody wrote them */
	copy_span(p->classic_text, sizeof(p->classic_text), s + 3, strlen(s + 3));
	buildlog_linef(p->log, "Step %u/%u: %s", n,
		total > p->own_steps ? total - p->own_steps : total, p->classic_text);
	return true;
}

static void classic_show(void *arg, const char *line, size_t n)
{
	struct progress *p = arg;
	vk_autofree char *text = vk_strndup(line, n);
	if (n == 0 || classic_step(p, text) || classic_remark(p, text))
		return;
	buildlog_line(p->log, line, n);
}

static void take_image(struct progress *p, const json_t *aux)
{
	const char *id = vk_json_str(aux, "ID", "");
	if (vk_starts(id, "sha256:") && strlen(id) < sizeof(p->image))
		memcpy(p->image, id, strlen(id) + 1);
}

int progress_line(struct progress *p, const json_t *line, struct vk_err *err)
{
	const char *id = vk_json_str(line, "id", ""), *text;
	const json_t *aux = json_object_get(line, "aux");
	if (vk_streq(id, "moby.buildkit.trace"))
		return json_is_string(aux) ? trace_line(p, json_string_value(aux), err) : 0;
	if (json_is_object(aux))
		take_image(p, aux);
	if ((text = vk_json_str(line, "stream", NULL)) != NULL)
		linefold_feed(&p->classic, text, strlen(text), p->now_ms, classic_show, p);
	if ((text = vk_json_str(line, "error", NULL)) != NULL && p->error == NULL)
		p->error = vk_strdup(text);
	return 0;
}

void progress_end(struct progress *p)
{
	for (size_t i = 0; i < p->n; i++)
		linefold_end(&p->steps[i].fold, show_line, p->log);
	linefold_end(&p->classic, classic_show, p);
}

const struct progress_step *progress_failed(const struct progress *p)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct progress_step *s = &p->steps[i];
		if (s->error != NULL && strstr(s->error, "context canceled") == NULL)
			return s;
	}
	return NULL;
}
