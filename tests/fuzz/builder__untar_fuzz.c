/* A tar as the engine sends it, through untar and pack_result: files lie inside of it, names are parts of paths. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pack_result.h"
#include "untar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *tar = (const char *)data;
	struct untar_file f;
	struct pack_result r;
	size_t at = 0;
	while (untar_next(tar, n, &at, &f, NULL) == 0)
		if (f.data < tar || f.data + f.n > tar + n || strlen(f.name) > 100)
			abort();
	if (pack_result_read(tar, n, &r, NULL) == 0)
		pack_result_release(&r);
	return 0;
}
