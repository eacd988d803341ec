#include "multi.h"

static void act(struct vk_multi *m, curl_socket_t fd, int what)
{
	int running;
	m->inside++;
	curl_multi_socket_action(m->curl, fd, what, &running);
	m->inside--;
	m->after(m->arg);
}

static void on_io(void *arg, int fd, int what)
{
	act(arg, fd,
		(what & VK_READ ? CURL_CSELECT_IN : 0) | (what & VK_WRITE ? CURL_CSELECT_OUT : 0));
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *slot)
{
	struct vk_multi *m = arg;
	struct vk_io *io = slot;
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		vk_io_free(io);
		curl_multi_assign(m->curl, fd, NULL);
		return 0;
	}
	int want = (what & CURL_POLL_IN ? VK_READ : 0) | (what & CURL_POLL_OUT ? VK_WRITE : 0);
	if (io != NULL)
		vk_io_set(io, want);
	else
		curl_multi_assign(m->curl, fd, vk_io_new(m->loop, fd, want, on_io, m));
	return 0;
}

static int on_timer_wish(CURLM *curl, long ms, void *arg)
{
	struct vk_multi *m = arg;
	(void)curl;
	vk_timer_set(m->timer, ms);
	return 0;
}

static void on_timer(void *arg)
{
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

void vk_multi_init(
	struct vk_multi *m, struct vk_loop *l, long idle_max, vk_timer_fn *after, void *arg)
{
	*m = (struct vk_multi){.curl = curl_multi_init(), .loop = l, .after = after, .arg = arg};
	m->timer = vk_timer_new(l, on_timer, m);
	m->soon = vk_timer_new(l, after, arg);
	curl_multi_setopt(m->curl, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(m->curl, CURLMOPT_SOCKETDATA, m);
	curl_multi_setopt(m->curl, CURLMOPT_TIMERFUNCTION, on_timer_wish);
	curl_multi_setopt(m->curl, CURLMOPT_TIMERDATA, m);
	curl_multi_setopt(m->curl, CURLMOPT_MAXCONNECTS, idle_max);
}

void vk_multi_release(struct vk_multi *m)
{
	curl_multi_cleanup(m->curl);
	vk_timer_free(m->timer);
	vk_timer_free(m->soon);
}

void vk_multi_add(struct vk_multi *m, CURL *easy)
{
	m->inside++;
	curl_multi_add_handle(m->curl, easy);
	m->inside--;
}

void vk_multi_soon(struct vk_multi *m)
{
	vk_timer_set(m->soon, 0);
}

CURL *vk_multi_ended(struct vk_multi *m, CURLcode *ret)
{
	int left;
	for (CURLMsg *msg; (msg = curl_multi_info_read(m->curl, &left)) != NULL;) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		*ret = msg->data.result; /* msg dies with the handle's removal */
		return msg->easy_handle;
	}
	return NULL;
}

void vk_multi_step(struct vk_multi *m, int ms)
{
	int running;
	m->inside++;
	curl_multi_perform(m->curl, &running);
	m->inside--;
	m->after(m->arg);
	curl_multi_poll(m->curl, NULL, 0, ms, NULL);
}
