/* A line of HAProxy's log of watched requests: what is read is in range, and its time lies in its class. */
#include <stdlib.h>
#include <string.h>
#include <viking/mem.h>

#include "tally.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	vk_autofree char *text = vk_strndup((const char *)data, size);
	struct tally_line line;
	if (!tally_read(text, &line))
		return 0;
	if (line.watch == 0 || line.backend == 0 || line.slot == 0 || line.status > 999 ||
		line.ms < -1)
		abort();
	unsigned class = tally_class(line.ms);
	if (class >= TALLY_CLASSES || (class < TALLY_CLASSES - 1 && line.ms > tally_upper(class)))
		abort();
	return 0;
}
