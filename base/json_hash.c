/* Apart from json.c, so that programs which only read and write JSON link no crypto library. */
#include <viking/crypt.h>
#include <viking/json.h>

void vk_json_hash(const json_t *j, char out[static 65])
{
	vk_autofree char *text = vk_json_text(j);
	vk_sha256_hex(text, strlen(text), out);
}
