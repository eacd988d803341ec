/*
 * Subnets of stacks: /24s of networks.range. Pure. Stack i of the range has the i-th /24; those that
 * overlap a route of the host are left out.
 */
#ifndef SCHEDULER_SUBNET_H
#define SCHEDULER_SUBNET_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <viking/err.h>

struct subnet_range {
	uint32_t base;  /* host order */
	uint64_t count; /* number of /24s */
};
/* "10.210.0.0/16"; prefix length 8 .. 24. */
int subnet_range_parse(const char *text, struct subnet_range *ret, struct vk_err *err);
/* "10.210.3.0/24"; the text of index 3. */
void subnet_text(const struct subnet_range *r, uint64_t index, char out[static 32]);
/* The lowest index that used() does not name and that overlaps none of routes ("a.b.c.d/len"). */
int subnet_pick(const struct subnet_range *r, bool (*used)(void *arg, uint64_t index), void *arg,
	const json_t *routes, uint64_t *ret, struct vk_err *err);
/* Do two "a.b.c.d/len" overlap? False when one is no such text. */
bool subnet_overlap(const char *a, const char *b);

#endif
