/*
 * The command line of an SSH exec request, as text from a stranger with a valid key, made into one of the
 * few things viking does. Pure: no files, no environment. Never a shell: words are split as a POSIX shell
 * would, nothing is expanded. Control bytes and bytes that are not UTF-8 are refused, as are words that
 * would point the `viking` command at another installation.
 */
#ifndef RECEIVER_COMMAND_H
#define RECEIVER_COMMAND_H

#include <stddef.h>
#include <viking/err.h>
#include <viking/id.h>
#include <viking/mem.h>

#define COMMAND_MAX 4096 /* bytes of an exec request */

enum command_kind {
	COMMAND_GREETING, /* no command: a shell was asked for, or an empty line */
	COMMAND_RECEIVE,  /* git push */
	COMMAND_UPLOAD,   /* git clone, git fetch */
	COMMAND_VIKING,   /* words for the `viking` command */
};

struct command {
	enum command_kind kind;
	char stack[VK_NAME_MAX + 1]; /* RECEIVE, UPLOAD */
	struct vk_strv words;        /* VIKING: without argv[0] */
};

/* Release *ret with command_release, also after a failure. */
int command_parse(const char *text, size_t n, struct command *ret, struct vk_err *err);
void command_release(struct command *c);

/* An environment value a client may send (TERM, LANG, GIT_PROTOCOL): 1..64 of [A-Za-z0-9._:=@+-]. */
bool command_env_value(const char *s);

#endif
