#include "environ.h"

#include <viking/str.h>

extern char **environ;

static bool is_private(const char *entry)
{
	static const char *const names[] = {
		"VIKING_READY_FD=", "VIKING_TOKEN=", "VIKING_STACK=", "VIKING_KEY=", "VIKING_API=",
		"VIKING_CONFIG_FILE=", "VIKING_ROOT=", "VIKING_STAGE_FD=", "VIKING_SSH="};
	for (size_t i = 0; i < VK_COUNT(names); i++)
		if (vk_starts(entry, names[i]))
			return true;
	return false;
}

void environ_settings(struct vk_strv *env)
{
	for (char **e = environ; *e != NULL; e++)
		if ((vk_starts(*e, "VIKING_") && !is_private(*e)) || vk_starts(*e, "LOG_LEVEL=") ||
			vk_starts(*e, "ASAN_OPTIONS="))
			vk_strv_add(env, *e);
}

void environ_program(struct vk_strv *env)
{
	vk_strv_add(env, "PATH=/usr/local/bin:/usr/bin:/bin");
	vk_strv_add(env, "LANG=C.UTF-8");
	environ_settings(env);
}
