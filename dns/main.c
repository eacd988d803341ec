/* viking-dns: names of instances and links for containers, and the way out for all other names. */
#include "resolver.h"

int main(int argc, char **argv)
{
	return vk_role_main(&dns_role, argc, argv);
}
