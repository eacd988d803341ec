/* The sandbox of the web process, entered by a child: files outside STATE/static and programs are
 * refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/fs.h>

#include "web.h"

static struct vk_config *config_in(const char *root)
{
	struct vk_config *c = NULL;
	struct vk_err err = {0};
	vk_autofree char *files = vk_asprintf("%s/var/lib/viking/static", root);
	vk_autofree char *page = vk_asprintf("%s/page", files),
			 *secret = vk_asprintf("%s/secret", root);
	setenv("VIKING_SINGLE_UID", "1", 1);
	setenv("VIKING_SANDBOX", "require", 1);
	cr_assert_eq(vk_config_load(NULL, root, &c, &err), 0, "%s", err.msg);
	cr_assert_eq(vk_fs_mkdir_p(files, 0755, &err), 0);
	cr_assert_eq(vk_fs_write_atomic(page, "x", 1, 0644, &err), 0);
	cr_assert_eq(vk_fs_write_atomic(secret, "x", 1, 0644, &err), 0);
	return c;
}

static int try_files(const char *root)
{
	vk_autofree char *page = vk_asprintf("%s/var/lib/viking/static/page", root),
			 *secret = vk_asprintf("%s/secret", root);
	if (open(page, O_RDONLY) < 0)
		return 2;
	if (open(secret, O_RDONLY) >= 0 || errno != EACCES)
		return 3;
	if (open(page, O_WRONLY) >= 0 || errno != EACCES)
		return 4;
	if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES)
		return 5;
	return 0;
}

static int try_programs(void)
{
	execl("/bin/true", "true", (char *)NULL);
	if (errno != EPERM) /* landlock alone would say EACCES */
		return 7;
	return fork() < 0 ? 0 : 8;
}

static void in_child(const struct vk_config *c, const char *root)
{
	pid_t pid = fork();
	if (pid == 0) {
		struct vk_sandbox_report report;
		if (vk_role_confine(&web_role, c, &report, NULL) != 0 || !report.landlock ||
			!report.seccomp)
			_exit(1);
		int rc = try_files(root);
		_exit(rc != 0 ? rc : try_programs());
	}
	int status = -1;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's step %x", status);
}

Test(confine, files_and_programs)
{
	char root[] = "/tmp/vk-web-XXXXXX";
	struct vk_sandbox_report can;
	vk_sandbox_probe(&can);
	cr_assert(can.landlock && can.seccomp, "this kernel has no landlock or no seccomp");
	cr_assert_not_null(mkdtemp(root));
	struct vk_config *c = config_in(root);
	in_child(c, root);
	vk_config_free(c);
	vk_fs_remove_tree(root, NULL);
}
