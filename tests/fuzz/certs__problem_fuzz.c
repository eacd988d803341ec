/* Any bytes as what uacme wrote: always a failure, one printable line, a hint. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct vk_err err = {0};
	if (problem_read((const char *)data, n, "a.example.org", &err) >= 0 || err.msg[0] == '\0' ||
		err.hint[0] == '\0')
		abort();
	for (const char *p = err.msg; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			abort();
	return 0;
}
