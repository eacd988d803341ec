/* A Procfile: what is taken can be written as a Procfile that means the same, names are names. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <viking/json.h>

#include "procfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	json_t *processes = NULL, *again = NULL, *command;
	const char *name;
	if (procfile_parse((const char *)data, n, &processes, NULL) != 0)
		return 0;
	vk_autobuf text = VK_BUF_INIT(4 << 20);
	json_object_foreach(processes, name, command)
	{
		if (strpbrk(name, "/.: \n") != NULL || *name == '\0')
			abort();
		vk_buf_addf(&text, "%s: %s\n", name, json_string_value(command));
	}
	if (text.len <= PROCFILE_MAX &&
		(procfile_parse(vk_buf_str(&text), text.len, &again, NULL) != 0 ||
			!json_equal(processes, again)))
		abort();
	json_decref(processes);
	json_decref(again);
	return 0;
}
