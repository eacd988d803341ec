#include <criterion/criterion.h>
#include <viking/str.h>

#include "program.h"

Test(program, backoff_grows_and_stays_under_two_seconds)
{
	cr_assert_eq(program_backoff_ms(PROGRAM_ROLE, 0), 0);
	cr_assert_eq(program_backoff_ms(PROGRAM_ROLE, 1), 100);
	cr_assert_eq(program_backoff_ms(PROGRAM_ROLE, 2), 200);
	cr_assert_eq(program_backoff_ms(PROGRAM_ROLE, 5), 1600);
	for (unsigned i = 6; i < 100; i++)
		cr_assert_eq(program_backoff_ms(PROGRAM_ROLE, i), 2000);
}

Test(program, helpers_come_back_within_a_second)
{
	for (unsigned i = 0; i < 100; i++)
		cr_assert_leq(program_backoff_ms(PROGRAM_HELPER, i), 400);
}

Test(program, a_long_life_forgives)
{
	cr_assert_eq(program_failures(7, 2999), 8);
	cr_assert_eq(program_failures(7, 3000), 0);
}

Test(program, helper_record)
{
	pid_t pid = 1;
	uint64_t start = 1;
	cr_assert(program_record_parse("4711 123456789\n", &pid, &start));
	cr_assert_eq(pid, 4711);
	cr_assert_eq(start, 123456789);
	const char *const wrong[] = {
		"", "1 5\n", "4711\n", "4711 x\n", "4711 1 2\n", "-4 1\n", "'4711"};
	for (size_t i = 0; i < VK_COUNT(wrong); i++)
		cr_assert_not(program_record_parse(wrong[i], &pid, &start), "%s", wrong[i]);
}

Test(program, every_role_starts_after_a_known_one)
{
	for (size_t i = 0; i < program_rows_n; i++) {
		const struct program_row *r = &program_rows[i];
		bool known = r->after == NULL;
		for (size_t k = 0; k < i; k++)
			known = known || vk_streq(program_rows[k].name, r->after);
		cr_assert(known, "%s", r->name);
		cr_assert((r->kind == PROGRAM_ROLE) == (r->executable != NULL));
	}
}

Test(program, the_store_says_which_scheduler)
{
	char libexec[] = "/le", sqlite[] = "sqlite", etcd[] = "etcd";
	struct vk_config c = {.libexec_dir = libexec, .store = sqlite};
	vk_autostrv one = {0}, other = {0};
	program_argv(&program_rows[0], &c, NULL, &one);
	c.store = etcd;
	program_argv(&program_rows[0], &c, NULL, &other);
	cr_assert_str_eq(one.v[0], "/le/viking-scheduler");
	cr_assert_str_eq(other.v[0], "/le/viking-scheduler-etcd");
}

static void etcd_words(char *address, struct vk_strv *ret)
{
	char path[] = "/usr/bin/etcd", host[] = "h", state[] = "/s";
	const struct vk_config c = {.etcd_path = path,
		.host_name = host,
		.state_dir = state,
		.cluster_address = address,
		.etcd_port = 1,
		.etcd_peer_port = 2};
	for (size_t i = 0; i < program_rows_n; i++)
		if (vk_streq(program_rows[i].name, "etcd"))
			program_argv(&program_rows[i], &c, NULL, ret);
	cr_assert(vk_strv_has(ret, "--client-cert-auth") &&
		vk_strv_has(ret, "--peer-client-cert-auth"));
	for (size_t i = 0; i < ret->n; i++)
		cr_assert(strstr(ret->v[i], "http://") == NULL &&
				strstr(ret->v[i], "0.0.0.0") == NULL,
			"%s", ret->v[i]);
}

/* A Dockerfile reaches loopback: who has no certificate must not be served there either. */
Test(program, etcd_listens_where_it_is_told_and_for_certificates_only)
{
	char any[] = "0.0.0.0", own[] = "10.0.0.1", six[] = "fd00::1";
	vk_autostrv alone = {0}, one = {0}, other = {0};
	etcd_words(any, &alone);
	cr_assert(vk_strv_has(&alone, "--listen-client-urls=https://127.0.0.1:1"));
	cr_assert(vk_strv_has(&alone, "--listen-peer-urls=https://127.0.0.1:2"));
	etcd_words(own, &one);
	cr_assert(vk_strv_has(&one, "--listen-client-urls=https://127.0.0.1:1,https://10.0.0.1:1"));
	cr_assert(vk_strv_has(&one, "--initial-cluster=h=https://10.0.0.1:2"));
	etcd_words(six, &other);
	cr_assert(vk_strv_has(&other, "--advertise-client-urls=https://[fd00::1]:1"));
}
