#include "dockerfile_lines.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <viking/mem.h>

#define HEREDOCS_MAX 16

struct raw {
	const char *s; /* without its line end */
	size_t n;
	size_t at; /* of s in the text */
};

static bool next_raw(struct df_reader *r, struct raw *ret)
{
	if (r->at >= r->n)
		return false;
	const char *start = r->text + r->at;
	const char *nl = memchr(start, '\n', r->n - r->at);
	size_t n = nl != NULL ? (size_t)(nl - start) : r->n - r->at;
	*ret = (struct raw){start, n, r->at};
	while (ret->n > 0 && start[ret->n - 1] == '\r')
		ret->n--;
	r->at += n + (nl != NULL);
	r->line++;
	return true;
}

static size_t blanks(const char *s, size_t n)
{
	size_t i = 0;
	while (i < n && isspace((unsigned char)s[i]))
		i++;
	return i;
}

static bool is_comment(const struct raw *l)
{
	size_t i = blanks(l->s, l->n);
	return i < l->n && l->s[i] == '#';
}

/* "# name = value" -> the value, trimmed; NULL if the line is no directive. */
static char *directive(const struct raw *l, char name[static 64])
{
	size_t i = blanks(l->s, l->n);
	if (i >= l->n || l->s[i] != '#')
		return NULL;
	i++;
	i += blanks(l->s + i, l->n - i);
	size_t len = 0;
	while (i < l->n && isalnum((unsigned char)l->s[i]) && len < 63)
		name[len++] = (char)tolower((unsigned char)l->s[i++]);
	name[len] = '\0';
	i += blanks(l->s + i, l->n - i);
	if (len == 0 || i >= l->n || l->s[i] != '=')
		return NULL;
	i++;
	i += blanks(l->s + i, l->n - i);
	size_t end = l->n;
	while (end > i && isspace((unsigned char)l->s[end - 1]))
		end--;
	return end > i ? vk_strndup(l->s + i, end - i) : NULL;
}

static bool take_directive(struct df_reader *r, const struct raw *l)
{
	char name[64];
	vk_autofree char *value = directive(l, name);
	if (value == NULL)
		return false;
	if (strcmp(name, "escape") == 0 && (value[0] == '`' || value[0] == '\\') &&
		value[1] == '\0') {
		r->escape = value[0];
	} else if (strcmp(name, "syntax") == 0) {
		free(r->syntax);
		r->syntax = VK_TAKE(value);
		r->syntax_line = r->line - 1;
	} else {
		return strcmp(name, "check") == 0 || r->rules.unknown_directive;
	}
	return true;
}

void df_reader_init(struct df_reader *r, const struct df_rules *rules, const char *text, size_t n)
{
	*r = (struct df_reader){.rules = *rules, .text = text, .n = n, .line = 1, .escape = '\\'};
	if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		r->at = 3;
	struct raw l;
	bool first = true;
	for (;;) {
		size_t at = r->at;
		unsigned line = r->line;
		if (!next_raw(r, &l))
			return;
		/* newer engines look behind a first line "#!..." too */
		bool shebang = first && l.n >= 2 && memcmp(l.s, "#!", 2) == 0;
		first = false;
		if (!shebang && !take_directive(r, &l)) {
			r->at = at;
			r->line = line;
			return;
		}
	}
}

void df_reader_release(struct df_reader *r)
{
	free(r->syntax);
	r->syntax = NULL;
}

void df_line_release(struct df_line *l)
{
	free(l->text);
	free(l->at);
	*l = (struct df_line){0};
}

static int append(
	struct df_line *l, const struct raw *raw, size_t from, size_t to, struct vk_err *err)
{
	size_t add = to - from;
	if (l->n + add > DOCKERFILE_LINE_MAX)
		return vk_err_set(err, VK_LIMIT, "an instruction has more than %d characters",
			DOCKERFILE_LINE_MAX);
	if (l->n + add + 1 > l->cap) {
		l->cap = (l->n + add + 1) * 2;
		l->text = vk_realloc(l->text, l->cap);
		l->at = vk_reallocarray(l->at, l->cap, sizeof(*l->at));
	}
	for (size_t i = 0; i < add; i++) {
		l->text[l->n + i] = raw->s[from + i];
		l->at[l->n + i] = raw->at + from + i;
	}
	l->n += add;
	l->text[l->n] = '\0';
	return 0;
}

