#include <criterion/criterion.h>

#include "simulated.h"

static void set(struct model *m, unsigned backend, unsigned slot, enum slot_state state,
	const char *addr, unsigned port)
{
	struct slot *s = model_slot(m, backend, slot);
	s->state = state;
	s->port = (uint16_t)port;
	snprintf(s->addr, sizeof(s->addr), "%s", addr);
}

static char *text_of(const struct plan *p)
{
	vk_autobuf b = VK_BUF_INIT(1 << 20);
	for (size_t i = 0; i < p->n; i++) {
		const struct step *s = &p->steps[i];
		if (s->kind == STEP_LINE)
			vk_buf_adds(&b, s->line);
		else if (s->kind == STEP_CERT)
			vk_buf_addf(&b, "CERT %s\n", s->line);
		else
			vk_buf_addf(&b, "SWAP %s\n", sim_paths.maps[s->map]);
	}
	return vk_buf_take(&b);
}

static void drop_last(struct routes *r)
{
	r->n--;
	free(r->v[r->n].key);
	free(r->v[r->n].value);
}

static void expect(const struct model *want, const struct model *live, const char *text)
{
	struct plan p;
	plan_make(want, live, &sim_paths, &p);
	vk_autofree char *got = text_of(&p);
	cr_assert_str_eq(got, text);
	plan_release(&p);
}

Test(plan, nothing_to_do)
{
	struct model a, b;
	model_init(&a, 3, 2);
	model_init(&b, 3, 2);
	expect(&a, &b, "");
	model_release(&a);
	model_release(&b);
}

Test(plan, a_deploy)
{
	struct model want, live;
	model_init(&want, 1, 2);
	model_init(&live, 1, 2);
	set(&want, 1, 1, SLOT_READY, "10.0.0.1", 80);
	expect(&want, &live,
		"set server b0001/s1 addr 10.0.0.1 port 80;set server b0001/s1 state ready\n");
	set(&live, 1, 1, SLOT_READY, "10.0.0.1", 80);
	set(&want, 1, 1, SLOT_DRAIN, "10.0.0.1", 80);
	set(&want, 1, 2, SLOT_READY, "10.0.0.2", 80);
	expect(&want, &live,
		"set server b0001/s2 addr 10.0.0.2 port 80;set server b0001/s2 state ready\n"
		"set server b0001/s1 state drain\n");
	set(&live, 1, 2, SLOT_READY, "10.0.0.2", 80);
	set(&live, 1, 1, SLOT_DRAIN, "10.0.0.1", 80);
	slot_close(model_slot(&want, 1, 1));
	expect(&want, &live,
		"set server b0001/s1 state maint;set server b0001/s1 addr 127.0.0.1 port 1\n");
	model_release(&want);
	model_release(&live);
}

/* haproxy must have seen it ready, at an address that refuses. */
Test(plan, a_server_that_begins_to_drain_was_ready)
{
	struct model want, live;
	model_init(&want, 1, 2);
	model_init(&live, 1, 2);
	set(&want, 1, 3, SLOT_DRAIN, "10.0.0.1", 80);
	vk_autofree char *added =
		vk_strdup("set server b0001/s3 state ready;set server b0001/s3 state drain;"
			  "set server b0001/s3 addr 10.0.0.1 port 80\n");
	vk_autofree char *absent = vk_asprintf(
		"add server b0001/s3 127.0.0.1:1 pool-max-conn -1 pool-purge-delay 5s;%s", added);
	expect(&want, &live, absent);
	slot_close(model_slot(&live, 1, 3));
	expect(&want, &live, added);
	model_release(&want);
	model_release(&live);
}

Test(plan, a_slot_that_is_not_there_is_added)
{
	struct model want, live;
	model_init(&want, 1, 4);
	model_init(&live, 1, 2);
	set(&want, 1, 3, SLOT_READY, "fd00::1", 80);
	expect(&want, &live,
		"add server b0001/s3 [fd00::1]:80 pool-max-conn -1 pool-purge-delay 5s;"
		"set server b0001/s3 state ready\n"
		"add server b0001/s4 127.0.0.1:1 pool-max-conn -1 pool-purge-delay 5s\n");
	model_release(&want);
	model_release(&live);
}

Test(plan, a_ready_slot_with_another_address_stays_ready)
{
	struct model want, live;
	model_init(&want, 1, 2);
	model_init(&live, 1, 2);
	set(&want, 1, 1, SLOT_READY, "10.0.0.2", 80);
	set(&live, 1, 1, SLOT_READY, "10.0.0.1", 80);
	expect(&want, &live, "set server b0001/s1 addr 10.0.0.2 port 80\n");
	model_release(&want);
	model_release(&live);
}

Test(plan, too_few_backends_need_a_reload)
{
	struct model want, live;
	struct plan p;
	model_init(&want, 32, 2);
	model_init(&live, 16, 2);
	plan_make(&want, &live, &sim_paths, &p);
	cr_assert(p.reload && p.n == 0 && !plan_empty(&p));
	plan_release(&p);
	plan_make(&live, &want, &sim_paths, &p);
	cr_assert(plan_empty(&p), "more than wanted, all closed: fine");
	plan_release(&p);
	model_release(&want);
	model_release(&live);
}

