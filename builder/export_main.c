#include <signal.h>
#include <viking/err.h>

#include "export.h"

#if defined(__SANITIZE_ADDRESS__)
/* The leak check at exit starts a thread that traces this one: the filter forbids both. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

int main(int argc, char **argv)
{
	struct export x = {0};
	struct vk_err err = {0};
	signal(SIGPIPE, SIG_IGN); /* a reader that went away is an error of write(2) */
	json_object_seed(0);      /* reads /dev/urandom, which is out of reach later */
	int rc = export_parse(&x, argc, argv, &err);
	if (rc == 0)
		rc = export_run(&x, &err);
	int status = rc == 0 ? 0 : export_report(&x, &err);
	export_release(&x);
	return status;
}
