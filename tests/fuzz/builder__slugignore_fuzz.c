/* First line: a path; the rest: a .slugignore. Ends in time; what lies below a dropped directory is dropped. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <viking/mem.h>

#include "dockerignore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *text = (const char *)data;
	const char *nl = n > 0 ? memchr(text, '\n', n) : NULL;
	size_t len = nl != NULL ? (size_t)(nl - text) : n;
	vk_autofree char *path = vk_strndup(text, len < 1024 ? len : 1024);
	vk_autofree char *below = vk_asprintf("%s/.x", path);
	struct dockerignore *d = NULL;
	if (nl == NULL || slugignore_parse(nl + 1, n - len - 1, &d, NULL) != 0)
		return 0;
	if (dockerignore_drops(d, path) && !dockerignore_drops(d, below))
		abort();
	if (dockerignore_enters(d, path))
		abort();
	dockerignore_free(d);
	return 0;
}
