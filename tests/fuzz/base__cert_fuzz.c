/* Any bytes as a certificate: read within bounds or refused with a message; what is read is read again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <viking/cert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define NOW (INT64_C(1800000000) * 1000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct vk_cert c = {0}, again = {0};
	struct vk_err err = {0};
	if (vk_cert_read((const char *)data, n, NOW, &c, &err) != 0) {
		if (err.code == 0 || err.msg[0] == '\0')
			abort();
		return 0;
	}
	if (strlen(c.pem) > VK_CERT_PEM_MAX || strstr(c.pem, "\n\n") != NULL ||
		json_array_size(c.names) > VK_CERT_NAMES_MAX)
		abort();
	if (vk_cert_read(c.pem, strlen(c.pem), NOW, &again, &err) != 0 ||
		strcmp(c.pem, again.pem) != 0)
		abort();
	vk_cert_release(&c);
	vk_cert_release(&again);
	return 0;
}
