/* Paths, ranges, conditions and host names of requests to websites: a path that is accepted stays below the
 * directory and shows nothing hidden, a redirect stays on this host, a range lies in the file. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "cond.h"
#include "path.h"
#include "sites.h"
#include "types.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define must(cond) \
	do { \
		if (!(cond)) \
			__builtin_trap(); \
	} while (0)

static void check_path(const char *text)
{
	struct site_path p;
	char location[PATH_LOCATION_MAX];
	if (!site_path_parse(text, &p))
		return;
	must(p.rel[0] != '/' && p.rel[0] != '\0' && strlen(p.rel) <= PATH_TEXT_MAX);
	must(strstr(p.rel, "//") == NULL && strchr(p.rel, '\\') == NULL);
	if (strcmp(p.rel, ".") != 0)
		for (const char *s = p.rel; s != NULL;
			s = strchr(s, '/') ? strchr(s, '/') + 1 : NULL)
			must(*s != '\0' &&
				(*s != '.' || (s == p.rel && strncmp(s, ".well-known", 11) == 0)));
	site_path_location(&p, location);
	must(location[0] == '/' && location[1] != '/' && location[strlen(location) - 1] == '/');
	for (const char *s = location; *s != '\0'; s++)
		must((unsigned char)*s > 0x20 && (unsigned char)*s < 0x7f && *s != '"' &&
			*s != '<');
	must(type_of(p.rel) != NULL);
}

static void check_range(const char *text)
{
	for (uint64_t size = 0; size < 300; size = size * 3 + 1) {
		uint64_t off = 0, len = size;
		if (range_parse(text, size, &off, &len) == RANGE_PART)
			must(len > 0 && off < size && len <= size - off);
	}
}

static struct sites *table(void)
{
	static const char doc[] =
		"{\"rev\":1,\"sites\":{\"a.com\":{\"stack\":\"s\",\"node\":\"w\",\"commit\":"
		"\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"},\"*.b.com\":{\"stack\":\"s\","
		"\"node\":\"w\",\"commit\":"
		"\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"}}}";
	vk_autojson *j = NULL;
	struct sites *s = NULL;
	must(vk_json_parse(doc, strlen(doc), &j, NULL) == 0 &&
		sites_parse(j, NULL, NULL, NULL, &s, NULL) == 0);
	return s;
}

static void check_table(const char *text, size_t n)
{
	vk_autojson *j = NULL;
	struct sites *s = NULL;
	if (vk_json_parse(text, n, &j, NULL) != 0 ||
		sites_parse(j, NULL, NULL, NULL, &s, NULL) != 0)
		return;
	for (size_t i = 0; i < s->n; i++)
		must(strpbrk(s->v[i].stack, "/.") == NULL && strpbrk(s->v[i].node, "/.") == NULL &&
			strlen(s->v[i].commit) == 40 && strpbrk(s->v[i].commit, "/.") == NULL);
	sites_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct sites *sites;
	vk_autofree char *text = vk_strndup((const char *)data, n);
	if (sites == NULL)
		sites = table();
	check_path(text);
	check_range(text);
	cond_none_match(text, "\"x-1\"");
	const struct site *hit = sites_find(sites, text);
	must(hit == NULL || hit->key[0] == '.' ||
		strncasecmp(text, hit->key, strlen(hit->key)) == 0);
	check_table(text, strlen(text));
	return 0;
}
