#include "refs.h"

#include <viking/id.h>
#include <viking/str.h>

#define HEADS "refs/heads/"
#define TAGS  "refs/tags/"

bool ref_is_zero(const char *oid)
{
	return oid[strspn(oid, "0")] == '\0';
}

static bool is_oid(const char *p, size_t n, size_t digits)
{
	return n == digits && strspn(p, "0123456789abcdef") >= digits;
}

static int check_oids(const char *line, size_t old, size_t new, struct vk_err *err)
{
	if (is_oid(line, old, 64) || is_oid(line + old + 1, new, 64)) {
		vk_err_set(err, VK_INVALID,
			"repositories with SHA-256 object names are not supported");
		return vk_err_hint(err, "git init --object-format=sha1");
	}
	if (!is_oid(line, old, 40) || !is_oid(line + old + 1, new, 40))
		return vk_err_set(err, VK_INVALID, "a ref update without object names");
	return 0;
}

int refs_add(struct ref_updates *u, const char *line, size_t n, struct vk_err *err)
{
	vk_autofree char *text = vk_strndup(line, n);
	size_t old = strcspn(text, " ");
	if (strlen(text) != n || text[old] != ' ')
		return vk_err_set(err, VK_INVALID, "a ref update that cannot be read");
	size_t new = strcspn(text + old + 1, " ");
	const char *ref = text + old + 1 + new;
	if (*ref != ' ' || ref[1] == '\0')
		return vk_err_set(err, VK_INVALID, "a ref update that cannot be read");
	int rc = check_oids(text, old, new, err);
	if (rc != 0)
		return rc;
	if (u->n == REF_UPDATES_MAX) {
		vk_err_set(err, VK_LIMIT, "more than %d refs in one push", REF_UPDATES_MAX);
		return vk_err_hint(
			err, "the branch that is to be deployed alone: git push deploy master");
	}
	u->v = vk_reallocarray(u->v, u->n + 1, sizeof(*u->v));
	struct ref_update *r = &u->v[u->n++];
	*r = (struct ref_update){.ref = vk_strdup(ref + 1)};
	memcpy(r->old, text, 40);
	memcpy(r->new, text + old + 1, 40);
	return 0;
}

bool refs_is_branch(const char *branches, const char *name)
{
	size_t n = strlen(name);
	for (const char *p = branches; n > 0;) {
		p += strspn(p, ", ");
		size_t len = strcspn(p, ", ");
		if (len == 0)
			return false;
		if (len == n && memcmp(p, name, n) == 0)
			return true;
		p += len;
	}
	return false;
}

void refs_first_branch(const char *branches, char *name)
{
	const char *p = branches + strspn(branches, ", ");
	size_t n = strcspn(p, ", ");
	if (n == 0 || n > REF_NAME_MAX) {
		p = "main";
		n = 4;
	}
	memcpy(name, p, n);
	name[n] = '\0';
}

static void refuse(struct ref_verdict *v, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void refuse(struct ref_verdict *v, const char *hint, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *text = vk_vasprintf(fmt, ap);
	va_end(ap);
	v->kind = REF_REFUSED;
	vk_str_printable(text, strlen(text), v->reason, sizeof(v->reason));
	vk_str_printable(hint, strlen(hint), v->hint, sizeof(v->hint));
}

/* git has checked the name's form; what could still be taken for an option or a long line is not. */
static bool odd_name(const char *ref)
{
	return strlen(ref) > REF_NAME_MAX || strstr(ref, "/-") != NULL || strchr(ref, ' ') != NULL;
}

static void judge_branch(struct ref_verdict *v, const struct ref_update *r, const char *branches,
	const char *preferred)
{
	const char *name = r->ref + strlen(HEADS);
	bool deploys = refs_is_branch(branches, name), deletes = ref_is_zero(r->new);
	if (deploys && !deletes) {
		v->kind = REF_DEPLOY;
		return;
	}
	if (deploys) {
		refuse(v, "viking stacks:destroy STACK", "the deploy branch %s cannot be deleted",
			name);
		return;
	}
	if (deletes) {
		refuse(v, "", "there is no branch %s here", name);
		return;
	}
	vk_autofree char *hint = vk_asprintf("git push <remote> %s:%s", name, preferred);
	refuse(v, hint, "branch %s does not deploy, try: %s", name, hint);
}

static void judge_one(struct ref_verdict *v, const struct ref_update *r, const char *branches,
	const char *preferred)
{
	*v = (struct ref_verdict){.kind = REF_TAG};
	if (odd_name(r->ref))
		refuse(v, "", "this name is not allowed here");
	else if (vk_starts(r->ref, HEADS))
		judge_branch(v, r, branches, preferred);
	else if (!vk_starts(r->ref, TAGS))
		refuse(v, "", "only branches and tags are stored here");
}

void refs_judge(struct ref_updates *u, const char *branches, const char *preferred)
{
	size_t deploying = 0;
	u->verdicts = vk_reallocarray(u->verdicts, u->n + 1, sizeof(*u->verdicts));
	for (size_t i = 0; i < u->n; i++) {
		judge_one(&u->verdicts[i], &u->v[i], branches, preferred);
		deploying += u->verdicts[i].kind == REF_DEPLOY;
	}
	for (size_t i = 0; i < u->n && deploying > 1; i++)
		if (u->verdicts[i].kind == REF_DEPLOY) {
			vk_autofree char *hint =
				vk_asprintf("git push <remote> %s", u->v[i].ref + strlen(HEADS));
			refuse(&u->verdicts[i], hint,
				"%zu deploy branches in one push, and a stack runs one; try: %s",
				deploying, hint);
		}
}

bool refs_all_refused(const struct ref_updates *u)
{
	for (size_t i = 0; i < u->n; i++)
		if (u->verdicts[i].kind != REF_REFUSED)
			return false;
	return true;
}

const struct ref_update *refs_deploying(const struct ref_updates *u)
{
	for (size_t i = 0; i < u->n; i++)
		if (u->verdicts[i].kind == REF_DEPLOY)
			return &u->v[i];
	return NULL;
}

void refs_release(struct ref_updates *u)
{
	for (size_t i = 0; i < u->n; i++)
		free(u->v[i].ref);
	free(u->v);
	free(u->verdicts);
	*u = (struct ref_updates){0};
}
