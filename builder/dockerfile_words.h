/* The words of one instruction: its --flags, taken out of quotes as the engine does, and its
 * arguments. */
#ifndef VIKING_DOCKERFILE_WORDS_H
#define VIKING_DOCKERFILE_WORDS_H

#include "dockerfile_lines.h"

enum df_split {
	DF_SPLIT_NONE,   /* only the flags */
	DF_SPLIT_BLANKS, /* at blanks, quotes or not */
	DF_SPLIT_QUOTED, /* at blanks outside of quotes; quotes stay */
	DF_SPLIT_LIST,   /* a JSON list of strings, or else at blanks */
};

struct df_word {
	char *text;
	/* text[i] is character at[i] of the line; one more entry for the end. NULL for JSON lists */
	size_t *at;
	size_t end; /* character of the line behind the word's last */
};

struct df_words {
	size_t nflags, n;
	struct df_word *flags, *v;
};

#define DF_WORDS_MAX 4096

/* Of the line's characters from `at` on. *ret is to be released only after success. */
int df_words_split(const struct df_line *l, size_t at, enum df_split split, char escape,
	struct df_words *ret, struct vk_err *err);
void df_words_release(struct df_words *w);

#endif
