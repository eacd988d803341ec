/* Identity of a caller. */
#include "peer.h"

#include <pwd.h>
#include <string.h>
#include <unistd.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "sessions.h"

static const struct {
	unsigned role;
	const char *user;
} users[] = {
	{ROLE_AGENT, "viking-agent"},
	{ROLE_BUILDER, "viking-build"},
	{ROLE_ROUTER, "viking-route"},
	{ROLE_WEB, "viking-web"},
	{ROLE_RECEIVER, "viking"},
	{ROLE_HOOK, "viking"},
	{ROLE_DNS, "viking-dns"},
	{ROLE_FIREWALL, "viking-net"},
	{ROLE_CERTS, "viking-certs"},
	{ROLE_FRONT, "viking-front"},
};

static bool is_user(uid_t uid, const char *name)
{
	struct passwd pw, *found = NULL;
	char text[1024];
	return getpwnam_r(name, &pw, text, sizeof(text), &found) == 0 && found != NULL &&
		found->pw_uid == uid;
}

/* One of our own users, root, or (single uid) ourselves. */
static bool may_be(const struct sched *s, uid_t uid, unsigned role)
{
	if (uid == 0 || (s->cfg->single_uid && uid == geteuid()))
		return true;
	for (size_t i = 0; i < VK_COUNT(users); i++)
		if ((role == 0 || users[i].role == role) && is_user(uid, users[i].user))
			return true;
	return false;
}

/* "key:me", or "key:me@h2" for one that another host vouches for. */
static void name_caller(struct call *c, const char *kind, const char *name, const char *host)
{
	snprintf(c->who.name, sizeof(c->who.name), "%s:%s%s%s", kind, name,
		host[0] != '\0' ? "@" : "", host);
}

/* Through viking-front: its word for which host it is counts, and that host's for who asks there. */
static int take_host(struct call *c, uid_t uid, const char *host, struct vk_err *err)
{
	if (!may_be(c->s, uid, ROLE_FRONT))
		return vk_err_set(err, VK_DENIED, "uid %u may not be another host", (unsigned)uid);
	snprintf(c->host, sizeof(c->host), "%s", host);
	if (vk_is_host(host))
		return 0;
	c->who.kind = CALLER_ROLE;
	c->who.role = ROLE_STRANGER;
	name_caller(c, "host", "", host);
	return 0;
}

static int take_role(struct call *c, uid_t uid, const char *role, struct vk_err *err)
{
	c->who.role = role_from_name(role);
	if (c->who.role == 0)
		return vk_err_set(err, VK_DENIED, "role %.20s is unknown", role);
	if (c->host[0] == '\0' && !may_be(c->s, uid, c->who.role))
		return vk_err_set(
			err, VK_DENIED, "uid %u may not be the role %s", (unsigned)uid, role);
	c->who.kind = CALLER_ROLE;
	name_caller(c, "role", role, c->host);
	return 0;
}

static int take_token(struct call *c, const char *header, struct vk_err *err)
{
	struct session *se = vk_starts(header, "Bearer ") ? sessions_find(c->s, header + 7) : NULL;
	const struct key_row *key = se != NULL ? table_get(&c->s->st.keys, se->key) : NULL;
	if (key == NULL)
		return vk_err_set(err, VK_DENIED, "this token is not valid (any more)");
	snprintf(c->key_role, sizeof(c->key_role), "%s", key->role);
	snprintf(c->token, sizeof(c->token), "%s", se->token);
	snprintf(c->fingerprint, sizeof(c->fingerprint), "%s", key->fingerprint);
	c->globs = json_incref(key->stacks);
	c->who.kind = CALLER_KEY;
	c->who.key_role = c->key_role;
	c->who.stacks = c->globs;
	c->who.token = c->token;
	c->who.fingerprint = c->fingerprint;
	/* who pushes logged in there; git, which asks, may run on another host */
	const char *host = vk_req_peer_host(se->r);
	name_caller(c, "key", key->name, host != NULL ? host : "");
	return 0;
}

static int take_local(struct call *c, uid_t uid, struct vk_err *err)
{
	if (c->host[0] == '\0' && uid != 0 && (!c->s->cfg->single_uid || uid != geteuid())) {
		vk_err_set(err, VK_DENIED, "uid %u may not talk to viking", (unsigned)uid);
		return vk_err_hint(err, "sudo viking ..., or: ssh viking@HOST ...");
	}
	c->who.kind = CALLER_LOCAL_ADMIN;
	name_caller(c, "local", "root", c->host);
	return 0;
}

static int identify(struct call *c, bool vouch, struct vk_err *err)
{
	uid_t uid;
	pid_t pid;
	vk_req_peer(c->r, &uid, &pid);
	const char *role = vk_req_header(c->r, "Viking-Role"),
		   *token = vk_req_header(c->r, "Authorization"), *host = vk_req_peer_host(c->r);
	int rc = host != NULL ? take_host(c, uid, host, err) : 0;
	if (rc != 0 || c->who.role == ROLE_STRANGER)
		return rc;
	if (role != NULL)
		rc = take_role(c, uid, role, err);
	if (rc != 0)
		return rc;
	if (token == NULL)
		return role != NULL ? 0 : take_local(c, uid, err);
	if (host == NULL && !may_be(c->s, uid, 0))
		return vk_err_set(err, VK_DENIED, "uid %u may not use tokens here", (unsigned)uid);
	return vouch ? 0 : take_token(c, token, err);
}

int peer_identify(struct call *c, struct vk_err *err)
{
	return identify(c, false, err);
}

int peer_vouch(struct call *c, struct vk_err *err)
{
	return identify(c, true, err);
}
