/* Jobs from outside: an answer, none, nonsense, too late, too long. The job's program is a script here. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>

#include "worker.h"

struct heard {
	struct vk_loop *l;
	json_t *answer;
};

static void on_answer(void *arg, const json_t *answer)
{
	struct heard *h = arg;
	h->answer = json_deep_copy(answer);
	vk_loop_stop(h->l, 0);
}

/* The answer's message, or the text of the whole when ok. The caller frees. */
static char *run(const char *script, int64_t timeout_ms)
{
	char dir[] = "/tmp/vk-worker-XXXXXX";
	struct heard h = {0};
	struct worker *w = NULL;
	struct vk_err err = {0};
	vk_autojson *job = json_pack("{s:s}", "a", "b");
	cr_assert_not_null(mkdtemp(dir));
	vk_autofree char *path = vk_asprintf("%s/job", dir);
	vk_autofree char *text = vk_asprintf("#!/bin/sh\n%s\n", script);
	cr_assert_eq(vk_fs_write_atomic(path, text, strlen(text), 0700, &err), 0);
	cr_assert_eq(vk_loop_new(&h.l, &err), 0);
	cr_assert_eq(worker_start(h.l, path, "check", job, timeout_ms, on_answer, &h, &w, &err), 0,
		"%s", err.msg);
	vk_loop_run(h.l);
	vk_loop_free(h.l);
	vk_fs_remove_tree(dir, NULL);
	char *said = vk_json_bool(h.answer, "ok", false)
		? vk_json_text(h.answer)
		: vk_strdup(vk_json_str(h.answer, "message", ""));
	json_decref(h.answer);
	return said;
}

static void says(const char *script, int64_t timeout_ms, const char *part)
{
	vk_autofree char *said = run(script, timeout_ms);
	cr_assert_not_null(strstr(said, part), "%s: %s", script, said);
}

Test(worker, answers_are_passed_on)
{
	says("test \"$1\" = check && read -r a; echo '{\"ok\": true, \"n\": 1}'", 20000, "\"n\":1");
	says("cat > /dev/null; echo '{\"ok\": false, \"message\": \"why\"}'; exit 1", 20000, "why");
}

Test(worker, what_is_no_answer_is_a_failure)
{
	says("exit 0", 20000, "");
	says("echo nonsense", 20000, "JSON");
	says("kill -9 $$", 20000, "ended by signal 9");
	says("exec sleep 60", 200, "longer than 0.2 s");
	says("exec cat /dev/zero", 20000, "longer than 131072 bytes");
	says("sleep 60 & echo '{\"ok\": true}'", 20000, "\"ok\":true");
}
