/* Doctor: what can be seen at once, and what has to be asked: agent and engine, registry, ports. */
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "dial.h"
#include "doctor.h"
#include "ping.h"

#define ASK_MS    5000
#define FACTS_MAX ((size_t)1 << 20)

struct exam;
struct question {
	struct exam *x;
	const char *name, *good, *hint;
	struct ping *ping;
};

enum { ASK_REGISTRY, ASK_SSH, ASK_HTTP, ASK_COUNT };

struct exam {
	struct call *c;
	json_t *checks;
	struct question ask[ASK_COUNT];
	struct dial *facts;
	struct vk_buf body;
	int status;
	size_t open; /* answers still to come */
};

static void exam_free(struct exam *x)
{
	for (size_t i = 0; i < ASK_COUNT; i++)
		ping_cancel(x->ask[i].ping);
	dial_free(x->facts);
	vk_buf_release(&x->body);
	json_decref(x->checks);
	free(x);
}

static void on_client_gone(void *arg, struct vk_req *r)
{
	struct exam *x = arg;
	struct call *c = x->c;
	struct vk_err err = {0};
	(void)r;
	exam_free(x);
	c->r = NULL;
	vk_err_set(&err, VK_CANCELLED, "the client went away");
	call_error(c, &err);
}

static void answered(struct exam *x)
{
	if (--x->open > 0)
		return;
	struct call *c = x->c;
	json_t *answer = json_pack("{s:O}", "checks", x->checks);
	exam_free(x);
	vk_req_on_closed(c->r, NULL, NULL);
	call_json(c, 200, answer);
}

/* ---- ports ---- */

static void on_ping(void *arg, const struct vk_err *err)
{
	struct question *q = arg;
	q->ping = NULL;
	if (err == NULL)
		doctor_add(q->x->checks, q->name, VERDICT_OK, "", "%s", q->good);
	else
		doctor_add(q->x->checks, q->name, VERDICT_BROKEN, q->hint, "%s", err->msg);
	answered(q->x);
}

static void ask_port(struct exam *x, struct question *q, const struct ping_spec *spec)
{
	q->x = x;
	x->open++;
	q->ping = ping_start(x->c->s->loop, spec, ASK_MS, on_ping, q);
}

static void ask_ports(struct exam *x)
{
	const struct vk_config *cfg = x->c->s->cfg;
	x->ask[ASK_REGISTRY] = (struct question){.name = "registry",
		.good = "the registry answers",
		.hint = "journalctl -u viking -n 100"};
	ask_port(x, &x->ask[ASK_REGISTRY],
		&(struct ping_spec){cfg->registry_address, (uint16_t)cfg->registry_port,
			"GET /v2/ HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n\r\n",
			"HTTP/1."});
	x->ask[ASK_SSH] = (struct question){.name = "ssh",
		.good = "the SSH front door answers",
		.hint = "journalctl -u viking -n 100"};
	ask_port(x, &x->ask[ASK_SSH],
		&(struct ping_spec){cfg->ssh_address, (uint16_t)cfg->ssh_port, NULL, "SSH-2.0-"});
	if (!cfg->run_haproxy)
		return;
	x->ask[ASK_HTTP] = (struct question){.name = "http",
		.good = "HAProxy answers",
		.hint = "is another web server on the port? journalctl -u viking -n 100"};
	ask_port(x, &x->ask[ASK_HTTP],
		&(struct ping_spec){cfg->http_address, (uint16_t)cfg->http_port,
			"GET / HTTP/1.1\r\nHost: viking.invalid\r\nConnection: close\r\n\r\n",
			"HTTP/1."});
}

/* ---- agent and engine ---- */

static void on_head(void *arg, int status, const char *type)
{
	struct exam *x = arg;
	(void)type;
	x->status = status;
}

static void on_body(void *arg, const void *p, size_t n)
{
	struct exam *x = arg;
	(void)vk_buf_add(&x->body, p, n);
}

static void check_engine(struct exam *x, const json_t *facts)
{
	const char *engine = vk_json_str(facts, "engine", "");
	char disk[24];
	vk_format_size((uint64_t)vk_json_int(facts, "disk_free", 0), disk);
	if (engine[0] == '\0')
		doctor_add(x->checks, "engine", VERDICT_BROKEN, "sudo systemctl start docker",
			"the engine does not answer at %s", x->c->s->cfg->engine_socket);
	else
		doctor_add(x->checks, "engine", VERDICT_OK, "",
			"Docker %s, cgroup v%lld, %s free for images", engine,
			(long long)vk_json_int(facts, "cgroup", 0), disk);
}

static void on_facts(void *arg, const struct vk_err *failure)
{
	struct exam *x = arg;
	vk_autojson *facts = NULL;
	struct vk_err err = {0};
	if (failure != NULL)
		err = *failure;
	else if (x->status != 200)
		dial_refusal(x->status, vk_buf_str(&x->body), x->body.len, &err);
	else
		(void)vk_json_parse(vk_buf_str(&x->body), x->body.len, &facts, &err);
	if (err.code != 0)
		doctor_add(x->checks, "engine", VERDICT_BROKEN, "journalctl -u viking -n 100",
			"not known: %s", err.msg);
	else
		check_engine(x, facts);
	answered(x);
}

static const struct dial_events facts_events = {.head = on_head, .body = on_body, .end = on_facts};

/* ---- the request ---- */

void api_doctor(struct call *c)
{
	struct exam *x = vk_alloc(sizeof(*x));
	vk_autofree char *socket = vk_run_path(c->s->cfg, "agent.sock");
	x->c = c;
	x->checks = json_array();
	vk_buf_init(&x->body, FACTS_MAX);
	doctor_look(c->s, x->checks);
	vk_req_on_closed(c->r, on_client_gone, x);
	x->open = 1;
	x->facts = dial_new(c->s->loop, socket, "GET", "/facts", NULL, ASK_MS, &facts_events, x);
	ask_ports(x);
}
