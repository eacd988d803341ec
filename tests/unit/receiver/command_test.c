#include <criterion/criterion.h>
#include <viking/str.h>

#include "command.h"

static int parse(const char *text, struct command *c)
{
	struct vk_err err = {0};
	return command_parse(text, strlen(text), c, &err);
}

Test(command, git_words_become_a_stack)
{
	static const struct {
		const char *text;
		enum command_kind kind;
		const char *stack;
	} rows[] = {
		{"git-receive-pack '/shop'", COMMAND_RECEIVE, "shop"},
		{"git-receive-pack 'shop'", COMMAND_RECEIVE, "shop"},
		{"git-receive-pack 'shop.git'", COMMAND_RECEIVE, "shop"},
		{"git receive-pack '/shop.git/'", COMMAND_RECEIVE, "shop"},
		{"git-upload-pack '/a-1'", COMMAND_UPLOAD, "a-1"},
		{"git upload-pack \"x9\"", COMMAND_UPLOAD, "x9"},
	};
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		struct command c;
		cr_assert_eq(parse(rows[i].text, &c), 0, "%s", rows[i].text);
		cr_expect_eq(c.kind, rows[i].kind);
		cr_expect_str_eq(c.stack, rows[i].stack);
		command_release(&c);
	}
}

Test(command, a_stack_name_that_is_too_long_says_so)
{
	struct command c;
	struct vk_err err = {0};
	static const char text[] =
		"git-receive-pack "
		"'/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'";
	cr_assert_eq(command_parse(text, strlen(text), &c, &err), VK_INVALID);
	cr_assert_not_null(strstr(err.msg, "it has 64 characters, at most 63"), "%s", err.msg);
	command_release(&c);
}

Test(command, bad_lines_are_refused)
{
	static const struct {
		const char *text;
		int code;
	} rows[] = {
		{"git-upload-archive 'x'", VK_DENIED},
		{"git-shell", VK_DENIED},
		{"git", VK_DENIED},
		{"git-receive-pack", VK_INVALID},
		{"git-receive-pack 'a' 'b'", VK_INVALID},
		{"git-receive-pack --stateless-rpc 'a'", VK_INVALID},
		{"git-receive-pack '../a'", VK_INVALID},
		{"git-receive-pack '/a/b'", VK_INVALID},
		{"git-receive-pack ''", VK_INVALID},
		{"git-receive-pack '.git'", VK_INVALID},
		{"git-receive-pack 'Shop'", VK_INVALID},
		{"git-receive-pack '--upload-pack=x'", VK_INVALID},
		{"git-receive-pack 'a;b'", VK_INVALID},
		{"ps\nreboot", VK_INVALID},
		{"ps\x1b[31m", VK_INVALID},
		{"ps\x7f", VK_INVALID},
		{"ps\xc2\x9b", VK_INVALID},
		{"ps\xff", VK_INVALID},
		{"ps\xe0\x80\x80", VK_INVALID},
		{"ps\xed\xa0\x80", VK_INVALID},
		{"ps\xc3", VK_INVALID},
		{"ps 'open", VK_INVALID},
		{"ps \\", VK_INVALID},
		{"--root /tmp ps", VK_DENIED},
		{"--json --config=/etc/shadow ps", VK_DENIED},
		{"viking --root=/ ps", VK_DENIED},
	};
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		struct command c;
		cr_expect_eq(parse(rows[i].text, &c), rows[i].code, "%s", rows[i].text);
		command_release(&c);
	}
}

Test(command, words_are_split_and_nothing_is_expanded)
{
	struct command c;
	cr_assert_eq(parse("viking config:set shop 'A=x y' B=$HOME \"C=a;b\" `id` | *", &c), 0);
	static const char *const words[] = {
		"config:set", "shop", "A=x y", "B=$HOME", "C=a;b", "`id`", "|", "*"};
	cr_expect_eq(c.kind, COMMAND_VIKING);
	cr_assert_eq(c.words.n, VK_COUNT(words));
	for (size_t i = 0; i < VK_COUNT(words); i++)
		cr_expect_str_eq(c.words.v[i], words[i]);
	command_release(&c);
}

Test(command, options_of_another_program_pass)
{
	struct command c;
	cr_assert_eq(parse("run shop node --config x --root y", &c), 0);
	cr_expect_eq(c.words.n, 7);
	command_release(&c);
}

Test(command, empty_is_a_greeting)
{
	static const char *const rows[] = {"", "  ", "viking"};
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		struct command c;
		cr_assert_eq(parse(rows[i], &c), 0);
		cr_expect_eq(c.kind, COMMAND_GREETING);
		command_release(&c);
	}
}

Test(command, length_is_limited)
{
	char text[COMMAND_MAX + 2];
	struct command c;
	memset(text, 'a', sizeof(text));
	cr_expect_eq(command_parse(text, COMMAND_MAX, &c, NULL), 0);
	command_release(&c);
	cr_expect_eq(command_parse(text, COMMAND_MAX + 1, &c, NULL), VK_LIMIT);
	command_release(&c);
}

Test(command, env_values)
{
	cr_expect(command_env_value("version=2"));
	cr_expect(command_env_value("xterm-256color"));
	cr_expect(command_env_value("de_DE.UTF-8"));
	cr_expect_not(command_env_value(""));
	cr_expect_not(command_env_value("a b"));
	cr_expect_not(command_env_value("$(id)"));
	cr_expect_not(command_env_value(
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}
