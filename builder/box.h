/*
 * The container a pack builds in: made, filled, run once, read out, committed, and gone afterwards, whatever
 * happens. It has limits, a network of its own without a way to this host, no engine socket, no variables of its own
 * (the engine would write them into the image), and a volume for its cache.
 *
 * Its name is viking-build-ROOT-PID-START, of the job's process: a container whose process is gone is removed by
 * box_sweep. A job that has boxes takes SIGTERM as a readable descriptor (box_cancel_fd) and cleans up.
 */
#ifndef BUILDER_BOX_H
#define BUILDER_BOX_H

#include "box_disk.h"
#include "job.h"
#include "limits.h"

struct box {
	struct job *j;
	char id[80];
	int cancel_fd;
	struct limits limits;
	bool started, out_of_memory;
	bool has_cache; /* at /cache */
	struct box_disk disk;
};

struct box_opts {
	const char *image;
	const json_t *command;     /* what runs, as root: see box_entry */
	const json_t *binds, *env; /* arrays, may be NULL; what is in env ends up in the image */
	bool trusted; /* no less rights than the engine gives: for builders of policy.cnb_builders */
};

/* The command of a box of packs: closes the network to this host, gives up root, then run-packs. New reference. */
json_t *box_entry(void);

/* SIGTERM as a descriptor, -1 on failure. Once a process. */
int box_cancel_fd(void);
/* The builds' own network; existing is fine. Before box_entry, which has to know its address on this host. */
int box_network(struct job *j, struct vk_err *err);
int box_create(struct job *j, int cancel_fd, const struct box_opts *o, struct box *ret,
	struct vk_err *err);
/* A tar from a descriptor (which the relay checks), or from memory, into a directory of the container. */
int box_put_source(struct box *b, const char *dir, int *fd, struct vk_err *err);
int box_put(struct box *b, const char *dir, int tar_fd, struct vk_err *err);
/* From start to end; its output goes to the job's log, the exit status to *ret. */
int box_run(struct box *b, int *ret_status, struct vk_err *err);
/* A path as a tar. */
int box_get(struct box *b, const char *path, struct vk_buf *out, struct vk_err *err);
/* config: the image's Entrypoint, Cmd, ... as the engine calls them. */
int box_commit(struct box *b, const char *repo, const char *tag, const json_t *config,
	char image[static 80], struct vk_err *err);
void box_remove(struct box *b);
/* The volume of a boat's cache; existing is fine, but where no_cache asks for an empty one. */
int box_cache(struct job *j, const char *name, struct vk_err *err);
/* Removes what killed jobs of this installation have left. */
int box_sweep(struct job *j, struct vk_err *err);

#endif
