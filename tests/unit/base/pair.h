/*
 * For tests with two sides: the server on a loop in this process, the client (blocking code) in a child
 * whose exit status is the verdict. Sockets lie in a fresh temporary directory.
 */
#ifndef VIKING_TESTS_PAIR_H
#define VIKING_TESTS_PAIR_H

#include <viking/loop.h>
#include <viking/mem.h>

struct pair {
	struct vk_loop *loop;
	char dir[64];
	char socket[96];
};

void pair_init(struct pair *p);
void pair_release(struct pair *p);
/* Runs `client` in a child while the loop turns; asserts that it returns 0 within the deadline. */
void pair_run(struct pair *p, int (*client)(const char *socket));
/* Turns the loop until *flag is true or 10 s have passed (then the test fails). */
void pair_until(struct pair *p, const bool *flag);
/* In the client: when cond is false, says where and returns 1. */
#define EXPECT(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			return 1; \
		} \
	} while (0)

#endif
