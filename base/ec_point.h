/*
 * Does a point lie on a NIST curve (y^2 = x^3 - 3x + b over a prime; curve constants of FIPS 186-4, D.1.2)?
 * Only for judging public keys that a person hands in: slow, and nothing here is secret. Private to base.
 */
#ifndef VIKING_BASE_EC_POINT_H
#define VIKING_BASE_EC_POINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* curve: "nistp256", "nistp384", "nistp521". q: uncompressed point of SEC 1, 2.3.3: 4, x, y. */
bool ec_point_valid(const char *curve, const uint8_t *q, size_t n);

#endif
