/*
 * Leaks are looked for in the tests, each of which runs in a worker process of Criterion, and not in its runner, which
 * drops a little of its own now and then. A suppression of the library by name would hide every leak of ours: the
 * library is on the stack of each test.
 */
#include <stdlib.h>

int __lsan_is_turned_off(void);
const char *__lsan_default_suppressions(void);

int __lsan_is_turned_off(void)
{
	return getenv("BXFI_MAP") == NULL; /* set for workers only */
}

const char *__lsan_default_suppressions(void)
{
	return "";
}
