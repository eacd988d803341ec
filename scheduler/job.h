/*
 * A job as anybody who may write to etcd puts it: /proc/STACK/NODE/TAG = {"image": "redis:7", ..}, seed 000's table. Pure.
 *
 * Keys of a job, as in the vikingfile: image (required), run (also command, cmd: text split into words, or a list), cwd,
 * env {NAME: text or number}, expose [80, "53/udp"], domains, cpus (cores), memory and disk (bytes or "512M"), roles, hosts,
 * restart ("always", "restart", "never"), restart_count, privileged, network_mode, pid_mode. Any other is an error.
 */
#ifndef SCHEDULER_JOB_H
#define SCHEDULER_JOB_H

#include <jansson.h>
#include <stddef.h>
#include <viking/err.h>
#include <viking/id.h>

#define JOB_MAX 65536 /* bytes of one */

struct job_key {
	char stack[VK_NAME_MAX + 1], node[VK_NAME_MAX + 1], tag[VK_NAME_MAX + 1];
};
/* "STACK/NODE/TAG"; the tag is free, of A-Z a-z 0-9 . _ - */
int job_key_parse(const char *text, struct job_key *ret, struct vk_err *err);
/* The text as a node of a push document (docs/protocol.md, section 4) of scale 1. New reference. */
int job_parse(const char *text, size_t n, json_t **ret_node, struct vk_err *err);
/* The push document of a stack of jobs; its "commit" is the hash of the nodes, so that equal jobs are an equal commit. */
json_t *job_doc(const char *stack, json_t *nodes); /* borrows nodes; new reference */

#endif
