/*
 * Lines of the router's watch. Whatever a line says, it is refused or the document is one that whole lines could have brought; and a row of
 * patches comes to the state that the whole table comes to, over commands that a strict stand-in takes. The input is JSON lines, or (first byte
 * not '{') bytes from which documents are made.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../unit/router/patched.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define must(cond) \
	do { \
		if (!(cond)) \
			__builtin_trap(); \
	} while (0)

static int on_line(void *arg, json_t *line, struct vk_err *err)
{
	struct patched *p = arg;
	int64_t before = vk_json_int(p->source.doc, "rev", 0);
	vk_autojson *was = json_deep_copy(p->source.doc);
	if (source_line(&p->source, line, err) != 0) {
		must(json_equal(p->source.doc, was) && vk_json_int(was, "rev", 0) == before);
		return 0;
	}
	must(json_is_integer(json_object_get(p->source.doc, "rev")));
	struct change change;
	bool clean = p->quick.t != NULL && p->quick.faults.n == 0;
	if (!clean || !change_make(&p->source, p->quick.t, &p->quick.a, &p->quick.want, &change))
		way_whole(&p->quick, p->source.doc);
	else
		change_release(&change);
	source_taken(&p->source);
	way_whole(&p->whole, p->source.doc);
	must(same_models(&p->whole.want, &p->quick.want));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct patched p;
	patched_init(&p);
	if (n > 0 && data[0] == '{') {
		struct vk_jsonl lines;
		vk_jsonl_init(&lines, 1 << 20);
		vk_jsonl_feed(&lines, data, n, on_line, &p, NULL);
		vk_jsonl_release(&lines);
	} else {
		struct input in = {data, n < 4096 ? n : 4096};
		for (unsigned i = 0; i < 64 && in.n > 0; i++)
			must(patched_step(&p, patched_next(p.doc, &in)));
	}
	patched_release(&p);
	return 0;
}
