/*
 * A real etcd of a test's own: one to three members on loopback ports below a private directory, with or without TLS; and
 * a hostile way to it: a proxy process that delays and splits what it carries and can swallow answers.
 */
#ifndef VIKING_TESTS_ETCD_SERVER_H
#define VIKING_TESTS_ETCD_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ETCD_MEMBERS 3

struct etcd_server {
	char dir[64];
	size_t n;
	bool tls;
	int client_port[ETCD_MEMBERS], peer_port[ETCD_MEMBERS];
	pid_t pid[ETCD_MEMBERS];
	char endpoints[256];
	char ca[96], cert[96], key[96]; /* of the client; "" without TLS */
};
void etcd_server_start(struct etcd_server *e, const char *dir, size_t members, bool tls);
void etcd_server_stop(struct etcd_server *e);
void etcd_server_kill(struct etcd_server *e, size_t i);    /* SIGKILL, reaped */
void etcd_server_restart(struct etcd_server *e, size_t i); /* on the same data; not waited for */
void etcd_server_signal(struct etcd_server *e, size_t i, int signo);
/* etcdctl with these words, NULL at the end; asserts success. */
void etcd_server_ctl(struct etcd_server *e, const char *const *words);

struct chaos {
	pid_t pid;
	int port;
	volatile struct chaos_orders {
		int mute; /* nothing more is delivered to those who watch */
		int swallow; /* so many of the next answers are not delivered: the connection is closed instead */
	} * orders;
};
void chaos_start(struct chaos *c, int to_port, unsigned seed);
void chaos_stop(struct chaos *c);

#endif
