#include <criterion/criterion.h>
#include <string.h>
#include <viking/invite.h>
#include <viking/mem.h>

#define PIN    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SECRET "00112233445566778899aabbccddeeff"

Test(invite, is_read_as_it_was_written)
{
	static const char *const good[] = {
		"10.0.0.1/8792/" PIN "/" SECRET, "fd00::1/1/" PIN "/" SECRET};
	for (size_t k = 0; k < VK_COUNT(good); k++) {
		struct vk_invite i;
		struct vk_err err = {0};
		cr_assert_eq(vk_invite_parse(good[k], &i, &err), 0, "%s", err.msg);
		vk_autofree char *again = vk_invite_format(&i);
		cr_assert_str_eq(again, good[k]);
	}
}

Test(invite, that_is_none_is_refused_without_showing_its_secret)
{
	static const char *const bad[] = {"", "/", "///", "10.0.0.1/8792/" PIN,
		"10.0.0.1/8792/" PIN "/" SECRET "/", "10.0.0.1/8792/" PIN "/" SECRET "0",
		"10.0.0.1/0/" PIN "/" SECRET, "10.0.0.1/65536/" PIN "/" SECRET,
		"10.0.0.1/+1/" PIN "/" SECRET, "h1/8792/" PIN "/" SECRET,
		"10.0.0.1.1/8792/" PIN "/" SECRET, "10.0.0.1/8792/" SECRET "/" PIN,
		"10.0.0.1/8792/" PIN "/00112233445566778899AABBCCDDEEFF",
		" 10.0.0.1/8792/" PIN "/" SECRET, "10.0.0.1/8792/" PIN "/" SECRET "\n"};
	for (size_t k = 0; k < VK_COUNT(bad); k++) {
		struct vk_invite i = {.port = 7};
		struct vk_err err = {0};
		cr_assert_eq(vk_invite_parse(bad[k], &i, &err), VK_INVALID, "%s", bad[k]);
		cr_assert_eq(i.port, 7);
		cr_assert_null(strstr(err.msg, "0011"));
		cr_assert_neq(err.hint[0], '\0');
	}
}
