#include "ec_point.h"

#include <string.h>

#define LIMBS 18 /* 32 bits each: 521 and one to carry into */

struct number {
	uint32_t v[LIMBS]; /* least first */
};

static const struct curve {
	const char *name;
	size_t bytes;      /* of a coordinate */
	const char *p, *b; /* hexadecimal, 2 * bytes digits */
} curves[] = {
	{"nistp256", 32, "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
		"5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"},
	{"nistp384", 48,
		"fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe"
		"ffffffff0000000000000000ffffffff",
		"b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875a"
		"c656398d8a2ed19d2a85c8edd3ec2aef"},
	{"nistp521", 66,
		"01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
		"ffff",
		"0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef1"
		"09e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b50"
		"3f00"},
};

static struct number from_bytes(const uint8_t *p, size_t n)
{
	struct number r = {0};
	for (size_t i = 0; i < n; i++)
		r.v[i / 4] |= (uint32_t)p[n - 1 - i] << (8 * (i % 4));
	return r;
}

static unsigned hex_digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static struct number from_hex(const char *hex, size_t bytes)
{
	uint8_t raw[66];
	for (size_t i = 0; i < bytes; i++)
		raw[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
	return from_bytes(raw, bytes);
}

static int compare(const struct number *a, const struct number *b)
{
	for (size_t i = LIMBS; i-- > 0;)
		if (a->v[i] != b->v[i])
			return a->v[i] < b->v[i] ? -1 : 1;
	return 0;
}

/* a, b < p; so is the result */
static struct number add_mod(const struct number *a, const struct number *b, const struct number *p)
{
	struct number r;
	uint64_t carry = 0;
	for (size_t i = 0; i < LIMBS; i++) {
		carry += (uint64_t)a->v[i] + b->v[i];
		r.v[i] = (uint32_t)carry;
		carry >>= 32;
	}
	if (compare(&r, p) < 0)
		return r;
	int64_t borrow = 0;
	for (size_t i = 0; i < LIMBS; i++) {
		borrow += (int64_t)r.v[i] - p->v[i];
		r.v[i] = (uint32_t)borrow;
		borrow >>= 32;
	}
	return r;
}

/* by doubling and adding, highest bit of b first */
static struct number mul_mod(const struct number *a, const struct number *b, const struct number *p)
{
	struct number r = {0};
	for (size_t bit = LIMBS * 32; bit-- > 0;) {
		r = add_mod(&r, &r, p);
		if (b->v[bit / 32] >> (bit % 32) & 1)
			r = add_mod(&r, a, p);
	}
	return r;
}

static const struct curve *find_curve(const char *name)
{
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
		if (strcmp(curves[i].name, name) == 0)
			return &curves[i];
	return NULL;
}

bool ec_point_valid(const char *curve, const uint8_t *q, size_t n)
{
	const struct curve *c = find_curve(curve);
	if (c == NULL || n != 1 + 2 * c->bytes || q[0] != 4)
		return false;
	struct number p = from_hex(c->p, c->bytes), b = from_hex(c->b, c->bytes);
	struct number x = from_bytes(q + 1, c->bytes), y = from_bytes(q + 1 + c->bytes, c->bytes);
	if (compare(&x, &p) >= 0 || compare(&y, &p) >= 0)
		return false;
	/* without a subtraction: y^2 + 3x = x^3 + b */
	struct number x2 = mul_mod(&x, &x, &p), x3 = mul_mod(&x2, &x, &p);
	struct number left = mul_mod(&y, &y, &p), right = add_mod(&x3, &b, &p);
	for (int i = 0; i < 3; i++)
		left = add_mod(&left, &x, &p);
	return compare(&left, &right) == 0;
}
