/* The hook git-hooks/pre-receive. */
#include "pre_receive.h"
#include "report.h"

int main(void)
{
	struct hook h;
	struct vk_err err = {0};
	int status = 1;
	if (hook_open(&h, "pre-receive", &err) == 0)
		status = pre_receive_run(&h, STDIN_FILENO);
	else
		report_err(&err);
	hook_close(&h);
	return status;
}
