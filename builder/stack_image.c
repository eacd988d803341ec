#include "stack_image.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/proc.h>
#include <viking/str.h>

#include "image.h"
#include "linefold.h"

#define MAKE_MS (30 * 60 * 1000)

static int inspect(struct job *j, const char *tag, json_t **ret, struct vk_err *err)
{
	vk_autofree char *name = vk_asprintf(STACK_IMAGE ":%s", tag);
	vk_autofree char *escaped = vk_engine_escape(name);
	vk_autofree char *path = vk_asprintf("/images/%s/json", escaped);
	return vk_engine_call(j->engine, "GET", path, NULL, 0, ret, err);
}

static void copy_text(const json_t *from, const char *key, char *to, size_t size)
{
	const char *text = vk_json_str(from, key, "");
	vk_str_printable(text, strlen(text), to, size);
}

int stack_image_find(struct job *j, struct stack_image *ret, struct vk_err *err)
{
	vk_autojson *build = NULL, *run = NULL;
	int code = inspect(j, "build", &build, err);
	if (code == 0)
		code = inspect(j, "run", &run, err);
	if (code != 0)
		return code;
	copy_text(build, "Id", ret->build, sizeof(ret->build));
	copy_text(run, "Id", ret->run, sizeof(ret->run));
	copy_text(json_object_get(json_object_get(run, "Config"), "Labels"), "viking.stack-image",
		ret->version, sizeof(ret->version));
	return 0;
}

static void on_line(void *arg, const char *line, size_t n)
{
	buildlog_line(arg, line, n);
}

/* Its lines as they come, until it closes its output. */
static void relay_lines(struct job *j, int fd, int64_t deadline)
{
	struct linefold fold;
	char chunk[8192];
	linefold_init(&fold);
	for (;;) {
		int64_t left = deadline - vk_mono_ms();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int n = left > 0 ? poll(&p, 1, (int)left) : 0;
		if (n < 0 && errno == EINTR)
			continue;
		ssize_t got = n > 0 ? read(fd, chunk, sizeof(chunk)) : 0;
		if (got <= 0)
			break;
		linefold_feed(&fold, chunk, (size_t)got, vk_mono_ms(), on_line, &j->log);
	}
	linefold_end(&fold, on_line, &j->log);
	linefold_release(&fold);
}

/* The script takes a site's proxies from its environment, as everything in the field does, in lower case as apt does. */
static void add_site(const struct job *j, struct vk_strv *env)
{
	static const char *const names[] = {"http_proxy=", "https_proxy=", "no_proxy="};
	for (const char *line = vk_json_str(j->site, "env", ""); *line != '\0';) {
		size_t n = strcspn(line, "\n");
		for (size_t i = 0; i < VK_COUNT(names); i++)
			if (strncasecmp(line, names[i], strlen(names[i])) == 0)
				vk_strv_addf(env, "%s%.*s", names[i], (int)(n - strlen(names[i])),
					line + strlen(names[i]));
		line += n + (line[n] == '\n');
	}
	if (j->config->build_ca_file[0] != '\0')
		vk_strv_addf(env, "VIKING_EXTRA_CA=%s", j->config->build_ca_file);
}

