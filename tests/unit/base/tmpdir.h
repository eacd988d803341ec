/* A directory of a test's own, removed with all in it when the variable goes. */
#ifndef TEST_TMPDIR_H
#define TEST_TMPDIR_H

#include <stdlib.h>
#include <viking/fs.h>
#include <viking/mem.h>

static inline char *tmpdir_new(void)
{
	char *dir = vk_strdup("/tmp/viking-unit-XXXXXX");
	if (mkdtemp(dir) == NULL)
		abort();
	return dir;
}

static inline void tmpdir_freep(char **dir)
{
	vk_fs_remove_tree(*dir, NULL);
	free(*dir);
}

#define autotmp __attribute__((cleanup(tmpdir_freep))) char *

#endif
