/* The hosts' authority: made once, and this host's certificate anew in time, with the key that others know. */
#include "authority.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/str.h>

#define DAY INT64_C(86400000)

static char dir[] = "/tmp/viking-authority-XXXXXX";
static char host_name[] = "h1", address[] = "10.0.0.1";
static struct vk_config config = {
	.host_name = host_name, .state_dir = dir, .cluster_address = address};

static void begin(void)
{
	static const char *const made[] = {"sched", "tls"};
	struct vk_err err = {0};
	cr_assert_not_null(mkdtemp(dir));
	for (size_t i = 0; i < VK_COUNT(made); i++) {
		vk_autofree char *path = vk_state_path(&config, "%s", made[i]);
		cr_assert_eq(vk_fs_mkdir_p(path, 0700, &err), 0, "%s", err.msg);
	}
	cr_assert_not(authority_exists(&config));
	cr_assert_eq(authority_make(&config, &err), 0, "%s", err.msg);
	cr_assert(authority_exists(&config));
}

static void end(void)
{
	cr_assert_eq(vk_fs_remove_tree(dir, NULL), 0);
}

static char *text(const char *name)
{
	vk_autofree char *path = vk_state_path(&config, "%s", name);
	vk_autobuf b = VK_BUF_INIT(VK_TLS_PEM_MAX);
	struct vk_err err = {0};
	cr_assert_eq(vk_fs_read(path, &b, &err), 0, "%s", err.msg);
	return vk_buf_take(&b);
}

static struct vk_tls_info own(void)
{
	struct vk_tls_info i;
	struct vk_err err = {0};
	cr_assert_eq(authority_own(&config, &i, &err), 0, "%s", err.msg);
	return i;
}

Test(authority, is_made_once, .init = begin, .fini = end)
{
	struct vk_err err = {0};
	struct stat st;
	vk_autofree char *ca = text("sched/hosts-ca.key"), *key = text("tls/host.key"),
			 *cert = text("tls/host.pem");
	vk_autofree char *path = vk_state_path(&config, "sched/hosts-ca.key");
	cr_assert(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
	cr_assert_eq(authority_make(&config, &err), 0, "%s", err.msg);
	vk_autofree char *ca2 = text("sched/hosts-ca.key"), *key2 = text("tls/host.key"),
			 *cert2 = text("tls/host.pem");
	cr_assert_str_eq(ca, ca2);
	cr_assert_str_eq(key, key2);
	cr_assert_str_eq(cert, cert2);
	cr_assert_str_eq(own().host, "h1");
}

Test(authority, signs_for_the_name_it_is_told, .init = begin, .fini = end)
{
	vk_autofree char *key = NULL, *request = NULL, *cert = NULL;
	struct vk_tls_info i;
	struct vk_err err = {0};
	cr_assert_eq(vk_tls_key_new(&key, &err), 0);
	cr_assert_eq(vk_tls_request(key, &request, &err), 0);
	cr_assert_eq(
		authority_sign(&config, "h2", "10.0.0.2", request, &cert, &err), 0, "%s", err.msg);
	cr_assert_eq(vk_tls_info(cert, &i, &err), 0);
	cr_assert_str_eq(i.host, "h2");
	vk_autofree char *none = NULL;
	cr_assert_eq(authority_sign(&config, "h2", "10.0.0.2", "x", &none, &err), VK_INVALID);
	cr_assert_null(none);
}

/* As if this host had been signed for days ago. */
static void sign_back(int64_t days)
{
	vk_autofree char *ca = text("sched/hosts-ca.pem"), *ca_key = text("sched/hosts-ca.key"),
			 *key = text("tls/host.key");
	vk_autofree char *request = NULL, *cert = NULL,
			 *path = vk_state_path(&config, "tls/host.pem");
	struct vk_err err = {0};
	const struct vk_tls_signing o = {
		.ca_cert = ca, .ca_key = ca_key, .host = "h1", .now_ms = vk_now_ms() - days * DAY};
	cr_assert_eq(vk_tls_request(key, &request, &err), 0);
	cr_assert_eq(vk_tls_sign(&o, request, &cert, &err), 0, "%s", err.msg);
	cr_assert_eq(vk_fs_write_atomic(path, cert, strlen(cert), 0640, &err), 0);
}

static struct vk_tls_info after_a_look(void)
{
	struct vk_loop *l;
	struct vk_err err = {0};
	cr_assert_eq(vk_loop_new(&l, &err), 0);
	struct authority *a = authority_new(l, &config);
	for (int i = 0; i < 3; i++)
		vk_loop_once(l, 100);
	authority_free(a);
	vk_loop_free(l);
	return own();
}

Test(authority, renews_after_sixty_days_with_the_same_key, .init = begin, .fini = end)
{
	struct vk_tls_info first = own();
	sign_back(50);
	int64_t until = own().until_ms;
	cr_assert_eq(after_a_look().until_ms, until, "too early");
	sign_back(70);
	until = own().until_ms;
	struct vk_tls_info renewed = after_a_look();
	cr_assert_gt(renewed.until_ms, until + 60 * DAY);
	cr_assert_str_eq(renewed.key, first.key);
}
