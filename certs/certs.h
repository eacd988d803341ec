/*
 * The certs process: follows the scheduler's list of certificate work, runs a job (job.h) for each entry and reports its
 * answer. Level-triggered: an entry that is gone from the list is given up, one that is there and not under way is begun, and
 * an answer is sent until it is taken.
 * Of several hosts only the one that the list names works on it.
 */
#ifndef CERTS_CERTS_H
#define CERTS_CERTS_H

#include <viking/role.h>

extern const struct vk_role_ops certs_role;

#endif
