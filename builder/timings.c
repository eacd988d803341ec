#include "timings.h"

#include <viking/mem.h>
#include <viking/str.h>

void timings_start(struct timings *t)
{
	t->last = vk_mono_ms();
}

void timings_mark(struct timings *t, const char *name)
{
	int64_t now = vk_mono_ms();
	if (t->n < VK_COUNT(t->parts)) {
		t->parts[t->n].name = name;
		t->parts[t->n++].ms = now - t->last;
	}
	t->last = now;
}

void timings_tell(const struct timings *t, struct job *j, json_t *done)
{
	vk_autobuf line = VK_BUF_INIT(512);
	json_t *all = json_object();
	for (size_t i = 0; i < t->n; i++) {
		vk_buf_addf(&line, "%s%s %lld ms", i > 0 ? ", " : "", t->parts[i].name,
			(long long)t->parts[i].ms);
		json_object_set_new(all, t->parts[i].name, json_integer(t->parts[i].ms));
	}
	buildlog_linef(&j->log, "       Timings: %s", vk_buf_str(&line));
	json_object_set_new(done, "timings", all);
}
