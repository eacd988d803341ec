/* What is to be done about the members of etcd: pure. */
#include "members.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

static const char *name_of(const json_t *member)
{
	return vk_json_str(member, "name", ""); /* none until its etcd has started */
}

static const char *first_url(const json_t *member, const char *key)
{
	const char *url = json_string_value(json_array_get(json_object_get(member, key), 0));
	return url != NULL ? url : "";
}

static const char *peer_of(const json_t *member)
{
	return first_url(member, "peerURLs");
}

static bool is_learner(const json_t *member)
{
	return vk_json_bool(member, "isLearner", false);
}

/* ---- who ---- */

static bool before(const struct host_row *a, const struct host_row *b)
{
	return a->created_ms != b->created_ms ? a->created_ms < b->created_ms
					      : strcmp(a->name, b->name) < 0;
}

bool members_wanted(const struct state *st, const char *host)
{
	const struct host_row *row, *own = table_get(&st->hosts, host);
	size_t all = 0, older = 0;
	if (own == NULL || own->addr == NULL)
		return false;
	table_each(&st->hosts, i, row)
	{
		all += row->addr != NULL;
		older += row->addr != NULL && before(row, own);
	}
	return older < (all >= 5 ? 5 : all >= 3 ? 3 : 1);
}

/* Is the URL at an address of one of the hosts? */
static bool of_a_host(const struct state *st, const char *url)
{
	const struct host_row *row;
	const char *at = strstr(url, "://");
	if (at == NULL || vk_starts(at, "://127."))
		return true; /* the first member before it had an address */
	at += at[3] == '[' ? 4 : 3;
	table_each(&st->hosts, i, row)
	{
		size_t n = row->addr != NULL ? strlen(row->addr) : 0;
		if (n > 0 && strncmp(at, row->addr, n) == 0 && (at[n] == ':' || at[n] == ']'))
			return true;
	}
	return false;
}

/* ---- what ---- */

static const json_t *find(const struct members_view *v)
{
	size_t i;
	json_t *m, *found = NULL;
	json_array_foreach(v->list, i, m) if (vk_streq(peer_of(m), v->peer)) return m;
	json_array_foreach(v->list, i, m) if (vk_streq(name_of(m), v->name)) found = m;
	return found;
}

static bool all_started(const json_t *list)
{
	size_t i;
	json_t *m;
	json_array_foreach(list, i, m) if (name_of(m)[0] == '\0' || is_learner(m) ||
		vk_starts(peer_of(m), "https://127.")) return false;
	return json_array_size(list) > 0;
}

/* One that has a host's name is that host's business: it may just have got another address. */
static const json_t *orphan(const struct members_view *v)
{
	size_t i;
	json_t *m;
	json_array_foreach(v->list, i, m) if (v->leading && json_array_size(v->list) > 1 &&
		!of_a_host(v->st, peer_of(m)) &&
		table_get(&v->st->hosts, name_of(m)) == NULL) return m;
	return NULL;
}

enum members_step members_next(const struct members_view *v, const char **ret_id)
{
	const json_t *own = find(v), *gone = orphan(v);
	const json_t *meant = own != NULL ? own : gone;
	*ret_id = vk_json_str(meant, "ID", "");
	if (own == NULL && gone == NULL)
		return members_wanted(v->st, v->name) && !v->runs && all_started(v->list)
			? MEMBERS_ADD
			: MEMBERS_NOTHING;
	bool here = own != NULL && vk_streq(peer_of(own), v->peer);
	if (here && !v->runs)
		return MEMBERS_RUN;
	if (own != NULL && !here) /* or it is of a machine that had our name before us */
		return v->runs                         ? MEMBERS_MOVE
			: json_array_size(v->list) > 1 ? MEMBERS_REMOVE
						       : MEMBERS_NOTHING;
	if (own != NULL && is_learner(own))
		return MEMBERS_PROMOTE;
	*ret_id = vk_json_str(gone, "ID", "");
	return gone != NULL ? MEMBERS_REMOVE : MEMBERS_NOTHING;
}

/* ---- texts ---- */

char *members_cluster(const json_t *list, const char *name, const char *peer)
{
	vk_autobuf b = VK_BUF_INIT(8192);
	size_t i;
	json_t *m;
	json_array_foreach(list, i, m)
	{
		const char *is = vk_streq(peer_of(m), peer) ? name : name_of(m);
		if (is[0] == '\0')
			return NULL;
		vk_buf_addf(&b, "%s%s=%s", i > 0 ? "," : "", is, peer_of(m));
	}
	return vk_buf_take(&b);
}

char *members_endpoints(const json_t *list)
{
	vk_autobuf b = VK_BUF_INIT(8192);
	size_t i;
	json_t *m;
	json_array_foreach(list, i, m)
	{
		const char *url = first_url(m, "clientURLs");
		if (url[0] != '\0' && !is_learner(m) && !vk_starts(url, "https://127."))
			vk_buf_addf(&b, "%s%s", b.len > 0 ? "," : "", url);
	}
	return vk_buf_take(&b);
}

json_t *members_shown(const json_t *list)
{
	json_t *shown = json_array();
	size_t i;
	json_t *m;
	json_array_foreach(list, i, m) json_array_append_new(shown,
		json_pack("{s:s,s:s,s:s}", "name", name_of(m), "address", peer_of(m), "state",
			name_of(m)[0] == '\0'   ? "starting"
				: is_learner(m) ? "learner"
						: "voter"));
	return shown;
}
