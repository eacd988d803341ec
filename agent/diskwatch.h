/*
 * Containers' disks. Nothing on overlay2 stops a container from filling the host's disk (the engine's storage-opt wants xfs
 * with project quotas), so what each has written over its image is asked of the engine, and an instance that is over its
 * `disk` is ended; its restart policy decides what then. The engine walks the layer to answer: only instances with a `disk` are
 * asked about, one at a time, with a rest of DISKWATCH_REST times what the answer took, and a round begins
 * nodes.disk_check after the one before. Volumes do not count: they are not the container's.
 */
#ifndef AGENT_DISKWATCH_H
#define AGENT_DISKWATCH_H

#include "agent.h"

#define DISKWATCH_REST 20

struct diskwatch;
struct diskwatch *diskwatch_new(struct agent *a);
void diskwatch_free(struct diskwatch *w);

#endif
