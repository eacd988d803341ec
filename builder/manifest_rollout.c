/*
 * How a release comes into service: `rollout:` at the top. In the document
 *	"rollout": {"canary": percent of the requests, "watch_ms", "error_permille", "min_requests"}
 * all optional but watch_ms; the last two are auto_rollback's.
 */
#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

#include "manifest_parse.h"

#define WATCH_MS     30000
#define WATCH_MAX    3600000
#define MIN_REQUESTS 20

/* "10", "10%", "0.5 %" -> thousandths */
static int percent(const struct mval *v, uint64_t *ret_permille, struct vk_err *err)
{
	const char *text;
	uint64_t whole, tenth = 0;
	int rc = mval_text(v, 16, &text, err);
	if (rc != 0)
		return rc;
	vk_autofree char *number = vk_strndup(text, strcspn(text, " %"));
	const char *rest = text + strlen(number);
	rest += strspn(rest, " ");
	char *dot = strchr(number, '.');
	if (dot != NULL)
		*dot = '\0';
	if ((*rest != '\0' && strcmp(rest, "%") != 0) ||
		vk_parse_u64(number, 0, 100, &whole) != 0 ||
		(dot != NULL && vk_parse_u64(dot + 1, 0, 9, &tenth) != 0))
		return mval_error(v, err, "needs a percentage like 10%%, not \"%s\"", text);
	*ret_permille = whole * 10 + tenth;
	return 0;
}

static int rollout_canary(const struct mval *v, json_t *out, struct vk_err *err)
{
	uint64_t permille;
	int rc = percent(v, &permille, err);
	if (rc == 0 && (permille < 10 || permille > 990 || permille % 10 != 0))
		rc = mval_error(v, err,
			"is the whole percentage of requests that try the new "
			"release, 1%% to 99%%");
	if (rc == 0)
		json_object_set_new(out, "canary", json_integer((json_int_t)permille / 10));
	return rc;
}

static int rollout_watch(const struct mval *v, json_t *out, struct vk_err *err)
{
	int64_t ms;
	int rc = mval_duration(v, 1000, WATCH_MAX, &ms, err);
	if (rc == 0)
		json_object_set_new(out, "watch_ms", json_integer(ms));
	return rc;
}

static int back_rate(const struct mval *v, json_t *out, struct vk_err *err)
{
	uint64_t permille;
	int rc = percent(v, &permille, err);
	if (rc == 0 && permille == 1000)
		rc = mval_error(v, err,
			"is below 100%%: a release of which all requests fail has to "
			"be more than that");
	if (rc == 0)
		json_object_set_new(out, "error_permille", json_integer((json_int_t)permille));
	return rc;
}

static int back_requests(const struct mval *v, json_t *out, struct vk_err *err)
{
	uint64_t n;
	int rc = mval_u64(v, 1, 1000000, &n, err);
	if (rc == 0)
		json_object_set_new(out, "min_requests", json_integer((json_int_t)n));
	return rc;
}

static const struct mkey back_keys[] = {
	{"error_rate", NULL, back_rate, 0}, {"requests", "min_requests", back_requests, 0}, {0}};

/* 5%, or {error_rate: 5%, requests: 50} */
static int rollout_back(const struct mval *v, json_t *out, struct vk_err *err)
{
	int rc;
	if (v->y->type == VK_YAML_MAP)
		rc = mtable_run(v->m, v->y, &(struct mtable){back_keys, NULL, v->what, false, NULL},
			out, NULL, err);
	else
		rc = back_rate(v, out, err);
	if (rc == 0 && json_object_get(out, "error_permille") == NULL)
		rc = mval_error(v, err, "has no error_rate, as in {error_rate: 5%%}");
	if (rc == 0 && json_object_get(out, "min_requests") == NULL)
		json_object_set_new(out, "min_requests", json_integer(MIN_REQUESTS));
	return rc;
}

static const struct mkey rollout_keys[] = {{"canary", NULL, rollout_canary, 0},
	{"watch", NULL, rollout_watch, 0}, {"auto_rollback", "rollback", rollout_back, 0}, {0}};

int manifest_rollout(const struct mval *v, json_t *doc, struct vk_err *err)
{
	vk_autojson *rollout = json_pack("{s:i}", "watch_ms", WATCH_MS);
	int rc = mval_map(v, err);
	if (rc == 0)
		rc = mtable_run(v->m, v->y,
			&(struct mtable){rollout_keys, NULL, "rollout", false, NULL}, rollout, NULL,
			err);
	if (rc == 0)
		json_object_set(doc, "rollout", rollout);
	return rc;
}
