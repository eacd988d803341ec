/* `serve`: one request line on stdin, one answer line on stdout, then the tar if that was
 * asked for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/repo.h>
#include <viking/str.h>

#include "export.h"
#include "export_plan.h"
#include "export_site.h"
#include "steps.h"

#define REQUEST_MAX (1024 * 1024)
#define TAR_S       900 /* the engine reads as fast as it builds */

struct request {
	char *mode, *stack, *id, *commit, *node, *document_root;
	json_t *recipe, *refs, *keep, *site;
	uint64_t owner;
};

static const struct vk_field request_fields[] = {
	{"mode", VK_F_STR, offsetof(struct request, mode), true, 0, 0},
	{"stack", VK_F_STR, offsetof(struct request, stack), true, 0, 0},
	{"id", VK_F_STR, offsetof(struct request, id), false, 0, 64},
	{"commit", VK_F_STR, offsetof(struct request, commit), true, 0, 0},
	{"recipe", VK_F_JSON, offsetof(struct request, recipe), false, 0, 0},
	{"refs", VK_F_JSON, offsetof(struct request, refs), false, 0, 0},
	{"keep", VK_F_ARRAY, offsetof(struct request, keep), false, 0, 0},
	{"site", VK_F_OBJECT, offsetof(struct request, site), false, 0, 0},
	{"owner", VK_F_U64, offsetof(struct request, owner), false, 0, UINT16_MAX},
	{"node", VK_F_STR, offsetof(struct request, node), false, 0, 0},
	{"document_root", VK_F_STR, offsetof(struct request, document_root), false, 0, 0},
	{0},
};

