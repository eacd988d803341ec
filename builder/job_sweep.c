/* What the builder has done once when it starts: containers of jobs that were killed go, and the stack
 * image gets the scripts of this version. */
#include "box.h"
#include "site.h"
#include "stack_image.h"

int job_sweep(struct job *j, json_t *done, struct vk_err *err)
{
	(void)done;
	int code = vk_engine_new(j->config->engine_socket, NULL, &j->engine, err);
	if (code == 0)
		code = box_sweep(j, err);
	if (code == 0)
		code = site_read(j->config, &j->site, err);
	return code == 0 ? stack_image_refresh(j, err) : code;
}
