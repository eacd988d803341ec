/*
 * What a box takes of the disk while it runs: its own layer and its cache, against builds.disk. No file system of Docker's
 * overlay needs to know quotas for that: each second the free space is looked at, which costs nothing, and the box itself is
 * measured (by the engine, which walks its files) only when as much has gone as it might still take, or a minute has passed.
 * So it can exceed its limit by what the disk writes in a second and a measurement. And whoever fills the disk: below half of
 * receive.min_free the build is ended.
 */
#ifndef BUILDER_BOX_DISK_H
#define BUILDER_BOX_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <viking/err.h>

struct box;

struct box_disk {
	char *root;         /* the engine's directory */
	uint64_t allowance; /* of free space that may go before the box is measured */
	uint64_t free;      /* when it was measured last */
	int64_t measure_ms; /* when it is measured next, whatever has gone; vk_mono_ms */
	bool full;          /* the host's disk was the reason */
};

/* Of a box that is to start. */
void box_disk_start(struct box *b);
/* VK_LIMIT, with the message, when the box has to end. */
int box_disk_look(struct box *b, struct vk_err *err);

#endif