static int run_script(struct job *j, const char *word, int *ret_status, struct vk_err *err)
{
	vk_autofree char *script = vk_libexec_path(j->config, "stack/build.sh");
	vk_autofree char *home = vk_state_path(j->config, "registry");
	const char *const argv[] = {script, word, NULL};
	vk_autostrv env = {0};
	struct vk_proc p;
	int64_t deadline = vk_mono_ms() + MAKE_MS;
	vk_strv_add(&env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	vk_strv_add(&env, "LANG=C.UTF-8");
	vk_strv_addf(&env, "DOCKER_HOST=unix://%s", j->config->engine_socket);
	vk_strv_addf(&env, "HOME=%s", home);
	add_site(j, &env);
	int code = vk_proc_start(&(struct vk_proc_opts){.path = script,
					 .argv = argv,
					 .env = (const char *const *)env.v,
					 .in = VK_FD_NULL,
					 .out = VK_FD_PIPE,
					 .err = VK_FD_INHERIT,
					 .die_with_parent = true},
		&p, err);
	if (code != 0)
		return code;
	relay_lines(j, p.out, deadline);
	vk_closep(&p.out);
	int64_t left = deadline - vk_mono_ms();
	return vk_proc_wait(p.pid, left > 0 ? left : 1, ret_status, err);
}

/* The script sees to it that two at the same time do the work once. */
static int make(struct job *j, struct vk_err *err)
{
	int status = 0;
	int code = run_script(j, NULL, &status, err);
	if (code != 0 || status == 0)
		return code;
	vk_err_set(err, VK_FAILED, "the stack image of buildpacks could not be made");
	return vk_err_hint(err,
		"see the lines above; by hand on the host: sudo "
		"%s/stack/build.sh",
		j->config->libexec_dir);
}

int stack_image_ensure(struct job *j, struct stack_image *ret, struct vk_err *err)
{
	int code = stack_image_find(j, ret, err);
	if (code != VK_NOTFOUND)
		return code;
	buildlog_linef(
		&j->log, "The stack image is made, once for this host: that takes some minutes");
	code = make(j, err);
	return code == 0 ? stack_image_find(j, ret, err) : code;
}

int stack_image_refresh(struct job *j, struct vk_err *err)
{
	struct stack_image there = {0};
	int status = 0;
	if (stack_image_find(j, &there, NULL) != 0)
		return 0; /* the first build that needs it makes it */
	int code = run_script(j, "--check", &status, err);
	return code == 0 && status != 0 ? make(j, err) : code;
}

/* -- into the registry ----------------------------------------------------------------------- */

static bool has_digest(const json_t *image, const struct image *m, const char *digest)
{
	vk_autofree char *ref = vk_asprintf("%s@%s", m->name, digest);
	const json_t *refs = json_object_get(image, "RepoDigests");
	for (size_t i = 0; i < json_array_size(refs); i++)
		if (vk_streq(json_string_value(json_array_get(refs, i)), ref))
			return true;
	return false;
}

/* The one that was there under the tag goes: nothing else would remove it. */
static int replace(struct job *j, struct image *m, const char *old, struct vk_err *err)
{
	vk_autofree char *path = vk_asprintf(
		"/images/" STACK_IMAGE ":%s/tag?repo=%s&tag=%s", m->tag, m->name, m->tag);
	int code = vk_engine_call(j->engine, "POST", path, NULL, 0, NULL, err);
	if (code == 0)
		code = image_push(j, m, err);
	if (code == 0 && *old != '\0' && !vk_streq(old, m->digest))
		code = registry_delete(&j->registry, m->repo, old, err);
	return code == VK_NOTFOUND ? 0 : code;
}

static int store_one(struct job *j, const char *tag, bool *ret, struct vk_err *err)
{
	struct image m = {.repo = vk_strdup(STACK_IMAGE),
		.name = vk_asprintf("%s/" STACK_IMAGE, j->registry.server),
		.tag = tag};
	char old[DIGEST_MAX] = "";
	vk_autojson *image = NULL;
	int code = registry_digest(&j->registry, m.repo, tag, old, err);
	if (code == 0 || code == VK_NOTFOUND)
		code = inspect(j, tag, &image, err);
	if (code == 0 && (*old == '\0' || !has_digest(image, &m, old))) {
		*ret = true;
		code = replace(j, &m, old, err);
	}
	image_release(&m);
	return code;
}

int stack_image_store(struct job *j, bool *ret, struct vk_err *err)
{
	*ret = false;
	int code = store_one(j, "run", ret, err);
	return code == 0 ? store_one(j, "build", ret, err) : code;
}
