/*
 * The watch stream of etcd: the same events at every split, revisions never fall within a message, keys are below the prefix;
 * and what a range or a transaction answers, read from the same bytes.
 */
#include <stdlib.h>
#include <string.h>
#include <viking/json.h>

#include "../../base/store_etcd_wire.h"
#include "split.h"

#define LINE_MAX_BYTES (1u << 16)
#define PREFIX         "/viking"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int on_line(void *arg, json_t *line, struct vk_err *err)
{
	struct vk_etcd_message m;
	struct vk_buf *log = arg;
	int rc = vk_etcd_message_read(PREFIX, line, &m, err);
	if (rc != 0)
		return rc;
	uint64_t last = 0;
	for (size_t i = 0; i < m.rows.n; i++) {
		const struct vk_kv *kv = &m.rows.v[i];
		if (kv->mod_rev < last)
			abort();
		last = kv->mod_rev;
		vk_buf_addf(log, "%c%s %zu %llu %llu\n", m.del[i] ? '-' : '+', kv->key, kv->len,
			(unsigned long long)kv->create_rev, (unsigned long long)kv->mod_rev);
	}
	vk_buf_addf(log, "%d %d %llu\n", m.created, m.canceled, (unsigned long long)m.compact_rev);
	vk_etcd_message_release(&m);

	struct vk_rows rows = {0};
	struct vk_etcd_page page = {0};
	struct vk_etcd_txn_answer txn;
	if (vk_etcd_range_read(PREFIX, line, &rows, &page, NULL) == 0)
		vk_buf_addf(
			log, "%zu %llu %d\n", rows.n, (unsigned long long)page.count, page.more);
	vk_rows_release(&rows);
	if (vk_etcd_txn_read(line, &txn, NULL) == 0)
		vk_buf_addf(log, "%d %d %llu %s\n", txn.succeeded, txn.guarded,
			(unsigned long long)txn.rev, txn.guard_value);
	return 0;
}

static int run(const uint8_t *data, size_t n, size_t step, struct vk_buf *log)
{
	struct vk_jsonl l;
	struct vk_err err = {0};
	vk_jsonl_init(&l, LINE_MAX_BYTES);
	int rc = 0;
	for (size_t at = 0; rc == 0 && at < n; at += step)
		rc = vk_jsonl_feed(
			&l, data + at, n - at < step ? n - at : step, on_line, log, &err);
	if (rc == 0)
		rc = vk_jsonl_end(&l, on_line, log, &err);
	vk_jsonl_release(&l);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 1)
		return 0;
	vk_autobuf log = VK_BUF_INIT(1 << 22);
	split_check(data, n, run, &log);
	return 0;
}