/* Where the text of a line ends that is continued on the next, or its whole length if it is not. */
static size_t continued_at(const struct df_reader *r, const struct raw *l)
{
	size_t end = l->n;
	while (end > 0 && (l->s[end - 1] == ' ' || l->s[end - 1] == '\t'))
		end--;
	if (end == 0 || l->s[end - 1] != r->escape)
		return l->n;
	if (!r->rules.double_escape && end > 1 && l->s[end - 2] == r->escape)
		return l->n;
	return end - 1;
}

int df_reader_next(struct df_reader *r, struct df_line *l, bool *ret_more, struct vk_err *err)
{
	struct raw raw;
	bool open = false;
	l->n = 0;
	while ((open || l->n == 0) && next_raw(r, &raw)) {
		size_t skip = open ? 0 : blanks(raw.s, raw.n);
		if (is_comment(&raw) || blanks(raw.s, raw.n) == raw.n)
			continue;
		if (!open)
			l->line = r->line - 1;
		size_t end = continued_at(r, &raw);
		open = end != raw.n;
		if (end > skip && append(l, &raw, skip, end, err) != 0)
			return vk_err_wrap(err, "line %u", l->line);
	}
	*ret_more = l->n > 0;
	return 0;
}

/* The end of the shell word at s: quotes hold blanks together, the escape character the next
 * one. */
static size_t word_end(const char *s, char escape)
{
	char quote = '\0';
	size_t i = 0;
	for (; s[i] != '\0'; i++) {
		if (quote != '\'' && s[i] == escape && s[i + 1] != '\0')
			i++;
		else if (quote != '\0')
			quote = s[i] == quote ? '\0' : quote;
		else if (s[i] == '"' || s[i] == '\'')
			quote = s[i];
		else if (isspace((unsigned char)s[i]))
			break;
	}
	return i;
}

/* "<<NAME", "3<<-'NAME'": the name without quotes, or NULL. */
static char *heredoc_name(const char *word, size_t n, bool *ret_tabs)
{
	size_t i = strspn(word, "0123456789");
	if (i + 2 >= n || word[i] != '<' || word[i + 1] != '<')
		return NULL;
	i += 2;
	*ret_tabs = word[i] == '-';
	i += *ret_tabs;
	if (i >= n || memchr(word + i, '<', n - i) != NULL)
		return NULL;
	vk_autobuf name = VK_BUF_INIT(n + 1);
	for (; i < n; i++)
		if (word[i] != '"' && word[i] != '\'' && word[i] != '\\')
			vk_buf_addc(&name, word[i]);
	return name.len > 0 ? vk_buf_take(&name) : NULL;
}

static void skip_body(struct df_reader *r, const char *name, bool tabs)
{
	struct raw raw;
	while (next_raw(r, &raw)) {
		size_t skip = 0;
		while (tabs && skip < raw.n && raw.s[skip] == '\t')
			skip++;
		if (raw.n - skip == strlen(name) && memcmp(raw.s + skip, name, raw.n - skip) == 0)
			return;
	}
}

void df_reader_skip_heredocs(struct df_reader *r, const struct df_line *l)
{
	const char *s = l->text;
	for (int found = 0; r->rules.heredocs && *s != '\0' && found < HEREDOCS_MAX;) {
		s += blanks(s, strlen(s));
		size_t n = word_end(s, r->escape);
		bool tabs = false;
		vk_autofree char *name = heredoc_name(s, n, &tabs);
		if (name != NULL) {
			skip_body(r, name, tabs);
			found++;
		}
		s += n;
	}
}
