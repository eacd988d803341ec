#include "dockerfile.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <viking/json.h>
#include <viking/str.h>

#include "dockerfile_expand.h"
#include "dockerfile_words.h"

#if defined(__aarch64__)
#define ARCH "arm64"
#else
#define ARCH "amd64"
#endif

/* What BuildKit sets by itself. */
static const struct {
	const char *name, *value;
} platform[] = {{"TARGETPLATFORM", "linux/" ARCH}, {"TARGETOS", "linux"}, {"TARGETARCH", ARCH},
	{"TARGETVARIANT", ""}, {"BUILDPLATFORM", "linux/" ARCH}, {"BUILDOS", "linux"},
	{"BUILDARCH", ARCH}, {"BUILDVARIANT", ""}};

/* One reading of the text. */
struct scan {
	const struct dockerfile_opts *o;
	struct df_reader reader;
	bool probe;   /* a reading other than the expected one: only what is forbidden counts */
	bool trigger; /* behind ONBUILD */
	struct dockerfile *d;
	json_t *globals;                      /* ARGs before the first FROM */
	json_t *vars;                         /* ARG and ENV of the stage */
	json_t *stage_env[DOCKERFILE_STAGES]; /* ENV as it stood at the end of each stage */
	unsigned line;
};

static int fail(const struct scan *s, struct vk_err *err, const char *what)
{
	return vk_err_set(err, VK_INVALID, "%s:%u: %s", s->o->file, s->line, what);
}

static int at_line(const struct scan *s, struct vk_err *err)
{
	return vk_err_wrap(err, "%s:%u", s->o->file, s->line);
}

/* -- what is recorded -------------------------------------------------------------------------- */

static int check_use(
	const struct scan *s, const char *image, struct dockerfile_use *use, struct vk_err *err)
{
	if (!image_is_boat(image))
		return s->probe ? image_name_forbidden(image, s->o->registry, err)
				: image_name_check(image, s->o->registry, err);
	if (s->trigger)
		return vk_err_set(err, VK_INVALID, "viking: names cannot stand behind ONBUILD");
	use->is_boat = true;
	return image_boat_ref(image, &use->boat, err);
}

/* `image` is written as word w (whose bytes are remembered) of the line. */
static int add_use(struct scan *s, const struct df_line *l, const struct df_word *w, size_t skip,
	const char *image, struct vk_err *err)
{
	struct dockerfile_use use = {.line = s->line};
	if (check_use(s, image, &use, err) != 0)
		return at_line(s, err);
	if (s->probe || s->trigger)
		return 0;
	if (s->d->n >= DOCKERFILE_USES)
		return vk_err_set(
			err, VK_LIMIT, "%s names more than %d images", s->o->file, DOCKERFILE_USES);
	use.image = vk_strdup(image);
	if (w != NULL) {
		size_t from = w->at[skip], to = w->end;
		use.nbytes = to - from;
		use.bytes = vk_calloc(use.nbytes, sizeof(*use.bytes));
		memcpy(use.bytes, l->at + from, use.nbytes * sizeof(*use.bytes));
	}
	s->d->uses = vk_reallocarray(s->d->uses, s->d->n + 1, sizeof(use));
	s->d->uses[s->d->n++] = use;
	return 0;
}

static int find_stage(const struct dockerfile *d, const char *name)
{
	for (size_t i = d->nstages; i-- > 0;)
		if (*name != '\0' && strcasecmp(d->stages[i], name) == 0)
			return (int)i;
	return -1;
}

