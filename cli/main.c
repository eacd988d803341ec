/* viking: finds the command, parses its words, runs it, turns an error into one line and a status. */
#include <signal.h>
#include <viking/log.h>
#include <viking/str.h>

#include "command.h"

static int report(const struct vk_err *err)
{
	fprintf(stderr, " !     %s\n", err->msg);
	if (err->hint[0] != '\0')
		fprintf(stderr, "       try: %s\n", err->hint);
	return vk_err_exit(err->code);
}

/* Over SSH the socket is given; locally it comes from the configuration. */
static int find_socket(struct call *c, int *argc, char **argv, struct vk_err *err)
{
	const char *given = getenv("VIKING_API");
	if (given != NULL && given[0] == '/') {
		c->socket = vk_strdup(
			given); /* and the words may be a stranger's: no --config, no --root */
		return 0;
	}
	c->config_file = getenv("VIKING_CONFIG_FILE");
	c->root = getenv("VIKING_ROOT");
	for (int i = 1; i + 1 < *argc; i++) {
		if (vk_streq(argv[i], "--config"))
			c->config_file = argv[i + 1];
		else if (vk_streq(argv[i], "--root"))
			c->root = argv[i + 1];
	}
	struct vk_config *config = NULL;
	int r = vk_config_from_argv(argc, argv, &config, err);
	if (r == 0)
		c->socket = vk_run_path(config, "api.sock");
	vk_config_free(config);
	return r;
}

static int run(struct call *c, int argc, char **argv, struct vk_err *err)
{
	int r = find_socket(c, &argc, argv, err);
	if (r < 0)
		return r;
	if (argc < 2) {
		command_help_all(stdout);
		return 0;
	}
	c->command = command_find(argv[1]);
	if (c->command == NULL) {
		const char *near = command_suggest(argv[1]);
		vk_err_set(err, VK_USAGE, "%.64s is not a viking command", argv[1]);
		return vk_err_hint(err, "viking %s", near ? near : "help");
	}
	r = call_parse(c, argc - 2, argv + 2, err);
	if (r < 0)
		return r;
	if (!c->help)
		return c->command->fn(c, err);
	command_help(c->command, stdout);
	return 0;
}

int main(int argc, char **argv)
{
	vk_log_init("viking");
	signal(SIGPIPE, SIG_DFL);
	struct call c = {0};
	struct vk_err err = {0};
	int status = run(&c, argc, argv, &err) < 0 ? report(&err) : c.exit_status;
	call_release(&c);
	return status;
}
