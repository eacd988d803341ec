#include "program.h"

#include "environ.h"
#include "repo.h"

#define MIB ((uint64_t)1 << 20)

static void setting(struct program *p, const char *name, const char *value)
{
	vk_strv_add(&p->argv, "-c");
	vk_strv_addf(&p->argv, "%s=%s", name, value);
}

static void setting_u64(struct program *p, const char *name, uint64_t value)
{
	vk_strv_add(&p->argv, "-c");
	vk_strv_addf(&p->argv, "%s=%llu", name, (unsigned long long)value);
}

static void viking_env(struct program *p, const struct program_context *x)
{
	vk_strv_addf(&p->env, "VIKING_TOKEN=%s", x->token);
	vk_strv_addf(&p->env, "VIKING_KEY=%s", x->key);
	vk_strv_addf(&p->env, "VIKING_API=%s", x->api);
	vk_strv_addf(&p->env, "VIKING_CONFIG_FILE=%s", x->config_file);
	if (x->config->root != NULL)
		vk_strv_addf(&p->env, "VIKING_ROOT=%s", x->config->root);
	environ_settings(&p->env);
}

/* Nothing in the repository's own configuration is trusted: what matters is said on each call. */
static void common_settings(struct program *p, const struct vk_config *c, bool copy)
{
	vk_autofree char *hooks = vk_libexec_path(c, "git-hooks");
	setting(p, "core.hooksPath", copy ? "/dev/null" : hooks);
	setting(p, "core.fsync", "all");
	setting(p, "core.fsyncMethod", "fsync");
	setting(p, "gc.auto", "0");
	setting(p, "maintenance.auto", "false");
	setting(p, "transfer.hideRefs", "refs/viking");
}

static void receive_settings(struct program *p, const struct vk_config *c, bool copy)
{
	static const struct {
		const char *name, *value;
	} fixed[] = {{"transfer.fsckObjects", "true"}, {"receive.fsckObjects", "true"},
		{"receive.unpackLimit", "1"}, {"transfer.unpackLimit", "1"},
		{"receive.advertisePushOptions", "true"}, {"receive.advertiseAtomic", "false"},
		{"receive.autogc", "false"}, {"receive.denyCurrentBranch", "ignore"},
		{"receive.denyDeletes", "false"}, {"receive.denyDeleteCurrent", "ignore"},
		{"receive.denyNonFastForwards", "false"}, {"receive.shallowUpdate", "false"},
		{"receive.keepAlive", "5"}, {"receive.updateServerInfo", "false"}};
	for (size_t i = 0; i < VK_COUNT(fixed); i++)
		setting(p, fixed[i].name, fixed[i].value);
	if (copy)
		return; /* its size was limited when it came, in parts */
	setting(p, "receive.procReceiveRefs", "refs");
	setting_u64(p, "receive.maxInputSize", c->pack_max);
	setting_u64(p, "core.bigFileThreshold", c->object_max);
}

static void upload_settings(struct program *p)
{
	setting(p, "uploadpack.allowAnySHA1InWant", "false");
	setting(p, "uploadpack.allowFilter", "false");
	setting(p, "pack.threads", "2");
}

/* index-pack maps the pack it writes; a delta bomb needs more than this (SECURITY.md 1.4). */
static void receive_limits(struct program *p, const struct vk_config *c)
{
#if !defined( \
	__SANITIZE_ADDRESS__) /* whose shadow memory is address space: the hooks could not start */
	p->limit_as = c->pack_max + 4 * c->object_max + 1024 * MIB;
#endif
	p->limit_fsize = 2 * c->pack_max + 64 * MIB;
	p->limit_cpu_s = 60 + c->pack_max / MIB / 2;
	p->limit_nofile = 1024;
}

