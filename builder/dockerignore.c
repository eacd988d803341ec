#include "dockerignore.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <viking/mem.h>

/* One step of a compiled pattern. A pattern is a small automaton without branches but these:
 * ANY and DEEP stay where they are, and what is optional can be stepped over. */
enum step_kind {
	STEP_CHAR,  /* this code point */
	STEP_ONE,   /* ?: one code point, no slash */
	STEP_CLASS, /* [a-z]; taken from a regular expression, so [^a] takes a slash as well */
	STEP_ANY,   /* *: any run without slash */
	STEP_ALL,   /* ** at the end: any run */
	STEP_DEEP,  /* ** elsewhere: nothing, or any run that ends in a slash */
};

struct range {
	uint32_t from, to;
};

struct step {
	enum step_kind kind;
	uint32_t ch;
	bool negated;
	size_t nranges;
	struct range *ranges;
};

struct pattern {
	bool take_back; /* the line began with ! */
	char *text;     /* cleaned, without the ! */
	size_t nsteps;
	struct step *steps;
};

struct dockerignore {
	bool shell; /* patterns are a shell's: slugignore_parse */
	size_t n, max_steps;
	struct pattern *v;
	unsigned char *states; /* two rows of max_steps + 1 */
};

/* Next code point; a byte that is no UTF-8 stands for itself, above the range of code points. */
static uint32_t next_char(const char **p)
{
	const unsigned char *s = (const unsigned char *)*p;
	size_t len = *s < 0x80 ? 1 : *s >= 0xf0 ? 4 : *s >= 0xe0 ? 3 : *s >= 0xc2 ? 2 : 0;
	uint32_t cp = len > 1 ? *s & (0xffu >> (len + 1)) : *s;
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			len = 0;
			break;
		}
		cp = cp << 6 | (s[i] & 0x3f);
	}
	if (len == 0) {
		*p += 1;
		return 0x110000u + *s;
	}
	*p += len;
	return cp;
}

static struct step *add_step(struct pattern *p, enum step_kind kind)
{
	p->steps = vk_reallocarray(p->steps, p->nsteps + 1, sizeof(*p->steps));
	struct step *s = &p->steps[p->nsteps++];
	*s = (struct step){.kind = kind};
	return s;
}

/* One end of a class range, as Go's path.Match reads it: no bare - or ], \ takes the next as
 * it is. */
static int class_char(const char **p, uint32_t *ret)
{
	if (**p == '\0' || **p == '-' || **p == ']')
		return VK_INVALID;
	if (**p == '\\' && *++*p == '\0')
		return VK_INVALID;
	*ret = next_char(p);
	return 0;
}

static int compile_class(const char **p, struct pattern *out, bool shell)
{
	struct step *s = add_step(out, STEP_CLASS);
	if (**p == '^' || (shell && **p == '!')) {
		s->negated = true;
		++*p;
	}
	while (**p != ']' || s->nranges == 0) {
		struct range r;
		if (class_char(p, &r.from) != 0)
			return VK_INVALID;
		r.to = r.from;
		if (**p == '-') {
			++*p;
			if (class_char(p, &r.to) != 0)
				return VK_INVALID;
		}
		s->ranges = vk_reallocarray(s->ranges, s->nranges + 1, sizeof(r));
		s->ranges[s->nranges++] = r;
	}
	++*p;
	return 0;
}

static void compile_stars(const char **p, struct pattern *out, bool shell)
{
	if (**p != '*' || shell) {
		add_step(out, STEP_ANY);
		return;
	}
	++*p;
	if (**p == '/')
		++*p;
	add_step(out, **p == '\0' ? STEP_ALL : STEP_DEEP);
}

static int compile(struct pattern *out, bool shell)
{
	for (const char *p = out->text; *p != '\0';) {
		uint32_t ch = next_char(&p);
		if (ch == '*') {
			compile_stars(&p, out, shell);
		} else if (ch == '?') {
			add_step(out, STEP_ONE);
		} else if (ch == '[') {
			if (compile_class(&p, out, shell) != 0)
				return VK_INVALID;
		} else {
			if (ch == '\\' && *p == '\0')
				return VK_INVALID;
			uint32_t literal = ch == '\\' ? next_char(&p) : ch;
			add_step(out, STEP_CHAR)->ch = literal;
		}
	}
	return 0;
}

