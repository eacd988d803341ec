/* What the builder has done once when it starts: containers of jobs that were killed go. */
#include "box.h"

int job_sweep(struct job *j, json_t *done, struct vk_err *err)
{
	(void)done;
	int code = vk_engine_new(j->config->engine_socket, NULL, &j->engine, err);
	return code == 0 ? box_sweep(j, err) : code;
}
