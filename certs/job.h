/*
 * viking-cert-job: what is done with the bytes of tenants and certificate authorities, one process each. A mode reads a JSON object
 * from standard input (read by job_main.c) and makes the JSON answer; an error becomes {"ok": false, "error", "message",
 * "hint"}.
 */
#ifndef CERTS_JOB_H
#define CERTS_JOB_H

#include <jansson.h>
#include <viking/err.h>

#define JOB_INPUT_MAX (256u << 10) /* bytes of JSON */

/* {"pem"} -> {"ok": true, "pem", "names", "issuer", "not_before_ms", "not_after_ms"}, as viking/cert.h reads it. Gives up
 * everything but its memory and its open descriptors first. */
int job_check(const json_t *job, json_t **ret, struct vk_err *err);

#endif
