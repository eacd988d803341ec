/*
 * Care of the repositories when nobody pushes: every push leaves one pack, and refused pushes leave objects
 * nothing refers to. Once a repository has collected enough packs it is repacked and pruned, one repository
 * at a time, a while after the last push. What a crash left of a removed repository goes at the start.
 */
#ifndef RECEIVER_HOUSEKEEPING_H
#define RECEIVER_HOUSEKEEPING_H

#include <viking/config.h>
#include <viking/loop.h>

struct housekeeping;
struct housekeeping *housekeeping_new(struct vk_loop *l, const struct vk_config *c);
void housekeeping_pushed(struct housekeeping *h, const char *stack);
void housekeeping_free(struct housekeeping *h); /* ends what runs */

#endif
