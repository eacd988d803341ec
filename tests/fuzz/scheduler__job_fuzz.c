/* A job's key and text, apart by the first line's end: what is taken makes a document, and the same one when read again. */
#include <stdlib.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct job_key k;
	struct vk_err err = {0};
	vk_autojson *node = NULL, *again = NULL, *nodes = json_object();
	const uint8_t *end = memchr(data, '\n', size);
	size_t head = end != NULL ? (size_t)(end - data) : size;
	vk_autofree char *key = vk_strndup((const char *)data, head);
	const char *text = (const char *)data + head + (end != NULL);
	size_t n = size - head - (end != NULL);
	if (job_key_parse(key, &k, &err) == 0 &&
		(k.stack[0] == '\0' || k.node[0] == '\0' || k.tag[0] == '\0'))
		abort();
	err = (struct vk_err){0};
	if (job_parse(text, n, &node, &err) != 0) {
		if (node != NULL || err.msg[0] == '\0')
			abort();
		return 0;
	}
	if (job_parse(text, n, &again, &err) != 0 || !json_equal(node, again))
		abort();
	json_object_set(nodes, "web", node);
	vk_autojson *doc = job_doc("ragnar", nodes);
	if (doc == NULL)
		abort();
	return 0;
}
