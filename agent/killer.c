#include "killer.h"

#include <errno.h>
#include <signal.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#define AGAIN_MS 25
#define TRIES    80 /* two seconds */

struct killer {
	struct agent *a;
	struct killer *next; /* in the agent's list, so that none is lost when it stops */
	char container[65], exec[80];
	int signo;
	unsigned tries;
	struct vk_timer *again;
};

static void killer_free(struct killer *k)
{
	for (struct killer **at = &k->a->killers; *at != NULL; at = &(*at)->next)
		if (*at == k) {
			*at = k->next;
			break;
		}
	vk_timer_free(k->again);
	free(k);
}

void killer_forget(struct agent *a)
{
	while (a->killers != NULL)
		killer_free(a->killers);
}

int killer_number(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} table[] = {{"HUP", SIGHUP}, {"INT", SIGINT}, {"QUIT", SIGQUIT}, {"KILL", SIGKILL},
		{"TERM", SIGTERM}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"WINCH", SIGWINCH},
		{"CONT", SIGCONT}, {"STOP", SIGSTOP}, {"ALRM", SIGALRM}, {"ABRT", SIGABRT}};
	if (vk_starts(name, "SIG"))
		name += 3;
	for (size_t i = 0; i < VK_COUNT(table); i++)
		if (vk_streq(table[i].name, name))
			return table[i].number;
	return 0;
}

int killer_inner_pid(const char *status)
{
	const char *line = strstr(status, "\nNSpid:");
	if (line == NULL)
		return 0;
	line += 7;
	const char *end = strchrnul(line, '\n'), *at = end;
	while (at > line && at[-1] >= '0' && at[-1] <= '9')
		at--;
	vk_autofree char *digits = vk_strndup(at, (size_t)(end - at));
	uint64_t pid;
	return vk_parse_u64(digits, 1, INT32_MAX, &pid) == 0 ? (int)pid : 0;
}

static int proc_read(int pid, const char *file, struct vk_buf *b)
{
	vk_autofree char *path = vk_asprintf("/proc/%d/%s", pid, file);
	return vk_fs_read(path, b, NULL);
}

static bool in_container(const struct killer *k, int pid)
{
	vk_autobuf b = VK_BUF_INIT(65536);
	return proc_read(pid, "cgroup", &b) == 0 && strstr(vk_buf_str(&b), k->container) != NULL;
}

/* The exec'd process leads its own session, so its group goes with it. */
static bool signal_directly(int pid, int signo)
{
	if (kill(-pid, signo) == 0)
		return true;
	return kill(pid, signo) == 0 || errno == ESRCH;
}

static void on_shell_created(void *arg, const struct vk_err *err, json_t *answer)
{
	struct killer *k = arg;
	if (err->code == 0) {
		vk_autofree char *path =
			vk_asprintf("/exec/%s/start", vk_json_str(answer, "Id", ""));
		vk_autojson *body = json_pack("{s:b}", "Detach", 1);
		vk_engine_call_async(k->a->engine, "POST", path, body, AGENT_CALL_MS, NULL, NULL);
	}
	killer_free(k);
}

static void by_shell(struct killer *k, int pid)
{
	vk_autobuf b = VK_BUF_INIT(65536);
	int inner = proc_read(pid, "status", &b) == 0 ? killer_inner_pid(vk_buf_str(&b)) : 0;
	if (inner <= 0) {
		killer_free(k);
		return;
	}
	vk_autofree char *text =
		vk_asprintf("kill -%d -%d || kill -%d %d", k->signo, inner, k->signo, inner);
	vk_autofree char *path = vk_asprintf("/containers/%s/exec", k->container);
	vk_autojson *body = json_pack("{s:[s,s,s],s:s}", "Cmd", "/bin/sh", "-c", text, "User", "0");
	vk_engine_call_async(k->a->engine, "POST", path, body, AGENT_CALL_MS, on_shell_created, k);
}

static void on_exec(void *arg, const struct vk_err *err, json_t *answer)
{
	struct killer *k = arg;
	int pid = (int)vk_json_int(answer, "Pid", 0);
	bool ended = err->code != 0 || json_is_integer(json_object_get(answer, "ExitCode"));
	/* its first output may be here before the engine knows its pid */
	if (!ended && (pid <= 1 || !in_container(k, pid)) && ++k->tries < TRIES) {
		vk_timer_set(k->again, AGAIN_MS);
		return;
	}
	if (ended || pid <= 1 || !in_container(k, pid) || signal_directly(pid, k->signo)) {
		killer_free(k);
		return;
	}
	by_shell(k, pid);
}

static void ask(void *arg)
{
	struct killer *k = arg;
	vk_autofree char *path = vk_asprintf("/exec/%s/json", k->exec);
	vk_engine_call_async(k->a->engine, "GET", path, NULL, AGENT_CALL_MS, on_exec, k);
}

void killer_exec(struct agent *a, const char *container, const char *exec, const char *signal)
{
	int signo = killer_number(signal);
	if (signo == 0)
		return;
	struct killer *k = vk_alloc(sizeof(*k));
	k->a = a;
	k->next = a->killers;
	a->killers = k;
	k->signo = signo;
	k->again = vk_timer_new(a->loop, ask, k);
	snprintf(k->container, sizeof(k->container), "%s", container);
	snprintf(k->exec, sizeof(k->exec), "%s", exec);
	ask(k);
}
