/*
 * enter and run: a process inside an instance, or a container of its own. The agent is asked first; when it says 101
 * so do we, and from then on bytes are relayed (frames of docs/protocol.md 6).
 */
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "desired.h"
#include "dial.h"
#include "hosts.h"
#include "pick.h"
#include "relay.h"

#define EXEC_MS     30000
#define RUN_MS      600000 /* a container of its own may have to pull its image */
#define REFUSAL_MAX ((size_t)64 << 10)
#define RUN_ID      4 /* bytes of the random part of a run container's name */

struct takeover {
	struct call *c; /* until the agent has answered */
	struct vk_loop *loop;
	struct dial *dial;
	int status;
	struct vk_buf refusal;
	int far;             /* the agent's side, from its 101 on */
	struct vk_buf early; /* what it has sent already */
};

static void takeover_free(struct takeover *t)
{
	dial_free(t->dial);
	vk_closep(&t->far);
	vk_buf_release(&t->refusal);
	vk_buf_release(&t->early);
	free(t);
}

static void fail(struct takeover *t, const struct vk_err *err)
{
	struct call *c = t->c;
	takeover_free(t);
	if (c->r != NULL)
		vk_req_on_closed(c->r, NULL, NULL);
	call_error(c, err);
}

static void on_client_gone(void *arg, struct vk_req *r)
{
	struct takeover *t = arg;
	struct vk_err err = {0};
	(void)r;
	t->c->r = NULL;
	vk_err_set(&err, VK_CANCELLED, "the client went away");
	fail(t, &err); /* the agent kills the process when its connection goes */
}

/* ---- the agent ---- */

static void on_head(void *arg, int status, const char *type)
{
	struct takeover *t = arg;
	(void)type;
	t->status = status;
}

static void on_body(void *arg, const void *p, size_t n)
{
	struct takeover *t = arg;
	(void)vk_buf_add(&t->refusal, p, n);
}

static void on_end(void *arg, const struct vk_err *failure)
{
	struct takeover *t = arg;
	struct vk_err err = {0};
	if (failure != NULL)
		err = *failure;
	else
		dial_refusal(t->status, vk_buf_str(&t->refusal), t->refusal.len, &err);
	fail(t, &err);
}

static void on_upgraded(void *arg, int fd, const void *early, size_t n)
{
	struct takeover *t = arg;
	if (fd >= 0)
		relay_start(t->loop, fd, early, n, VK_TAKE_FD(t->far), vk_buf_str(&t->early),
			t->early.len);
	takeover_free(t);
}

static void on_taken(void *arg, int fd, const void *early, size_t n)
{
	struct takeover *t = arg;
	t->far = fd;
	(void)vk_buf_add(&t->early, early, n);
	vk_req_on_closed(t->c->r, NULL, NULL);
	vk_req_upgrade(call_take(VK_TAKE(t->c)), "viking-frames", on_upgraded, t);
}

static const struct dial_events events = {
	.head = on_head, .body = on_body, .end = on_end, .taken = on_taken};

static void ask_agent(struct call *c, const char *host, const json_t *body, int64_t silence_ms)
{
	vk_autofree char *socket = hosts_agent_socket(c->s, host);
	struct takeover *t = vk_alloc(sizeof(*t));
	t->c = c;
	t->loop = c->s->loop;
	t->far = -1;
	vk_buf_init(&t->refusal, REFUSAL_MAX);
	vk_buf_init(&t->early, REFUSAL_MAX);
	vk_req_on_closed(c->r, on_client_gone, t);
	t->dial = dial_new(c->s->loop, socket, "POST", "/exec", body, silence_ms, &events, t);
}

/* ---- the requests ---- */

static int check_cmd(const struct call *c, struct vk_err *err)
{
	const json_t *cmd = json_object_get(c->body, "cmd");
	size_t i;
	json_t *word;
	if (json_array_size(cmd) == 0)
		return vk_err_set(err, VK_INVALID, "cmd must be a list of at least one word");
	json_array_foreach(cmd, i, word) if (!json_is_string(word) ||
		strlen(json_string_value(word)) != json_string_length(word)) return vk_err_set(err,
		VK_INVALID, "cmd[%zu] is no word", i);
	return 0;
}

static int check_size(const struct call *c, struct vk_err *err)
{
	static const char *const names[] = {"rows", "cols"};
	for (size_t i = 0; i < VK_COUNT(names); i++) {
		int64_t n = vk_json_int(c->body, names[i], 0);
		if (n < 0 || n > 65535)
			return vk_err_set(err, VK_INVALID, "%s must be 0 to 65535", names[i]);
	}
	return 0;
}

