#include "command.h"

#include <viking/str.h>

static const struct {
	const char *alias, *noun;
} nouns[] = {
	{"apps", "stacks"},
	{"ssh-keys", "keys"},
	{"env", "config"},
};

/* Words of other platforms, and a bare noun that lists. */
static const struct {
	const char *alias, *name;
} names[] = {
	{"keys", "keys:list"},
	{"stacks", "stacks:list"},
	{"domains", "domains:list"},
	{"certs", "certs:list"},
	{"buildpacks", "buildpacks:list"},
	{"releases", "releases:list"},
	{"builds", "builds:list"},
	{"leave", "hosts:remove"},
	{"hosts:leave", "hosts:remove"},
	{"cluster:leave", "hosts:remove"},
	{"hosts:join", "join"},
	{"cluster:join", "join"},
	{"volumes", "volumes:list"},
	{"promote", "releases:promote"},
	{"abort", "releases:abort"},
	{"canary:promote", "releases:promote"},
	{"canary:abort", "releases:abort"},
	{"hosts", "hosts:list"},
	{"keys:rm", "keys:remove"},
	{"ps:report", "ps"},
	{"config:report", "config:show"},
	{"stacks:report", "stacks:info"},
	{"status", "stacks:list"},
	{"list", "stacks:list"},
	{"ls", "stacks:list"},
	{"destroy", "stacks:destroy"},
	{"lock", "stacks:lock"},
	{"unlock", "stacks:unlock"},
	{"scale", "ps:scale"},
	{"restart", "ps:restart"},
	{"exec", "enter"},
	{"ssh", "enter"},
	{"domains:report", "domains:list"},
	{"create", "stacks:create"},
	{"--version", "version"},
	{"--help", "help"},
	{"-h", "help"},
	{"config:keys", "config:show"},
	{"env:ls", "config:show"},
};

static const struct command *exact(const char *name)
{
	for (size_t g = 0; command_groups[g] != NULL; g++)
		for (const struct command *c = command_groups[g]; c->name != NULL; c++)
			if (vk_streq(c->name, name))
				return c;
	return NULL;
}

static const char *plain_name(const char *name, char *buf, size_t size)
{
	for (size_t i = 0; i < VK_COUNT(nouns); i++) {
		size_t n = strlen(nouns[i].alias);
		if (strncmp(name, nouns[i].alias, n) == 0 && (name[n] == ':' || name[n] == '\0')) {
			snprintf(buf, size, "%s%s", nouns[i].noun, name + n);
			return buf;
		}
	}
	return name;
}

const struct command *command_find(const char *name)
{
	char buf[64];
	name = plain_name(name, buf, sizeof(buf));
	const struct command *c = exact(name);
	if (c != NULL)
		return c;
	for (size_t i = 0; i < VK_COUNT(names); i++)
		if (vk_streq(names[i].alias, name))
			return exact(names[i].name);
	return NULL;
}

const char *command_suggest(const char *name)
{
	vk_autostrv all = {0};
	for (size_t g = 0; command_groups[g] != NULL; g++)
		for (const struct command *c = command_groups[g]; c->name != NULL; c++)
			vk_strv_add(&all, c->name);
	for (size_t i = 0; i < VK_COUNT(names); i++)
		vk_strv_add(&all, names[i].alias);
	const char *near = vk_suggest(name, (const char *const *)all.v);
	const struct command *c = near ? exact(near) : NULL;
	if (near == NULL || c != NULL)
		return c ? c->name : NULL;
	for (size_t i = 0; i < VK_COUNT(names); i++) /* all's strings end with all */
		if (vk_streq(names[i].alias, near))
			return names[i].alias;
	return NULL;
}

static const struct option *find_option(const struct command *c, const char *word, size_t n)
{
	for (const struct option *o = c->options; o != NULL && o->name != NULL; o++)
		if ((strlen(o->name) == n && strncmp(o->name, word, n) == 0) ||
			(o->brief && strlen(o->brief) == n && strncmp(o->brief, word, n) == 0))
			return o;
	return NULL;
}

