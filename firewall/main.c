/* viking-firewall: keeps containers to their stack, their links and the outside. */
#include "firewall.h"

int main(int argc, char **argv)
{
	return vk_role_main(&firewall_role, argc, argv);
}
