/* uacme's hook: it may reach nothing but the job that began it. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "job.h"

int hook_main(int argc, char **argv)
{
	uint64_t fd;
	char answer = '1';
	const char *text = getenv(HOOK_FD);
	vk_autobuf words = VK_BUF_INIT(HOOK_MAX);
	if (argc != 1 + HOOK_WORDS || text == NULL || vk_parse_u64(text, 3, 1 << 20, &fd) != 0)
		return 1;
	for (int i = 1; i < argc; i++)
		if (vk_buf_add(&words, argv[i], strlen(argv[i]) + 1) != 0)
			return 1;
	if (send((int)fd, words.data, words.len, MSG_NOSIGNAL) != (ssize_t)words.len ||
		recv((int)fd, &answer, 1, 0) != 1)
		return 1;
	return answer == '0' ? 0 : 1;
}
