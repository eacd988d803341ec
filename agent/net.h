/*
 * Networks and volumes: made as soon as the document names them, all at once, so that they are there when
 * the first instance starts; checked to be ours; removed only when the document says so by name.
 */
#ifndef AGENT_NET_H
#define AGENT_NET_H

#include "agent.h"

struct nets;
struct nets *nets_new(struct agent *a);
void nets_free(struct nets *n);
void nets_want(struct nets *n, const struct desired *d);
/* All that this instance needs is there. False with why->code 0: still being made. */
bool nets_ready(const struct nets *n, const struct desired_instance *in, struct vk_err *why);
void nets_recheck(struct nets *n); /* something may have been removed from outside */

#endif
