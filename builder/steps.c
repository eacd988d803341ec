#include "steps.h"

#include <string.h>
#include <strings.h>
#include <viking/json.h>

#include "dockerfile_lines.h"

static bool may_have_heredoc(const char *text)
{
	return strncasecmp(text, "RUN", 3) == 0 || strncasecmp(text, "COPY", 4) == 0 ||
		strncasecmp(text, "ADD", 3) == 0;
}

json_t *steps_list(const char *text, size_t n)
{
	/* heredocs as newer engines read them: the older ones refuse such a file with the line in the message */
	static const struct df_rules rules = {.heredocs = true};
	struct df_reader r;
	struct df_line l = {0};
	json_t *list = json_array();
	bool more = true;
	df_reader_init(&r, &rules, text, n);
	while (json_array_size(list) < STEPS_LISTED_MAX &&
		df_reader_next(&r, &l, &more, NULL) == 0 && more) {
		size_t len = l.n < STEP_TEXT_MAX ? l.n : STEP_TEXT_MAX;
		json_array_append_new(
			list, json_pack("[i, o]", (int)l.line, vk_json_safe_string(l.text, len)));
		if (may_have_heredoc(l.text))
			df_reader_skip_heredocs(&r, &l);
	}
	df_line_release(&l);
	df_reader_release(&r);
	return list;
}
