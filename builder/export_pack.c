/* Plans of boats without a Dockerfile: our own packs, which come with a template of one, and sources
 * for other people's packs. */
#include <string.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/pack_name.h>
#include <viking/str.h>

#include "dockerfile.h"
#include "export.h"
#include "export_plan.h"
#include "pack_template.h"
#include "procfile.h"

enum plan_kind plan_kind(const json_t *recipe)
{
	const char *type = vk_json_str(json_object_get(recipe, "builder"), "type", "");
	if (strcmp(type, "own") == 0)
		return PLAN_OWN;
	return *type != '\0' ? PLAN_SOURCE : PLAN_DOCKERFILE;
}

static int own_dockerfile(const char *pack, const struct plan_request *q,
	const struct manifest_files *files, const char *context, struct plan *p, struct vk_err *err)
{
	vk_autofree char *path = vk_asprintf("%s/%s/Dockerfile.in", q->packs_dir, pack);
	vk_autobuf text = VK_BUF_INIT(TEMPLATE_MAX);
	struct dockerfile_opts o = {.file = "Dockerfile", .target = "", .registry = q->registry};
	struct dockerfile *d = NULL;
	int rc = vk_fs_read(path, &text, err);
	if (rc == 0)
		rc = pack_template_expand(
			vk_buf_str(&text), text.len, files, context, &p->text, err);
	if (rc == 0)
		rc = dockerfile_scan(vk_buf_str(&p->text), p->text.len, &o, &d, err);
	if (rc == 0)
		p->froms = dockerfile_images(d, q->refs);
	dockerfile_free(d);
	return rc != 0 ? vk_err_wrap(err, "the pack %s", pack) : 0;
}

/* Of the Procfile; without one, what the pack itself starts. */
static int own_processes(const char *pack, const struct manifest_files *files, const char *context,
	struct plan *p, struct vk_err *err)
{
	vk_autofree char *path = strcmp(context, ".") == 0 ? vk_strdup("Procfile")
							   : vk_asprintf("%s/Procfile", context);
	vk_autobuf text = VK_BUF_INIT(PROCFILE_MAX + 1);
	int rc = files->read(files->arg, path, &text, err);
	if (rc == 0)
		return procfile_parse(vk_buf_str(&text), text.len, &p->processes, err);
	if (rc != VK_NOTFOUND)
		return rc;
	if (strcmp(pack, "procfile") == 0) {
		vk_err_set(err, VK_INVALID, "the pack procfile needs a Procfile in the root");
		return vk_err_hint(err, "add a file Procfile with a line web: COMMAND");
	}
	vk_autofree char *web = vk_asprintf("/opt/viking/packs/%s/bin/web", pack);
	p->processes = json_pack("{s:s}", "web", web);
	return 0;
}

int plan_own(struct tree_store *s, const git_oid *root, const struct plan_request *q,
	const char *context, struct plan *p, struct vk_err *err)
{
	const char *pack = vk_json_str(json_object_get(q->recipe, "builder"), "pack", "");
	struct export_tree_files tree = {s, *root};
	struct manifest_files files = export_files_of_tree(&tree);
	if (!vk_pack_is_own(pack))
		return vk_err_set(err, VK_INVALID, "\"%.60s\" is none of viking's packs", pack);
	int rc = own_processes(pack, &files, context, p, err);
	return rc == 0 ? own_dockerfile(pack, q, &files, context, p, err) : rc;
}

char *plan_tar_path(const struct plan *p, size_t i)
{
	return p->kind == PLAN_OWN ? vk_asprintf("app/%s", plan_path(p, i))
				   : vk_strdup(plan_path(p, i));
}

int plan_write_site(const struct plan *p, struct tar *t, struct vk_err *err)
{
	const char *env = vk_json_str(p->site, "env", ""), *ca = vk_json_str(p->site, "ca", "");
	int rc = tar_dir(t, "site", err);
	if (rc == 0)
		rc = tar_file(t, "site/env", false, env, strlen(env), err);
	if (rc == 0)
		rc = tar_file(t, "site/ca.crt", false, ca, strlen(ca), err);
	return rc == 0 ? tar_dir(t, "app", err) : rc;
}
