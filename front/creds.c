#include "creds.h"

#include <string.h>
#include <viking/fs.h>
#include <viking/log.h>

static const char *const names[] = {"ca.pem", "host.pem", "host.key"};

void creds_init(struct creds *c, const struct vk_config *config)
{
	*c = (struct creds){.dir = vk_state_path(config, "tls")};
}

bool creds_exist(const struct creds *c)
{
	vk_autofree char *path = vk_asprintf("%s/host.pem", c->dir);
	return vk_fs_exists(path);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
		a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Are the files others than those read last? Remembers them. */
static bool changed(struct creds *c)
{
	bool any = false;
	for (size_t i = 0; i < VK_COUNT(names); i++) {
		vk_autofree char *path = vk_asprintf("%s/%s", c->dir, names[i]);
		struct stat st = {0};
		(void)stat(path, &st);
		any = any || !same_file(&st, &c->seen[i]);
		c->seen[i] = st;
	}
	return any;
}

static int load(struct creds *c, struct vk_tls **ret, struct vk_err *err)
{
	struct vk_buf text[3] = {VK_BUF_INIT(VK_TLS_PEM_MAX), VK_BUF_INIT(VK_TLS_PEM_MAX),
		VK_BUF_INIT(VK_TLS_PEM_MAX)};
	int rc = 0;
	for (size_t i = 0; i < VK_COUNT(names) && rc == 0; i++) {
		vk_autofree char *path = vk_asprintf("%s/%s", c->dir, names[i]);
		rc = vk_fs_read(path, &text[i], err);
	}
	if (rc == 0)
		rc = vk_tls_new(
			vk_buf_str(&text[0]), vk_buf_str(&text[1]), vk_buf_str(&text[2]), ret, err);
	if (text[2].len > 0)
		explicit_bzero(text[2].data, text[2].len);
	for (size_t i = 0; i < VK_COUNT(text); i++)
		vk_buf_release(&text[i]);
	return rc;
}

int creds_get(struct creds *c, const struct vk_tls **ret, struct vk_err *err)
{
	struct vk_tls *fresh = NULL;
	if (changed(c) || c->tls == NULL) {
		int rc = load(c, &fresh, err);
		if (rc != 0 && c->tls == NULL)
			return rc;
		if (rc != 0)
			vk_log_err(VK_WARN, "credentials-kept", err);
	}
	if (fresh != NULL) {
		vk_tls_free(c->tls);
		c->tls = fresh;
	}
	*ret = c->tls;
	return 0;
}

void creds_release(struct creds *c)
{
	vk_tls_free(c->tls);
	free(c->dir);
	*c = (struct creds){0};
}
