/* proc-receive's conversation (pkt-lines, commands, push options): the same for every split, bounded. */
#include <stdint.h>
#include <stdlib.h>

#include "proc_receive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int feed(struct proc_request *q, const uint8_t *data, size_t n, size_t step)
{
	for (size_t at = 0; at < n; at += step) {
		vk_autobuf out = VK_BUF_INIT(4096);
		int rc = proc_request_feed(q, data + at, step < n - at ? step : n - at, &out, NULL);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct proc_request whole, pieces;
	struct push_options o = {0};
	if (n == 0)
		return 0;
	proc_request_init(&whole);
	proc_request_init(&pieces);
	int a = feed(&whole, data, n, n), b = feed(&pieces, data, n, 1 + data[0] % 7u);
	if (a != b || whole.phase != pieces.phase || whole.updates.n != pieces.updates.n ||
		whole.options.given.n != pieces.options.given.n)
		abort();
	refs_judge(&whole.updates, "main,master", "master");
	size_t deploying = 0;
	for (size_t i = 0; i < whole.updates.n; i++)
		deploying += whole.updates.verdicts[i].kind == REF_DEPLOY;
	if (deploying > 1 || whole.options.given.n > OPTIONS_MAX ||
		whole.updates.n > REF_UPDATES_MAX)
		abort();
	(void)push_options_add(&o, (const char *)data, n, NULL);
	push_options_release(&o);
	proc_request_release(&whole);
	proc_request_release(&pieces);
	return 0;
}
