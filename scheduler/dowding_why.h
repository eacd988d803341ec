/* Why something has no host, in one line for a person. The texts are the caller's. */
#ifndef SCHEDULER_DOWDING_WHY_H
#define SCHEDULER_DOWDING_WHY_H

#include "dowding_model.h"

/* No host of c takes another unit of this demand. s: the service, or a group's first. */
char *dow_why_nowhere(struct dowding *d, const struct dow_svc *s, const struct dow_constraint *c,
	const uint64_t demand[DOW_DIMS], uint32_t max_per_host);
/* The rest of unit i of a group is bound to a host: NULL if it may and fits there. */
char *dow_why_bound(struct dowding *d, const struct dow_group *g, uint32_t host,
	const uint64_t demand[DOW_DIMS], bool pinned, uint32_t i);

#endif
