/*
 * Configuration: built-in defaults < /etc/viking/auto.conf < viking.conf < the .yml files of conf.d (sorted) <
 * environment VIKING_* < command line --root. YAML maps; every setting is one row of one table in
 * base/config.c (name, type, offset, default, range, one line of help), from which `viking config
 * --explain`, the man page and the environment names come: `ssh.port` is VIKING_SSH_PORT. An unknown
 * key is an error with a suggestion and file:line:col. With --root DIR every relative default
 * (etc/viking, var/lib/viking, run/viking) lies under DIR, else under /.
 */
#ifndef VIKING_CONFIG_H
#define VIKING_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <viking/err.h>
#include <viking/mem.h>

struct vk_config {
	char *root;      /* --root, absolute, or NULL */
	bool single_uid; /* --root without being root, or with it when the users are missing: all
	                    * processes run under one uid, which doctor says */
	/* host */
	char *host_name;   /* host.name; default: gethostname up to the first dot */
	char *host_roles;  /* host.roles: words with commas between */
	char *host_zone;   /* host.zone; "" = none */
	char *base_domain; /* base_domain; "" = none */
	/* listeners */
	char *ssh_address;   /* ssh.address, 0.0.0.0 */
	uint64_t ssh_port;   /* 2222 */
	char *http_address;  /* http.address, 0.0.0.0 */
	uint64_t http_port;  /* 80 */
	uint64_t https_port; /* 443; 0 = off */
	char *web_address;   /* web.address 127.0.0.1 */
	uint64_t web_port;   /* 8791 */
	char *metrics_token; /* metrics.token: SHA-256 of the token, "" = /metrics is not on TCP */
	char *cluster_address; /* cluster.address, 0.0.0.0: where other hosts reach this one */
	uint64_t cluster_port; /* 8792; nothing listens there before this host is in a cluster */
	char *cluster_ports; /* cluster.ports, 20000-29999: a range; where they reach containers */
	char *registry_address; /* registry.address, 127.0.0.1 */
	uint64_t registry_port; /* 5000 */
	/* paths, absolute after loading */
	char *etc_dir;       /* paths.etc   ROOT/etc/viking */
	char *state_dir;     /* paths.state ROOT/var/lib/viking */
	char *run_dir;       /* paths.run   ROOT/run/viking */
	char *libexec_dir;   /* paths.libexec; where the executables are (default: compiled in) */
	char *engine_socket; /* engine.socket, /var/run/docker.sock */
	char *haproxy_path;  /* helpers.haproxy /usr/sbin/haproxy */
	char *registry_path; /* helpers.registry /usr/bin/docker-registry */
	char *git_path;      /* helpers.git /usr/bin/git */
	char *etcd_path;     /* helpers.etcd /usr/bin/etcd */
	bool run_etcd;       /* helpers.run_etcd false */
	bool run_haproxy;    /* helpers.run_haproxy true */
	bool run_registry;   /* helpers.run_registry true */
	/* state */
	char *store;          /* store: sqlite | etcd */
	char *etcd_endpoints; /* etcd.endpoints "" */
	char *etcd_ca;        /* etcd.ca, etcd.cert, etcd.key: PEM files, "" = none */
	char *etcd_cert;
	char *etcd_key;
	char *etcd_prefix;       /* etcd.prefix /viking */
	char *etcd_classic;      /* etcd.classic: before seed 000's keys; "/" or "off" */
	uint64_t etcd_lease_ms;  /* etcd.lease 10s */
	uint64_t etcd_port;      /* etcd.port 2379 */
	uint64_t etcd_peer_port; /* etcd.peer_port 2380 */
	/* receive */
	char *deploy_branches; /* deploy.branches "main,master" */
	bool create_on_push;   /* deploy.create_on_push true */
	bool bench_skip_release; /* receiver.bench_skip_release false: hooks accept and move the ref only */
	uint64_t pack_max;                /* receive.max_pack 512 MiB */
	uint64_t object_max;              /* receive.max_object 100 MiB */
	uint64_t tree_depth_max;          /* receive.max_depth 64 */
	uint64_t tree_files_max;          /* receive.max_files 50000 */
	uint64_t tree_bytes_max;          /* receive.max_bytes 1 GiB */
	uint64_t free_bytes_min;          /* receive.min_free 512 MiB */
	uint64_t ssh_startups;            /* ssh.startups 100 */
	uint64_t ssh_startups_per_source; /* ssh.startups_per_source 10 */
	uint64_t ssh_grace_ms;            /* ssh.grace 20s */
	uint64_t ssh_keepalive_ms;        /* ssh.keepalive 30s, three times */
	uint64_t ssh_idle_ms; /* ssh.idle 10m without a command, or with output that nobody reads */
	/* build */
	uint64_t builds_parallel;  /* builds.parallel 2 */
	char *build_backend;       /* builds.backend buildkit | classic */
	uint64_t build_memory;     /* builds.memory 2 GiB */
	uint64_t build_cpu_weight; /* builds.cpu_weight 100 (cgroup v2 scale; apps have 1000) */
	uint64_t build_pids;       /* builds.pids 1024 */
	uint64_t build_disk;       /* builds.disk 10 GiB */
	uint64_t build_timeout_ms; /* builds.timeout 30m */
	bool stack_ahead;          /* builder.stack_ahead true */
	char *build_env_file;      /* builder.build_env "" */
	char *build_ca_file;       /* builder.extra_ca "" */
	uint64_t images_budget;    /* images.budget 20 GiB */
	uint64_t releases_keep;    /* releases.keep 10 */
	uint64_t audit_size_max;   /* audit.max_size 64M */
	uint64_t audit_keep;       /* audit.keep 8 */
	/* run */
	uint64_t host_grace_ms; /* cluster.host_grace 30s: without its agent a host is lost then */
	uint64_t health_timeout_ms; /* deploy.health_timeout 60s: start to first healthy */
	uint64_t drain_ms;          /* deploy.drain 30s */
	uint64_t route_ack_ms;      /* deploy.route_ack 30s */
	uint64_t default_memory;    /* nodes.memory 512 MiB */
	uint64_t default_pids;      /* nodes.pids 512 */
	uint64_t
		disk_check_ms; /* nodes.disk_check 30s: how often what instances have written is measured */
	char *network_range; /* networks.range 10.210.0.0/16, one /24 a stack */
	/* names and ways of containers */
	bool dns_enabled;      /* dns.enabled true */
	char *dns_upstream;    /* dns.upstream "": as /etc/resolv.conf says */
	char *dns_zones;       /* dns.zones: zones of older systems that are served too */
	bool firewall_enabled; /* firewall.enabled true */
	char *firewall_allow;  /* firewall.allow "": TCP ports of the host that containers reach */
	/* certificates from an authority (RFC 8555) */
	char *acme_directory;   /* acme.directory: its URL; Let's Encrypt */
	bool acme_accept_terms; /* acme.accept_terms false: nothing is ordered before */
	bool acme_auto;         /* acme.auto false: order for every domain, asked for or not */
	char *acme_email;       /* acme.email "" */
	char *acme_ca_file;     /* acme.ca_file "": what its HTTPS is checked with; the system's */
	char *acme_dns_hook;    /* acme.dns_hook "": program that sets TXT records */
	uint64_t acme_timeout_ms;  /* acme.timeout 5m, one order */
	uint64_t acme_retry_ms;    /* acme.retry 10m behind a failure, doubling to a day */
	char *uacme_path;          /* helpers.uacme /usr/bin/uacme */
	uint64_t logs_stack_bytes; /* logs.stack_bytes 64 MiB, the ring of a stack */
	/* host policy: what pushed manifests may ask for */
	bool policy_privileged;   /* policy.privileged false */
	bool policy_host_network; /* policy.host_network false */
	bool policy_host_pid;     /* policy.host_pid false */
	char *policy_host_paths;  /* policy.host_paths "" (comma-separated prefixes) */
	char *policy_publish;    /* policy.publish "1024-65535": host ports that may be published */
	char *builder_cnb;       /* builder.cnb "": builder image for project.toml */
	char *policy_pack_urls;  /* policy.pack_urls: how URLs of buildpacks must begin */
	char *policy_pack_paths; /* policy.pack_paths "": directories of the host with buildpacks */
	char *policy_cnb_builders; /* policy.cnb_builders "": trusted builder images, globs */
	char *sandbox; /* sandbox: auto | require | off; tests: no-landlock, no-seccomp */
};

