#include <viking/json.h>

#include "job.h"
#include "source.h"

/* viking-export writes the files itself and answers when they stand complete under STATE/static. */
int job_site(struct job *j, json_t *done, struct vk_err *err)
{
	struct source s = {.fd = -1};
	int code = source_open(j, "site", &s, err);
	if (code != 0)
		return code;
	json_object_set_new(done, "files", json_integer(vk_json_int(s.header, "files", 0)));
	json_object_set_new(done, "bytes", json_integer(vk_json_int(s.header, "bytes", 0)));
	source_close(&s);
	return 0;
}