/* One byte after the other would be safe; whole reads are too, as nothing follows the line. */
static int read_line(struct vk_buf *b, struct vk_err *err)
{
	char chunk[4096];
	while (memchr(vk_buf_str(b), '\n', b->len) == NULL) {
		ssize_t n = read(STDIN_FILENO, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vk_err_errno(err, errno, "request");
		if (n == 0)
			return b->len > 0 ? 0 : vk_err_set(err, VK_INVALID, "no request");
		if (vk_buf_add(b, chunk, (size_t)n) != 0)
			return vk_err_set(err, VK_LIMIT, "the request is longer than %d KiB",
				REQUEST_MAX / 1024);
	}
	return 0;
}

static int read_request(struct request *q, struct vk_err *err)
{
	vk_autobuf line = VK_BUF_INIT(REQUEST_MAX);
	vk_autojson *j = NULL;
	int rc = read_line(&line, err);
	if (rc == 0)
		rc = vk_json_parse(vk_buf_str(&line), strcspn(vk_buf_str(&line), "\n"), &j, err);
	if (rc == 0)
		rc = vk_json_fields(j, request_fields, q, err);
	if (rc == 0)
		rc = vk_stack_name(q->stack, err);
	if (rc == 0 && !vk_is_commit(q->commit))
		rc = vk_err_set(err, VK_INVALID, "\"%.60s\" is no commit id", q->commit);
	return rc;
}

static struct tree_limits limits_of(const struct vk_config *c)
{
	return (struct tree_limits){
		c->tree_depth_max, c->tree_files_max, c->tree_bytes_max, c->object_max};
}

static int serve_tar(struct export *x, const struct request *q, struct tree_store *s,
	const git_oid *root, struct vk_err *err)
{
	vk_autofree char *packs_dir = vk_libexec_path(x->config, "packs");
	struct plan_request pq = {q->recipe, q->refs, x->registry, limits_of(x->config), q->site,
		packs_dir, (unsigned)q->owner};
	struct plan p;
	int rc = plan_make(s, root, &pq, &p, err);
	if (rc != 0)
		return rc;
	vk_autojson *answer = json_object();
	json_object_set_new(answer, "key", json_string(p.key));
	if (p.dockerfile != NULL) {
		json_object_set_new(answer, "dockerfile",
			vk_json_safe_string(p.dockerfile, strlen(p.dockerfile)));
		json_object_set(answer, "froms", p.froms);
		json_object_set_new(answer, "steps", steps_list(vk_buf_str(&p.text), p.text.len));
	}
	if (p.processes != NULL)
		json_object_set(answer, "processes", p.processes);
	json_object_set_new(answer, "files", json_integer((json_int_t)p.files));
	json_object_set_new(answer, "bytes", json_integer((json_int_t)p.bytes));
	rc = export_print_json(answer, err);
	x->answered = true;
	if (rc == 0)
		rc = export_extend(TAR_S, err);
	if (rc == 0)
		rc = plan_write(s, &p, x->config->object_max, STDOUT_FILENO, err);
	plan_release(&p);
	return rc;
}

static int serve_site(struct export *x, const struct request *q, struct tree_store *s,
	const git_oid *root, struct vk_err *err)
{
	struct site_request sq = {x->static_dir, q->stack, q->node, q->commit, q->document_root,
		limits_of(x->config), q->keep};
	uint64_t files = 0, bytes = 0;
	int rc = site_write(s, root, &sq, &files, &bytes, err);
	if (rc != 0)
		return rc;
	vk_autojson *answer = json_object();
	json_object_set_new(answer, "files", json_integer((json_int_t)files));
	json_object_set_new(answer, "bytes", json_integer((json_int_t)bytes));
	return export_print_json(answer, err);
}

static int check_mode(const struct request *q, bool *ret_site, struct vk_err *err)
{
	*ret_site = strcmp(q->mode, "site") == 0;
	if (!*ret_site && strcmp(q->mode, "tar") != 0)
		return vk_err_set(
			err, VK_INVALID, "the mode is tar or site, not \"%.60s\"", q->mode);
	if (!*ret_site)
		return json_is_object(q->recipe) ? 0 : vk_err_set(err, VK_INVALID, "no recipe");
	if (q->node == NULL || q->document_root == NULL)
		return vk_err_set(err, VK_INVALID, "a site needs node and document_root");
	vk_autofree char *clean = NULL;
	int rc = vk_node_name(q->node, err);
	if (rc == 0)
		rc = manifest_path(q->document_root, &clean, err);
	return rc == 0 && strcmp(clean, q->document_root) != 0
		? vk_err_set(err, VK_INVALID, "document_root is no clean path")
		: rc;
}

static int serve(struct export *x, const struct request *q, struct vk_err *err)
{
	static const struct export_limits limits = {
		.deadline_s = 60, .cpu_s = 300, .memory = 4ull << 30};
	vk_autofree char *repos = vk_state_path(x->config, "repos");
	vk_autofree char *repo = x->repo != NULL
		? vk_strdup(x->repo)
		: vk_repo_find(repos, q->stack, q->id != NULL ? q->id : "");
	vk_autofree char *sites = x->static_dir != NULL ? vk_strdup(x->static_dir)
							: vk_state_path(x->config, "static");
	vk_autofree char *packs_dir = vk_libexec_path(x->config, "packs");
	struct tree_store *s = NULL;
	git_oid root;
	bool site;
	int rc = check_mode(q, &site, err);
	if (rc == 0 && repo == NULL)
		rc = vk_err_set(err, VK_NOTFOUND, "the repository of %s is not there", q->stack);
	x->static_dir = sites;
	if (rc == 0 && site)
		rc = vk_fs_mkdir_p(sites, 0750, err);
	if (rc == 0)
		rc = export_confine(x, &limits, repo, vk_fs_exists(packs_dir) ? packs_dir : NULL,
			site ? sites : NULL, err);
	if (rc == 0)
		rc = tree_init(err);
	if (rc == 0)
		rc = tree_store_open(repo, NULL, &s, err);
	if (rc == 0)
		rc = tree_of_commit(s, q->commit, &root, err);
	if (rc == 0)
		rc = site ? serve_site(x, q, s, &root, err) : serve_tar(x, q, s, &root, err);
	tree_store_free(s);
	x->static_dir = NULL;
	return rc;
}

int export_serve(struct export *x, struct vk_err *err)
{
	struct request q = {0};
	int rc = read_request(&q, err);
	if (rc == 0)
		rc = serve(x, &q, err);
	vk_fields_release(request_fields, &q);
	return rc;
}
