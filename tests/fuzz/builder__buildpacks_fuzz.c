/* .buildpacks: a name that is taken stays what it is when read again, and holds nothing that ends a line or begins an
 * option where it is handed on. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <viking/mem.h>
#include <viking/pack_name.h>

#include "buildpacks_file.h"

static void check(const char *name)
{
	vk_autofree char *again = NULL;
	enum vk_pack_kind kind;
	if (*name == '-' || strpbrk(name, " \t\r\n\"'\\") != NULL)
		abort();
	if (vk_pack_name(name, &again, &kind, NULL) != 0 || strcmp(name, again) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	json_t *list = NULL;
	if (buildpacks_parse((const char *)data, n, &list, NULL) != 0)
		return 0;
	for (size_t i = 0; i < json_array_size(list); i++)
		check(json_string_value(json_array_get(list, i)));
	json_decref(list);
	return 0;
}
