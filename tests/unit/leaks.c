/*
 * Part of every unit program. Leaks are looked for in the tests, each of which runs in a worker process of Criterion,
 * and not in its runner, which drops a little of its own now and then. A suppression of the library by name would hide
 * every leak of ours: the library is on the stack of each test.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <viking/mem.h>

int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
	return getenv("BXFI_MAP") == NULL; /* set for workers only */
}

#ifdef __SANITIZE_ADDRESS__
/* sanitized.sh sets the variable once and expects a report: leaks are seen at all. */
Test(sanitizers, planted_leak)
{
	if (getenv("VIKING_PLANTED_LEAK") == NULL)
		return;
	volatile char *lost = vk_alloc(64);
	lost = NULL;
	(void)lost;
}
#endif
