/*
 * The words of `viking`: one table of commands, each with its options; the parser knows nothing of their
 * meaning. The same words come from a shell on the host and over `ssh viking@host WORDS`.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>
#include <viking/api.h>
#include <viking/config.h>
#include <viking/err.h>
#include <viking/mem.h>

struct option {
	const char *name;  /* "--follow" */
	const char *brief; /* "-f" or NULL */
	const char *value; /* NULL = a flag, else what the value is called in --help */
	const char *help;
};

struct call; /* one parsed command line */
typedef int command_fn(
	struct call *c, struct vk_err *err); /* 0, or a code; or a status by call_exit */

struct command {
	const char *name;      /* "keys:add" */
	const char *arguments; /* "NAME [K=V ...]", for --help */
	unsigned min, max;     /* positional words; max 99 = any number */
	unsigned rest;         /* after so many words nothing is an option any more; 0: anywhere */
	bool reads;            /* --json is offered */
	command_fn *fn;
	const struct option *options; /* ends with name NULL; may be NULL */
	const char *help;             /* one line */
};

struct call {
	const struct command *command;
	struct vk_strv words; /* positional */
	struct {
		const struct option *o;
		const char *value;
	} given[32];
	size_t n_given;
	bool json;
	bool help;                      /* asked for instead */
	int exit_status;                /* set by a command that relays another program's status */
	const char *config_file, *root; /* as given; for commands that start our other programs */
	char *socket;                   /* of the API */
};

extern const struct command *const command_groups[]; /* NULL-terminated; each ends with name NULL */

const struct command *command_find(const char *name); /* also by alias: apps:list, ssh-keys:add */
const char *command_suggest(const char *name); /* the nearest name or NULL; caller frees nothing */
/* argv: the words after the command's name. VK_USAGE with what to type. */
int call_parse(struct call *c, int argc, char **argv, struct vk_err *err);
void call_release(struct call *c);
bool call_flag(const struct call *c, const char *option);
const char *call_value(const struct call *c, const char *option); /* NULL if not given */
void command_help(const struct command *c, FILE *out);
void command_help_all(FILE *out);

#endif
