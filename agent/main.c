/* viking-agent: makes this host's containers equal the desired set. */
#include "agent.h"

int main(int argc, char **argv)
{
	return vk_role_main(&agent_role, argc, argv);
}
