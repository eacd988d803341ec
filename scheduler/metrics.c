#include "metrics.h"

#include <string.h>
#include <time.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "op.h"
#include "summary.h"

static void head(struct vk_buf *out, const char *name, const char *type, const char *help)
{
	vk_buf_addf(out, "# HELP viking_%s %s\n# TYPE viking_%s %s\n", name, help, name, type);
}

static const int64_t commit_steps[] = {1000, 4000, 16000, 64000, 256000, 1000000, 4000000}; /* us */

struct metrics {
	json_t *routers;    /* {host: what its router counted} */
	json_t *operations; /* "kind/ok" -> [number, milliseconds] */
	struct {
		uint64_t n, bytes, at_most[VK_COUNT(commit_steps)]; /* by commit_steps */
		int64_t us;
	} commits;
	struct {
		uint64_t n, moved;
		int64_t us, last_us;
		size_t instances, changed, unplaced, waiting; /* of the last */
	} plans;
};

int64_t metrics_clock(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static struct metrics *metrics_of(struct sched *s)
{
	if (s->metrics == NULL) {
		s->metrics = vk_alloc(sizeof(*s->metrics));
		*s->metrics =
			(struct metrics){.operations = json_object(), .routers = json_object()};
	}
	return s->metrics;
}

void metrics_free(struct metrics *m)
{
	if (m == NULL)
		return;
	json_decref(m->routers);
	json_decref(m->operations);
	free(m);
}

void metrics_router(struct sched *s, const char *host, const json_t *nodes)
{
	json_object_set(metrics_of(s)->routers, host[0] != '\0' ? host : s->cfg->host_name,
		(json_t *)(uintptr_t)nodes);
}

void metrics_operation(struct sched *s, const char *kind, bool ok, int64_t ms)
{
	json_t *all = metrics_of(s)->operations;
	vk_autofree char *key = vk_asprintf("%s/%s", kind, ok ? "ok" : "failed");
	const json_t *had = json_object_get(all, key);
	json_object_set_new(all, key,
		json_pack("[I,I]", json_integer_value(json_array_get(had, 0)) + 1,
			json_integer_value(json_array_get(had, 1)) + ms));
}

void metrics_commit(struct sched *s, int64_t us, size_t bytes)
{
	struct metrics *m = metrics_of(s);
	m->commits.n++;
	m->commits.us += us;
	m->commits.bytes += bytes;
	for (size_t i = 0; i < VK_COUNT(commit_steps); i++)
		m->commits.at_most[i] += us <= commit_steps[i];
}

void metrics_plan(struct sched *s, int64_t us, size_t instances, const struct dow_plan *plan)
{
	struct metrics *m = metrics_of(s);
	m->plans.n++;
	m->plans.us += us;
	m->plans.last_us = us;
	m->plans.moved += plan->moved;
	m->plans.instances = instances;
	m->plans.changed = plan->nchanges;
	m->plans.unplaced = plan->nunplaced;
	m->plans.waiting = plan->nwaiting;
}

/* ---- requests ---- */

/* Names of hosts, stacks and nodes have no byte that would need escaping (viking/id.h). */
static void labels(
	struct vk_buf *out, const char *name, const char *host, const char *place, const char *more)
{
	int stack = (int)strcspn(place, "/");
	vk_buf_addf(out, "viking_%s{stack=\"%.*s\",node=\"%s\",router=\"%s\"%s} ", name, stack,
		place, place + stack + (place[stack] == '/'), host, more);
}

static void each_labelled(const struct sched *s, struct vk_buf *out, const char *name,
	const char *key, const char *more, double scale)
{
	const char *host, *place;
	json_t *nodes, *v;
	json_object_foreach(s->metrics->routers, host, nodes)
	{
		json_object_foreach(nodes, place, v)
		{
			labels(out, name, host, place, more);
			vk_buf_addf(out, "%.15g\n", (double)vk_json_int(v, key, 0) * scale);
		}
	}
}

static void each_node(
	const struct sched *s, struct vk_buf *out, const char *name, const char *key, double scale)
{
	each_labelled(s, out, name, key, "", scale);
}

static void requests(const struct sched *s, struct vk_buf *out)
{
	static const char *const classes[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
	head(out, "requests_total", "counter", "Requests that a node got from the router.");
	each_node(s, out, "requests_total", "requests", 1);
	head(out, "responses_total", "counter", "Answers by class of status.");
	for (size_t i = 0; i < VK_COUNT(classes); i++) {
		vk_autofree char *more = vk_asprintf(",class=\"%s\"", classes[i]);
		each_labelled(s, out, "responses_total", classes[i], more, 1);
	}
	head(out, "request_bytes_total", "counter", "Bytes of requests.");
	each_node(s, out, "request_bytes_total", "bytes_in", 1);
	head(out, "response_bytes_total", "counter", "Bytes of answers.");
	each_node(s, out, "response_bytes_total", "bytes_out", 1);
	head(out, "request_retries_total", "counter", "Requests that were tried again.");
	each_node(s, out, "request_retries_total", "retries", 1);
	head(out, "requests_now", "gauge", "Requests under way.");
	each_node(s, out, "requests_now", "now", 1);
	head(out, "response_seconds", "gauge",
		"Time to the head of an answer, mean of the last 1024.");
	each_node(s, out, "response_seconds", "response_ms", 0.001);
	head(out, "request_seconds", "gauge", "Time of a whole request, mean of the last 1024.");
	each_node(s, out, "request_seconds", "total_ms", 0.001);
}

/* ---- operations ---- */

static void operations(const struct sched *s, struct vk_buf *out)
{
	const char *key;
	json_t *v;
	head(out, "operation_seconds", "summary", "Operations that have ended, and their time.");
	json_object_foreach(s->metrics->operations, key, v)
	{
		int kind = (int)strcspn(key, "/");
		vk_autofree char *labels =
			vk_asprintf("{kind=\"%.*s\",result=\"%s\"}", kind, key, key + kind + 1);
		vk_buf_addf(out, "viking_operation_seconds_sum%s %.15g\n", labels,
			(double)json_integer_value(json_array_get(v, 1)) / 1000);
		vk_buf_addf(out, "viking_operation_seconds_count%s %lld\n", labels,
			(long long)json_integer_value(json_array_get(v, 0)));
	}
}

static void queue(const struct sched *s, struct vk_buf *out)
{
	size_t busy = 0, waiting = 0;
	const struct stack *sk;
	table_each(&s->st.stacks, i, sk)
	{
		busy += sk->busy != NULL;
		for (const struct op *op = sk->waiting; op != NULL; op = op->next)
			waiting++;
	}
	head(out, "operations", "gauge", "Operations that run, and that wait for their stack.");
	vk_buf_addf(out,
		"viking_operations{state=\"running\"} %zu\n"
		"viking_operations{state=\"waiting\"} %zu\n",
		busy, waiting);
}

static void store(const struct sched *s, struct vk_buf *out)
{
	const struct metrics *m = s->metrics;
	head(out, "store_transaction_seconds", "histogram",
		"Transactions of the store, from submit to commit.");
	for (size_t i = 0; i < VK_COUNT(commit_steps); i++)
		vk_buf_addf(out, "viking_store_transaction_seconds_bucket{le=\"%.15g\"} %llu\n",
			(double)commit_steps[i] / 1e6, (unsigned long long)m->commits.at_most[i]);
	vk_buf_addf(out,
		"viking_store_transaction_seconds_bucket{le=\"+Inf\"} %llu\n"
		"viking_store_transaction_seconds_sum %.15g\n"
		"viking_store_transaction_seconds_count %llu\n",
		(unsigned long long)m->commits.n, (double)m->commits.us / 1e6,
		(unsigned long long)m->commits.n);
	head(out, "store_transaction_bytes_total", "counter", "Keys and values of transactions.");
	vk_buf_addf(out, "viking_store_transaction_bytes_total %llu\n",
		(unsigned long long)m->commits.bytes);
	head(out, "store_transactions_now", "gauge", "Transactions under way.");
	vk_buf_addf(out, "viking_store_transactions_now %zu\n", s->commits);
}

static void planner(const struct sched *s, struct vk_buf *out)
{
	const struct metrics *m = s->metrics;
	head(out, "plan_seconds", "summary", "Plans of placement that decided, and their time.");
	vk_buf_addf(out, "viking_plan_seconds_sum %.15g\nviking_plan_seconds_count %llu\n",
		(double)m->plans.us / 1e6, (unsigned long long)m->plans.n);
	head(out, "plan_moves_total", "counter", "Instances that a plan sent to another host.");
	vk_buf_addf(out, "viking_plan_moves_total %llu\n", (unsigned long long)m->plans.moved);
	head(out, "plan_last_seconds", "gauge", "Time of the last plan.");
	vk_buf_addf(out, "viking_plan_last_seconds %.15g\n", (double)m->plans.last_us / 1e6);
	head(out, "plan_last_instances", "gauge",
		"Instances of the last plan: all, placed anew, without a host, waiting for the "
		"host of "
		"their volume.");
	vk_buf_addf(out,
		"viking_plan_last_instances{state=\"all\"} %zu\n"
		"viking_plan_last_instances{state=\"placed\"} %zu\n"
		"viking_plan_last_instances{state=\"unplaced\"} %zu\n"
		"viking_plan_last_instances{state=\"waiting\"} %zu\n",
		m->plans.instances, m->plans.changed, m->plans.unplaced, m->plans.waiting);
}

/* ---- stacks ---- */

static void count(json_t *counts, const char *key)
{
	json_object_set_new(counts, key, json_integer(vk_json_int(counts, key, 0) + 1));
}

static void put_counts(
	struct vk_buf *out, const json_t *counts, const char *name, const char *label)
{
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)counts, key, v) vk_buf_addf(out,
		"viking_%s{%s=\"%s\"} %lld\n", name, label, key, (long long)json_integer_value(v));
}