static int add_stage(struct scan *s, const char *name, struct vk_err *err)
{
	if (s->d->nstages >= DOCKERFILE_STAGES)
		return vk_err_set(
			err, VK_LIMIT, "%s has more than %d stages", s->o->file, DOCKERFILE_STAGES);
	if (s->d->nstages > 0)
		s->stage_env[s->d->nstages - 1] = json_copy(s->vars);
	char *copy = vk_strdup(name);
	for (char *p = copy; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	s->d->stages[s->d->nstages++] = copy;
	return 0;
}

/* -- instructions ------------------------------------------------------------------------------ */

static void set_var(json_t *vars, const char *name, const char *value)
{
	json_object_set_new(vars, name, vk_json_safe_string(value, strlen(value)));
}

static int expand(const struct scan *s, const json_t *vars, const char *word, struct vk_buf *out,
	size_t *ret_unknown, struct vk_err *err)
{
	struct df_expand x = {.vars = vars, .escape = s->reader.escape};
	if (df_expand(&x, word, out, err) != 0)
		return at_line(s, err);
	if (ret_unknown != NULL)
		*ret_unknown = x.unknown_at;
	return 0;
}

static int begin_stage(
	struct scan *s, const char *image, const char *name, bool *ret_outside, struct vk_err *err)
{
	int base = find_stage(s->d, image);
	int rc = add_stage(s, name, err);
	if (rc != 0)
		return rc;
	json_decref(s->vars);
	s->vars = base >= 0 ? json_copy(s->stage_env[base]) : json_object();
	*ret_outside = base < 0 && strcmp(image, "scratch") != 0;
	return 0;
}

static int do_from(
	struct scan *s, const struct df_line *l, const struct df_words *w, struct vk_err *err)
{
	if (s->trigger)
		return fail(s, err, "FROM cannot stand behind ONBUILD");
	if (w->n != 1 && !(w->n == 3 && strcasecmp(w->v[1].text, "AS") == 0))
		return fail(s, err, "FROM takes IMAGE or IMAGE AS NAME, and no comment behind it");
	vk_autobuf image = VK_BUF_INIT(EXPAND_MAX);
	if (expand(s, s->globals, w->v[0].text, &image, NULL, err) != 0)
		return err->code;
	if (image.len == 0)
		return fail(s, err,
			"the image of FROM is empty: its variable has no ARG with a value "
			"before the first FROM");
	bool outside;
	int rc = begin_stage(s, vk_buf_str(&image), w->n == 3 ? w->v[2].text : "", &outside, err);
	if (rc != 0 || !outside)
		return rc;
	return add_use(s, l, &w->v[0], 0, vk_buf_str(&image), err);
}

static bool is_index(const char *s)
{
	return *s != '\0' && s[strspn(s, "0123456789")] == '\0';
}

/* --from= and from=: no variables there, in any engine of today. */
static int image_option(struct scan *s, const struct df_line *l, const struct df_word *w,
	size_t skip, const char *image, struct vk_err *err)
{
	if (strchr(image, '$') != NULL)
		return fail(s, err,
			"from= takes no variable: write the stage or image out, or name it by "
			"FROM ... AS");
	if (*image == '\0' || is_index(image) || find_stage(s->d, image) >= 0)
		return 0;
	return add_use(s, l, w, skip, image, err);
}

static int do_copy(
	struct scan *s, const struct df_line *l, const struct df_words *w, struct vk_err *err)
{
	for (size_t i = 0; i < w->nflags; i++) {
		const struct df_word *f = &w->flags[i];
		if (strncasecmp(f->text, "--from=", 7) != 0)
			continue;
		int rc = image_option(s, l, f, 7, f->text + 7, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* One source of ADD. A variable that only the base image may know could hold any URL: it is
 * allowed only where what stands before it settles that this is none, or names the host
 * already. */
static int check_source(const struct scan *s, const char *word, struct vk_err *err)
{
	static const char *const schemes[] = {
		"http://", "https://", "git://", "ssh://", "git@", NULL};
	vk_autobuf source = VK_BUF_INIT(EXPAND_MAX);
	size_t unknown = SIZE_MAX;
	if (expand(s, s->vars, word, &source, &unknown, err) != 0)
		return err->code;
	const char *text = vk_buf_str(&source);
	if (add_source_check(text, err) != 0)
		return at_line(s, err);
	for (size_t i = 0; unknown != SIZE_MAX && schemes[i] != NULL; i++) {
		size_t n = strlen(schemes[i]);
		bool open = unknown < n ? strncasecmp(text, schemes[i], unknown) == 0
					: strncasecmp(text, schemes[i], n) == 0 &&
				memchr(text + n, '/', unknown - n) == NULL;
		if (open) {
			vk_err_set(err, VK_DENIED,
				"%s:%u: ADD of \"%.100s\" could reach any host: a variable "
				"that is not set here decides",
				s->o->file, s->line, word);
			return vk_err_hint(
				err, "give the variable a value by ARG or ENV in this stage");
		}
	}
	return 0;
}

static int do_add(
	struct scan *s, const struct df_line *l, const struct df_words *w, struct vk_err *err)
{
	int rc = do_copy(s, l, w, err);
	for (size_t i = 0; rc == 0 && i + 1 < w->n; i++)
		rc = check_source(s, w->v[i].text, err);
	return rc;
}

/* The value of --mount is a line of CSV: a field may stand in double quotes. */
static int do_mount(
	struct scan *s, const struct df_line *l, const struct df_word *f, struct vk_err *err)
{
	for (size_t at = strlen("--mount="); f->text[at] != '\0';) {
		size_t n = strcspn(f->text + at, ",");
		size_t skip = strspn(f->text + at, "\" ");
		const char *field = f->text + at + skip;
		if (skip < n && strncasecmp(field, "from=", 5) == 0) {
			vk_autofree char *image = vk_strndup(field + 5, n - skip - 5);
			image[strcspn(image, "\"")] = '\0';
			struct df_word part = *f;
			part.end = f->at[at + skip + 5 + strlen(image) - (*image != '\0')] +
				(*image != '\0');
			int rc = image_option(s, l, &part, at + skip + 5, image, err);
			if (rc != 0)
				return rc;
		}
		at += n + (f->text[at + n] == ',');
	}
	return 0;
}

static int do_run(
	struct scan *s, const struct df_line *l, const struct df_words *w, struct vk_err *err)
{
	for (size_t i = 0; i < w->nflags; i++) {
		if (strncasecmp(w->flags[i].text, "--mount=", 8) != 0)
			continue;
		int rc = do_mount(s, l, &w->flags[i], err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static bool is_platform(const char *name)
{
	for (size_t i = 0; i < VK_COUNT(platform); i++)
		if (strcmp(platform[i].name, name) == 0)
			return true;
	return false;
}

/* A build argument wins over the default, and counts only where ARG asks for it. */
static int do_arg(
	struct scan *s, const struct df_line *l, const struct df_words *w, struct vk_err *err)
{
	(void)l;
	bool global = s->d->nstages == 0;
	json_t *vars = global ? s->globals : s->vars;
	for (size_t i = 0; i < w->n; i++) {
		vk_autofree char *name = vk_strdup(w->v[i].text);
		char *eq = strchr(name, '=');
		vk_autobuf value = VK_BUF_INIT(EXPAND_MAX);
		if (eq != NULL) {
			*eq = '\0';
			if (expand(s, vars, eq + 1, &value, NULL, err) != 0)
				return err->code;
		}
		const char *given = json_string_value(json_object_get(s->o->args, name));
		const char *outer = json_string_value(json_object_get(s->globals, name));
		if (given != NULL)
			set_var(vars, name, given);
		else if (eq != NULL)
			set_var(vars, name, vk_buf_str(&value));
		else if (outer != NULL || is_platform(name))
			set_var(vars, name, outer != NULL ? outer : "");
		const char *now = json_string_value(json_object_get(vars, name));
		if (global && now != NULL && strstr(now, "://") == NULL &&
			image_host_forbidden(now, s->o->registry, err) != 0)
			return at_line(s, err);
	}
	return 0;
}

static int do_env(
	struct scan *s, const struct df_line *l, const struct df_words *w, struct vk_err *err)
{
	(void)l;
	bool old_form = w->n >= 2 && strchr(w->v[0].text, '=') == NULL; /* ENV NAME the rest */
	for (size_t i = 0; i < (old_form ? 1 : w->n); i++) {
		vk_autofree char *name = vk_strdup(w->v[i].text);
		char *eq = strchr(name, '=');
		if (eq != NULL)
			*eq = '\0';
		else if (!old_form)
			continue;
		vk_autobuf value = VK_BUF_INIT(EXPAND_MAX);
		if (expand(s, s->vars, eq != NULL ? eq + 1 : w->v[1].text, &value, NULL, err) != 0)
			return err->code;
		set_var(s->vars, name, vk_buf_str(&value));
	}
	return 0;
}

typedef int instruction_fn(
	struct scan *s, const struct df_line *l, const struct df_words *w, struct vk_err *err);

static const struct instruction {
	const char *name;
	instruction_fn *run;
	enum df_split split;
	bool heredocs;
} instructions[] = {
	{"FROM", do_from, DF_SPLIT_BLANKS, false},
	{"ARG", do_arg, DF_SPLIT_QUOTED, false},
	{"ENV", do_env, DF_SPLIT_QUOTED, false},
	{"COPY", do_copy, DF_SPLIT_NONE, true},
	{"ADD", do_add, DF_SPLIT_LIST, true},
	{"RUN", do_run, DF_SPLIT_NONE, true},
};

static const struct instruction *find_instruction(const char *text, size_t n)
{
	for (size_t i = 0; i < VK_COUNT(instructions); i++)
		if (strlen(instructions[i].name) == n &&
			strncasecmp(instructions[i].name, text, n) == 0)
			return &instructions[i];
	return NULL;
}

static int run_instruction(struct scan *s, const struct df_line *l, size_t at, struct vk_err *err)
{
	size_t n = strcspn(l->text + at, " \t\r\n\v\f");
	if (n == 7 && strncasecmp(l->text + at, "ONBUILD", n) == 0 && !s->trigger) {
		s->trigger = true;
		at += n + strspn(l->text + at + n, " \t\r\n\v\f");
		int rc = l->text[at] != '\0' ? run_instruction(s, l, at, err) : 0;
		s->trigger = false;
		return rc;
	}
	const struct instruction *ins = find_instruction(l->text + at, n);
	bool is_arg = ins != NULL && ins->run == do_arg,
	     is_from = ins != NULL && ins->run == do_from;
	if (s->d->nstages == 0 && !s->trigger && !is_arg && !is_from) {
		fail(s, err, "an instruction before the first FROM");
		return vk_err_hint(err, "begin %s with FROM and an image", s->o->file);
	}
	if (ins == NULL)
		return 0;
	if (ins->heredocs)
		df_reader_skip_heredocs(&s->reader, l);
	struct df_words w;
	if (df_words_split(l, at + n, ins->split, s->reader.escape, &w, err) != 0)
		return at_line(s, err);
	int rc = ins->run(s, l, &w, err);
	df_words_release(&w);
	return rc;
}

/* -- the file as a whole ----------------------------------------------------------------------- */

/* A frontend does what it likes with the file, the engine's image store included: only
 * Docker's own is let through. */
static int check_frontend(struct scan *s, const char *value, unsigned line, struct vk_err *err)
{
	static const char *const known[] = {"docker/dockerfile", "docker.io/docker/dockerfile",
		"docker/dockerfile-upstream", "docker.io/docker/dockerfile-upstream"};
	vk_autofree char *image = vk_strndup(value, strcspn(value, " \t"));
	s->line = line;
	if (image_name_forbidden(image, s->o->registry, err) != 0)
		return at_line(s, err);
	size_t n = strcspn(image, ":@");
	for (size_t i = 0; i < VK_COUNT(known); i++)
		if (strlen(known[i]) == n && memcmp(known[i], image, n) == 0)
			return 0;
	vk_err_set(err, VK_DENIED, "%s:%u: the frontend \"%.100s\" is not allowed", s->o->file,
		line, image);
	return vk_err_hint(err, "leave the syntax line out, or write # syntax=docker/dockerfile:1");
}

static int check_target(const struct scan *s, struct vk_err *err)
{
	const char *target = s->o->target;
	if (target == NULL || *target == '\0' || find_stage(s->d, target) >= 0)
		return 0;
	uint64_t index;
	if (s->d->nstages > 0 && vk_parse_u64(target, 0, s->d->nstages - 1, &index) == 0)
		return 0;
	vk_err_set(err, VK_INVALID, "%s has no stage \"%.100s\"", s->o->file, target);
	const char *names[DOCKERFILE_STAGES + 1] = {0};
	for (size_t i = 0; i < s->d->nstages; i++)
		names[i] = s->d->stages[i];
	const char *near = vk_suggest(target, names);
	if (near != NULL)
		vk_err_hint(err, "did you mean \"%s\"?", near);
	return VK_INVALID;
}

static int check_frontends(struct scan *s, struct vk_err *err)
{
	const char *arg = json_string_value(json_object_get(s->o->args, "BUILDKIT_SYNTAX"));
	if (arg != NULL && check_frontend(s, arg, 1, err) != 0)
		return err->code;
	if (s->reader.syntax != NULL)
		return check_frontend(s, s->reader.syntax, s->reader.syntax_line, err);
	/* two more places where newer engines look for one */
	const char *p = s->reader.text + s->reader.at;
	size_t left = s->reader.n - s->reader.at;
	if (left > 0 && (*p == '{' || (left > 1 && memcmp(p, "//", 2) == 0))) {
		s->line = s->reader.line;
		return fail(s, err, "no instruction");
	}
	return 0;
}

static int read_all(struct scan *s, struct vk_err *err)
{
	int rc = check_frontends(s, err);
	struct df_line l = {0};
	bool more = true;
	unsigned count = 0;
	while (rc == 0) {
		rc = df_reader_next(&s->reader, &l, &more, err);
		if (rc != 0)
			vk_err_wrap(err, "%s", s->o->file);
		if (rc != 0 || !more)
			break;
		s->line = l.line;
		if (!s->probe && ++count > DOCKERFILE_INSTRUCTIONS_MAX) {
			rc = vk_err_set(err, VK_LIMIT, "%s:%u: more than %d instructions",
				s->o->file, l.line, DOCKERFILE_INSTRUCTIONS_MAX);
			vk_err_hint(err, "several in one: ENV A=1 B=2, RUN a && b");
			break;
		}
		rc = run_instruction(s, &l, 0, err);
		if (s->probe && rc != VK_DENIED && rc != VK_LIMIT)
			rc = 0;
	}
	df_line_release(&l);
	if (rc == 0 && !s->probe && s->d->nstages == 0)
		rc = vk_err_set(err, VK_INVALID, "%s has no FROM", s->o->file);
	return rc == 0 && !s->probe ? check_target(s, err) : rc;
}

static int scan_once(const char *text, size_t n, const struct dockerfile_opts *o,
	const struct df_rules *rules, bool platform_args, bool probe, struct dockerfile *d,
	struct vk_err *err)
{
	struct scan s = {
		.o = o, .probe = probe, .d = d, .globals = json_object(), .vars = json_object()};
	for (size_t i = 0; platform_args && i < VK_COUNT(platform); i++)
		set_var(s.globals, platform[i].name, platform[i].value);
	df_reader_init(&s.reader, rules, text, n);
	int rc = read_all(&s, err);
	df_reader_release(&s.reader);
	json_decref(s.globals);
	json_decref(s.vars);
	for (size_t i = 0; i < DOCKERFILE_STAGES; i++)
		json_decref(s.stage_env[i]);
	return rc;
}

static int scan_readings(const char *text, size_t n, const struct dockerfile_opts *o,
	struct dockerfile *d, struct vk_err *err)
{
	struct df_rules expected = {.heredocs = true};
	int rc = scan_once(text, n, o, &expected, true, false, d, err);
	for (unsigned i = 1; rc == 0 && i < 16; i++) {
		struct df_rules rules = {!(i & 1), (i & 2) != 0, (i & 4) != 0};
		struct dockerfile *other = vk_alloc(sizeof(*other));
		rc = scan_once(text, n, o, &rules, (i & 8) == 0, true, other, err);
		dockerfile_free(other);
	}
	return rc;
}

int dockerfile_scan(const char *text, size_t n, const struct dockerfile_opts *o,
	struct dockerfile **ret, struct vk_err *err)
{
	if (n > DOCKERFILE_MAX)
		return vk_err_set(
			err, VK_LIMIT, "%s is larger than %d KiB", o->file, DOCKERFILE_MAX / 1024);
	if (memchr(text, '\0', n) != NULL)
		return vk_err_set(err, VK_INVALID, "%s holds a NUL byte", o->file);
	struct vk_err local = {0};
	if (err == NULL) /* codes travel in it */
		err = &local;
	struct dockerfile *d = vk_alloc(sizeof(*d));
	int rc = scan_readings(text, n, o, d, err);
	if (rc != 0) {
		dockerfile_free(d);
		return rc;
	}
	*ret = d;
	return 0;
}

void dockerfile_free(struct dockerfile *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->n; i++) {
		free(d->uses[i].image);
		free(d->uses[i].bytes);
	}
	free(d->uses);
	for (size_t i = 0; i < d->nstages; i++)
		free(d->stages[i]);
	free(d);
}

int dockerfile_check_trigger(const char *instruction, const char *registry, struct vk_err *err)
{
	vk_autofree char *text = vk_asprintf("FROM scratch\nONBUILD %s\n", instruction);
	struct dockerfile_opts o = {.file = "ONBUILD", .registry = registry};
	struct dockerfile *d = NULL;
	int rc = dockerfile_scan(text, strlen(text), &o, &d, err);
	dockerfile_free(d);
	return rc;
}
