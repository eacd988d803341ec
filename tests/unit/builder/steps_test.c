#include <criterion/criterion.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "failure.h"
#include "steps.h"

static void expect(const char *dockerfile, const char *json)
{
	vk_autojson *list = steps_list(dockerfile, strlen(dockerfile));
	vk_autofree char *text = vk_json_text(list);
	cr_assert_str_eq(text, json);
}

Test(steps, instructions_with_their_first_lines)
{
	expect("# syntax=x\n\nFROM a AS b\n# c\nRUN one \\\n# inside\n   two\n\nCOPY . .\n",
		"[[3,\"FROM a AS b\"],[5,\"RUN one    two\"],[9,\"COPY . .\"]]");
	expect("ARG V=1\r\nFROM $V\r\n", "[[1,\"ARG V=1\"],[2,\"FROM $V\"]]");
	expect("FROM a\nRUN <<EOF\nRUN no\nEOF\nRUN x",
		"[[1,\"FROM a\"],[2,\"RUN <<EOF\"],[5,\"RUN x\"]]");
	expect("", "[]");
}

Test(steps, are_bounded)
{
	vk_autobuf b = VK_BUF_INIT(1 << 20);
	for (int i = 0; i < STEPS_LISTED_MAX + 50; i++)
		vk_buf_addf(&b, "RUN %0300d\n", i);
	vk_autojson *list = steps_list(b.data, b.len);
	cr_assert_eq(json_array_size(list), STEPS_LISTED_MAX);
	cr_assert_eq(json_string_length(json_array_get(json_array_get(list, 0), 1)), STEP_TEXT_MAX);
}

Test(steps, serve_the_count_of_failures)
{
	static const char text[] = "FROM a AS one\nRUN x\nFROM one\nENV A=b\nRUN y\n";
	vk_autojson *list = steps_list(text, sizeof(text) - 1);
	cr_assert_eq(failure_find_step(list, "stage-1", 1), 4);
}