/* The node that is meant, with what every request of this kind needs. */
static int begin(struct call *c, struct stack **ret_sk, const char **ret_node,
	const json_t **ret_entry, struct vk_err *err)
{
	struct stack *sk = call_stack(c, err);
	int rc = sk == NULL ? err->code : check_cmd(c, err);
	if (rc == 0)
		rc = check_size(c, err);
	if (rc == 0)
		rc = pick_node(sk, call_text(c, "node"), ret_node, ret_entry, err);
	*ret_sk = sk;
	return rc;
}

static void set_terminal(const struct call *c, json_t *ask)
{
	json_object_set_new(ask, "tty", json_boolean(vk_json_bool(c->body, "tty", false)));
	json_object_set_new(ask, "rows", json_integer(vk_json_int(c->body, "rows", 0)));
	json_object_set_new(ask, "cols", json_integer(vk_json_int(c->body, "cols", 0)));
}

/* What packs built sets up its environment before the command, as it does before its process types. */
static json_t *enter_cmd(struct call *c, const struct stack *sk, const struct inst *i)
{
	json_t *cmd = json_array();
	const json_t *def = hub_def(c->s, sk, i->born, i->node);
	if (json_is_array(json_object_get(def, "enter")))
		json_array_extend(cmd, json_object_get(def, "enter"));
	json_array_extend(cmd, json_object_get(c->body, "cmd"));
	return cmd;
}

void api_exec(struct call *c)
{
	struct vk_err err = {0};
	struct stack *sk;
	const char *node;
	const json_t *entry;
	struct inst i;
	int64_t n = vk_json_int(c->body, "n", 0);
	int rc = begin(c, &sk, &node, &entry, &err);
	if (rc == 0)
		rc = pick_instance(c->s, sk, node, n > 0 ? (uint64_t)n : 0, &i, &err);
	if (rc != 0) {
		call_error(c, &err);
		return;
	}
	vk_autojson *ask = json_pack("{s:s,s:o}", "instance", i.name, "cmd", enter_cmd(c, sk, &i));
	set_terminal(c, ask);
	ask_agent(c, i.host, ask, EXEC_MS);
}

/* As the node's release task would be, under a name of its own, with the caller's command. */
static json_t *run_instance(struct call *c, const struct stack *sk, const char *node,
	const json_t *entry, struct vk_err *err)
{
	unsigned born = (unsigned)vk_json_int(entry, "born", 0);
	const json_t *def = hub_def(c->s, sk, born, node);
	if (def == NULL) {
		vk_err_set(err, VK_NOTFOUND, "the definition of %s in v%u is not there any more",
			node, born);
		return NULL;
	}
	struct inst i = {0};
	char id[RUN_ID * 2 + 1];
	inst_set(&i, sk->name, node, (unsigned)vk_json_int(entry, "version", 0), 0, born);
	i.task = true;
	json_t *run = desired_instance(sk, &i, def, (int64_t)c->s->cfg->health_timeout_ms);
	vk_random_hex(RUN_ID, id);
	json_object_set_new(run, "name", json_sprintf("%s-%s-run-%s", sk->name, node, id));
	json_object_set(run, "cmd", json_object_get(c->body, "cmd"));
	if (json_object_get(def, "enter") != NULL)
		json_object_set(run, "entrypoint", json_object_get(def, "enter"));
	return run;
}

/* Beside the node's first instance, where its volumes are. */
static const char *run_host(const struct stack *sk, const char *node, const json_t *entry)
{
	struct inst first = {0};
	inst_set(&first, sk->name, node, (unsigned)vk_json_int(entry, "version", 0), 1, 0);
	const char *host = stack_host(sk, first.name);
	return host != NULL ? host : "";
}

void api_run(struct call *c)
{
	struct vk_err err = {0};
	struct stack *sk;
	const char *node;
	const json_t *entry;
	json_t *run = NULL;
	int rc = begin(c, &sk, &node, &entry, &err);
	if (rc == 0)
		run = run_instance(c, sk, node, entry, &err);
	if (run == NULL) {
		call_error(c, &err);
		return;
	}
	vk_autojson *ask = json_pack("{s:o}", "run", run);
	set_terminal(c, ask);
	ask_agent(c, run_host(sk, node, entry), ask, RUN_MS);
}