void program_git(const struct program_context *x, const struct command *cmd, const char *repo,
	struct program *ret)
{
	bool receive = cmd->kind == COMMAND_RECEIVE;
	*ret = (struct program){.path = x->config->git_path};
	vk_strv_add(&ret->argv, "git");
	common_settings(ret, x->config, x->copy);
	if (receive) {
		receive_settings(ret, x->config, x->copy);
		if (!x->copy)
			receive_limits(ret, x->config);
	} else {
		upload_settings(ret);
	}
	vk_strv_add(&ret->argv, receive ? "receive-pack" : "upload-pack");
	if (!receive)
		vk_strv_add(&ret->argv, "--strict");
	vk_strv_add(&ret->argv, repo);
	for (size_t i = 0; repo_git_env[i] != NULL; i++)
		vk_strv_add(&ret->env, repo_git_env[i]);
	vk_strv_add(
		&ret->env, "MALLOC_ARENA_MAX=1"); /* arenas are address space, which is limited */
	if (*x->git_protocol != '\0')
		vk_strv_addf(&ret->env, "GIT_PROTOCOL=%s", x->git_protocol);
	vk_strv_addf(&ret->env, "VIKING_STACK=%s", cmd->stack);
	if (x->stage_fd >= 0)
		vk_strv_addf(&ret->env, "VIKING_STAGE_FD=%d", x->stage_fd);
	viking_env(ret, x);
}

void program_remote(
	const struct program_context *x, const char *host, const char *line, struct program *ret)
{
	*ret = (struct program){.owned_path = vk_libexec_path(x->config, "viking-remote")};
	ret->path = ret->owned_path;
	vk_strv_add(&ret->argv, "viking-remote");
	vk_strv_add(&ret->argv, host);
	vk_strv_take(&ret->argv, vk_run_path(x->config, "hosts/%s/receiver.sock", host));
	vk_strv_add(&ret->argv, line);
	vk_strv_add(&ret->env, "LANG=C.UTF-8");
	if (*x->git_protocol != '\0')
		vk_strv_addf(&ret->env, "GIT_PROTOCOL=%s", x->git_protocol);
	viking_env(ret, x);
}

void program_copy(const struct program_context *x, const char *host, const char *stack,
	const char *repo, struct program *ret)
{
	*ret = (struct program){.path = x->config->git_path};
	vk_autofree char *ssh = vk_libexec_path(x->config, "viking-remote");
	vk_strv_add(&ret->argv, "git");
	common_settings(ret, x->config, true);
	vk_strv_addf(&ret->argv, "--git-dir=%s", repo);
	vk_strv_add(&ret->argv, "push");
	vk_strv_add(&ret->argv, "--quiet");
	vk_strv_add(&ret->argv, "--prune");
	vk_strv_addf(&ret->argv, "%s:%s", host, stack);
	vk_strv_add(&ret->argv, "+refs/heads/*:refs/heads/*");
	vk_strv_add(&ret->argv, "+refs/tags/*:refs/tags/*");
	for (size_t i = 0; repo_git_env[i] != NULL; i++)
		vk_strv_add(&ret->env, repo_git_env[i]);
	vk_strv_addf(&ret->env, "GIT_SSH=%s", ssh);
	vk_strv_add(&ret->env, "GIT_SSH_VARIANT=simple");
	vk_autofree char *socket = vk_run_path(x->config, "hosts/%s/receiver.sock", host);
	vk_strv_addf(&ret->env, "VIKING_COPY=%s", socket);
	viking_env(ret, x);
}

void program_viking(const struct program_context *x, const struct command *cmd, struct program *ret)
{
	*ret = (struct program){.owned_path = vk_libexec_path(x->config, "viking")};
	ret->path = ret->owned_path;
	vk_strv_add(&ret->argv, "viking");
	for (size_t i = 0; i < cmd->words.n; i++)
		vk_strv_add(&ret->argv, cmd->words.v[i]);
	vk_strv_add(&ret->env, "PATH=/usr/local/bin:/usr/bin:/bin");
	vk_strv_add(&ret->env, "HOME=/nonexistent");
	vk_strv_addf(&ret->env, "LANG=%s", *x->lang != '\0' ? x->lang : "C.UTF-8");
	vk_strv_addf(&ret->env, "TERM=%s", *x->term != '\0' ? x->term : "dumb");
	vk_strv_add(&ret->env, "VIKING_SSH=1");
	viking_env(ret, x);
}

void program_release(struct program *p)
{
	free(p->owned_path);
	vk_strv_release(&p->argv);
	vk_strv_release(&p->env);
}
