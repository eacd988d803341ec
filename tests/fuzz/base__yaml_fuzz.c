/*
 * YAML. Beyond no crash and no stall: depth and places are within bounds, keys are unique, and every node is complete.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <viking/yaml.h>

static void must(int holds)
{
	if (!holds)
		abort();
}

static void check(const struct vk_yaml *y, int depth)
{
	must(y != NULL && depth <= 33 && y->line >= 1 && y->col >= 1);
	if (y->type == VK_YAML_SCALAR) {
		must(y->n == 0 && y->text != NULL && strlen(y->text) == y->len);
		return;
	}
	for (size_t i = 0; i < y->n; i++) {
		check(y->items[i], depth + 1);
		if (y->type != VK_YAML_MAP)
			continue;
		must(y->keys[i].name != NULL && y->keys[i].line >= 1);
		if (y->n < 200)
			must(vk_yaml_get(y, y->keys[i].name) == y->items[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct vk_yaml *y = NULL;
	struct vk_err e = {0};
	int rc = vk_yaml_parse((const char *)data, n, "f", &y, &e);
	must(rc == 0 ? y != NULL : y == NULL && e.code == rc && strncmp(e.msg, "f:", 2) == 0);
	must(strpbrk(e.msg, "\r\n\x1b") == NULL);
	if (rc == 0)
		check(y, 1);
	vk_yaml_free(y);
	return 0;
}
