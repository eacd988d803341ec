/* The hook git-hooks/proc-receive. */
#include <signal.h>

#include "proc_receive.h"
#include "report.h"

int main(void)
{
	struct hook h;
	struct vk_err err = {0};
	int status = 1;
	/* the monitor ends a push by these: going closes the API connection, and that cancels */
	signal(SIGHUP, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	if (hook_open(&h, "proc-receive", &err) == 0)
		status = proc_receive_run(&h, STDIN_FILENO, STDOUT_FILENO);
	else
		report_err(&err);
	hook_close(&h);
	return status;
}
