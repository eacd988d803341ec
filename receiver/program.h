/*
 * The argument vectors and environments of what a connection may run: git receive-pack, git upload-pack,
 * the `viking` command. Pure but for reading the configuration: nothing is started here.
 */
#ifndef RECEIVER_PROGRAM_H
#define RECEIVER_PROGRAM_H

#include <viking/config.h>
#include <viking/mem.h>

#include "command.h"

/* Who runs it and how: all strings borrowed. */
struct program_context {
	const struct vk_config *config;
	const char *config_file;                /* "" = none */
	const char *token, *key, *api;          /* token, key's name, socket */
	const char *term, *lang, *git_protocol; /* "" = not sent */
	bool copy;    /* receive-pack: what another host's hooks have accepted is only kept */
	int stage_fd; /* receive-pack: pre-receive says there that it has begun; -1 */
};

struct program {
	const char *path; /* borrowed from the strings or the configuration */
	char *owned_path;
	struct vk_strv argv, env;
	uint64_t limit_as, limit_fsize, limit_cpu_s, limit_nofile;
};

void program_git(const struct program_context *x, const struct command *cmd, const char *repo,
	struct program *ret);
/* The same command, on another host (far.h). line: as the client sent it. */
void program_remote(
	const struct program_context *x, const char *host, const char *line, struct program *ret);
/* Brings all branches and tags of a repository to the host that keeps copies, whatever it has. */
void program_copy(const struct program_context *x, const char *host, const char *stack,
	const char *repo, struct program *ret);
void program_viking(
	const struct program_context *x, const struct command *cmd, struct program *ret);
void program_release(struct program *p);

#endif
