/* Reading dpkg's status file line by line, and comparing versions. */
#include "dpkg.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <viking/mem.h>
#include <viking/str.h>

#define LINE_MAX_BYTES 4096 /* longer lines are no names or versions: their rest is skipped */
#define VERSION_MAX    128

/* ---- versions ---- */

/* '~' before the end, the end before letters, letters before the rest. */
static int weight(char c)
{
	if (c == '~')
		return -1;
	if (c == '\0' || isdigit((unsigned char)c))
		return 0;
	return isalpha((unsigned char)c) ? (unsigned char)c : (unsigned char)c + 256;
}

static int compare_text(const char **a, const char **b)
{
	while ((**a != '\0' && !isdigit((unsigned char)**a)) ||
		(**b != '\0' && !isdigit((unsigned char)**b))) {
		int wa = weight(**a), wb = weight(**b);
		if (wa != wb)
			return wa - wb;
		*a += 1;
		*b += 1;
	}
	return 0;
}

/* Numbers of any length: without leading zeros the longer one is larger. */
static int compare_number(const char **a, const char **b)
{
	*a += strspn(*a, "0");
	*b += strspn(*b, "0");
	size_t na = strspn(*a, "0123456789"), nb = strspn(*b, "0123456789");
	int c = na != nb ? (na < nb ? -1 : 1) : strncmp(*a, *b, na);
	*a += na;
	*b += nb;
	return c;
}

static int compare_part(const char *a, const char *b)
{
	int c = 0;
	while (c == 0 && (*a != '\0' || *b != '\0')) {
		c = compare_text(&a, &b);
		if (c == 0)
			c = compare_number(&a, &b);
	}
	return c;
}

struct version {
	uint64_t epoch;
	char upstream[VERSION_MAX], revision[VERSION_MAX];
};

static void parse_version(const char *text, struct version *v)
{
	const char *colon = strchr(text, ':');
	*v = (struct version){0};
	if (colon != NULL) {
		vk_autofree char *epoch = vk_strndup(text, (size_t)(colon - text));
		(void)vk_parse_u64(epoch, 0, UINT32_MAX, &v->epoch);
		text = colon + 1;
	}
	const char *dash = strrchr(text, '-');
	size_t n = dash != NULL ? (size_t)(dash - text) : strlen(text);
	snprintf(v->upstream, sizeof(v->upstream), "%.*s",
		n < VERSION_MAX ? (int)n : VERSION_MAX - 1, text);
	snprintf(v->revision, sizeof(v->revision), "%s", dash != NULL ? dash + 1 : "");
}

int dpkg_compare(const char *a, const char *b)
{
	struct version va, vb;
	parse_version(a, &va);
	parse_version(b, &vb);
	if (va.epoch != vb.epoch)
		return va.epoch < vb.epoch ? -1 : 1;
	int c = compare_part(va.upstream, vb.upstream);
	return c != 0 ? c : compare_part(va.revision, vb.revision);
}

/* ---- the status file ---- */

/* A line without its end; false at the end of the file. */
static bool next_line(FILE *f, char line[static LINE_MAX_BYTES])
{
	if (fgets(line, LINE_MAX_BYTES, f) == NULL)
		return false;
	size_t n = strcspn(line, "\n");
	if (line[n] == '\0' && n == LINE_MAX_BYTES - 1)
		for (int c = fgetc(f); c != EOF && c != '\n';)
			c = fgetc(f);
	line[n] = '\0';
	return true;
}

int dpkg_version(
	const char *status_path, const char *package, char *out, size_t size, struct vk_err *err)
{
	char line[LINE_MAX_BYTES], version[VERSION_MAX] = "";
	bool named = false, installed = false, found = false;
	FILE *f = fopen(status_path, "re");
	while (f != NULL && !found) {
		bool more = next_line(f, line);
		if (!more || line[0] == '\0') { /* a paragraph's end */
			found = named && installed && version[0] != '\0';
			named = installed = false;
			if (!more)
				break;
		} else if (vk_starts(line, "Package: ")) {
			named = strcmp(line + 9, package) == 0;
		} else if (vk_starts(line, "Status: ")) {
			installed = vk_ends(line, " installed");
		} else if (named && vk_starts(line, "Version: ")) {
			snprintf(version, sizeof(version), "%.*s", VERSION_MAX - 1, line + 9);
		}
	}
	if (f != NULL)
		fclose(f);
	if (!found)
		return vk_err_set(err, VK_NOTFOUND, "package %s is not installed", package);
	snprintf(out, size, "%s", version);
	return 0;
}
