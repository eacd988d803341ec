/*
 * What doctor finds without asking anybody: processes, confinement, connections, disk, packages, limits, networks,
 * instances. ok is true, false (really broken: the command ends with 1) or null (worth knowing).
 */
#ifndef SCHEDULER_DOCTOR_H
#define SCHEDULER_DOCTOR_H

#include "hub.h"

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_BROKEN };

/* Before the confinement: reads what is out of reach afterwards. */
void doctor_prepare(struct sched *s);
/* Appends {"name", "ok", "what", "hint"}. hint "" = none. */
void doctor_add(json_t *checks, const char *name, enum verdict v, const char *hint, const char *fmt,
	...) __attribute__((format(printf, 5, 6)));
void doctor_look(struct sched *s, json_t *checks);
void doctor_look_host(
	struct sched *s, json_t *checks); /* what is this host's alone, whoever leads */

#endif
