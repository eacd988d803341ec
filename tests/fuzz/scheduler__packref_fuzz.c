/* The name of a buildpack, as a push or a command brings it: what passes must be fit for git's argument vector. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <viking/mem.h>

#include "packref.h"

static void must(int yes)
{
	if (!yes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char urls[] = "https://,http://,git://", paths[] = "/srv";
	const struct vk_config cfg = {.policy_pack_urls = urls, .policy_pack_paths = paths};
	vk_autofree char *text = vk_strndup((const char *)data, size), *have = NULL, *again = NULL;
	struct vk_err err = {0};
	if (packref_parse(&cfg, text, &have, &err) != 0) {
		must(have == NULL && err.msg[0] != '\0' && strchr(err.msg, '\n') == NULL);
		return 0;
	}
	must(have[0] != '-' && strlen(have) <= PACKREF_MAX + 64);
	for (const char *p = have; *p != '\0'; p++)
		must(*p > ' ' && *p < 0x7f && strchr("\"'`$\\<>|", *p) == NULL);
	must(strstr(have, "::") == NULL || strstr(have, "://") < strstr(have, "::"));
	must(packref_parse(&cfg, have, &again, &err) == 0 && strcmp(have, again) == 0);
	return 0;
}
