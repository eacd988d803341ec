/*
 * The stack image, looked after when nobody waits for it: made anew where an upgrade of viking brought another one and told
 * of ("stack"), and stored in the registry ("store"). The builder asks for both when it starts, at SIGHUP and once an hour.
 */
#include <viking/mem.h>
#include <viking/str.h>

#include "site.h"
#include "stack_image.h"

int job_stack(struct job *j, json_t *done, struct vk_err *err)
{
	struct stack_image stack = {0};
	int code = vk_engine_new(j->config->engine_socket, NULL, &j->engine, err);
	if (code == 0)
		code = site_read(j->config, &j->site, err);
	if (code == 0)
		code = stack_image_refresh(j, err);
	if (code == 0)
		code = stack_image_find(j, &stack, err);
	if (code == VK_NOTFOUND) /* no pack has built anything yet */
		return json_object_set_new(done, "stack_image", json_null());
	if (code != 0)
		return code;
	json_object_set_new(done, "stack_image", json_string(stack.run));
	json_object_set_new(done, "stack_version", json_string(stack.version));
	return 0;
}

/* It runs beside the queue, so it keeps the registry's collector out itself. */
static int store(struct job *j, struct vk_err *err)
{
	vk_autoclose int lock = -1;
	char took[24];
	bool did = false;
	int64_t start = vk_mono_ms();
	int code = registry_room(&j->registry, j->config->free_bytes_min, err);
	if (code == 0)
		code = registry_lock(&j->registry, &lock, err);
	if (code == 0)
		code = stack_image_store(j, &did, err);
	if (code != 0 || !did)
		return code;
	vk_format_duration_ms(vk_mono_ms() - start, took);
	buildlog_linef(&j->log, "The stack image is in the registry, after %s", took);
	return 0;
}

int job_store(struct job *j, json_t *done, struct vk_err *err)
{
	struct stack_image stack;
	(void)done;
	if (!j->config->stack_ahead)
		return 0;
	int code = job_connect(j, err);
	if (code == 0)
		code = stack_image_find(j, &stack, err);
	if (code == 0)
		code = store(j, err);
	return code == VK_NOTFOUND ? 0 : code; /* where none was made */
}
