#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/proc.h>

#define CHUNK (256u << 10)
#define BLOCK 512
#define TRAILER (2 * BLOCK)
#define END_MS 60000

struct tail {
	uint64_t total, zeros; /* bytes seen; of them zero at the end */
};

static void tail_add(struct tail *t, const char *p, size_t n)
{
	size_t zeros = 0;
	while (zeros < n && zeros < TRAILER && p[n - 1 - zeros] == '\0')
		zeros++;
	t->zeros = zeros == n ? t->zeros + n : zeros;
	t->total += n;
}

static int tail_check(const struct tail *t, uint64_t bytes, struct vk_err *err)
{
	if (bytes > 0 && t->total != bytes)
		return vk_err_set(err, VK_FAILED, "the source was cut off: %llu of %llu bytes",
		                  (unsigned long long)t->total, (unsigned long long)bytes);
	if (t->total % BLOCK != 0 || t->zeros < TRAILER)
		return vk_err_set(err, VK_FAILED, "the source was cut off after %llu bytes",
		                  (unsigned long long)t->total);
	return 0;
}

int relay_tar(int in, int out, uint64_t bytes, struct vk_err *err)
{
	vk_autofree char *chunk = vk_alloc(CHUNK);
	struct tail t = {0};
	bool open = true;
	for (;;) {
		ssize_t n = read(in, chunk, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vk_err_errno(err, errno, "the source cannot be read");
		if (n == 0)
			break;
		tail_add(&t, chunk, (size_t)n);
		open = open && vk_write_all(out, chunk, (size_t)n, NULL) == 0;
	}
	return tail_check(&t, bytes, err);
}

int relay_start(const char *self, int in, uint64_t bytes, struct relay *ret, struct vk_err *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		return vk_err_errno(err, errno, "pipe");
	fcntl(ends[0], F_SETPIPE_SZ, 1 << 20); /* fewer turns between the three processes */
	vk_autoclose int write_end = ends[1], read_end = ends[0];
	char count[24];
	snprintf(count, sizeof(count), "%llu", (unsigned long long)bytes);
	const char *const argv[] = {"viking-job", "--relay", count, NULL};
	struct vk_proc proc;
	int code = vk_proc_start(&(struct vk_proc_opts){.path = self, .argv = argv, .in = in, .out = write_end,
	                         .env = (const char *const *)environ, .err = VK_FD_INHERIT, .die_with_parent = true}, &proc, err);
	if (code != 0)
		return code;
	*ret = (struct relay){.pid = proc.pid, .out = VK_TAKE_FD(read_end)};
	return 0;
}

int relay_end(struct relay *r, struct vk_err *err)
{
	int status = 0;
	vk_closep(&r->out);
	int code = vk_proc_wait(r->pid, END_MS, &status, err);
	if (code != 0)
		return code;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	vk_err_set(err, VK_FAILED, "the source was cut off while it was read from the repository");
	return vk_err_hint(err, "push again; if it happens again: sudo viking doctor");
}

void relay_kill(struct relay *r)
{
	vk_closep(&r->out);
	vk_proc_kill(r->pid, SIGKILL);
	vk_proc_wait(r->pid, END_MS, NULL, NULL);
}
