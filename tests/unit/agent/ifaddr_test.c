#include <criterion/criterion.h>
#include <viking/json.h>

#include "ifaddr.h"

Test(ifaddr, a_variable_gets_the_address_of_the_interface)
{
	vk_autojson *env =
		json_pack("{s:s,s:s,s:s}", "SERVICE_IP", "from_lo", "ANY", "from_lo", "A", "b");
	vk_autojson *made = ifaddr_env(env);
	cr_assert_eq(ifaddr_check(env, NULL), 0);
	cr_expect_str_eq(vk_json_str(made, "SERVICE_IP", ""), "127.0.0.1");
	cr_expect_str_eq(vk_json_str(made, "ANY", ""), "127.0.0.1");
	cr_expect_str_eq(vk_json_str(made, "A", ""), "b");
	cr_expect_str_eq(vk_json_str(env, "ANY", ""), "from_lo", "the document is not changed");
}

Test(ifaddr, a_missing_interface_is_an_error_for_addresses_only)
{
	struct vk_err why = {0};
	vk_autojson *address = json_pack("{s:s}", "SERVICE_IP", "from_nope0");
	vk_autojson *text = json_pack("{s:s}", "GREETING", "from_nope0");
	cr_expect_eq(ifaddr_check(address, &why), VK_NOTFOUND);
	cr_expect_not_null(strstr(why.msg, "SERVICE_IP"), "%s", why.msg);
	cr_expect_not_null(strstr(why.msg, "nope0"), "%s", why.msg);
	cr_expect_eq(ifaddr_check(text, &why), 0);
	vk_autojson *made = ifaddr_env(text);
	cr_expect_str_eq(vk_json_str(made, "GREETING", ""), "from_nope0");
}

Test(ifaddr, other_values_are_left_alone)
{
	vk_autojson *env = json_pack("{s:s,s:s,s:s}", "A_IP", "from_", "B_IP",
		"from_a_name_too_long_for_one", "C_IP", "From_lo");
	vk_autojson *made = ifaddr_env(env);
	cr_expect_eq(ifaddr_check(env, NULL), 0);
	cr_expect_eq(made, env);
	cr_expect_eq(ifaddr_check(NULL, NULL), 0);
	cr_expect_null(ifaddr_env(NULL));
}
