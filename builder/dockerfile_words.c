#include "dockerfile_words.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <viking/mem.h>

struct word_builder {
	size_t n;
	char *text;
	size_t *at;
};

static void builder_add(struct word_builder *b, char c, size_t at)
{
	b->text[b->n] = c;
	b->at[b->n++] = at;
}

static int push(struct df_word **v, size_t *n, struct df_word w, struct vk_err *err)
{
	if (*n >= DF_WORDS_MAX) {
		free(w.text);
		free(w.at);
		return vk_err_set(
			err, VK_LIMIT, "an instruction has more than %d words", DF_WORDS_MAX);
	}
	if ((*n & (*n - 1)) == 0)
		*v = vk_reallocarray(*v, *n > 0 ? *n * 2 : 1, sizeof(w));
	(*v)[(*n)++] = w;
	return 0;
}

static struct df_word builder_word(struct word_builder *b, size_t end)
{
	b->text[b->n] = '\0';
	b->at[b->n] = end;
	return (struct df_word){.text = vk_realloc(b->text, b->n + 1),
		.at = vk_reallocarray(b->at, b->n + 1, sizeof(size_t)),
		.end = end};
}

static struct word_builder builder_new(size_t max)
{
	return (struct word_builder){
		.text = vk_alloc(max + 1), .at = vk_calloc(max + 1, sizeof(size_t))};
}

/* A flag word as the engine reads it: quotes and backslashes taken off wherever they stand. */
static struct df_word flag_word(const char *s, size_t *at)
{
	size_t i = *at, last = i;
	struct word_builder b = builder_new(strlen(s + i));
	char quote = '\0';
	for (; s[i] != '\0' && (quote != '\0' || !isspace((unsigned char)s[i])); i++) {
		if (quote == '\0' && (s[i] == '"' || s[i] == '\'')) {
			quote = s[i];
			continue;
		}
		if (s[i] == quote) {
			quote = '\0';
			continue;
		}
		if (s[i] == '\\' && s[i + 1] != '\0')
			i++;
		builder_add(&b, s[i], i);
		last = i + 1;
	}
	*at = i;
	return builder_word(&b, last);
}

static int take_flags(const char *s, size_t *at, struct df_words *w, struct vk_err *err)
{
	for (;;) {
		while (isspace((unsigned char)s[*at]))
			++*at;
		if (s[*at] != '-' || s[*at + 1] != '-')
			return 0;
		struct df_word f = flag_word(s, at);
		bool end = strcmp(f.text, "--") == 0;
		int rc = push(&w->flags, &w->nflags, f, err);
		if (rc != 0 || end)
			return rc;
	}
}

static struct df_word plain_word(const char *s, size_t *at, bool quoted, char escape)
{
	size_t i = *at;
	char quote = '\0';
	for (; s[i] != '\0'; i++) {
		if (quoted && quote != '\'' && s[i] == escape && s[i + 1] != '\0')
			i++;
		else if (quote != '\0')
			quote = s[i] == quote ? '\0' : quote;
		else if (quoted && (s[i] == '"' || s[i] == '\''))
			quote = s[i];
		else if (isspace((unsigned char)s[i]))
			break;
	}
	struct word_builder b = builder_new(i - *at);
	for (; *at < i; ++*at)
		builder_add(&b, s[*at], *at);
	return builder_word(&b, i);
}

static int take_words(
	const char *s, size_t at, bool quoted, char escape, struct df_words *w, struct vk_err *err)
{
	int rc = 0;
	while (rc == 0) {
		while (isspace((unsigned char)s[at]))
			at++;
		if (s[at] == '\0')
			break;
		rc = push(&w->v, &w->n, plain_word(s, &at, quoted, escape), err);
	}
	return rc;
}

/* Is it a JSON list of strings? Then those are the words. */
static bool take_list(const char *s, size_t at, struct df_words *w)
{
	at += strspn(s + at, " \t");
	json_t *list = s[at] == '[' ? json_loads(s + at, 0, NULL) : NULL;
	bool ok = json_is_array(list) && json_array_size(list) <= DF_WORDS_MAX;
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item) ok = ok && json_is_string(item);
	for (i = 0; ok && i < json_array_size(list); i++)
		push(&w->v, &w->n,
			(struct df_word){
				.text = vk_strdup(json_string_value(json_array_get(list, i)))},
			NULL);
	json_decref(list);
	return ok;
}

int df_words_split(const struct df_line *l, size_t at, enum df_split split, char escape,
	struct df_words *ret, struct vk_err *err)
{
	struct df_words w = {0};
	int rc = take_flags(l->text, &at, &w, err);
	if (rc == 0 &&
		(split == DF_SPLIT_BLANKS || split == DF_SPLIT_QUOTED ||
			(split == DF_SPLIT_LIST && !take_list(l->text, at, &w))))
		rc = take_words(l->text, at, split == DF_SPLIT_QUOTED, escape, &w, err);
	if (rc != 0) {
		df_words_release(&w);
		return rc;
	}
	*ret = w;
	return 0;
}

static void free_words(struct df_word *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].text);
		free(v[i].at);
	}
	free(v);
}

void df_words_release(struct df_words *w)
{
	free_words(w->flags, w->nflags);
	free_words(w->v, w->n);
	*w = (struct df_words){0};
}
