/* Any bytes as a manifest: no crash; what is accepted prints to something that parses to the
 * same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "manifest.h"

static void must(int ok, const char *what, const struct vk_buf *printed, const struct vk_err *err)
{
	if (ok)
		return;
	fprintf(stderr, "%s: %s\n%s\n", what, err->msg, vk_buf_str(printed));
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct manifest_opts opts = {
		.file = "vikingfile", .stack = "s", .registry = "127.0.0.1:5000"};
	struct manifest *m = NULL, *again = NULL;
	struct vk_err err = {0};
	if (manifest_parse((const char *)data, n, &opts, &m, &err) != 0)
		return 0;
	vk_autobuf out = VK_BUF_INIT(8 << 20);
	int resolved = manifest_resolve(m, NULL, &err);
	must(manifest_print(manifest_doc(m), &out, &err) == 0, "print", &out, &err);
	if (out.len <= MANIFEST_MAX) {
		must(manifest_parse(vk_buf_str(&out), out.len, &opts, &again, &err) == 0, "parse",
			&out, &err);
		must(manifest_resolve(again, NULL, &err) == resolved, "resolve", &out, &err);
		json_object_del(manifest_doc(m), "notices"); /* they name lines */
		json_object_del(manifest_doc(again), "notices");
		must(resolved != 0 || json_equal(manifest_doc(m), manifest_doc(again)), "same",
			&out, &err);
	}
	manifest_free(m);
	manifest_free(again);
	return 0;
}
