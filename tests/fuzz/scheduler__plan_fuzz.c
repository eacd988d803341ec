/* A described cluster: what is read is planned; the plan is valid, planning again changes nothing, and so does reading it twice. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <viking/mem.h>

#include "dowding_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct dowding *read_and_plan(const char *text, size_t n, char hash[static 65])
{
	struct dow_plan p;
	struct vk_err err = {0};
	struct dowding *d = dow_new();
	if (dow_read(d, text, n, &err) < 0) {
		if (err.msg[0] == '\0')
			abort();
		dow_free(d);
		return NULL;
	}
	dow_plan(d, &p);
	for (size_t i = 0; i < p.nunplaced; i++)
		if (p.unplaced[i].reason == NULL ||
			dow_where(d, p.unplaced[i].service, p.unplaced[i].n) != NULL)
			abort();
	dow_plan_release(&p);
	dow_hash(d, hash);
	return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char hash[65], again[65];
	struct dow_plan p;
	vk_autofree char *text = vk_strndup((const char *)data, n);
	if (n > 8192 || strstr(text, "00000") != NULL || strlen(text) != n)
		return 0; /* a million replicas are read well, and slowly */
	struct dowding *d = read_and_plan(text, n, hash);
	if (d == NULL)
		return 0;
	dow_plan(d, &p);
	if (p.nchanges != 0)
		abort();
	dow_plan_release(&p);
	dow_free(d);
	dow_free(read_and_plan(text, n, again));
	if (strcmp(hash, again) != 0)
		abort();
	return 0;
}
