/* Facts of this host, for the scheduler's planner and for doctor (docs/protocol.md section 6). */
#ifndef AGENT_HOST_H
#define AGENT_HOST_H

#include <jansson.h>
#include <viking/config.h>
#include <viking/mem.h>

#include "desired.h"

/* info: the engine's GET /info, or NULL when it does not answer ("engine" is "" then). Routes are those
 * that are not of our own networks (d may be NULL). New reference. */
json_t *host_facts(const struct vk_config *c, const json_t *info, const struct desired *d);

uint64_t host_load(void); /* load average of the last minute, in hundredths */
/* Who is behind host.name: hex digits, made once and kept in STATE/agent/id. */
int host_id(const struct vk_config *c, struct vk_buf *ret, struct vk_err *err);

#endif
