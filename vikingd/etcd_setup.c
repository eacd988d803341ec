#include "etcd_setup.h"

#include <string.h>
#include <viking/fs.h>
#include <viking/str.h>
#include <viking/tls.h>

#include "layout.h"

#define ETCD_USER  "viking-etcd"
#define SCHED_USER "viking-sched"

/* An authority and what it signs, while they are made. */
struct pki {
	char *ca, *ca_key;
	int64_t now_ms;
};

static void wipe(char *secret)
{
	if (secret != NULL)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

static int put(const struct vk_config *c, const char *path, const char *pem, const char *user,
	struct vk_err *err)
{
	vk_autofree char *full = vk_state_path(c, "%s", path);
	return layout_write(c, full, pem, 0600, user, user, err);
}

/* A key and its certificate, written with the authority's: dir/prefix... */
static int issue(const struct vk_config *c, const struct pki *p, const char *host,
	const char *cert_path, const char *key_path, const char *user, struct vk_err *err)
{
	static const char *const loopback[] = {"127.0.0.1", NULL};
	char *key = NULL;
	vk_autofree char *request = NULL, *cert = NULL;
	const struct vk_tls_signing o = {.ca_cert = p->ca,
		.ca_key = p->ca_key,
		.host = host,
		.addresses = loopback,
		.now_ms = p->now_ms,
		.valid_ms = VK_TLS_CA_MS};
	int rc = vk_tls_key_new(&key, err);
	if (rc == 0)
		rc = vk_tls_request(key, &request, err);
	if (rc == 0)
		rc = vk_tls_sign(&o, request, &cert, err);
	if (rc == 0)
		rc = put(c, cert_path, cert, user, err);
	if (rc == 0)
		rc = put(c, key_path, key, user, err);
	wipe(key);
	return rc;
}

static int make_all(const struct vk_config *c, struct pki *p, struct vk_err *err)
{
	int rc = vk_tls_ca_new("viking etcd", p->now_ms, &p->ca, &p->ca_key, err);
	if (rc == 0)
		rc = put(c, "cluster/etcd-ca.pem", p->ca, "root", err);
	if (rc == 0)
		rc = put(c, "cluster/etcd-ca.key", p->ca_key, "root", err);
	if (rc == 0)
		rc = put(c, "etcd/ca.pem", p->ca, ETCD_USER, err);
	if (rc == 0)
		rc = issue(
			c, p, c->host_name, "etcd/server.pem", "etcd/server.key", ETCD_USER, err);
	if (rc == 0)
		rc = put(c, "sched/etcd-ca.pem", p->ca, SCHED_USER, err);
	return rc == 0 ? issue(c, p, c->host_name, "sched/etcd-cert.pem", "sched/etcd.key",
				 SCHED_USER, err)
		       : rc;
}

/* The scheduler's key is written last: without it nothing was used yet, and all is made anew. */
int etcd_setup(const struct vk_config *c, struct vk_err *err)
{
	vk_autofree char *last = vk_state_path(c, "sched/etcd.key");
	int rc = layout_cluster(c, err);
	if (rc != 0 || vk_fs_exists(last))
		return rc;
	struct pki p = {.now_ms = vk_now_ms()};
	rc = make_all(c, &p, err);
	free(p.ca);
	wipe(p.ca_key);
	return rc == 0 ? 0 : vk_err_wrap(err, "certificates of etcd");
}

static void add_tls(const struct vk_config *c, const char *prefix, struct vk_strv *ret)
{
	vk_autofree char *ca = vk_state_path(c, "etcd/ca.pem"),
			 *cert = vk_state_path(c, "etcd/server.pem"),
			 *key = vk_state_path(c, "etcd/server.key");
	vk_strv_addf(ret, "--%sclient-cert-auth", prefix);
	vk_strv_addf(ret, "--%strusted-ca-file=%s", prefix, ca);
	vk_strv_addf(ret, "--%scert-file=%s", prefix, cert);
	vk_strv_addf(ret, "--%skey-file=%s", prefix, key);
}

void etcd_argv(const struct vk_config *c, struct vk_strv *ret)
{
	vk_autofree char *data = vk_state_path(c, "etcd/data");
	unsigned long long port = c->etcd_port, peer = c->etcd_peer_port;
	vk_strv_add(ret, c->etcd_path);
	vk_strv_addf(ret, "--name=%s", c->host_name);
	vk_strv_addf(ret, "--data-dir=%s", data);
	vk_strv_addf(ret, "--listen-client-urls=https://127.0.0.1:%llu", port);
	vk_strv_addf(ret, "--advertise-client-urls=https://127.0.0.1:%llu", port);
	vk_strv_addf(ret, "--listen-peer-urls=https://127.0.0.1:%llu", peer);
	vk_strv_addf(ret, "--initial-advertise-peer-urls=https://127.0.0.1:%llu", peer);
	vk_strv_addf(ret, "--initial-cluster=%s=https://127.0.0.1:%llu", c->host_name, peer);
	add_tls(c, "", ret);
	add_tls(c, "peer-", ret);
	vk_strv_add(ret, "--pre-vote");
	vk_strv_add(ret, "--auto-compaction-mode=periodic");
	vk_strv_add(ret, "--auto-compaction-retention=1h");
	vk_strv_add(ret,
		"--max-txn-ops=65536"); /* a destroyed stack, a restore: one transaction each */
	vk_strv_add(ret, "--max-request-bytes=8388608");
	vk_strv_add(ret, "--logger=zap");
	vk_strv_add(ret, "--log-level=warn");
}
