#include "authority.h"

#include <string.h>
#include <viking/fs.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#define LOOK_MS 3600000 /* how often it is seen whether the certificate is due */

#define CA_CERT   "sched/hosts-ca.pem"
#define CA_KEY    "sched/hosts-ca.key"
#define TLS_CA    "tls/ca.pem"
#define HOST_CERT "tls/host.pem"
#define HOST_KEY  "tls/host.key"

struct authority {
	const struct vk_config *c;
	struct vk_timer *look;
};

/* ---- files; keys are wiped when they are done with ---- */

static void wipe(char **secret)
{
	if (*secret != NULL)
		explicit_bzero(*secret, strlen(*secret));
	vk_freep(secret);
}
#define autowipe __attribute__((cleanup(wipe)))

static int get(const struct vk_config *c, const char *path, char **ret, struct vk_err *err)
{
	vk_autofree char *full = vk_state_path(c, "%s", path);
	vk_autobuf text = VK_BUF_INIT(VK_TLS_PEM_MAX);
	int rc = vk_fs_read(full, &text, err);
	if (rc == 0)
		*ret = vk_buf_take(&text);
	return rc;
}

/* Below tls the group that reads comes from the directory. */
static int put(const struct vk_config *c, const char *path, const char *pem, struct vk_err *err)
{
	vk_autofree char *full = vk_state_path(c, "%s", path);
	return vk_fs_write_atomic(
		full, pem, strlen(pem), vk_starts(path, "tls/") ? 0640 : 0600, err);
}

static bool there(const struct vk_config *c, const char *path)
{
	vk_autofree char *full = vk_state_path(c, "%s", path);
	return vk_fs_exists(full);
}

bool authority_exists(const struct vk_config *c)
{
	return there(c, CA_KEY);
}

/* ---- signing ---- */

int authority_sign(const struct vk_config *c, const char *host, const char *addr,
	const char *request, char **ret_cert, struct vk_err *err)
{
	vk_autofree char *ca = NULL;
	autowipe char *key = NULL;
	const char *const addresses[] = {addr, NULL};
	int rc = get(c, CA_CERT, &ca, err);
	if (rc == 0)
		rc = get(c, CA_KEY, &key, err);
	if (rc != 0)
		return vk_err_wrap(err, "the authority of the hosts");
	const struct vk_tls_signing o = {.ca_cert = ca,
		.ca_key = key,
		.host = host,
		.addresses = addresses,
		.now_ms = vk_now_ms()};
	return vk_tls_sign(&o, request, ret_cert, err);
}

/* The key is kept: others may know this host by it. */
static int sign_own(const struct vk_config *c, struct vk_err *err)
{
	autowipe char *key = NULL;
	vk_autofree char *request = NULL, *cert = NULL;
	int rc = get(c, HOST_KEY, &key, err);
	if (rc == 0)
		rc = vk_tls_request(key, &request, err);
	if (rc == 0)
		rc = authority_sign(c, c->host_name, c->cluster_address, request, &cert, err);
	return rc == 0 ? put(c, HOST_CERT, cert, err) : rc;
}

/* The key is written last: without it nothing was signed yet. */
static int make_ca(const struct vk_config *c, struct vk_err *err)
{
	vk_autofree char *cert = NULL;
	autowipe char *key = NULL;
	int rc = vk_tls_ca_new("viking hosts", vk_now_ms(), &cert, &key, err);
	if (rc == 0)
		rc = put(c, CA_CERT, cert, err);
	return rc == 0 ? put(c, CA_KEY, key, err) : rc;
}

static int make_own(const struct vk_config *c, struct vk_err *err)
{
	vk_autofree char *ca = NULL;
	autowipe char *key = NULL;
	int rc = get(c, CA_CERT, &ca, err);
	if (rc == 0)
		rc = put(c, TLS_CA, ca, err);
	if (rc == 0 && !there(c, HOST_KEY))
		rc = vk_tls_key_new(&key, err);
	if (rc == 0 && key != NULL)
		rc = put(c, HOST_KEY, key, err);
	return rc == 0 ? sign_own(c, err) : rc;
}

int authority_own(const struct vk_config *c, struct vk_tls_info *ret, struct vk_err *err)
{
	vk_autofree char *cert = NULL;
	int rc = get(c, HOST_CERT, &cert, err);
	return rc == 0 ? vk_tls_info(cert, ret, err) : rc;
}

int authority_make(const struct vk_config *c, struct vk_err *err)
{
	int rc = 0;
	bool fresh = !authority_exists(c);
	if (fresh)
		rc = make_ca(c, err);
	if (rc == 0 && (fresh || !there(c, HOST_CERT)))
		rc = make_own(c, err);
	return rc == 0 ? 0 : vk_err_wrap(err, "certificates of the cluster");
}

/* ---- renewal ---- */

static void look(void *arg)
{
	struct authority *a = arg;
	struct vk_tls_info own;
	struct vk_err err = {0};
	vk_timer_set(a->look, LOOK_MS);
	if (!authority_exists(a->c) || !there(a->c, HOST_CERT))
		return;
	int rc = authority_own(a->c, &own, &err);
	if (rc == 0 && !vk_tls_due(&own, vk_now_ms()))
		return;
	if (rc == 0)
		rc = sign_own(a->c, &err);
	if (rc == 0)
		vk_log(VK_INFO, "certificate-renewed", "host=%s", a->c->host_name);
	else
		vk_log_err(VK_ERROR, "certificate-not-renewed", &err);
}

struct authority *authority_new(struct vk_loop *l, const struct vk_config *c)
{
	struct authority *a = vk_alloc(sizeof(*a));
	a->c = c;
	a->look = vk_timer_new(l, look, a);
	vk_timer_set(a->look, 0);
	return a;
}

void authority_free(struct authority *a)
{
	if (a == NULL)
		return;
	vk_timer_free(a->look);
	free(a);
}
