/* Runs a fuzz target over the files of the directories given, so that gcc builds replay the corpora. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <viking/fs.h>
#include <viking/mem.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int replay_dir(const char *path)
{
	DIR *d = opendir(path);
	if (d == NULL) {
		fprintf(stderr, "%s: no corpus\n", path);
		return -1;
	}
	int ran = 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		vk_autofree char *file = vk_asprintf("%s/%s", path, e->d_name);
		vk_autobuf b = VK_BUF_INIT(16 << 20);
		struct vk_err err = {0};
		if (vk_fs_read(file, &b, &err) != 0)
			continue;
		LLVMFuzzerTestOneInput((const uint8_t *)vk_buf_str(&b), b.len);
		ran++;
	}
	closedir(d);
	return ran;
}

int main(int argc, char **argv)
{
	int ran = 0;
	for (int i = 1; i < argc; i++) {
		int n = replay_dir(argv[i]);
		if (n < 0)
			return 1;
		ran += n;
	}
	printf("%d inputs replayed\n", ran);
	return ran > 0 ? 0 : 1;
}
