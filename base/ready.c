#include <viking/ready.h>

#include <fcntl.h>
#include <viking/fs.h>
#include <viking/str.h>

int vk_ready_fd(void)
{
	const char *text = getenv("VIKING_READY_FD");
	uint64_t fd;
	if (text == NULL || vk_parse_u64(text, 3, 1 << 20, &fd) != 0)
		return -1;
	return fcntl((int)fd, F_SETFD, FD_CLOEXEC) == 0 ? (int)fd : -1;
}

void vk_ready(int fd, const struct vk_sandbox_report *r)
{
	if (fd < 0)
		return;
	vk_autobuf b = VK_BUF_INIT(1024);
	if (r != NULL) {
		char text[320];
		vk_sandbox_describe(r, text);
		vk_buf_addf(&b, "SANDBOX=%s\n", text);
	}
	vk_buf_adds(&b, "READY=1\n");
	vk_write_all(
		fd, b.data, b.len, NULL); /* vikingd's end may be gone: nothing to do about it */
	close(fd);
}
