#include "path.h"

#include <string.h>

static bool byte_ok(unsigned char c)
{
	return c >= 0x20 && c != 0x7f && c != '\\';
}

static bool segment_ok(const char *s, size_t n, bool first)
{
	static const char well_known[] = ".well-known";
	if (n > 255)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!byte_ok((unsigned char)s[i]))
			return false;
	if (s[0] != '.')
		return true;
	return first && n == strlen(well_known) && memcmp(s, well_known, n) == 0;
}

bool site_path_parse(const char *decoded, struct site_path *ret)
{
	size_t used = 0;
	if (decoded[0] != '/' || strlen(decoded) > PATH_TEXT_MAX)
		return false;
	for (const char *at = decoded; *at != '\0';) {
		at += strspn(at, "/");
		size_t n = strcspn(at, "/");
		if (n == 0)
			break;
		if (!segment_ok(at, n, used == 0))
			return false;
		if (used > 0)
			ret->rel[used++] = '/';
		memcpy(ret->rel + used, at, n);
		used += n;
		at += n;
	}
	if (used == 0)
		ret->rel[used++] = '.';
	ret->rel[used] = '\0';
	ret->dir = decoded[strlen(decoded) - 1] == '/';
	return true;
}

void site_path_location(const struct site_path *p, char out[static PATH_LOCATION_MAX])
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/!$&'()*+,;=@";
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;
	out[n++] = '/';
	for (const char *s = strcmp(p->rel, ".") == 0 ? "" : p->rel; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;
		if (strchr(plain, c) != NULL) {
			out[n++] = *s;
			continue;
		}
		out[n++] = '%';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	if (out[n - 1] != '/')
		out[n++] = '/';
	out[n] = '\0';
}
