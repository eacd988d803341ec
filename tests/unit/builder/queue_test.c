#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "queue.h"

static struct queue q;

static void setup(void)
{
	queue_init(&q, 2);
}

static void teardown(void)
{
	queue_release(&q);
}

TestSuite(queue, .init = setup, .fini = teardown);

/* "b1:image:ragnar/web@lagertha b2:gc" -> the wanted list */
static int want(const char *words)
{
	vk_autojson *jobs = json_array();
	vk_autostrv list = {0};
	for (const char *p = words; *p != '\0'; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");
		vk_strv_addn(&list, p, n);
		p += n;
	}
	for (size_t i = 0; i < list.n; i++) {
		char *kind = strchr(list.v[i], ':'),
		     *stack = kind != NULL ? strchr(kind + 1, ':') : NULL;
		char *boat = stack != NULL ? strchr(stack + 1, '/') : NULL;
		char *who = boat != NULL ? strchr(boat + 1, '@') : NULL;
		if (kind != NULL)
			*kind++ = '\0';
		if (stack != NULL)
			*stack++ = '\0';
		if (boat != NULL)
			*boat++ = '\0';
		if (who != NULL)
			*who++ = '\0';
		json_array_append_new(jobs,
			json_pack("{s:s, s:s, s:s, s:s, s:s*}", "id", list.v[i], "kind",
				kind != NULL ? kind : "image", "stack",
				stack != NULL ? stack : list.v[i], "boat",
				boat != NULL ? boat : "web", "who", who));
	}
	return queue_want(&q, jobs, NULL);
}

/* Starts all that may start; their ids in order. */
static const char *started(void)
{
	static char ids[256];
	struct queue_job *j;
	ids[0] = '\0';
	while ((j = queue_next(&q)) != NULL) {
		queue_start(&q, j, j);
		size_t n = strlen(ids);
		snprintf(ids + n, sizeof(ids) - n, "%s%s", n > 0 ? " " : "", j->id);
	}
	return ids;
}

static struct queue_job *job(const char *id)
{
	for (size_t i = 0; i < q.n; i++) {
		if (strcmp(q.jobs[i]->id, id) == 0)
			return q.jobs[i];
	}
	return NULL;
}

Test(queue, runs_so_many_at_once_in_order)
{
	cr_assert_eq(want("b1 b2 b3 b4"), 0);
	cr_assert_str_eq(started(), "b1 b2");
	cr_assert_str_eq(started(), "");
	queue_end(&q, job("b2"), false);
	cr_assert_str_eq(started(), "b3");
}

Test(queue, tells_positions_and_only_changes)
{
	unsigned at;
	want("b1 b2 b3 b4");
	started();
	cr_assert_str_eq(queue_moved(&q, &at)->id, "b3");
	cr_assert_eq(at, 1);
	cr_assert_str_eq(queue_moved(&q, &at)->id, "b4");
	cr_assert_eq(at, 2);
	cr_assert_null(queue_moved(&q, &at));
	queue_end(&q, job("b1"), false);
	started();
	cr_assert_str_eq(queue_moved(&q, &at)->id, "b4");
	cr_assert_eq(at, 1);
	cr_assert_null(queue_moved(&q, &at));
}

Test(queue, who_has_the_fewest_running_comes_first)
{
	unsigned at;
	want("b1:image:s/a@ivar b2:image:t/a@ivar b3:image:u/a@ivar b4:image:v/a@lagertha");
	cr_assert_str_eq(started(), "b1 b4");
	cr_assert_str_eq(queue_moved(&q, &at)->id, "b2");
	cr_assert_eq(at, 1);
	want("b1:image:s/a@ivar b2:image:t/a@ivar b4:image:v/a@lagertha b5:image:w/a@bjorn");
	cr_assert_str_eq(queue_moved(&q, &at)->id, "b2");
	cr_assert_eq(at, 2);
	queue_end(&q, job("b1"), false);
	cr_assert_str_eq(started(), "b2", "ivar and bjorn have none: who came first");
	queue_end(&q, job("b4"), false);
	cr_assert_str_eq(started(), "b5");
}

