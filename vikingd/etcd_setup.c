#include "etcd_setup.h"

#include <string.h>
#include <viking/fs.h>
#include <viking/host_name.h>
#include <viking/str.h>
#include <viking/tls.h>

#include "layout.h"

#define ETCD_USER  "viking-etcd"
#define SCHED_USER "viking-sched"
#define CA_CERT    "sched/etcd-ca.pem"
#define CA_KEY     "sched/etcd-ca.key"
#define CLUSTER    "sched/etcd-cluster" /* the scheduler's word: run a member of this cluster */

struct pki {
	char *ca, *ca_key;
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

static int get(const struct vk_config *c, const char *path, char **ret, struct vk_err *err)
{
	vk_autofree char *full = vk_state_path(c, "%s", path);
	vk_autobuf text = VK_BUF_INIT(VK_TLS_PEM_MAX);
	int rc = vk_fs_read(full, &text, err);
	if (rc == 0)
		*ret = vk_buf_take(&text);
	return rc;
}

static bool there(const struct vk_config *c, const char *path)
{
	vk_autofree char *full = vk_state_path(c, "%s", path);
	return vk_fs_exists(full);
}

/* ---- certificates ---- */

/* A key and its certificate, good on loopback and at the host's address. */
static int issue(const struct vk_config *c, const struct pki *p, const char *cert_path,
	const char *key_path, const char *user, struct vk_err *err)
{
	const char *const addresses[] = {"127.0.0.1", vk_config_cluster_address(c), NULL};
	char *key = NULL;
	vk_autofree char *request = NULL, *cert = NULL;
	const struct vk_tls_signing o = {.ca_cert = p->ca,
		.ca_key = p->ca_key,
		.host = c->host_name,
		.addresses = addresses,
		.now_ms = vk_now_ms(),
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

/* The key is written last: without it nothing was signed yet. */
static int authority(const struct vk_config *c, struct pki *p, struct vk_err *err)
{
	int rc;
	if (there(c, CA_KEY)) {
		rc = get(c, CA_CERT, &p->ca, err);
		return rc == 0 ? get(c, CA_KEY, &p->ca_key, err) : rc;
	}
	rc = vk_tls_ca_new("viking etcd", vk_now_ms(), &p->ca, &p->ca_key, err);
	if (rc == 0)
		rc = put(c, CA_CERT, p->ca, SCHED_USER, err);
	return rc == 0 ? put(c, CA_KEY, p->ca_key, SCHED_USER, err) : rc;
}

/* Made anew when the host has another address; etcd reads them at each connection. */
static int server(const struct vk_config *c, const struct pki *p, struct vk_err *err)
{
	const char *now = vk_config_cluster_address(c);
	vk_autofree char *was = NULL;
	if (now == NULL)
		now = "";
	if (get(c, "etcd/address", &was, NULL) == 0 && vk_streq(was, now))
		return 0;
	int rc = layout_etcd(c, err);
	if (rc == 0)
		rc = put(c, "etcd/ca.pem", p->ca, ETCD_USER, err);
	if (rc == 0)
		rc = issue(c, p, "etcd/server.pem", "etcd/server.key", ETCD_USER, err);
	return rc == 0 ? put(c, "etcd/address", now, ETCD_USER, err) : rc;
}

int etcd_setup(const struct vk_config *c, struct vk_err *err)
{
	struct pki p = {0};
	if (!c->run_etcd && !there(c, CA_KEY))
		return 0; /* none, or somebody else's */
	int rc = authority(c, &p, err);
	if (rc == 0 && c->run_etcd)
		rc = server(c, &p, err);
	if (rc == 0 && !there(c, "sched/etcd.key"))
		rc = issue(c, &p, "sched/etcd-cert.pem", "sched/etcd.key", SCHED_USER, err);
	free(p.ca);
	wipe(p.ca_key);
	return rc == 0 ? 0 : vk_err_wrap(err, "certificates of etcd");
}

/* ---- the command line ---- */

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

bool etcd_is_member(const struct vk_config *c)
{
	return vk_streq(c->store, "etcd") && there(c, CLUSTER);
}

/* One word, for an option of etcd. */
static bool is_plain(const char *s)
{
	return s[0] != '\0' &&
		s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-._:/,=[]")] == '\0';
}

static char *etcd_url(const struct vk_config *c, uint64_t port)
{
	const char *a = vk_config_cluster_address(c);
	return vk_https_url(a != NULL ? a : "127.0.0.1", port);
}

/* Where it listens: loopback, and the host's address if it has one. */
static void add_urls(
	const struct vk_config *c, const char *option, uint64_t port, struct vk_strv *ret)
{
	vk_autofree char *own = etcd_url(c, port);
	if (vk_config_cluster_address(c) != NULL)
		vk_strv_addf(ret, "--%s=https://127.0.0.1:%llu,%s", option,
			(unsigned long long)port, own);
	else
		vk_strv_addf(ret, "--%s=%s", option, own);
}

void etcd_argv(const struct vk_config *c, struct vk_strv *ret)
{
	vk_autofree char *data = vk_state_path(c, "etcd/data");
	vk_autofree char *cluster = NULL;
	vk_autofree char *client = etcd_url(c, c->etcd_port),
			 *peer = etcd_url(c, c->etcd_peer_port);
	vk_strv_add(ret, c->etcd_path);
	vk_strv_addf(ret, "--name=%s", c->host_name);
	vk_strv_addf(ret, "--data-dir=%s", data);
	add_urls(c, "listen-client-urls", c->etcd_port, ret);
	vk_strv_addf(ret, "--advertise-client-urls=%s", client);
	add_urls(c, "listen-peer-urls", c->etcd_peer_port, ret);
	vk_strv_addf(ret, "--initial-advertise-peer-urls=%s", peer);
	if (get(c, CLUSTER, &cluster, NULL) == 0 && is_plain(cluster)) {
		vk_strv_addf(ret, "--initial-cluster=%s", cluster);
		vk_strv_add(ret, "--initial-cluster-state=existing");
	} else {
		vk_strv_addf(ret, "--initial-cluster=%s=%s", c->host_name, peer);
	}
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
