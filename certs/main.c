/* viking-certs: reads certificates that come from outside, and orders them from an authority. */
#include "certs.h"

int main(int argc, char **argv)
{
	return vk_role_main(&certs_role, argc, argv);
}
