/* viking-front: joins this host's unix sockets to those of the cluster's other hosts. */
#include "front.h"

int main(int argc, char **argv)
{
	return vk_role_main(&front_role, argc, argv);
}
