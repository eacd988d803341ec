#include "rights.h"

#include <limits.h>
#include <string.h>
#include <viking/fs.h>

struct paths {
	struct vk_strv read, write, exec;
};

static void paths_release(struct paths *p)
{
	vk_strv_release(&p->read);
	vk_strv_release(&p->write);
	vk_strv_release(&p->exec);
}

/* Where the programs really are: LIBEXEC may hold links to them. The rules are for directories, since a rule holds on
 * to an inode and an upgrade puts other files in their places. */
static void add_programs(const struct vk_config *c, struct paths *p)
{
	static const char *const programs[] = {"viking-session", "viking-monitor", "viking-remote",
		"viking-export", "viking", "git-hooks/pre-receive", "git-hooks/proc-receive"};
	for (size_t i = 0; i < VK_COUNT(programs); i++) {
		vk_autofree char *path = vk_libexec_path(c, programs[i]);
		vk_autofree char *real = realpath(path, NULL);
		char *name = real != NULL ? strrchr(real, '/') : NULL;
		if (name == NULL || name == real)
			continue;
		*name = '\0';
		if (!vk_strv_has(&p->exec, real))
			vk_strv_add(&p->exec, real);
	}
}

static void add_common(const struct vk_config *c, const char *config_file, struct paths *p)
{
	static const char *const base_dirs[] = {"/usr", "/lib", "/lib64", "/bin", "/sbin"};
	for (size_t i = 0; i < VK_COUNT(base_dirs); i++)
		vk_strv_add(&p->exec, base_dirs[i]);
	vk_strv_add(&p->exec, c->libexec_dir);
	add_programs(c, p);
	vk_strv_add(&p->read, "/etc");
	vk_strv_add(&p->read, "/proc");
	vk_strv_add(&p->read, "/sys/devices/system/cpu"); /* git asks how many there are */
	vk_strv_add(&p->read, c->etc_dir);
	if (*config_file != '\0')
		vk_strv_add(&p->read, config_file);
	vk_strv_add(&p->write, "/dev");
	vk_strv_take(&p->write, vk_state_path(c, "repos"));
}

/* Host keys and websites are the listener's other children's business. */
static void add_listener(const struct vk_config *c, struct paths *p)
{
	vk_strv_take(&p->write, vk_state_path(c, "ssh"));
	vk_strv_take(&p->write, vk_state_path(c, "static"));
	vk_strv_add(&p->write, c->run_dir);
}

/* A rule needs its directory. */
static int make_directories(const struct vk_config *c, struct vk_err *err)
{
	vk_autofree char *ssh = vk_state_path(c, "ssh");
	vk_autofree char *repos = vk_state_path(c, "repos");
	int rc = vk_fs_mkdir_p(ssh, 0700, err);
	return rc != 0 ? rc : vk_fs_mkdir_p(repos, 0700, err);
}

int rights_take(const struct vk_config *c, const char *config_file, enum rights_of who,
	struct vk_sandbox_report *ret, struct vk_err *err)
{
	__attribute__((cleanup(paths_release))) struct paths p = {0};
	int rc = who == RIGHTS_LISTENER ? make_directories(c, err) : 0;
	if (rc != 0)
		return rc;
	add_common(c, config_file, &p);
	if (who == RIGHTS_LISTENER)
		add_listener(c, &p);
	else
		vk_strv_add(&p.read, c->run_dir);
	const struct vk_sandbox box = {.read_paths = (const char *const *)p.read.v,
		.write_paths = (const char *const *)p.write.v,
		.exec_paths = (const char *const *)p.exec.v,
		.use_landlock = true,
		/* the filter is inherited: making it once, in the listener, saves a millisecond a connection */
		.seccomp = who == RIGHTS_LISTENER ? VK_SECCOMP_SPAWN : VK_SECCOMP_NONE,
		.mode = c->sandbox};
	return vk_sandbox_enter(&box, ret, err);
}
