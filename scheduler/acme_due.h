/*
 * When a certificate is to be ordered again, and how long to wait after an order that failed. Pure. What is spread is spread by
 * the domain's name, so that a restart changes nothing and many domains do not ask at once.
 */
#ifndef SCHEDULER_ACME_DUE_H
#define SCHEDULER_ACME_DUE_H

#include <stdint.h>

/* Two thirds through its life or 30 days before its end, whichever is later; up to a fortieth of its life earlier. */
int64_t acme_renew_ms(int64_t from_ms, int64_t until_ms, const char *domain);
/* first_ms after the first failure, doubling to a day, and up to a quarter more. */
int64_t acme_wait_ms(int64_t first_ms, uint64_t failures, const char *domain);

#endif
