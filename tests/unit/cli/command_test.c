#include <criterion/criterion.h>
#include <viking/str.h>

#include "command.h"
#include "output.h"

static int parse(struct call *c, const char *name, const char *line, struct vk_err *err)
{
	vk_autostrv words = {0};
	*c = (struct call){.command = command_find(name)};
	cr_assert_not_null(c->command);
	cr_assert_eq(vk_shell_split(line, &words, err), 0);
	static struct vk_strv kept; /* option values point into argv */
	vk_strv_release(&kept);
	kept = words;
	words = (struct vk_strv){0};
	return call_parse(c, (int)kept.n, kept.v, err);
}

Test(command, options_words_and_values)
{
	struct call c;
	struct vk_err err = {0};
	cr_assert_eq(parse(&c, "logs", "ragnar -f --num=20 -p web", &err), 0, "%s", err.msg);
	cr_assert_eq(c.words.n, 1);
	cr_assert(call_flag(&c, "--follow"));
	cr_assert_str_eq(call_value(&c, "--num"), "20");
	cr_assert_str_eq(call_value(&c, "--process"), "web");
	call_release(&c);
}

Test(command, what_follows_the_stack_of_run_is_the_command)
{
	struct call c;
	struct vk_err err = {0};
	cr_assert_eq(parse(&c, "run", "-p web ragnar ls -l --all -- x", &err), 0, "%s", err.msg);
	cr_assert_eq(c.words.n, 6);
	cr_assert_str_eq(c.words.v[2], "-l");
	call_release(&c);
	cr_assert_eq(parse(&c, "enter", "ragnar -p web.2 ls -p x", &err), 0, "%s", err.msg);
	cr_assert_str_eq(call_value(&c, "--node"), "web.2");
	cr_assert_eq(c.words.n, 4);
	call_release(&c);
	cr_assert_eq(parse(&c, "run", "ragnar ls --help", &err), 0, "%s", err.msg);
	cr_assert_not(c.help);
	call_release(&c);
	cr_assert_eq(parse(&c, "run", "--help", &err), 0, "%s", err.msg);
	cr_assert(c.help);
	call_release(&c);
	cr_assert_eq(parse(&c, "ps", "ragnar -h", &err), 0, "%s", err.msg);
	cr_assert(c.help);
	call_release(&c);
	cr_assert_eq(parse(&c, "run", "ragnar -- ls --json", &err), 0, "%s", err.msg);
	cr_assert_eq(c.words.n, 3);
	cr_assert_not(c.json);
	call_release(&c);
}

Test(command, what_follows_the_host_of_a_label_is_a_role_also_with_a_minus)
{
	struct call c;
	struct vk_err err = {0};
	cr_assert_eq(parse(&c, "hosts:label", "uno db -ssd", &err), 0, "%s", err.msg);
	cr_assert_eq(c.words.n, 3);
	cr_assert_str_eq(c.words.v[2], "-ssd");
	call_release(&c);
	cr_assert_eq(parse(&c, "hosts:label", "--help", &err), 0, "%s", err.msg);
	cr_assert(c.help);
	call_release(&c);
}

Test(command, mistakes_say_what_to_type)
{
	struct call c;
	struct vk_err err = {0};
	cr_assert_eq(parse(&c, "logs", "ragnar --folow", &err), VK_USAGE);
	cr_assert_not_null(strstr(err.msg, "--follow"));
	call_release(&c);
	cr_assert_eq(parse(&c, "logs", "", &err), VK_USAGE);
	cr_assert_not_null(strstr(err.hint, "logs STACK"));
	call_release(&c);
	cr_assert_eq(parse(&c, "logs", "ragnar --num", &err), VK_USAGE);
	call_release(&c);
	cr_assert_eq(parse(&c, "keys:list", "--json extra", &err), VK_USAGE);
	call_release(&c);
}

Test(command, aliases_of_other_platforms)
{
	cr_assert_str_eq(command_find("apps:create")->name, "stacks:create");
	cr_assert_str_eq(command_find("ssh-keys:add")->name, "keys:add");
	cr_assert_str_eq(command_find("ssh-keys")->name, "keys:list");
	cr_assert_str_eq(command_find("releases")->name, "releases:list");
	cr_assert_str_eq(command_find("scale")->name, "ps:scale");
	cr_assert_null(command_find("appsx"));
	cr_assert_str_eq(command_suggest("relases:list"), "releases:list");
	cr_assert_str_eq(command_suggest("rolback"), "rollback");
	cr_assert_str_eq(command_suggest("relases"), "releases");
	cr_assert_null(command_suggest("xyzzy"));
}

Test(command, every_command_is_described_once)
{
	for (size_t g = 0; command_groups[g] != NULL; g++)
		for (const struct command *c = command_groups[g]; c->name != NULL; c++) {
			cr_assert_eq(command_find(c->name), c, "%s is hidden", c->name);
			cr_assert(c->help[0] != '\0' && c->min <= c->max && c->fn != NULL, "%s",
				c->name);
		}
}

Test(output, url_escape)
{
	vk_autofree char *s = url_escape("*.a b/%?");
	cr_assert_str_eq(s, "%2A.a%20b%2F%25%3F");
}

Test(output, age)
{
	char buf[32];
	format_age(0, buf);
	cr_assert_str_eq(buf, "never");
	format_age(vk_now_ms() - 125000, buf);
	cr_assert_str_eq(buf, "2 min ago");
}
