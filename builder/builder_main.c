/* viking-builder: runs the builds that the scheduler wants. See README.md. */
#include "dispatch.h"

int main(int argc, char **argv)
{
	return vk_role_main(&builder_role, argc, argv);
}
