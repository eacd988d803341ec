#include "join.h"

#include <arpa/inet.h>
#include <string.h>
#include <viking/crypt.h>
#include <viking/id.h>
#include <viking/invite.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>
#include <viking/tls.h>

#define OTHER "viking hosts:invite, on the cluster, for another"

int join_address_check(const char *addr, int64_t port, struct vk_err *err)
{
	struct in6_addr a;
	if (inet_pton(AF_INET, addr, &a) != 1 && inet_pton(AF_INET6, addr, &a) != 1)
		return vk_err_set(err, VK_INVALID, "addr must be an IP address");
	if (port < 1 || port > 65535)
		return vk_err_set(err, VK_INVALID, "port must be 1 to 65535");
	return 0;
}

/* Such addresses mean another machine, or none, on each of the others. */
static bool is_nowhere(const char *addr)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (inet_pton(AF_INET, addr, &v4) == 1) {
		unsigned first = ntohl(v4.s_addr) >> 24;
		return first == 0 || first == IN_LOOPBACKNET || first >= 224;
	}
	return inet_pton(AF_INET6, addr, &v6) != 1 || IN6_IS_ADDR_LOOPBACK(&v6) ||
		IN6_IS_ADDR_UNSPECIFIED(&v6) || IN6_IS_ADDR_MULTICAST(&v6);
}

int join_parse(const json_t *body, struct join_request *ret, struct vk_err *err)
{
	const char *secret = vk_json_str(body, "token", "");
	int64_t port = vk_json_int(body, "port", 0);
	*ret = (struct join_request){.name = vk_json_str(body, "name", ""),
		.addr = vk_json_str(body, "addr", ""),
		.request = vk_json_str(body, "request", ""),
		.version = vk_json_str(body, "version", "?")};
	if (strlen(secret) != VK_INVITE_SECRET)
		return vk_err_set(err, VK_INVALID, "token must be the secret of an invitation");
	if (!vk_is_host(ret->name))
		return vk_err_set(err, VK_INVALID, "%.80s is not a host's name", ret->name);
	if (join_address_check(ret->addr, port, err) != 0)
		return VK_INVALID;
	if (strlen(ret->request) > VK_TLS_PEM_MAX)
		return vk_err_set(err, VK_INVALID, "request must be a PEM text");
	ret->port = (uint64_t)port;
	vk_sha256_hex(secret, strlen(secret), ret->invite);
	return 0;
}

static int invite_check(const struct invite_row *i, const char *name, const char *key, int64_t now,
	struct vk_err *err)
{
	if (i == NULL)
		vk_err_set(err, VK_DENIED, "this invitation does not exist (any more)");
	else if (now >= i->expires_ms)
		vk_err_set(err, VK_DENIED, "this invitation has expired");
	else if (i->host != NULL && (!vk_streq(i->host, name) || !vk_streq(i->key, key)))
		vk_err_set(err, VK_DENIED, "this invitation was used by %s", i->host);
	else
		return 0;
	return vk_err_hint(err, OTHER);
}

int join_place_check(const struct state *st, const char *name, const char *addr, uint64_t port,
	struct vk_err *err)
{
	const struct host_row *row;
	if (is_nowhere(addr)) {
		vk_err_set(err, VK_INVALID, "no other host reaches %s at %s", name, addr);
		return vk_err_hint(err, "cluster.address in its viking.conf, or none");
	}
	table_each(&st->hosts, i, row)
	{
		if (strcmp(row->name, name) == 0 || !vk_streq(row->addr, addr) || row->port != port)
			continue;
		vk_err_set(err, VK_CONFLICT, "host %s of the cluster is at %s", row->name, addr);
		return vk_err_hint(err, "another cluster.address in viking.conf");
	}
	return 0;
}

int join_check(const struct state *st, const struct join_request *q, const char *key,
	int64_t now_ms, struct vk_err *err)
{
	const struct host_row *old = table_get(&st->hosts, q->name);
	int rc = invite_check(table_get(&st->invites, q->invite), q->name, key, now_ms, err);
	if (rc != 0)
		return rc;
	if (!vk_streq(q->version, VIKING_VERSION)) {
		vk_err_set(err, VK_CONFLICT, "%s has viking %.40s, this cluster %s", q->name,
			q->version, VIKING_VERSION);
		return vk_err_hint(err, "install viking %s there", VIKING_VERSION);
	}
	if (old != NULL && !vk_streq(old->key, key)) {
		vk_err_set(err, VK_CONFLICT, "there is a host %s in the cluster already", q->name);
		return vk_err_hint(err,
			"another host.name in viking.conf, or, if it is this host's own "
			"from before: viking hosts:remove %s on the cluster",
			q->name);
	}
	return join_place_check(st, q->name, q->addr, q->port, err);
}
