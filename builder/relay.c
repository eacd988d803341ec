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

#define CHUNK       (256u << 10)
#define BLOCK       512
#define SIZE_AT     124 /* of the entry's size in a header: octal, as ustar has it */
#define SIZE_DIGITS 11
#define END_MS      60000

/* Where in the tar we are. */
struct tar_place {
	char block[BLOCK];
	size_t have;    /* bytes of the block at hand */
	uint64_t skip;  /* blocks of the entry's data still to come */
	unsigned empty; /* empty blocks in header position, in a row */
	bool broken;
};

static bool is_empty(const char *block)
{
	for (size_t i = 0; i < BLOCK; i++) {
		if (block[i] != '\0')
			return false;
	}
	return true;
}

static bool read_size(const char *header, uint64_t *ret)
{
	uint64_t v = 0;
	for (size_t i = 0; i < SIZE_DIGITS; i++) {
		char c = header[SIZE_AT + i];
		if (c < '0' ||
			c > '7') /* sizes of 8 GiB and more are written otherwise; no object is that large */
			return false;
		v = v * 8 + (uint64_t)(c - '0');
	}
	*ret = v;
	return true;
}

static void take_header(struct tar_place *t)
{
	uint64_t size;
	if (t->empty >= 2)
		return; /* padding behind the end */
	if (is_empty(t->block)) {
		t->empty++;
	} else if (t->empty > 0 || !read_size(t->block, &size)) {
		t->broken = true;
	} else {
		t->skip = (size + BLOCK - 1) / BLOCK;
	}
}

static void tar_add(struct tar_place *t, const char *p, size_t n)
{
	while (n > 0) {
		if (t->have == 0 && t->skip > 0 &&
			n >= BLOCK) { /* whole blocks of data: nothing to look at */
			uint64_t blocks = n / BLOCK < t->skip ? n / BLOCK : t->skip;
			t->skip -= blocks;
			p += blocks * BLOCK;
			n -= (size_t)blocks * BLOCK;
			continue;
		}
		size_t want = BLOCK - t->have, take = n < want ? n : want;
		memcpy(t->block + t->have, p, take);
		t->have += take;
		p += take;
		n -= take;
		if (t->have < BLOCK)
			return;
		t->have = 0;
		if (t->skip > 0)
			t->skip--;
		else
			take_header(t);
	}
}

int relay_tar(int in, int out, struct vk_err *err)
{
	vk_autofree char *chunk = vk_alloc(CHUNK);
	struct tar_place t = {0};
	bool open = true;
	for (;;) {
		ssize_t n = read(in, chunk, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vk_err_errno(err, errno, "the source cannot be read");
		if (n == 0)
			break;
		tar_add(&t, chunk, (size_t)n);
		open = open && vk_write_all(out, chunk, (size_t)n, NULL) == 0;
	}
	if (t.broken || t.empty < 2 || t.have > 0)
		return vk_err_set(err, VK_FAILED, "the source was cut off");
	return 0;
}

int relay_start(const char *self, int in, struct relay *ret, struct vk_err *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		return vk_err_errno(err, errno, "pipe");
	fcntl(ends[0], F_SETPIPE_SZ, 1 << 20); /* fewer turns between the three processes */
	vk_autoclose int write_end = ends[1], read_end = ends[0];
	const char *const argv[] = {"viking-job", "--relay", NULL};
	struct vk_proc proc;
	int code = vk_proc_start(&(struct vk_proc_opts){.path = self,
					 .argv = argv,
					 .in = in,
					 .out = write_end,
					 .env = (const char *const *)environ,
					 .err = VK_FD_INHERIT,
					 .die_with_parent = true},
		&proc, err);
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
