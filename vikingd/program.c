#include "program.h"

#include <viking/str.h>

#include "etcd_setup.h"

const struct program_row program_rows[] = {
	{"scheduler", PROGRAM_ROLE, "viking-scheduler", "viking-sched", NULL, true},
	{"agent", PROGRAM_ROLE, "viking-agent", "viking-agent", "scheduler", true},
	{"builder", PROGRAM_ROLE, "viking-builder", "viking-build", "scheduler", false},
	{"router", PROGRAM_ROLE, "viking-router", "viking-route", "scheduler", true},
	{"web", PROGRAM_ROLE, "viking-web", "viking-web", "scheduler", false},
	{"dns", PROGRAM_ROLE, "viking-dns", "viking-dns", "scheduler", true},
	{"firewall", PROGRAM_ROLE, "viking-firewall", "viking-net", "scheduler", false},
	{"certs", PROGRAM_ROLE, "viking-certs", "viking-certs", "scheduler", false},
	{"front", PROGRAM_ROLE, "viking-front", "viking-front", "scheduler", true},
	{"receiver", PROGRAM_ROLE, "viking-receiver", "viking", "scheduler", false},
	{"registry", PROGRAM_HELPER, NULL, "viking-build", NULL, false},
	{"etcd", PROGRAM_HELPER, NULL, "viking-etcd", NULL, true},
	{"haproxy", PROGRAM_HELPER, NULL, "viking-route", "router", true},
	{"links", PROGRAM_HELPER, NULL, "viking-route", "router", true},
};
const size_t program_rows_n = VK_COUNT(program_rows);

#define LIFE_FORGIVES_MS 3000

int64_t program_backoff_ms(enum program_kind kind, unsigned failures)
{
	int64_t most = kind == PROGRAM_HELPER ? 400 : 2000;
	if (failures == 0)
		return 0;
	int64_t ms = failures > 5 ? most : 100LL << (failures - 1);
	return ms > most ? most : ms;
}

unsigned program_failures(unsigned failures, int64_t lived_ms)
{
	return lived_ms >= LIFE_FORGIVES_MS ? 0 : failures + 1;
}

static void helper_argv(
	const struct program_row *row, const struct vk_config *c, struct vk_strv *ret)
{
	if (vk_streq(row->name, "etcd")) {
		etcd_argv(c, ret);
		return;
	}
	if (vk_streq(row->name, "registry")) {
		vk_strv_add(ret, c->registry_path);
		vk_strv_add(ret, "serve");
		vk_strv_take(ret, vk_state_path(c, "registry/config.yml"));
		return;
	}
	vk_strv_add(ret, c->haproxy_path);
	vk_strv_add(ret, "-W");
	vk_strv_add(ret, "-S");
	bool links = vk_streq(row->name, "links");
	vk_autofree char *master =
		vk_run_path(c, links ? "route/links-master.sock" : "route/master.sock");
	vk_strv_addf(ret, "%s,mode,600", master);
	vk_strv_add(ret, "-f");
	vk_strv_take(ret, vk_state_path(c, links ? "route/links.cfg" : "route/haproxy.cfg"));
}

void program_argv(const struct program_row *row, const struct vk_config *c, const char *config_file,
	struct vk_strv *ret)
{
	if (row->kind == PROGRAM_HELPER) {
		helper_argv(row, c, ret);
		return;
	}
	vk_autofree char *name = vk_streq(row->name, "scheduler") && vk_streq(c->store, "etcd")
		? vk_asprintf("%s-etcd", row->executable)
		: vk_strdup(row->executable);
	vk_strv_take(ret, vk_libexec_path(c, name));
	if (config_file != NULL) {
		vk_strv_add(ret, "--config");
		vk_strv_add(ret, config_file);
	}
	if (c->root != NULL) {
		vk_strv_add(ret, "--root");
		vk_strv_add(ret, c->root);
	}
}

bool program_record_parse(const char *text, pid_t *ret_pid, uint64_t *ret_start)
{
	vk_autostrv words = {0};
	uint64_t pid, start;
	if (vk_shell_split(text, &words, NULL) < 0 || words.n != 2)
		return false;
	if (vk_parse_u64(words.v[0], 2, 1 << 30, &pid) < 0 ||
		vk_parse_u64(words.v[1], 0, UINT64_MAX, &start) < 0)
		return false;
	*ret_pid = (pid_t)pid;
	*ret_start = start;
	return true;
}
