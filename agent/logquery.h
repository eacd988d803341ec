/*
 * GET /logs: the last n lines of a stack (or node) out of its ring, then, with follow, what comes. Read
 * backwards in slices of 64 KiB, one a pass of the loop; lines that arrive meanwhile wait behind.
 */
#ifndef AGENT_LOGQUERY_H
#define AGENT_LOGQUERY_H

#include <viking/httpd.h>
#include <viking/loop.h>

#include "logring.h"

struct logqueries;
struct logqueries *logqueries_new(struct vk_loop *l, struct logset *set);
void logqueries_free(struct logqueries *q);
void logqueries_answer(struct logqueries *q, struct vk_req *r); /* answers the request */

#endif
