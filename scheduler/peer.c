/* Identity of a caller. */
#include "peer.h"

#include <pwd.h>
#include <string.h>
#include <unistd.h>
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

static int take_role(struct call *c, uid_t uid, const char *role, struct vk_err *err)
{
	c->who.role = role_from_name(role);
	if (c->who.role == 0)
		return vk_err_set(err, VK_DENIED, "role %.20s is unknown", role);
	if (!may_be(c->s, uid, c->who.role))
		return vk_err_set(
			err, VK_DENIED, "uid %u may not be the role %s", (unsigned)uid, role);
	c->who.kind = CALLER_ROLE;
	snprintf(c->who.name, sizeof(c->who.name), "role:%s", role);
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
	snprintf(c->who.name, sizeof(c->who.name), "key:%s", key->name);
	return 0;
}

int peer_identify(struct call *c, struct vk_err *err)
{
	uid_t uid;
	pid_t pid;
	vk_req_peer(c->r, &uid, &pid);
	const char *role = vk_req_header(c->r, "Viking-Role"),
		   *token = vk_req_header(c->r, "Authorization");
	int rc = role != NULL ? take_role(c, uid, role, err) : 0;
	if (rc != 0)
		return rc;
	if (token != NULL) {
		if (!may_be(c->s, uid, 0))
			return vk_err_set(
				err, VK_DENIED, "uid %u may not use tokens here", (unsigned)uid);
		return take_token(c, token, err);
	}
	if (role != NULL)
		return 0;
	if (uid == 0 || (c->s->cfg->single_uid && uid == geteuid())) {
		c->who.kind = CALLER_LOCAL_ADMIN;
		snprintf(c->who.name, sizeof(c->who.name), "local:root");
		return 0;
	}
	vk_err_set(err, VK_DENIED, "uid %u may not talk to viking", (unsigned)uid);
	vk_err_hint(err, "sudo viking ..., or: ssh viking@HOST ...");
	return VK_DENIED;
}
