/* viking-web: serves the files of websites to HAProxy. */
#include "web.h"

int main(int argc, char **argv)
{
	return vk_role_main(&web_role, argc, argv);
}
