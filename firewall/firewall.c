#include "firewall.h"

#include <linux/capability.h>
#include <nftables/libnftables.h>
#include <string.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#include "rules.h"

#define LOOK_MS 10000 /* is the table still there? */

struct firewall {
	struct vk_role *role;
	const struct vk_config *c;
	char table[RULES_TABLE_MAX];
	char *rules; /* as they should be; NULL before the first document */
	int64_t rev;
	bool applied;
	struct vk_timer *look;
};

/* One transaction: all of text or nothing. The library keeps some MiB as long as it is open, and is needed once a deploy. */
static int run(const char *text, struct vk_err *err)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (nft == NULL)
		return vk_err_set(err, VK_UNAVAILABLE, "libnftables does not start");
	nft_ctx_buffer_output(nft);
	nft_ctx_buffer_error(nft);
	int rc = nft_run_cmd_from_buffer(nft, text);
	if (rc != 0) {
		const char *said = nft_ctx_get_error_buffer(nft);
		char line[160];
		vk_str_printable(said, strcspn(said, "\n"), line, sizeof(line));
		vk_err_set(err, VK_FAILED, "nftables: %s", line[0] != '\0' ? line : "refused");
		rc = vk_err_hint(err, "it needs CAP_NET_ADMIN and a kernel with nf_tables");
	}
	nft_ctx_free(nft);
	vk_mem_trim();
	return rc;
}

static void tell(struct firewall *f, const struct vk_err *err)
{
	vk_autojson *body = json_pack("{s:I,s:s,s:b,s:s,s:s}", "rev", (json_int_t)f->rev, "table",
		f->table, "applied", f->applied, "error", err->code != 0 ? err->msg : "", "rules",
		f->rules);
	vk_role_report(f->role, "/v1/internal/firewall/ack", body);
}

static void apply(struct firewall *f)
{
	struct vk_err err = {0};
	bool before = f->applied;
	f->applied = run(f->rules, &err) == 0;
	if (f->applied)
		vk_log(VK_INFO, "applied", "table=%s rev=%lld bytes=%zu", f->table,
			(long long)f->rev, strlen(f->rules));
	else if (before)
		vk_log_err(VK_ERROR, "not-applied", &err);
	tell(f, &err);
}

static bool is_there(struct firewall *f)
{
	vk_autofree char *list = vk_asprintf("list chain inet %s input", f->table);
	struct vk_err gone = {0};
	return run(list, &gone) == 0;
}

/* Somebody may have flushed all tables; or the right to change them has come. */
static void on_look(void *arg)
{
	struct firewall *f = arg;
	if (f->rules != NULL && f->c->firewall_enabled && (!f->applied || !is_there(f))) {
		if (f->applied)
			vk_log(VK_WARN, "table-gone", "table=%s", f->table);
		apply(f);
	}
	vk_timer_set(f->look, LOOK_MS);
}

static int wanted(struct firewall *f, const json_t *doc, struct vk_buf *out, struct vk_err *err)
{
	struct rules_host host = {
		.name = f->c->host_name, .table = f->table, .allow = f->c->firewall_allow};
	vk_config_cluster_ports(f->c, &host.first, &host.last);
	if (f->c->firewall_enabled)
		return rules_render(doc, &host, out, err);
	(void)vk_buf_addf(out, "table inet %s\ndelete table inet %s\n", f->table, f->table);
	return 0;
}

static void on_document(void *arg, json_t *line)
{
	struct firewall *f = arg;
	struct vk_err err = {0};
	vk_autobuf text = VK_BUF_INIT(RULES_MAX);
	if (wanted(f, line, &text, &err) != 0) {
		vk_log_err(VK_ERROR, "bad-document", &err);
		return;
	}
	bool same = f->applied && strcmp(f->rules, vk_buf_str(&text)) == 0;
	f->rev = vk_json_int(line, "rev", 0);
	if (same) {
		tell(f, &err);
		return;
	}
	f->applied = f->applied || f->rules == NULL; /* the first failure is logged */
	free(f->rules);
	f->rules = vk_buf_take(&text);
	apply(f);
}

/* CAP_NET_ADMIN and no other. */
static void rights(const struct vk_config *c, struct vk_role_rights *ret)
{
	(void)c;
	vk_strv_add(&ret->read, "/etc");
	vk_strv_add(&ret->read, "/usr/share");
	vk_strv_add(&ret->read, "/proc/sys/net");
	ret->seccomp = VK_SECCOMP_DAEMON;
	ret->keep_caps = 1ull << CAP_NET_ADMIN;
}

static int open_state(struct vk_role *role, struct vk_err *err)
{
	struct firewall *f = role->self = vk_alloc(sizeof(*f));
	(void)err;
	*f = (struct firewall){.role = role, .c = role->c};
	rules_table(f->c->state_dir, f->table);
	return 0;
}

static int start(struct vk_role *role, struct vk_err *err)
{
	struct firewall *f = role->self;
	(void)err;
	f->look = vk_timer_new(role->l, on_look, f);
	vk_timer_set(f->look, LOOK_MS);
	vk_role_watch(role, "/v1/internal/net/watch", on_document, f);
	return 0;
}

static void firewall_free(void *self)
{
	struct firewall *f = self;
	if (f == NULL)
		return;
	vk_timer_free(f->look);
	free(f->rules);
	free(f);
}

const struct vk_role_ops firewall_role = {"firewall", rights, open_state, start, firewall_free};
