/* A host joins: its certificate, its row, and all that it needs to be one of the cluster (docs/protocol.md 9). */
#include <string.h>
#include <viking/crypt.h>
#include <viking/fs.h>
#include <viking/host_name.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "authority.h"
#include "join.h"

/* A file of ours as a member of the answer; one that is not there is left out. */
static void give_file(const struct vk_config *cfg, const char *path, const char *name, json_t *ret)
{
	vk_autofree char *full = path[0] == '/' ? vk_strdup(path) : vk_state_path(cfg, "%s", path);
	vk_autobuf text = VK_BUF_INIT(VK_TLS_PEM_MAX);
	if (path[0] == '\0' || vk_fs_read(full, &text, NULL) != 0)
		return;
	json_object_set_new(ret, name, json_string(vk_buf_str(&text)));
	explicit_bzero(text.data, text.len);
}

/* All members, where viking runs them. */
static char *endpoints_of(const struct vk_config *cfg)
{
	vk_autofree char *path = vk_state_path(cfg, "sched/etcd-endpoints");
	vk_autobuf members = VK_BUF_INIT(VK_TLS_PEM_MAX);
	if (vk_fs_read(path, &members, NULL) == 0 && members.len > 0)
		return vk_buf_take(&members);
	return cfg->run_etcd ? vk_https_url(cfg->cluster_address, cfg->etcd_port)
			     : vk_strdup(cfg->etcd_endpoints);
}

/* With our own authority the host makes its credentials itself; those for an etcd of somebody else's are handed on. */
static json_t *etcd_of(const struct vk_config *cfg)
{
	vk_autofree char *endpoints = endpoints_of(cfg);
	json_t *j = json_pack("{s:s,s:s,s:I}", "endpoints", endpoints, "prefix", cfg->etcd_prefix,
		"lease_ms", (json_int_t)cfg->etcd_lease_ms);
	give_file(cfg, cfg->etcd_ca, "ca", j);
	give_file(cfg, "sched/etcd-ca.key", "ca_key", j);
	if (json_object_get(j, "ca_key") == NULL) {
		give_file(cfg, cfg->etcd_cert, "cert", j);
		give_file(cfg, cfg->etcd_key, "key", j);
	}
	return j;
}

static json_t *answer(struct sched *s, const struct join_request *q, const char *cert)
{
	const struct host_row *row;
	vk_autofree char *secret = vk_base64(s->secret.k, sizeof(s->secret.k));
	json_t *j = json_pack("{s:s,s:s,s:s,s:o,s:s}", "host", q->name, "cert", cert, "of",
		s->cfg->host_name, "etcd", etcd_of(s->cfg), "secret_key", secret);
	give_file(s->cfg, "sched/hosts-ca.pem", "ca", j);
	give_file(s->cfg, "sched/hosts-ca.key", "ca_key", j);
	table_each(&s->st.hosts, i, row) if (row->registry)
		json_object_set_new(j, "registry", json_string(row->name));
	give_file(s->cfg, "sched/registry-password", "registry_password", j);
	explicit_bzero(secret, strlen(secret));
	return j;
}

static bool same_key(void *arg, const char *key, const json_t *value)
{
	(void)value;
	return vk_streq(key, arg);
}

/* Before memory knows of it. */
static int not_coming(const struct sched *s, const struct join_request *q, struct vk_err *err)
{
	vk_autofree char *invite = vk_asprintf("/invite/%s", q->invite),
			 *host = vk_asprintf("/host/%s", q->name);
	if (!txn_pending(s, invite, same_key, invite) && !txn_pending(s, host, same_key, host))
		return 0;
	return vk_err_set(err, VK_CONFLICT, "a host joins with this invitation or name just now");
}

static void put_host(struct txn *t, const struct sched *s, const struct join_request *q, char *key)
{
	const struct host_row *old = table_get(&s->st.hosts, q->name);
	struct invite_row invite = *(struct invite_row *)table_get(&s->st.invites, q->invite);
	struct host_row row = old != NULL ? *old : (struct host_row){.created_ms = vk_now_ms()};
	if (row.roles == NULL)
		row.roles = invite.roles;
	row.addr = (char *)(uintptr_t)q->addr;
	row.port = q->port;
	row.key = key;
	txn_put_row(t, host_fields, &row, "/host/%s", q->name);
	invite.host = (char *)(uintptr_t)q->name;
	invite.key = key;
	txn_put_row(t, invite_fields, &invite, "/invite/%s", q->invite);
}

void api_join(struct call *c)
{
	struct sched *s = c->s;
	struct join_request q;
	struct vk_tls_info info;
	vk_autofree char *cert = NULL;
	struct vk_err err = {0};
	int rc = join_parse(c->body, &q, &err);
	if (rc == 0)
		rc = not_coming(s, &q, &err);
	/* who has no invitation is not signed for: the key is known only by its certificate */
	if (rc == 0 && table_get(&s->st.invites, q.invite) != NULL)
		rc = authority_sign(s->cfg, q.name, q.addr, q.request, &cert, &err);
	if (rc == 0 && cert != NULL)
		rc = vk_tls_info(cert, &info, &err);
	if (rc == 0)
		rc = join_check(&s->st, &q, cert != NULL ? info.key : "", vk_now_ms(), &err);
	if (rc != 0) {
		call_error(c, &err);
		return;
	}
	struct txn *t = txn_new(s);
	put_host(t, s, &q, info.key);
	hub_event(s, "host", NULL, "joins", q.name);
	call_commit(c, t, answer(s, &q, cert));
}
