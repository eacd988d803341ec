#include "reading.h"

#include <stdlib.h>
#include <viking/str.h>

#include "answers.h"

static void forget_servers(const struct reading *in, bool all, struct model *live)
{
	for (unsigned i = 0; all && i < live->n; i++)
		free(live->backends[i].slots);
	if (all) {
		free(live->backends);
		live->backends = NULL;
		live->n = 0;
		return;
	}
	for (size_t i = 0; i < in->plan->n_touched; i++) {
		if (in->plan->touched[i] > live->n)
			continue;
		struct backend *b = &live->backends[in->plan->touched[i] - 1];
		for (unsigned s = 0; s < b->n; s++)
			b->slots[s].state = SLOT_NONE;
	}
}

/* The map that a READ_MAP bit stands for. */
static enum map_id map_of(unsigned what)
{
	return (enum map_id)__builtin_ctz(what / READ_MAP);
}

static void take_map(enum map_id id, const char *text, struct model *live)
{
	struct routes *r = &live->maps[id];
	routes_release(r);
	answer_map(text, true, r);
	if (id != MAP_SUFFIXES) /* there the order in haproxy counts */
		routes_sort(r, id);
}

static void take_keys(const struct reading *in, const char *text, struct model *live)
{
	for (enum map_id id = 0; id < MAPS; id++)
		for (size_t i = 0; i < in->change->keys[id].n; i++) {
			const char *key = in->change->keys[id].v[i];
			vk_autofree char *value = answer_key(&text, key);
			routes_set(&live->maps[id], id, key, value);
		}
}

void reading_take(const struct reading *in, unsigned what, const char *text, struct model *live)
{
	if (what >= READ_MAP) {
		take_map(map_of(what), text, live);
	} else if (what == READ_CERTS) {
		routes_release(&live->certs);
		answer_certs(text, &live->certs);
	} else if (what == READ_SERVERS) {
		forget_servers(in, true, live);
		answer_servers(text, live);
	} else {
		if (what & READ_TOUCHED) {
			forget_servers(in, false, live);
			answer_servers(text, live);
		}
		if (what & READ_KEYS)
			take_keys(in, text, live);
	}
}

unsigned reading_next(unsigned reads)
{
	return reads & READ_PID ? reads & READ_FIRST : reads & -reads;
}

/* show info, servers of the backends touched, keys: in the order in which they are taken. */
static char *first_command(const struct reading *in, unsigned what)
{
	vk_autobuf b = VK_BUF_INIT(65536);
	vk_buf_adds(&b, "show info");
	for (size_t i = 0; (what & READ_TOUCHED) && i < in->plan->n_touched; i++) {
		char name[BACKEND_NAME_SIZE];
		backend_name(in->plan->touched[i], name);
		vk_buf_addf(&b, ";show servers state %s", name);
	}
	for (enum map_id id = 0; (what & READ_KEYS) && id < MAPS; id++)
		for (size_t i = 0; i < in->change->keys[id].n; i++)
			vk_buf_addf(&b, ";get map %s %s", in->files->maps[id],
				in->change->keys[id].v[i]);
	vk_buf_addc(&b, '\n');
	return vk_buf_take(&b);
}

char *reading_command(const struct reading *in, unsigned what)
{
	if (what & READ_PID)
		return first_command(in, what);
	if (what == READ_SERVERS)
		return vk_strdup("show servers state\n");
	if (what == READ_CERTS)
		return vk_asprintf("show ssl crt-list %s\n", in->files->certs);
	return vk_asprintf("show map %s\n", in->files->maps[map_of(what)]);
}
