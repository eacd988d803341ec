/* One supervised program: its table row, and the pure rules of restarting it. */
#ifndef VIKINGD_PROGRAM_H
#define VIKINGD_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <viking/config.h>
#include <viking/mem.h>

enum program_kind { PROGRAM_ROLE, PROGRAM_HELPER };

struct program_row {
	const char *name; /* "scheduler" */
	enum program_kind kind;
	const char *executable; /* role: below LIBEXEC */
	const char *user;
	const char *after; /* started once this role is ready; NULL = at once */
	bool ahead; /* decides, or stands between clients and containers: before builds and tenants */
};

extern const struct program_row program_rows[];
extern const size_t program_rows_n;

/* Milliseconds to wait before start number `failures` + 1: 100, 200, 400 ... 2000 for roles; at most 400 for
 * helpers: haproxy must be back within a second, however often it is killed. */
int64_t program_backoff_ms(enum program_kind kind, unsigned failures);
/* Failures after an exit: a life of 3 s forgives all earlier ones. */
unsigned program_failures(unsigned failures, int64_t lived_ms);

/* The argument vector of a row (owned by ret). config_file may be NULL. */
void program_argv(const struct program_row *row, const struct vk_config *c, const char *config_file,
	struct vk_strv *ret);

/* A helper's record: "PID START_TIME\n". False if the text is not one. */
bool program_record_parse(const char *text, pid_t *ret_pid, uint64_t *ret_start);

#endif
