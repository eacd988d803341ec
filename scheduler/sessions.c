/* Live logins and their tokens. */
#include "sessions.h"

#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "txn.h"

#define QUEUE_MAX    (64 << 10)
#define TOKEN_BYTES  32
#define LAST_USED_MS (10 * 60 * 1000) /* a key's last use is written at most so often */

struct sessions {
	struct sched *s;
	struct session *first;
	struct vk_timer *expiry;
};

static void session_free(struct session *se)
{
	json_decref(se->doc);
	free(se->key);
	free(se->stack);
	free(se->commit);
	explicit_bzero(se->token, sizeof(se->token));
	free(se);
}

static void session_drop(struct session *se)
{
	for (struct session **p = &se->s->sessions->first; *p != NULL; p = &(*p)->next) {
		if (*p == se) {
			*p = se->next;
			break;
		}
	}
	session_free(se);
}

/* Arms the timer for the next key that expires while a session of it is open. */
static void expiry_arm(struct sessions *t)
{
	int64_t next = 0;
	for (struct session *se = t->first; se != NULL; se = se->next) {
		const struct key_row *k = table_get(&t->s->st.keys, se->key);
		if (k != NULL && k->expires_ms > 0 && (next == 0 || k->expires_ms < next))
			next = k->expires_ms;
	}
	int64_t left = next - vk_now_ms();
	vk_timer_set(t->expiry, next == 0 ? -1 : left < 0 ? 0 : left > 3600000 ? 3600000 : left);
}

static void expiry_due(void *arg)
{
	struct sessions *t = arg;
	struct key_row *k;
	int64_t now = vk_now_ms();
	table_each(&t->s->st.keys, i, k) if (k->expires_ms > 0 && k->expires_ms <= now)
		sessions_revoke(t->s, k->name, "key expired");
	expiry_arm(t);
}

struct sessions *sessions_new(struct sched *s)
{
	struct sessions *t = vk_alloc(sizeof(*t));
	t->s = s;
	t->expiry = vk_timer_new(s->loop, expiry_due, t);
	return t;
}

void sessions_free(struct sessions *t)
{
	if (t == NULL)
		return;
	while (t->first != NULL) {
		struct session *se = t->first;
		t->first = se->next;
		vk_req_end(se->r);
		session_free(se);
	}
	vk_timer_free(t->expiry);
	free(t);
}

int sessions_key(struct sched *s, const char *line, struct key_row **ret, struct vk_err *err)
{
	vk_autofree char *normal = NULL, *comment = NULL;
	char fp[64];
	if (line == NULL)
		return vk_err_set(err, VK_INVALID, "key is missing");
	int rc = vk_pubkey_parse(line, strlen(line), &normal, fp, &comment, err);
	if (rc != 0)
		return rc;
	struct key_row *k;
	table_each(&s->st.keys, i, k)
	{
		if (strcmp(k->line, normal) != 0)
			continue;
		if (k->expires_ms > 0 && k->expires_ms <= vk_now_ms())
			return vk_err_set(err, VK_DENIED, "key %s has expired", k->name);
		*ret = k;
		return 0;
	}
	return vk_err_set(err, VK_DENIED, "this key is not known");
}

static void session_closed(void *arg, struct vk_req *r)
{
	(void)r;
	session_drop(arg);
}

static void note_use(struct sched *s, const struct key_row *key)
{
	int64_t now = vk_now_ms();
	if (now - key->last_used_ms < LAST_USED_MS)
		return;
	struct key_row row = *key;
	row.last_used_ms = now;
	struct txn *t = txn_new(s);
	txn_put_row(t, key_fields, &row, "/key/%s", key->name);
	txn_commit(t, NULL, NULL);
}

void sessions_open(struct sched *s, const struct key_row *key, struct vk_req *r)
{
	struct session *se = vk_alloc(sizeof(*se));
	vk_random_hex(TOKEN_BYTES, se->token);
	se->key = vk_strdup(key->name);
	se->r = r;
	se->s = s;
	se->next = s->sessions->first;
	s->sessions->first = se;
	vk_req_stream(r, 200, NULL, QUEUE_MAX, session_closed, se);
	vk_req_line(r,
		json_pack("{s:s,s:s,s:s,s:s}", "name", key->name, "fingerprint", key->fingerprint,
			"role", key->role, "token", se->token));
	note_use(s, key);
	expiry_arm(s->sessions);
}

struct session *sessions_find(struct sched *s, const char *token)
{
	if (s->sessions == NULL) /* another host leads */
		return NULL;
	for (struct session *se = s->sessions->first; se != NULL; se = se->next)
		if (vk_ct_equal(se->token, token))
			return se;
	return NULL;
}

void session_keep(struct session *se, const char *stack, const char *commit, json_t *doc)
{
	json_decref(se->doc);
	free(se->stack);
	free(se->commit);
	se->doc = doc;
	se->stack = vk_strdup(stack);
	se->commit = vk_strdup(commit);
}

const json_t *session_doc(const struct session *se, const char *stack, const char *commit)
{
	return vk_streq(se->stack, stack) && vk_streq(se->commit, commit) ? se->doc : NULL;
}

void sessions_revoke(struct sched *s, const char *key, const char *why)
{
	for (struct session *se = s->sessions->first, *next; se != NULL; se = next) {
		next = se->next;
		if (strcmp(se->key, key) != 0)
			continue;
		struct vk_req *r = se->r;
		vk_req_line(r, json_pack("{s:s}", "revoked", why));
		session_drop(se);
		vk_req_end(r);
	}
}