Test(plan, servers_that_nobody_wants_are_closed)
{
	struct model want, live;
	model_init(&want, 1, 2);
	model_init(&live, 2, 3);
	set(&live, 2, 1, SLOT_READY, "10.0.0.9", 80);
	set(&live, 1, 3, SLOT_READY, "10.0.0.8", 80);
	expect(&want, &live,
		"set server b0001/s3 state maint;set server b0001/s3 addr 127.0.0.1 port 1;"
		"set server b0002/s1 state maint;set server b0002/s1 addr 127.0.0.1 port 1\n");
	model_release(&want);
	model_release(&live);
}

Test(plan, routes_go_before_and_come_after_the_servers)
{
	struct model want, live;
	model_init(&want, 2, 2);
	model_init(&live, 2, 2);
	routes_add(&want.maps[MAP_HOSTS], "a.com", "b0001");
	routes_add(&want.maps[MAP_HOSTS], "m.com", "b0002");
	routes_add(&live.maps[MAP_HOSTS], "gone.com", "b0002");
	routes_add(&live.maps[MAP_HOSTS], "m.com", "b0001");
	set(&want, 1, 1, SLOT_READY, "10.0.0.1", 80);
	expect(&want, &live,
		"del map H gone.com;set server b0001/s1 addr 10.0.0.1 port 80;set server b0001/s1 "
		"state ready;"
		"add map H a.com b0001;set map H m.com b0002\n");
	model_release(&want);
	model_release(&live);
}

Test(plan, suffixes_are_swapped_as_a_whole)
{
	struct model want, live;
	model_init(&want, 1, 2);
	model_init(&live, 1, 2);
	routes_add(&want.maps[MAP_SUFFIXES], ".x.b.com", "b0001");
	routes_add(&want.maps[MAP_SUFFIXES], ".b.com", "b0001");
	routes_add(&live.maps[MAP_SUFFIXES], ".b.com", "b0001");
	routes_add(&live.maps[MAP_SUFFIXES], ".x.b.com", "b0001");
	expect(&want, &live, "SWAP S\n");
	model_release(&want);
	model_release(&live);
}

Test(plan, many_deletes_are_a_swap_and_few_are_split)
{
	struct model want, live;
	struct plan p;
	model_init(&want, 1, 2);
	model_init(&live, 1, 2);
	for (unsigned i = 0; i < 50000; i++) {
		vk_autofree char *key = vk_asprintf("d%05u.com", i);
		routes_add(&live.maps[MAP_HOSTS], key, "b0001");
		if (i >= 50)
			routes_add(&want.maps[MAP_HOSTS], key, "b0001");
	}
	plan_make(&want, &live, &sim_paths, &p);
	cr_assert_eq(p.n, 50, "one delete a line, so that traffic goes on between: %zu", p.n);
	plan_release(&p);
	for (unsigned i = 0; i < 200; i++)
		drop_last(&want.maps[MAP_HOSTS]);
	plan_make(&want, &live, &sim_paths, &p);
	cr_assert_eq(p.n, 1);
	cr_assert_eq(p.steps[0].kind, STEP_SWAP);
	plan_release(&p);
	model_release(&want);
	model_release(&live);
}

Test(plan, a_key_that_is_there_twice_is_a_swap)
{
	struct model want, live;
	model_init(&want, 1, 2);
	model_init(&live, 1, 2);
	routes_add(&want.maps[MAP_HOSTS], "a.com", "b0001");
	routes_add(&live.maps[MAP_HOSTS], "a.com", "b0001");
	routes_add(&live.maps[MAP_HOSTS], "a.com", "b0001");
	expect(&want, &live, "SWAP H\n");
	model_release(&want);
	model_release(&live);
}

Test(plan, a_key_that_could_be_a_command_is_a_swap)
{
	struct model want, live;
	model_init(&want, 1, 2);
	model_init(&live, 1, 2);
	routes_add(&live.maps[MAP_HOSTS], "a.com;shutdown", "b0001");
	expect(&want, &live, "SWAP H\n");
	model_release(&want);
	model_release(&live);
}

Test(plan, what_a_route_refers_to_is_there_before_it_and_goes_behind_it)
{
	struct model want, live;
	model_init(&want, 1, 2);
	model_init(&live, 1, 2);
	routes_add(&want.maps[MAP_HOSTS], "a.com", "b0001|new|0");
	routes_add(&want.maps[MAP_POLICIES], "new", "pu|0|0|0|0|0");
	routes_add(&want.maps[MAP_ACCESS], "new:bob", "x|y");
	routes_add(&live.maps[MAP_HOSTS], "a.com", "b0001|old|0");
	routes_add(&live.maps[MAP_POLICIES], "old", "p|0|0|0|0|0");
	expect(&want, &live,
		"add map A new:bob x|y;add map O new pu|0|0|0|0|0;set map H a.com b0001|new|0\n"
		"del map O old\n");
	model_release(&want);
	model_release(&live);
}

