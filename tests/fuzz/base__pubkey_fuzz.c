/*
 * Public key lines. Beyond no crash: what is accepted has a fingerprint of the right form, a printable comment without
 * line ends, and a normal form that is accepted again as the same key.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <viking/crypt.h>

static void must(int holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	vk_autofree char *line = NULL, *comment = NULL, *again = NULL, *none = NULL;
	char fp[64], fp2[64];
	struct vk_err e = {0};
	int rc = vk_pubkey_parse((const char *)data, n, &line, fp, &comment, &e);
	must(rc == 0 || (rc == e.code && e.msg[0] != '\0' && line == NULL && comment == NULL));
	must(strpbrk(e.msg, "\r\n\x1b") == NULL);
	if (rc != 0)
		return 0;
	must(strlen(fp) == 50 && strncmp(fp, "SHA256:", 7) == 0);
	must(strpbrk(comment, "\r\n\x1b") == NULL && strpbrk(line, "\t\r\n") == NULL);
	must(vk_pubkey_parse(line, strlen(line), &again, fp2, &none, &e) == 0);
	must(strcmp(line, again) == 0 && strcmp(fp, fp2) == 0 && none[0] == '\0');
	return 0;
}
