/*
 * viking-cert-job: what is done with the bytes of tenants and certificate authorities, one process each. As a job it reads a
 * JSON object from standard input and prints the JSON answer; an error becomes {"ok": false, "error", "message", "hint"}.
 */
#ifndef CERTS_JOB_H
#define CERTS_JOB_H

#include <jansson.h>
#include <viking/err.h>

#define JOB_INPUT_MAX (256u << 10) /* bytes of JSON */

/* {"pem", "sandbox"} -> {"ok": true, "pem", "names", "issuer", "not_before_ms", "not_after_ms"}, as viking/cert.h reads it.
 * Gives up everything but its memory and its open descriptors first. */
int job_check(const json_t *job, json_t **ret, struct vk_err *err);

/* {"id", "domain", "account_key", "directory", "email", "dns_hook", "dir", "lock", "uacme", "program": ourselves, "api": socket,
 * "timeout_ms", "sandbox"} -> the same, for a new certificate of the domain. What is in dir of an earlier try, killed in the
 * middle, is gone on from. */
int job_order(const json_t *job, json_t **ret, struct vk_err *err);

/* uacme's errors (text is what it wrote to stderr) as one line and what to do. Pure. Always returns a failure. */
int problem_read(const char *text, size_t n, const char *domain, struct vk_err *err);

/* viking-cert-job run SANDBOX DIR PROGRAM [ARG..]: the program, which may use the net, read what TLS and names need, and write
 * below DIR; no unix socket. Returns only an exit status of failure. */
int confined_main(int argc, char **argv);

/* viking-cert-job begin|done|failed TYPE IDENT TOKEN ANSWER: uacme's hook. Hands the five words to the job over the descriptor
 * in $VIKING_HOOK_FD and is answered by one byte, '0' or '1', its exit status. */
int hook_main(int argc, char **argv);
#define HOOK_FD    "VIKING_HOOK_FD"
#define HOOK_WORDS 5
#define HOOK_MAX   4096 /* bytes of the five, each ends with a NUL */

#endif
