/* Where the registry runs, and the password it then takes. */
#include "layout.h"

#include <criterion/criterion.h>
#include <crypt.h>
#include <stdlib.h>
#include <string.h>
#include <viking/fs.h>
#include <viking/str.h>

static char dir[] = "/tmp/viking-layout-XXXXXX";

static void put(const struct vk_config *c, const char *path, const char *text)
{
	vk_autofree char *full = vk_state_path(c, "%s", path);
	vk_autofree char *parent = vk_strndup(full, (size_t)(strrchr(full, '/') - full));
	cr_assert_eq(vk_fs_mkdir_p(parent, 0700, NULL), 0);
	cr_assert_eq(vk_fs_write_atomic(full, text, strlen(text), 0600, NULL), 0);
}

Test(layout, in_a_cluster_the_schedulers_word_says_where_the_registry_runs)
{
	static char etcd[] = "etcd", sqlite[] = "sqlite", h2[] = "h2";
	cr_assert_not_null(mkdtemp(dir));
	struct vk_config c = {
		.state_dir = dir, .store = etcd, .host_name = h2, .run_registry = true};
	cr_assert(layout_registry_here(&c)); /* nothing was said yet: the setting */
	put(&c, LAYOUT_REGISTRY_HOST, "h1");
	cr_assert(!layout_registry_here(&c));
	c.run_registry = false;
	put(&c, LAYOUT_REGISTRY_HOST, "h2");
	cr_assert(layout_registry_here(&c));
	c.store = sqlite; /* of a host that is alone it is an old one */
	cr_assert(!layout_registry_here(&c));
	vk_fs_remove_tree(dir, NULL);
}

Test(layout, the_registry_takes_the_password_that_joining_brought)
{
	static char address[] = "127.0.0.1";
	struct vk_config c = {.state_dir = dir, .registry_address = address, .single_uid = true};
	vk_autobuf line = VK_BUF_INIT(256);
	cr_assert_not_null(mkdtemp(dir));
	put(&c, "registry/htpasswd", "viking:of its own, before it joined\n");
	put(&c, "registry/password", "shared");
	put(&c, "sched/x", "");
	cr_assert_eq(layout_registry(&c, NULL), 0);
	vk_autofree char *path = vk_state_path(&c, "registry/htpasswd");
	cr_assert_eq(vk_fs_read(path, &line, NULL), 0);
	vk_autofree char *hash = vk_strdup(vk_buf_str(&line) + strlen("viking:"));
	hash[strcspn(hash, "\n")] = '\0';
	struct crypt_data *data = vk_alloc(sizeof(*data));
	cr_assert_str_eq(crypt_r("shared", hash, data), hash);
	free(data);
	vk_fs_remove_tree(dir, NULL);
}
