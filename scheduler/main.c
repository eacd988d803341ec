/* viking-scheduler: the hub; viking-scheduler-etcd: the same, with its state in etcd. */
#include <signal.h>
#include <string.h>
#include <viking/config.h>
#include <viking/err.h>
#include <viking/log.h>

#include "api.h"
#include "sched.h"

#ifdef VIKING_STORE_ETCD
#define SHARED_STORE sched_open_etcd
#else
#define SHARED_STORE NULL
#endif

int main(int argc, char **argv)
{
	struct vk_config *cfg = NULL;
	struct vk_err err = {0};
	vk_log_init("viking-scheduler");
	signal(SIGPIPE, SIG_IGN);
	int rc = vk_config_from_argv(&argc, argv, &cfg, &err);
	if (rc == 0 && argc == 2 && strcmp(argv[1], "--routes") == 0) {
		api_print_routes(stdout);
		vk_config_free(cfg);
		return 0;
	}
	if (rc == 0 && argc > 1)
		rc = vk_err_set(&err, VK_USAGE, "viking-scheduler takes no words");
	if (rc == 0)
		rc = sched_serve(cfg, SHARED_STORE, &err);
	if (rc < 0)
		vk_log_err(VK_ERROR, "failed", &err);
	vk_config_free(cfg);
	return rc < 0 ? vk_err_exit(rc) : rc;
}
