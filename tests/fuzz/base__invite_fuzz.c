/* The word behind `viking join`: what is taken is written again as it was. */
#include <stdlib.h>
#include <string.h>
#include <viking/invite.h>
#include <viking/mem.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	vk_autofree char *text = vk_strndup((const char *)data, size);
	struct vk_invite i;
	if (vk_invite_parse(text, &i, NULL) != 0)
		return 0;
	vk_autofree char *form = vk_invite_format(&i);
	struct vk_invite again;
	if (vk_invite_parse(form, &again, NULL) != 0 || memcmp(&i, &again, sizeof(i)) != 0)
		abort();
	return 0;
}