static bool in_class(const struct step *s, uint32_t ch)
{
	bool in = false;
	for (size_t i = 0; i < s->nranges && !in; i++)
		in = ch >= s->ranges[i].from && ch <= s->ranges[i].to;
	return in != s->negated;
}

/* Marks state i and all that is reached from it without a character. */
static void reach(const struct pattern *p, unsigned char *row, size_t i)
{
	while (!row[i]) {
		row[i] = 1;
		if (i == p->nsteps ||
			(p->steps[i].kind != STEP_ANY && p->steps[i].kind != STEP_ALL &&
				p->steps[i].kind != STEP_DEEP))
			return;
		i++;
	}
}

static bool begins_name(const struct pattern *p, size_t i)
{
	return i == 0 || (p->steps[i - 1].kind == STEP_CHAR && p->steps[i - 1].ch == '/');
}

/* One character on; false when nothing is left that could match. DEEP may be left only before
 * anything or behind a slash: while inside a run its state is kept as 2, which does not reach
 * on. hidden: a shell's pattern is at the leading dot of a name, which only a dot matches that begins
 * the pattern's. */
static bool advance(const struct pattern *p, const unsigned char *from, unsigned char *to,
	uint32_t ch, bool hidden)
{
	for (size_t i = 0; i < p->nsteps; i++) {
		if (!from[i])
			continue;
		const struct step *s = &p->steps[i];
		switch (s->kind) {
		case STEP_CHAR:
			if (s->ch == ch && (!hidden || begins_name(p, i)))
				reach(p, to, i + 1);
			break;
		case STEP_ONE:
			if (ch != '/' && !hidden)
				reach(p, to, i + 1);
			break;
		case STEP_CLASS:
			if (in_class(s, ch) && !hidden)
				reach(p, to, i + 1);
			break;
		case STEP_ANY:
			if (ch != '/' && !hidden)
				reach(p, to, i);
			break;
		case STEP_ALL:
			reach(p, to, i);
			break;
		case STEP_DEEP:
			if (ch == '/')
				reach(p, to, i + 1);
			if (!to[i])
				to[i] = 2;
			break;
		}
	}
	return memchr(to, 1, p->nsteps + 1) != NULL || memchr(to, 2, p->nsteps) != NULL;
}

/* Does the pattern match the path or one of the directories above it? */
static bool matches(const struct dockerignore *d, const struct pattern *p, const char *path)
{
	size_t width = p->nsteps + 1;
	unsigned char *from = d->states, *to = d->states + d->max_steps + 1;
	memset(from, 0, width);
	reach(p, from, 0);
	for (uint32_t ch = '/'; *path != '\0';) {
		bool hidden = d->shell && ch == '/' && *path == '.';
		ch = next_char(&path);
		if (ch == '/' && from[p->nsteps])
			return true;
		memset(to, 0, width);
		if (!advance(p, from, to, ch, hidden))
			return false;
		unsigned char *swap = from;
		from = to;
		to = swap;
	}
	return from[p->nsteps] != 0;
}

/* Lexical cleaning as Go's filepath.Clean, in place: no empty, "." or resolvable ".."
 * components. */
static void clean_path(char *s)
{
	bool rooted = *s == '/';
	char *out = s + rooted, *floor = out; /* nothing before floor can be taken back */
	for (const char *p = out; *p != '\0';) {
		size_t n = strcspn(p, "/");
		bool up = n == 2 && p[0] == '.' && p[1] == '.';
		if (up && out > floor) {
			for (out--; out > floor && *out != '/';)
				out--;
		} else if (n > 0 && !(n == 1 && *p == '.') && !(up && rooted)) {
			if (out > s + rooted)
				*out++ = '/';
			memmove(out, p, n);
			out += n;
			if (up)
				floor = out;
		}
		p += n + (p[n] == '/');
	}
	if (out == s)
		*out++ = '.';
	*out = '\0';
}

