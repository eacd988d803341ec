/* First line: a path; the rest: a .dockerignore. Ends in time; a pattern that is the path
 * itself, escaped, drops it; a directory that is not entered holds nothing that is kept by a
 * literal pattern. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <viking/mem.h>

#include "dockerignore.h"

/* The path as a pattern that can only mean itself. */
static void check_literal(const char *path)
{
	vk_autobuf pattern = VK_BUF_INIT(1 << 16);
	struct dockerignore *d = NULL;
	if (*path == '\0' || strncmp(path, "\xef\xbb\xbf", 3) == 0 || strlen(path) > 1000 ||
		strpbrk(path, "\r\t\v\f ") != NULL || path[0] == '/' ||
		strstr(path, "//") != NULL || strstr(path, "./") != NULL ||
		path[strlen(path) - 1] == '/' || path[strlen(path) - 1] == '.')
		return;
	for (const char *p = path; *p != '\0'; p++) {
		if (strchr("*?[]\\!#", *p) != NULL)
			vk_buf_addc(&pattern, '\\');
		vk_buf_addc(&pattern, *p);
	}
	if (dockerignore_parse(vk_buf_str(&pattern), pattern.len, "f", &d, NULL) != 0)
		return;
	if (!dockerignore_drops(d, path))
		abort();
	dockerignore_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *text = (const char *)data;
	const char *nl = n > 0 ? memchr(text, '\n', n) : NULL;
	size_t len = nl != NULL ? (size_t)(nl - text) : n;
	vk_autofree char *path = vk_strndup(text, len < 1024 ? len : 1024);
	struct dockerignore *d = NULL;
	check_literal(path);
	if (nl == NULL || dockerignore_parse(nl + 1, n - len - 1, "f", &d, NULL) != 0)
		return 0;
	bool dropped = dockerignore_drops(d, path);
	dockerignore_enters(d, path);
	/* what lies below follows the directory unless a line takes it back or drops more */
	vk_autofree char *below = vk_asprintf("%s/x", path);
	if (dropped && !dockerignore_enters(d, path) && memchr(nl + 1, '!', n - len - 1) == NULL &&
		!dockerignore_drops(d, below))
		abort();
	dockerignore_free(d);
	return 0;
}
