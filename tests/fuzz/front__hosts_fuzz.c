/* The scheduler's table of hosts: what is taken has names that may stand in a path, and is found again. */
#include <stdlib.h>
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>

#include "hosts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	vk_autojson *j = NULL;
	struct hosts h = {0};
	if (vk_json_parse((const char *)data, size, &j, NULL) != 0 || hosts_parse(j, &h, NULL) != 0)
		return 0;
	for (size_t i = 0; i < h.n; i++)
		if (!vk_is_host(h.v[i].name) || hosts_find(&h, h.v[i].name) != &h.v[i])
			abort();
	hosts_release(&h);
	return 0;
}
