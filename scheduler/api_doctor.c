/* Doctor: what can be seen at once, and what has to be asked: agent and engine, registry, ports. */
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "dial.h"
#include "doctor.h"
#include "front.h"
#include "ping.h"

#define ASK_MS   5000
#define BODY_MAX ((size_t)1 << 20)

struct exam;
struct question {
	struct exam *x;
	const char *name, *good, *hint;
	struct ping *ping;
};

/* Somebody's whole answer. */
struct inquiry {
	struct exam *x;
	struct dial *dial;
	struct vk_buf body;
	int status;
};

enum { ASK_REGISTRY, ASK_SSH, ASK_HTTP, ASK_COUNT };

struct exam {
	struct call *c;
	json_t *checks;
	struct question ask[ASK_COUNT];
	struct inquiry facts, leader; /* leader: only where another host leads */
	char *leads;                  /* its name */
	struct vk_err refused;        /* by the leader: then all is */
	size_t open;                  /* answers still to come */
};

static void exam_free(struct exam *x)
{
	for (size_t i = 0; i < ASK_COUNT; i++)
		ping_cancel(x->ask[i].ping);
	struct inquiry *both[] = {&x->facts, &x->leader};
	for (size_t i = 0; i < VK_COUNT(both); i++) {
		dial_free(both[i]->dial);
		vk_buf_release(&both[i]->body);
	}
	free(x->leads);
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
	struct vk_err refused = x->refused;
	json_t *answer = json_pack("{s:O}", "checks", x->checks);
	exam_free(x);
	vk_req_on_closed(c->r, NULL, NULL);
	if (refused.code == 0) {
		call_json(c, 200, answer);
		return;
	}
	json_decref(answer);
	call_error(c, &refused);
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
	struct inquiry *q = arg;
	(void)type;
	q->status = status;
}

static void on_body(void *arg, const void *p, size_t n)
{
	struct inquiry *q = arg;
	(void)vk_buf_add(&q->body, p, n);
}

static void inquiry_init(struct inquiry *q, struct exam *x)
{
	q->x = x;
	vk_buf_init(&q->body, BODY_MAX);
	x->open++;
}

/* New reference, or NULL with why not. */
static json_t *inquiry_answer(
	const struct inquiry *q, const struct vk_err *failure, struct vk_err *err)
{
	json_t *j = NULL;
	if (failure != NULL)
		*err = *failure;
	else if (q->status != 200)
		dial_refusal(q->status, vk_buf_str(&q->body), q->body.len, err);
	else
		(void)vk_json_parse(vk_buf_str(&q->body), q->body.len, &j, err);
	return j;
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
	const struct inquiry *q = arg;
	struct exam *x = q->x;
	struct vk_err err = {0};
	vk_autojson *facts = inquiry_answer(q, failure, &err);
	if (err.code != 0)
		doctor_add(x->checks, "engine", VERDICT_BROKEN, "journalctl -u viking -n 100",
			"not known: %s", err.msg);
	else
		check_engine(x, facts);
	answered(x);
}

static const struct dial_events facts_events = {.head = on_head, .body = on_body, .end = on_facts};

/* ---- the leader ---- */

/* Its checks behind ours, each with its name. What it refuses is refused: it knows who asks. */
static void on_leader(void *arg, const struct vk_err *failure)
{
	const struct inquiry *q = arg;
	struct exam *x = q->x;
	struct vk_err err = {0};
	vk_autojson *answer = inquiry_answer(q, failure, &err);
	size_t i;
	json_t *check;
	if (err.code == VK_DENIED)
		x->refused = err;
	else if (err.code != 0)
		doctor_add(x->checks, "leader", VERDICT_BROKEN,
			"viking leader, in a moment; another host leads then", "%s: %s", x->leads,
			err.msg);
	else
		doctor_add(x->checks, "leader", VERDICT_OK, "", "%s leads and says:", x->leads);
	json_array_foreach(json_object_get(answer, "checks"), i, check)
	{
		json_object_set_new(check, "what",
			json_sprintf("%s: %s", x->leads, vk_json_str(check, "what", "")));
		json_array_append(x->checks, check);
	}
	answered(x);
}

static const struct dial_events leader_events = {
	.head = on_head, .body = on_body, .end = on_leader};

/* ---- the request ---- */

static struct exam *exam_begin(struct call *c)
{
	struct exam *x = vk_alloc(sizeof(*x));
	vk_autofree char *socket = vk_run_path(c->s->cfg, "agent.sock");
	x->c = c;
	x->checks = json_array();
	vk_req_on_closed(c->r, on_client_gone, x);
	inquiry_init(&x->facts, x);
	x->facts.dial = dial_new(
		c->s->loop, socket, "GET", "/facts", NULL, ASK_MS, &facts_events, &x->facts);
	ask_ports(x);
	return x;
}

void api_doctor(struct call *c)
{
	struct exam *x = exam_begin(c);
	doctor_look(c->s, x->checks);
}

void api_doctor_standby(struct call *c, const char *leader)
{
	struct exam *x = exam_begin(c);
	doctor_look_host(c->s, x->checks);
	x->leads = vk_strdup(leader);
	inquiry_init(&x->leader, x);
	x->leader.dial = front_ask(c->s, c->r, leader, "it", &leader_events, &x->leader);
}