static int unknown_option(const struct command *c, const char *word, struct vk_err *err)
{
	vk_autostrv all = {0};
	for (const struct option *o = c->options; o != NULL && o->name != NULL; o++)
		vk_strv_add(&all, o->name);
	const char *near = all.n ? vk_suggest(word, (const char *const *)all.v) : NULL;
	vk_err_set(err, VK_USAGE, "%s: unknown option %s%s%s%s", c->name, word,
		near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
	return vk_err_hint(err, "viking %s --help", c->name);
}

/* Takes one option; *i is its place in argv and moves over a value. */
static int take_option(struct call *c, int argc, char **argv, int *i, struct vk_err *err)
{
	const char *word = argv[*i];
	const char *equals = vk_starts(word, "--") ? strchr(word, '=') : NULL;
	const struct option *o =
		find_option(c->command, word, equals ? (size_t)(equals - word) : strlen(word));
	if (o == NULL)
		return unknown_option(c->command, word, err);
	const char *value = equals ? equals + 1 : NULL;
	if (o->value == NULL && value != NULL)
		return vk_err_set(err, VK_USAGE, "%s takes no value", o->name);
	if (o->value != NULL && value == NULL) {
		if (*i + 1 >= argc)
			return vk_err_set(err, VK_USAGE, "%s needs %s", o->name, o->value);
		value = argv[++*i];
	}
	if (c->n_given == VK_COUNT(c->given))
		return vk_err_set(err, VK_USAGE, "too many options");
	c->given[c->n_given].o = o;
	c->given[c->n_given++].value = value;
	return 0;
}

static int check_words(const struct call *c, struct vk_err *err)
{
	const struct command *k = c->command;
	if (c->words.n >= k->min && c->words.n <= k->max)
		return 0;
	vk_err_set(err, VK_USAGE, "%s: %s", k->name,
		c->words.n < k->min ? "something is missing" : "too many words");
	return vk_err_hint(err, "viking %s %s", k->name, k->arguments);
}

int call_parse(struct call *c, int argc, char **argv, struct vk_err *err)
{
	bool options = true;
	for (int i = 0; i < argc; i++) {
		const char *w = argv[i];
		if (options && vk_streq(w, "--")) {
			options = false;
		} else if (options && (vk_streq(w, "--help") || vk_streq(w, "-h"))) {
			c->help = true;
			return 0;
		} else if (options && vk_streq(w, "--json") && c->command->reads) {
			c->json = true;
		} else if (options && w[0] == '-' && w[1] != '\0') {
			int r = take_option(c, argc, argv, &i, err);
			if (r < 0)
				return r;
		} else {
			vk_strv_add(&c->words, w);
			options = options && c->words.n != c->command->rest;
		}
	}
	return check_words(c, err);
}

void call_release(struct call *c)
{
	vk_strv_release(&c->words);
	free(c->socket);
	c->socket = NULL;
}

const char *call_value(const struct call *c, const char *option)
{
	for (size_t i = c->n_given; i-- > 0;)
		if (vk_streq(c->given[i].o->name, option))
			return c->given[i].value ? c->given[i].value : "";
	return NULL;
}

bool call_flag(const struct call *c, const char *option)
{
	return call_value(c, option) != NULL;
}

void command_help(const struct command *c, FILE *out)
{
	fprintf(out, "usage: viking %s%s%s\n%s\n", c->name, c->arguments[0] ? " " : "",
		c->arguments, c->help);
	for (const struct option *o = c->options; o != NULL && o->name != NULL; o++) {
		char left[64];
		snprintf(left, sizeof(left), "%s%s%s %s", o->brief ? o->brief : "",
			o->brief ? ", " : "", o->name, o->value ? o->value : "");
		fprintf(out, "  %-26s %s\n", left, o->help);
	}
	if (c->reads)
		fprintf(out, "  %-26s %s\n", "--json", "print the API's answer");
}

void command_help_all(FILE *out)
{
	fputs("viking: git-push PaaS. The same words work here and as `ssh viking@HOST WORDS`.\n\n",
		out);
	for (size_t g = 0; command_groups[g] != NULL; g++) {
		for (const struct command *c = command_groups[g]; c->name != NULL; c++) {
			char left[80];
			snprintf(left, sizeof(left), "%s %s", c->name, c->arguments);
			fprintf(out, "  %-52s %s\n", left, c->help);
		}
		fputc('\n', out);
	}
	fputs("`viking COMMAND --help` tells more. Deploy: git push ssh://viking@HOST:2222/STACK "
	      "master\n",
		out);
}