static int add_line(struct dockerignore *d, const char *line, size_t n, struct vk_err *err)
{
	static const char blanks[] = " \t\r\n\v\f";
	if (n > 0 && line[0] == '#')
		return 0;
	vk_autofree char *copy = vk_strndup(line, n);
	char *s = copy + strspn(copy, blanks);
	bool take_back = *s == '!' && !d->shell;
	if (take_back)
		s += 1 + strspn(s + 1, blanks);
	for (size_t len = strlen(s); len > 0 && strchr(blanks, s[len - 1]) != NULL;)
		s[--len] = '\0';
	if (*s == '\0')
		return take_back ? vk_err_set(err, VK_INVALID, "a lone ! takes nothing back") : 0;
	clean_path(s);
	if (s[0] == '/' && s[1] != '\0')
		s++;
	d->v = vk_reallocarray(d->v, d->n + 1, sizeof(*d->v));
	struct pattern *p = &d->v[d->n++];
	*p = (struct pattern){.take_back = take_back, .text = vk_strdup(s)};
	if (compile(p, d->shell) != 0)
		return vk_err_set(err, VK_INVALID, "syntax error in pattern \"%s\"", s);
	if (p->nsteps > d->max_steps)
		d->max_steps = p->nsteps;
	return 0;
}

static int add_lines(
	struct dockerignore *d, const char *text, size_t n, const char *file, struct vk_err *err)
{
	unsigned line = 1;
	for (size_t at = 0; at < n; line++) {
		const char *nl = memchr(text + at, '\n', n - at);
		size_t len = nl != NULL ? (size_t)(nl - text) - at : n - at;
		if (line > DOCKERIGNORE_LINES)
			return vk_err_set(err, VK_LIMIT, "%s has more than %d lines", file,
				DOCKERIGNORE_LINES);
		if (memchr(text + at, '\0', len) != NULL)
			return vk_err_set(err, VK_INVALID, "%s:%u: a NUL byte", file, line);
		if (add_line(d, text + at, len, err) != 0)
			return vk_err_wrap(err, "%s:%u", file, line);
		at += len + 1;
	}
	return 0;
}

static int parse(const char *text, size_t n, const char *file, bool shell,
	struct dockerignore **ret, struct vk_err *err)
{
	if (n > DOCKERIGNORE_MAX)
		return vk_err_set(
			err, VK_LIMIT, "%s is larger than %d KiB", file, DOCKERIGNORE_MAX / 1024);
	if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		n -= 3;
	}
	struct dockerignore *d = vk_alloc(sizeof(*d));
	d->shell = shell;
	int rc = add_lines(d, text, n, file, err);
	if (rc != 0) {
		dockerignore_free(d);
		return rc;
	}
	d->states = vk_calloc(2, d->max_steps + 1);
	*ret = d;
	return 0;
}

int dockerignore_parse(
	const char *text, size_t n, const char *file, struct dockerignore **ret, struct vk_err *err)
{
	return parse(text, n, file, false, ret, err);
}

int slugignore_parse(const char *text, size_t n, struct dockerignore **ret, struct vk_err *err)
{
	return parse(text, n, ".slugignore", true, ret, err);
}

void dockerignore_free(struct dockerignore *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->n; i++) {
		for (size_t j = 0; j < d->v[i].nsteps; j++)
			free(d->v[i].steps[j].ranges);
		free(d->v[i].steps);
		free(d->v[i].text);
	}
	free(d->v);
	free(d->states);
	free(d);
}

bool dockerignore_drops(const struct dockerignore *d, const char *path)
{
	/* from the last line up: the first that matches decides */
	for (size_t i = d != NULL ? d->n : 0; i-- > 0;)
		if (matches(d, &d->v[i], path))
			return !d->v[i].take_back;
	return false;
}

bool dockerignore_enters(const struct dockerignore *d, const char *dir)
{
	size_t n = strlen(dir);
	for (size_t i = 0; d != NULL && i < d->n; i++)
		if (d->v[i].take_back && strncmp(d->v[i].text, dir, n) == 0 &&
			d->v[i].text[n] == '/')
			return true;
	return false;
}