Test(plan, a_certificate_comes_before_the_one_it_replaces_goes)
{
	struct model want, live;
	model_init(&want, 1, 2);
	model_init(&live, 1, 2);
	routes_add(&want.certs, "bbb", "a.com");
	routes_add(&live.certs, "aaa", "a.com");
	expect(&want, &live, "CERT bbb\ndel ssl crt-list L /D/aaa.pem;del ssl cert /D/aaa.pem\n");
	model_release(&want);
	model_release(&live);
}

Test(plan, swap_chunks_hold_all)
{
	struct routes r = {0};
	size_t at = 0, lines = 0;
	for (unsigned i = 0; i < 5000; i++) {
		vk_autofree char *key = vk_asprintf("some-long-name-%u.example.org", i);
		routes_add(&r, key, i % 7 == 0 ? "sites" : "b0003|0|aaaaaaaaaaaaaaaaaaaaaaaa");
	}
	while (at < r.n) {
		vk_autobuf b = VK_BUF_INIT(PLAN_LINE_MAX + 4096);
		size_t next = plan_swap_chunk(&r, at, "H", 3, &b);
		cr_assert_gt(next, at);
		cr_assert_leq(b.len, PLAN_LINE_MAX + 64);
		cr_assert(vk_starts(vk_buf_str(&b), "add map @3 H <<\n"));
		cr_assert(vk_ends(vk_buf_str(&b), "\n\n"));
		for (const char *s = vk_buf_str(&b); *s != '\0'; s++)
			lines += *s == '\n';
		lines -= 2;
		at = next;
	}
	cr_assert_eq(lines, r.n);
	routes_release(&r);
}

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16 & 0x7fff;
}

static void random_model(struct model *m, unsigned *seed, unsigned backends)
{
	model_init(m, backends, 2);
	for (unsigned b = 1; b <= backends; b++)
		for (unsigned s = 1; s <= 1 + next_random(seed) % 4; s++) {
			unsigned r = next_random(seed);
			if (model_slot(m, b, s)->state == SLOT_NONE)
				slot_close(model_slot(m, b, s));
			if (r % 3 != 0) {
				vk_autofree char *addr = vk_asprintf("10.0.0.%u", r % 5 + 1);
				set(m, b, s, r % 3 == 1 ? SLOT_READY : SLOT_DRAIN, addr,
					80 + r % 2);
			}
		}
	for (unsigned i = 0; i < 12; i++) {
		vk_autofree char *key = vk_asprintf("h%u.com", i);
		vk_autofree char *id = vk_asprintf("%024u", next_random(seed) % 4);
		char to[BACKEND_NAME_SIZE];
		backend_name(next_random(seed) % (backends + 1), to);
		vk_autofree char *value =
			next_random(seed) % 2 ? vk_asprintf("%s|%s|0", to, id) : vk_strdup(to);
		routes_add(&m->maps[MAP_POLICIES], id, "p|0|0|0|0|0");
		if (next_random(seed) % 2)
			routes_add(&m->maps[MAP_HOSTS], key, value);
		vk_autofree char *suffix = vk_asprintf(".%s", key);
		if (next_random(seed) % 2)
			routes_add(&m->maps[MAP_SUFFIXES], suffix, value);
		if (next_random(seed) % 2)
			routes_add(&m->maps[MAP_PATHS], key, value);
		if (next_random(seed) % 4 == 0)
			routes_add(&m->certs, id, next_random(seed) % 2 ? "a.com" : "a.com,b.com");
	}
	for (enum map_id i = 0; i < MAPS; i++) {
		routes_sort(&m->maps[i], i);
		routes_unique(&m->maps[i]);
	}
	routes_sort(&m->certs, MAP_HOSTS);
	routes_unique(&m->certs);
}

static void count_difference(void *arg, unsigned backend)
{
	(void)backend;
	++*(unsigned *)arg;
}

/* From any state to any other: the commands are ones HAProxy takes, and nothing is left to do
 * behind them. */
Test(plan, any_state_to_any_other)
{
	unsigned seed = 7;
	for (unsigned i = 0; i < 3000; i++) {
		struct model want, live;
		struct plan p, after;
		unsigned differs = 0, n = 1 + next_random(&seed) % 3;
		random_model(&want, &seed, n);
		random_model(&live, &seed, n + next_random(&seed) % 2);
		plan_make(&want, &live, &sim_paths, &p);
		plan_differences(&want, &live, count_difference, &differs);
		cr_assert_eq(differs == 0, plan_empty(&p));
		cr_assert(sim_run(&p, &want, &live), "round %u", i);
		plan_make(&want, &live, &sim_paths, &after);
		cr_assert(plan_empty(&after), "round %u", i);
		plan_release(&p);
		plan_release(&after);
		model_release(&want);
		model_release(&live);
	}
}
