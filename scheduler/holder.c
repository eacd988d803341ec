#include "holder.h"

#include <string.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "builds.h"
#include "gc.h"
#include "hosts.h"
#include "txn.h"

const char *holder_of(const struct state *st, const char *own)
{
	const struct host_row *row, *self = table_get(&st->hosts, own);
	if (self == NULL || self->addr == NULL)
		return NULL;
	table_each(&st->hosts, i, row) if (row->registry && row->addr != NULL) return row->name;
	return NULL;
}

int holder_check(const struct sched *s, const char *host, struct vk_err *err)
{
	const char *own = s->cfg->host_name, *holder = holder_of(&s->st, own);
	if (strcmp(host[0] != '\0' ? host : own, holder != NULL ? holder : own) == 0)
		return 0;
	vk_err_set(err, VK_UNAVAILABLE, "the repositories are on host %s now",
		holder != NULL ? holder : own);
	return vk_err_hint(err, "the same again");
}

const char *holder_next(const struct sched *s)
{
	const char *holder = holder_of(&s->st, s->cfg->host_name);
	const struct host_row *row, *next = NULL;
	table_each(&s->st.hosts, i, row) if (row->addr != NULL && !vk_streq(row->name, holder) &&
		hosts_life(s, row->name) != HOST_LOST &&
		(next == NULL || row->created_ms < next->created_ms)) next = row;
	return next != NULL ? next->name : NULL;
}

static void publish(struct sched *s, const struct stack *sk, const char *node, const json_t *entry)
{
	const struct release *r = stack_release(sk, (unsigned)vk_json_int(entry, "born", 0));
	vk_autojson *doc = r != NULL && r->commit != NULL ? release_doc(r) : NULL;
	vk_autojson *keep = gc_commits(sk, s->cfg->releases_keep);
	const json_t *def = json_object_get(json_object_get(doc, "nodes"), node);
	struct build_spec spec = {.kind = "site",
		.stack = sk->name,
		.node = node,
		.commit = r != NULL ? r->commit : NULL,
		.document_root = vk_json_str(def, "document_root", NULL),
		.who = "viking",
		.keep = keep};
	if (def != NULL)
		builds_start(s, &spec, NULL, NULL);
}

/* Files of websites are made from their commits again. Those of a stack that was renamed since wait for its next push. */
static void publish_websites(struct sched *s)
{
	const struct stack *sk;
	const char *node;
	json_t *entry;
	table_each(&s->st.stacks, i, sk)
	{
		const struct release *r = sk->exists ? stack_current(sk) : NULL;
		json_object_foreach(r != NULL ? r->nodes : NULL, node,
			entry) if (vk_streq(vk_json_str(entry, "type", "app"), "website") &&
			json_object_get(entry, "files") == NULL) publish(s, sk, node, entry);
	}
}

void holder_give(struct sched *s, struct txn *t, const char *to)
{
	const struct host_row *row;
	const struct stack *sk;
	table_each(&s->st.hosts, i, row)
	{
		struct host_row now = *row;
		now.registry = vk_streq(row->name, to);
		if (now.registry != row->registry)
			txn_put_row(t, host_fields, &now, "/host/%s", row->name);
	}
	table_each(&s->st.stacks, i, sk) if (sk->pending != NULL)
		txn_del(t, "/pending/%s", sk->name);
	publish_websites(s);
}

static void tell_vikingd(const struct sched *s)
{
	vk_autofree char *path = vk_state_path(s->cfg, "sched/registry-host");
	vk_autobuf there = VK_BUF_INIT(256);
	struct vk_err err = {0};
	if (vk_fs_read(path, &there, NULL) == 0 && vk_streq(vk_buf_str(&there), s->holder))
		return;
	if (vk_fs_write_atomic(path, s->holder, strlen(s->holder), 0600, &err) != 0)
		vk_log_err(VK_ERROR, "registry-host", &err);
}

void holder_note(struct sched *s, const struct state *st)
{
	const char *holder = holder_of(st, s->cfg->host_name);
	if (holder == NULL || vk_streq(holder, s->holder))
		return;
	vk_log(VK_INFO, "registry-host", "host=%s before=%s", holder, s->holder);
	bool moved = s->holder[0] != '\0';
	snprintf(s->holder, sizeof(s->holder), "%s", holder);
	tell_vikingd(s);
	if (moved && s->builds != NULL)
		builds_moved(s);
}