static void instances(struct sched *s, struct vk_buf *out)
{
	struct stack *sk;
	head(out, "instances", "gauge", "Instances by stack and state.");
	table_each(&s->st.stacks, i, sk)
	{
		if (!sk->exists)
			continue;
		vk_autojson *list = summary_instances(s, sk, true), *counts = json_object();
		const char *state;
		size_t k;
		json_t *one, *n;
		json_array_foreach(list, k, one)
			count(counts, vk_json_str(one, "state", "unknown"));
		json_object_foreach(counts, state, n)
			vk_buf_addf(out, "viking_instances{stack=\"%s\",state=\"%s\"} %lld\n",
				sk->name, state, (long long)json_integer_value(n));
	}
}

static void releases(struct sched *s, struct vk_buf *out)
{
	struct stack *sk;
	vk_autojson *outcomes = json_object();
	head(out, "release", "gauge", "Number of the serving release.");
	table_each(&s->st.stacks, i, sk)
	{
		if (!sk->exists)
			continue;
		vk_buf_addf(out, "viking_release{stack=\"%s\"} %u\n", sk->name, sk->current);
		for (size_t k = 0; k < sk->n_releases; k++)
			count(outcomes, sk->release[k]->outcome);
	}
	head(out, "releases", "gauge", "Releases on record by outcome.");
	put_counts(out, outcomes, "releases", "outcome");
}

