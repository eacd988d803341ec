/*
 * Dockerfile text as instructions: one logical line at a time, continuation lines joined,
 * comments and blank lines inside them skipped, heredoc bodies passed over, parser directives
 * read. Every character of a logical line knows its byte in the text, so that a word can be
 * replaced where it stands.
 *
 * Engines differ in some rules: heredocs came with version 23, and since about then a doubled
 * escape character at the end of a line continues nothing and an unknown directive does not end
 * the directives. The reader follows either, as it is told.
 */
#ifndef VIKING_DOCKERFILE_LINES_H
#define VIKING_DOCKERFILE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <viking/err.h>

#define DOCKERFILE_MAX      (1024 * 1024) /* bytes of the file */
#define DOCKERFILE_LINE_MAX (64 * 1024)   /* characters of a logical line */
/* The engine's own time for them grows with the square (20.10: 250 ENV 5 s, 500 20 s, 3000 over 5 min), and is spent
 * in its daemon, outside of every limit of builds. */
#define DOCKERFILE_INSTRUCTIONS_MAX 500

struct df_rules {
	bool heredocs;          /* bodies are no instructions */
	bool double_escape;     /* \\\\ continues a line as \\ does */
	bool unknown_directive; /* goes on with directives behind an unknown one */
};

struct df_reader {
	struct df_rules rules;
	const char *text;
	size_t n, at;
	unsigned line; /* of text[at], from 1 */
	char escape;
	char *syntax; /* value of "# syntax=", or NULL; owned */
	unsigned syntax_line;
};

struct df_line {
	char *text; /* NUL-terminated, blanks at the front cut; owned */
	size_t *at; /* text[i] stands at byte at[i] of the file; owned */
	size_t n, cap;
	unsigned line; /* where it begins */
};

/* Reads byte order mark and directives; text is borrowed for the reader's life. */
void df_reader_init(struct df_reader *r, const struct df_rules *rules, const char *text, size_t n);
void df_reader_release(struct df_reader *r);
/* The next instruction into *l (reused); *ret_more false at the end. */
int df_reader_next(struct df_reader *r, struct df_line *l, bool *ret_more, struct vk_err *err);
/* Passes over the bodies of the heredocs that the line names, if the reader knows them. For
 * RUN, COPY and ADD. */
void df_reader_skip_heredocs(struct df_reader *r, const struct df_line *l);
void df_line_release(struct df_line *l);

#endif
