/* viking-router: makes HAProxy serve the scheduler's routing table. */
#include "router.h"

int main(int argc, char **argv)
{
	return vk_role_main(&router_role, argc, argv);
}
