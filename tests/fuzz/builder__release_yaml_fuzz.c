/* What a pack's bin/release prints: ends in time; what is taken is names and commands within the limits. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "procfile.h"
#include "release_yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct release_yaml r;
	const char *name;
	json_t *value;
	if (release_yaml_parse((const char *)data, n, &r, NULL) != 0)
		return 0;
	json_object_foreach(r.processes, name, value)
	{
		if (*name == '\0' || strlen(name) > PROCESS_NAME_MAX ||
			json_string_length(value) > PROCESS_CMD_MAX)
			abort();
	}
	json_object_foreach(r.config_vars, name, value) if (strchr(name, '=') != NULL) abort();
	release_yaml_release(&r);
	return 0;
}
