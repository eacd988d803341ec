/*
 * viking-cluster-init: moves the state of a running host from SQLite to an etcd that vikingd supervises. Run by `viking
 * cluster:init` as root.
 *
 *	1 conf.d/50-cluster.yml {helpers.run_etcd}: vikingd makes the certificates and starts etcd
 *	2 whatever an earlier attempt left in etcd goes
 *	3 the scheduler holds all writes and gives every key; it holds them as long as our connection lasts
 *	4 the keys into etcd, counted
 *	5 conf.d/50-cluster.yml {store: etcd}, by rename: THE MOVE. Before it SQLite is the truth, after it etcd
 *	6 our connection ends; the scheduler ends itself and is started anew on what the file says; it is waited for
 *
 * Killed at any step, it may be run again; so may scheduler, vikingd and etcd be killed. Applications and routes are not
 * touched by any of it.
 */
#include <string.h>
#include <unistd.h>
#include <viking/api.h>
#include <viking/config.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/store.h>
#include <viking/str.h>

#include "cluster_file.h"

#define BATCH_KEYS  500
#define BATCH_BYTES ((size_t)1 << 20)
#define WAIT_MS     60000
#define PREFIX      "/viking"

struct move {
	const struct vk_config *c;
	struct vk_loop *loop;
	struct vk_store *store;
	struct vk_strv keys, values;
	/* of the call under way */
	bool done, committed;
	size_t n;
	struct vk_err err;
};

/* ---- the settings ---- */

static char *settings(const struct vk_config *c, bool moved)
{
	vk_autofree char *ca = vk_state_path(c, "sched/etcd-ca.pem"),
			 *cert = vk_state_path(c, "sched/etcd-cert.pem"),
			 *key = vk_state_path(c, "sched/etcd.key");
	if (!moved)
		return vk_strdup("# made by viking cluster:init\nhelpers.run_etcd: true\n");
	return vk_asprintf("# made by viking cluster:init\nhelpers.run_etcd: true\nstore: etcd\n"
			   "etcd.endpoints: \"https://127.0.0.1:%llu\"\netcd.ca: \"%s\"\n"
			   "etcd.cert: \"%s\"\netcd.key: \"%s\"\netcd.prefix: " PREFIX "\n",
		(unsigned long long)c->etcd_port, ca, cert, key);
}

static int write_settings(const struct vk_config *c, bool moved, struct vk_err *err)
{
	vk_autofree char *text = settings(c, moved);
	return cluster_file_write(c, text, err);
}

/* ---- etcd ---- */

static void wait_done(struct move *m)
{
	while (!m->done)
		vk_loop_once(m->loop, -1);
}

static void on_txn(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	struct move *m = arg;
	(void)rev;
	m->done = true;
	m->committed = committed;
	m->err = *err;
}

static int write_ops(struct move *m, const struct vk_op *ops, size_t n, struct vk_err *err)
{
	m->done = false;
	m->store->ops->txn(m->store, NULL, 0, ops, n, on_txn, m);
	wait_done(m);
	if (m->err.code == 0 && !m->committed)
		return vk_err_set(err, VK_CONFLICT, "etcd was changed meanwhile");
	*err = m->err;
	return m->err.code;
}

static void on_range(
	void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct move *m = arg;
	(void)kvs, (void)rev;
	m->done = true;
	m->n = n;
	m->err = *err;
}

static int count_keys(struct move *m, size_t *ret, struct vk_err *err)
{
	m->done = false;
	m->store->ops->range(m->store, "/", on_range, m);
	wait_done(m);
	*ret = m->n;
	*err = m->err;
	return m->err.code;
}

static int open_etcd(struct move *m, struct vk_err *err)
{
	const struct vk_config *c = m->c;
	vk_autofree char *ca = vk_state_path(c, "sched/etcd-ca.pem"),
			 *cert = vk_state_path(c, "sched/etcd-cert.pem"),
			 *key = vk_state_path(c, "sched/etcd.key");
	vk_autofree char *url =
		vk_asprintf("https://127.0.0.1:%llu", (unsigned long long)c->etcd_port);
	const struct vk_store_etcd_opts o = {.endpoints = url,
		.ca = ca,
		.cert = cert,
		.key = key,
		.prefix = PREFIX,
		.client = "cluster-init",
		.timeout_ms = WAIT_MS};
	return vk_store_etcd_open(m->loop, &o, &m->store, err);
}

