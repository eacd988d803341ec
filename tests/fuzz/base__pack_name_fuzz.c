/* The name of a buildpack, as a push or a command brings it: what passes must be fit for git's argument vector. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <viking/mem.h>
#include <viking/pack_name.h>

static void must(int yes)
{
	if (!yes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	vk_autofree char *text = vk_strndup((const char *)data, size), *have = NULL, *again = NULL;
	enum vk_pack_kind kind, same;
	struct vk_err err = {0};
	if (vk_pack_name(text, &have, &kind, &err) != 0) {
		must(have == NULL && err.msg[0] != '\0' && strchr(err.msg, '\n') == NULL);
		return 0;
	}
	must(have[0] != '-' && strlen(have) <= VK_PACK_NAME_MAX);
	for (const char *p = have; *p != '\0'; p++)
		must(*p > ' ' && *p < 0x7f && strchr("\"'`$\\<>|", *p) == NULL);
	must(strstr(have, "::") == NULL || strstr(have, "://") < strstr(have, "::"));
	must(vk_pack_name(have, &again, &same, &err) == 0 && kind == same &&
		strcmp(have, again) == 0);
	return 0;
}