Test(queue, one_build_of_a_boat_at_a_time)
{
	want("b1:image:s/web b2:image:s/web b3:image:s/db");
	cr_assert_str_eq(started(), "b1 b3");
	queue_end(&q, job("b1"), false);
	cr_assert_str_eq(started(), "b2");
}

Test(queue, what_is_not_wanted_any_more)
{
	size_t at = 0;
	want("b1 b2 b3");
	started();
	want("b2 b4");
	cr_assert_null(job("b3")); /* waited: dropped */
	cr_assert_str_eq(queue_unwanted(&q, &at)->id, "b1");
	cr_assert_null(queue_unwanted(&q, &at));
	cr_assert_str_eq(started(), ""); /* b1 still holds its place until it is gone */
	queue_end(&q, job("b1"), true);
	cr_assert_null(job("b1"));
	cr_assert_str_eq(started(), "b4");
}

Test(queue, ended_jobs_are_not_started_again_while_listed)
{
	want("b1");
	started();
	queue_end(&q, job("b1"), false);
	want("b1");
	cr_assert_str_eq(started(), "");
	want("");
	cr_assert_eq(q.n, 0);
	want("b1");
	cr_assert_str_eq(started(), "b1");
}

Test(queue, cancelled_and_wanted_again_starts_again)
{
	want("b1");
	started();
	want("");
	want("b1");
	queue_end(&q, job("b1"), true);
	cr_assert_str_eq(started(), "b1");
}

Test(queue, sites_do_not_wait_for_images)
{
	want("b1 b2 b3 s1:site s2:site");
	cr_assert_str_eq(started(), "b1 b2 s1 s2");
}

Test(queue, copies_are_made_one_job_at_a_time)
{
	want("c1:copy c2:copy");
	cr_assert_str_eq(started(), "c1");
	want("c2:copy"); /* other images meanwhile */
	cr_assert_str_eq(started(), "");
	queue_end(&q, job("c1"), true);
	cr_assert_str_eq(started(), "c2");
}

Test(queue, garbage_is_collected_alone)
{
	want("b1 g1:gc");
	cr_assert_str_eq(started(), "b1");
	queue_end(&q, job("b1"), false);
	cr_assert_str_eq(started(), "g1");
	want("g1:gc b2");
	cr_assert_str_eq(started(), "");
	queue_end(&q, job("g1"), false);
	cr_assert_str_eq(started(), "b2");
}

Test(queue, garbage_lets_images_by_but_not_for_ever)
{
	char list[64], last[16] = "";
	want("g1:gc b0");
	cr_assert_str_eq(started(), "b0");
	snprintf(last, sizeof(last), "b0");
	for (int i = 1; i < GC_OVERTAKEN_MAX; i++) {
		char id[16];
		snprintf(id, sizeof(id), "b%d", i);
		snprintf(list, sizeof(list), "g1:gc %s %s", last, id);
		want(list);
		cr_assert_str_eq(started(), id);
		queue_end(&q, job(last), false);
		snprintf(last, sizeof(last), "%s", id);
	}
	snprintf(list, sizeof(list), "g1:gc %s late", last);
	want(list);
	cr_assert_str_eq(started(), "", "it was overtaken often enough");
	queue_end(&q, job(last), false);
	cr_assert_str_eq(started(), "g1");
	queue_end(&q, job("g1"), false);
	cr_assert_str_eq(started(), "late");
}

Test(queue, a_bad_list_changes_nothing)
{
	struct vk_err err = {0};
	want("b1");
	vk_autojson *bad = json_pack(
		"[{s:s,s:s},{s:s,s:s}]", "id", "b2", "kind", "image", "id", "b3", "kind", "party");
	cr_assert_eq(queue_want(&q, bad, &err), VK_INVALID);
	cr_assert(strstr(err.msg, "b3") != NULL);
	cr_assert_eq(q.n, 1);
	cr_assert(job("b1") != NULL && job("b1")->wanted);
	cr_assert_eq(queue_want(&q, NULL, NULL), VK_INVALID);
	vk_autojson *nameless = json_pack("[{s:s}]", "kind", "image");
	cr_assert_eq(queue_want(&q, nameless, NULL), VK_INVALID);
}