static int prepare(struct move *m, struct vk_err *err)
{
	vk_autofree char *key = vk_state_path(m->c, "sched/etcd.key");
	const struct vk_op all = {.key = "/", .del = true, .prefix = true};
	cluster_file_say("-----> Starting etcd on this host");
	int rc = write_settings(m->c, false, err);
	if (rc == 0)
		rc = cluster_file_wait(key, true, "make certificates for etcd", err);
	if (rc == 0)
		rc = open_etcd(m, err);
	if (rc == 0)
		rc = write_ops(m, &all, 1, err);
	if (rc == 0)
		cluster_file_say("-----> Moving the state, changes wait");
	return rc;
}

/* ---- the move ---- */

static int copy_keys(struct move *m, struct vk_err *err)
{
	struct vk_op ops[BATCH_KEYS];
	for (size_t i = 0, n = 0, bytes = 0; i < m->keys.n; i++) {
		size_t len = strlen(m->values.v[i]);
		ops[n++] = (struct vk_op){.key = m->keys.v[i], .value = m->values.v[i], .len = len};
		bytes += len;
		if (n < BATCH_KEYS && bytes < BATCH_BYTES && i + 1 < m->keys.n)
			continue;
		int rc = write_ops(m, ops, n, err);
		if (rc != 0)
			return rc;
		n = bytes = 0;
	}
	size_t there = 0;
	int rc = count_keys(m, &there, err);
	if (rc == 0 && there != m->keys.n)
		rc = vk_err_set(
			err, VK_INTERNAL, "%zu keys were written, %zu are there", m->keys.n, there);
	return rc;
}

/* The last line says that all keys were given; writes are held until this returns. */
static int on_line(void *arg, json_t *line, struct vk_err *err)
{
	struct move *m = arg;
	const char *key = vk_json_str(line, "key", NULL);
	if (key != NULL) {
		vk_strv_add(&m->keys, key);
		vk_strv_take(&m->values, vk_json_text(json_object_get(line, "value")));
		return 0;
	}
	if (vk_json_int(line, "keys", -1) != (int64_t)m->keys.n)
		return vk_err_set(err, VK_UNAVAILABLE, "the state broke off in the middle");
	int rc = copy_keys(m, err);
	if (rc == 0)
		cluster_file_say("       every key is in etcd");
	if (rc == 0)
		rc = write_settings(m->c, true, err);
	if (rc == 0)
		cluster_file_say("       and counts from there");
	return rc == 0 ? VK_CANCELLED : rc; /* ends the stream */
}

static int move(struct move *m, struct vk_err *err)
{
	vk_autofree char *socket = vk_run_path(m->c, "api.sock");
	const struct vk_api_opts api = {.socket = socket, .timeout_ms = WAIT_MS};
	int rc = prepare(m, err);
	if (rc != 0)
		return rc;
	rc = vk_api_stream(&api, "POST", "/v1/cluster/move", NULL, on_line, m, err);
	return rc == VK_CANCELLED ? 0
		: rc == 0         ? vk_err_set(err, VK_UNAVAILABLE, "the scheduler broke off")
				  : rc;
}

static int possible(const struct vk_config *c, struct vk_err *err)
{
	if (!vk_streq(c->store, "sqlite"))
		return vk_err_set(err, VK_CONFLICT, "the state is in etcd already");
	if (access(c->etcd_path, X_OK) == 0)
		return 0;
	vk_err_set(err, VK_NOTFOUND, "there is no %s", c->etcd_path);
	return vk_err_hint(err, "sudo apt-get install etcd-server");
}

static int run(const struct vk_config *c, int argc, char **argv, struct vk_err *err)
{
	(void)argc, (void)argv;
	struct move m = {.c = c};
	int rc = possible(c, err);
	if (rc == 0)
		rc = vk_loop_new(&m.loop, err);
	if (rc != 0)
		return rc;
	rc = move(&m, err);
	if (rc == 0)
		rc = cluster_file_wait_served(c, err);
	if (rc == 0)
		printf("=====> %zu keys moved; what was before: %s/sched/viking.db.moved\n",
			m.keys.n, c->state_dir);
	if (m.store != NULL)
		m.store->ops->close(m.store);
	vk_strv_release(&m.keys);
	vk_strv_release(&m.values);
	vk_loop_free(m.loop);
	return rc;
}

int main(int argc, char **argv)
{
	return cluster_tool_run(argc, argv, run);
}
