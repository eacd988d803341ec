/* A stranger's request to join: what is taken may stand in a key, and without its invitation nobody may. */
#include <stdlib.h>
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>

#include "join.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	vk_autojson *j = NULL;
	struct join_request q;
	struct state st;
	if (vk_json_parse((const char *)data, size, &j, NULL) != 0 || join_parse(j, &q, NULL) != 0)
		return 0;
	state_init(&st);
	if (!vk_is_host(q.name) || strlen(q.invite) != 64 || q.port == 0 ||
		join_check(&st, &q, "k", 0, NULL) == 0)
		abort();
	state_release(&st);
	return 0;
}