static void builds(struct sched *s, struct vk_buf *out)
{
	vk_autojson *states = json_pack("{s:i,s:i}", "queued", 0, "running", 0);
	const struct build_row *b;
	table_each(&s->st.builds, i, b) count(states, b->state != NULL ? b->state : "unknown");
	head(out, "builds", "gauge", "Builds on record by state; queued ones are the queue.");
	put_counts(out, states, "builds", "state");
}

static void certificates(struct sched *s, struct vk_buf *out)
{
	const struct cert_row *row;
	head(out, "certificate_end_seconds", "gauge", "When a certificate ends, Unix time.");
	table_each(&s->st.certs, i, row)
	{
		int stack = (int)strcspn(row->name, "/");
		vk_buf_addf(out, "viking_certificate_end_seconds{stack=\"%.*s\",id=\"%s\"} %lld\n",
			stack, row->name, row->name + stack + 1,
			(long long)(row->not_after_ms / 1000));
	}
}

void metrics_text(struct sched *s, struct vk_buf *out)
{
	metrics_of(s);
	requests(s, out);
	operations(s, out);
	queue(s, out);
	store(s, out);
	planner(s, out);
	instances(s, out);
	releases(s, out);
	builds(s, out);
	certificates(s, out);
	head(out, "start_time_seconds", "gauge", "When the scheduler was started, Unix time.");
	vk_buf_addf(out, "viking_start_time_seconds %lld\n", (long long)(s->started_ms / 1000));
}
