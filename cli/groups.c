#include "groups.h"

const struct command *const command_groups[] = {
	stacks_commands,
	keys_commands,
	config_commands,
	domains_commands,
	certs_commands,
	traffic_commands,
	buildpacks_commands,
	ps_commands,
	releases_commands,
	builds_commands,
	watch_commands,
	exec_commands,
	hosts_commands,
	host_commands,
	file_commands,
	NULL,
};
