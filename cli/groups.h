/* The tables of the groups, one a file; groups.c lists them. */
#ifndef CLI_GROUPS_H
#define CLI_GROUPS_H

#include "command.h"

extern const struct command keys_commands[], stacks_commands[], config_commands[],
	domains_commands[], certs_commands[], traffic_commands[], buildpacks_commands[],
	ps_commands[], releases_commands[], builds_commands[], watch_commands[], exec_commands[],
	host_commands[], file_commands[], hosts_commands[];

#endif
