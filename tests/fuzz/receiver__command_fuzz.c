/* The SSH command line: a result from the table or an error; no control byte passes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_words(const struct command *c)
{
	for (size_t i = 0; i < c->words.n; i++)
		for (const unsigned char *p = (const unsigned char *)c->words.v[i]; *p != '\0'; p++)
			if (*p < 0x20 || *p == 0x7f)
				abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct command c;
	struct vk_err err = {0};
	struct message m;
	if (command_parse((const char *)data, n, &c, &err) == 0) {
		check_words(&c);
		bool git = c.kind == COMMAND_RECEIVE || c.kind == COMMAND_UPLOAD;
		if (git != (c.stack[0] != '\0') || (git && vk_stack_name(c.stack, NULL) != 0))
			abort();
		if ((c.kind == COMMAND_VIKING) != (c.words.n > 0))
			abort();
	} else if (err.code == 0 || err.msg[0] == '\0') {
		abort();
	}
	command_release(&c);
	/* and what a taken-over session could send its monitor */
	if (message_decode(data, n, FROM_SESSION, &m, NULL) == 0) {
		vk_autobuf again = VK_BUF_INIT(1);
		if (message_encode(&m, &again, NULL) != 0 || again.len != n ||
			memcmp(again.data, data, n) != 0)
			abort();
		message_release(&m);
	}
	return 0;
}