/* file: NULL or "" = <etc>/viking.conf if it exists. root: NULL or "" = /. */
int vk_config_load(const char *file, const char *root, struct vk_config **ret, struct vk_err *err);
void vk_config_free(struct vk_config *c);
/* One line a setting: `name: value # where it came from`, with explain a line of help before it. The text is
 * YAML that loads again. */
void vk_config_print(const struct vk_config *c, bool explain, FILE *out);
/* {"settings": [{"name", "value", "from", "help"}]}, values as text. New reference. */
json_t *vk_config_json(const struct vk_config *c);
/* Reads and strips `--config FILE` and `--root DIR` (also `--root=DIR`) from argv, as far as it has options
 * (up to the first word without '-', so that words of a command to be run are left alone), then loads. Not
 * given there: VIKING_CONFIG_FILE and VIKING_ROOT. For every main(). */
int vk_config_from_argv(int *argc, char **argv, struct vk_config **ret, struct vk_err *err);
/* Helpers for the fixed layout (docs/protocol.md 2); the caller frees. fmt is relative to the directory. */
char *vk_state_path(const struct vk_config *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
char *vk_run_path(const struct vk_config *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
char *vk_libexec_path(const struct vk_config *c, const char *program);
/* cluster.address, when it is one at which other hosts reach this one; else NULL. */
const char *vk_config_cluster_address(const struct vk_config *c);
/* The setting that makes a TCP port of this host viking's own ("registry.port"), or NULL. No application may publish
 * it: whoever binds it while the process behind it is away is handed what others send there, passwords included. */
const char *vk_config_own_port(const struct vk_config *c, uint64_t port);
/* The ends of cluster.ports. */
void vk_config_cluster_ports(const struct vk_config *c, uint16_t *ret_first, uint16_t *ret_last);

#endif
