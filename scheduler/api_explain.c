/* Why a node is as it is, in lines for a person. Names of variables are shown, never their values. */
#include <stdarg.h>
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "dispatch.h"
#include "domains.h"
#include "hosts.h"
#include "instances.h"
#include "pick.h"
#include "router.h"

struct explain {
	struct sched *s;
	struct stack *sk;
	const struct release *rel; /* the serving one */
	const char *node;
	const json_t *entry, *def; /* def NULL for a release beyond keeping */
	json_t *lines;
};

static void say(struct explain *x, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void say(struct explain *x, const char *what, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *text = vk_vasprintf(fmt, ap);
	va_end(ap);
	vk_autofree char *line = vk_asprintf("%-14s%s", what, text);
	json_array_append_new(x->lines, vk_json_safe_string(line, strlen(line)));
}

/* ---- definition ---- */

static void say_words(
	struct explain *x, const char *what, const json_t *words, const char *otherwise)
{
	vk_autobuf b = VK_BUF_INIT(65536);
	size_t i;
	json_t *word;
	if (!json_is_array(words)) {
		if (otherwise != NULL)
			say(x, what, "%s", otherwise);
		return;
	}
	json_array_foreach(words, i, word)
	{
		vk_autofree char *quoted = json_is_string(word)
			? vk_shell_quote(json_string_value(word))
			: vk_strdup("?");
		(void)vk_buf_addf(&b, "%s%s", i > 0 ? " " : "", quoted);
	}
	say(x, what, "%s", vk_buf_str(&b));
}

static void say_env(struct explain *x)
{
	vk_autobuf b = VK_BUF_INIT(65536);
	const char *name;
	json_t *value;
	json_object_foreach(json_object_get(x->def, "env"), name, value)(void)
		vk_buf_addf(&b, "%s%s", b.len > 0 ? " " : "", name);
	if (b.len > 0)
		say(x, "variables", "%s", vk_buf_str(&b));
}

static void say_mounts(struct explain *x)
{
	size_t i;
	json_t *m;
	json_array_foreach(json_object_get(x->def, "mounts"), i, m)
	{
		const char *host = vk_json_str(m, "host", NULL);
		say(x, "volume", "%s is %s%s", vk_json_str(m, "path", "?"),
			host != NULL ? "the host's " : "",
			host != NULL ? host : vk_json_str(m, "volume", "?"));
	}
}

static void say_limits(struct explain *x)
{
	char memory[24], disk[24] = "";
	uint64_t written = (uint64_t)vk_json_int(json_object_get(x->def, "place"), "disk", 0);
	vk_format_size((uint64_t)vk_json_int(x->def, "memory", 0), memory);
	if (written > 0)
		vk_format_size(written, disk);
	int64_t cpus = vk_json_int(x->def, "cpus_milli", 0);
	if (cpus > 0)
		say(x, "limits", "memory %s%s%s, %lld processes, %lld.%03lld cpus", memory,
			written > 0 ? ", disk " : "", disk,
			(long long)vk_json_int(x->def, "pids", 0), (long long)(cpus / 1000),
			(long long)(cpus % 1000));
	else
		say(x, "limits", "memory %s%s%s, %lld processes, cpus as free", memory,
			written > 0 ? ", disk " : "", disk,
			(long long)vk_json_int(x->def, "pids", 0));
}

static void say_definition(struct explain *x)
{
	if (x->def == NULL) {
		say(x, "definition", "let go: the release that made it is beyond releases.keep");
		return;
	}
	if (strcmp(vk_json_str(x->entry, "type", "app"), "app") != 0) {
		say(x, "website", "files of %s at commit %.12s",
			vk_json_str(x->def, "document_root", "."),
			vk_json_str(x->def, "commit", "?"));
		return;
	}
	say(x, "image", "%s", vk_json_str(x->def, "image", "?"));
	say_words(x, "command", json_object_get(x->def, "cmd"), "as the image says");
	say_words(x, "release task", json_object_get(x->def, "release"), NULL);
	say_env(x);
	say_mounts(x);
	say_limits(x);
}

/* ---- version ---- */

static void say_version(struct explain *x)
{
	unsigned born = (unsigned)vk_json_int(x->entry, "born", 0);
	const struct release *from = stack_release(x->sk, born);
	char when[32] = "?";
	if (from != NULL)
		vk_format_time(from->when_ms, when);
	say(x, "version", "%lld since release v%u (%s by %s, %s); the stack serves v%u",
		(long long)vk_json_int(x->entry, "version", 0), born,
		from != NULL && from->why != NULL ? from->why : "?",
		from != NULL && from->who != NULL ? from->who : "?", when, x->rel->n);
	if (vk_json_bool(x->entry, "service", false))
		say(x, "",
			"service: pushes leave it alone; viking redeploy %s/%s applies a changed "
			"definition",
			x->sk->name, x->node);
}

/* ---- instances ---- */

static void say_wanted(struct explain *x)
{
	const struct node_row *row = table_get(&x->sk->nodes, x->node);
	unsigned scale = stack_scale(x->sk, x->node, x->entry);
	bool command = row != NULL && row->scale >= 0;
	say(x, "instances", "%u wanted, by %s%s", scale, command ? "ps:scale" : "the manifest",
		row != NULL && row->stopped ? "; stopped by ps:stop" : "");
}

static void say_instance(struct explain *x, const struct inst *i)
{
	const struct inst_status *st = hosts_find(x->s, i->name);
	const char *host = hosts_where(x->s, i->name);
	char since[32] = "";
	if (st == NULL) {
		say(x, "", "%s on %s: nothing is known of it yet", i->name,
			host != NULL ? host : "?");
		return;
	}
	if (st->started_ms > 0)
		vk_format_time(st->started_ms, since);
	say(x, "", "%s on %s: %s%s%s%s%s, %llu restarts%s%s%s", i->name, host != NULL ? host : "?",
		inst_state_name(st->state), since[0] != '\0' ? " since " : "", since,
		st->ip != NULL ? " at " : "", st->ip != NULL ? st->ip : "",
		(unsigned long long)st->restarts,
		i->drain || i->route == ROUTE_DRAIN ? ", finishes its requests" : "",
		st->reason != NULL ? ": " : "", st->reason != NULL ? st->reason : "");
	if (st->probe != NULL && st->state != INST_HEALTHY)
		say(x, "", "    last probe: %s", st->probe);
}

static void say_instances(struct explain *x)
{
	struct inst_list list = {0};
	say_wanted(x);
	stack_instances(x->sk, stack_overlay(x->sk), &list);
	for (size_t i = 0; i < list.n; i++)
		if (strcmp(list.v[i].node, x->node) == 0)
			say_instance(x, &list.v[i]);
	inst_list_release(&list);
}

/* Every host's verdict, in the planner's words. */
static void say_where(struct explain *x)
{
	struct dispatch p;
	vk_autostrv why = {0};
	size_t i;
	json_t *m;
	json_array_foreach(json_object_get(x->def, "mounts"), i, m)
	{
		const struct volume_row *v =
			table_get(&x->s->st.volumes, vk_json_str(m, "volume", ""));
		if (v == NULL)
			continue;
		say(x, "where", "%s: its data is there (volume %s)",
			v->host != NULL ? v->host : x->s->cfg->host_name, v->name);
		return;
	}
	dispatch_open(&p, x->s, NULL);
	dispatch_why(&p, x->sk->name, x->node, &why);
	dispatch_close(&p);
	for (i = 0; i < why.n; i++)
		say(x, i == 0 ? "where" : "", "%s", why.v[i]);
}

/* ---- routes, health, failures ---- */

static void say_domains(struct explain *x)
{
	vk_autojson *domains = domains_of(&x->s->st, x->sk, NULL, x->s->cfg->base_domain);
	vk_autobuf b = VK_BUF_INIT(65536);
	const char *name;
	json_t *value;
	json_object_foreach(domains, name, value) if (strcmp(vk_json_str(value, "node", ""),
							      x->node) == 0)(void) vk_buf_addf(&b,
		"%s%s (%s)", b.len > 0 ? ", " : "", name, vk_json_str(value, "from", "?"));
	say(x, "domains", "%s", b.len > 0 ? vk_buf_str(&b) : "none");
	const char *complaint = router_complaint(x->s, x->sk->name);
	if (complaint != NULL)
		say(x, "", "the router refuses the routes of %s: %s", x->sk->name, complaint);
}

static void say_health(struct explain *x)
{
	const json_t *h = json_object_get(x->def, "health");
	const char *type = vk_json_str(h, "type", "none");
	char every[24];
	vk_format_duration_ms(vk_json_int(h, "interval_ms", 0), every);
	if (strcmp(type, "http") == 0)
		say(x, "health", "HTTP %s on port %lld must answer below 500, every %s",
			vk_json_str(h, "path", "/"), (long long)vk_json_int(h, "port", 0), every);
	else if (strcmp(type, "tcp") == 0)
		say(x, "health", "port %lld must accept connections, every %s",
			(long long)vk_json_int(h, "port", 0), every);
	else if (strcmp(type, "cmd") == 0)
		say_words(x, "health", json_object_get(h, "cmd"), NULL);
	else
		say(x, "health", "not checked: healthy once it has run for a moment");
}

static void say_failure(struct explain *x)
{
	for (size_t i = x->sk->n_releases; i-- > 0;) {
		const struct release *r = x->sk->release[i];
		char when[32];
		if (strcmp(r->outcome, "failed") != 0)
			continue;
		vk_format_time(r->when_ms, when);
		say(x, "last failure", "v%u, %s: %s", r->n, when,
			r->cause != NULL ? r->cause : "no cause was noted");
		return;
	}
	say(x, "last failure", "none");
}

/* ---- the request ---- */

static int find(struct call *c, struct explain *x, struct vk_err *err)
{
	x->s = c->s;
	x->sk = call_stack(c, err);
	x->node = c->part[1];
	if (x->sk == NULL)
		return err->code;
	x->rel = pick_release(x->sk, err);
	x->entry = x->rel != NULL ? json_object_get(x->rel->nodes, x->node) : NULL;
	if (x->rel == NULL)
		return VK_NOTFOUND;
	if (x->entry == NULL) {
		vk_err_set(err, VK_NOTFOUND, "%s has no node %.64s", c->stack, x->node);
		vk_err_hint(err, "viking ps %s", c->stack);
		return VK_NOTFOUND;
	}
	x->def = hub_def(c->s, x->sk, (unsigned)vk_json_int(x->entry, "born", 0), x->node);
	return 0;
}

void api_explain(struct call *c)
{
	struct vk_err err = {0};
	struct explain x = {0};
	if (find(c, &x, &err) != 0) {
		call_error(c, &err);
		return;
	}
	x.lines = json_array();
	say(&x, "node", "%s/%s", x.sk->name, x.node);
	say_definition(&x);
	say_version(&x);
	if (strcmp(vk_json_str(x.entry, "type", "app"), "app") == 0) {
		say_instances(&x);
		say_where(&x);
		say_health(&x);
	}
	say_domains(&x);
	say_failure(&x);
	call_json(c, 200,
		json_pack("{s:s,s:s,s:o}", "stack", x.sk->name, "node", x.node, "lines", x.lines));
}
