#include <criterion/criterion.h>

#include "answers.h"

/* as HAProxy 2.6.12 prints it */
static const char servers[] = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state "
			      "srv_admin_state srv_uweight srv_iweight "
			      "srv_time_since_last_change srv_check_status srv_check_result "
			      "srv_check_health srv_check_state srv_agent_state "
			      "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord "
			      "srv_use_ssl srv_check_port srv_check_addr "
			      "srv_agent_addr srv_agent_port\n"
			      "2 sites 1 web - 2 0 1 1 0 1 0 2 0 0 0 0 - 0 - 0 0 - - 0\n"
			      "3 b0001 1 s1 10.0.0.1 2 4 1 1 0 1 0 0 8 0 0 0 - 18092 - 0 0 - - 0\n"
			      "3 b0001 2 s2 127.0.0.1 0 5 1 1 0 1 0 0 8 0 0 0 - 1 - 0 0 - - 0\n"
			      "3 b0001 3 s3 fd00::1 2 12 1 1 0 1 0 0 8 0 0 0 - 5 - 0 0 - - 0\n"
			      "4 b0002 1 s1 127.0.0.1 0 1 1 1 0 1 0 0 8 0 0 0 - 1 - 0 0 - - 0\n\n";

Test(answers, servers_state)
{
	struct model m = {0};
	answer_servers(servers, &m);
	cr_assert_eq(m.n, 2);
	cr_assert_eq(m.backends[0].n, 3);
	cr_assert_eq(m.backends[0].slots[0].state, SLOT_READY,
		"4 only remembers that the file said disabled");
	cr_assert_eq(m.backends[0].slots[0].port, 18092);
	cr_assert_eq(m.backends[0].slots[1].state, SLOT_FREE);
	cr_assert_eq(m.backends[0].slots[2].state, SLOT_DRAIN);
	cr_assert_str_eq(m.backends[0].slots[2].addr, "fd00::1");
	model_release(&m);
}

Test(answers, a_server_that_is_down_is_not_ready)
{
	struct model m = {0};
	answer_servers("3 b0001 1 s1 10.0.0.1 0 0 1 1 0 1 0 0 8 0 0 0 - 80 - 0 0 - - 0\n", &m);
	cr_assert_eq(m.backends[0].slots[0].state, SLOT_FREE);
	model_release(&m);
}

Test(answers, rubbish_is_skipped)
{
	struct model m = {0};
	answer_servers("\n\n \nx y z\n3 b0001 1 s1\n3 b99999999999 1 s1 10.0.0.1 2 0 1 1 0 1 0 0 8 "
		       "0 0 0 - 80\n"
		       "3 b0001 1 s9999999 10.0.0.1 2 0 1 1 0 1 0 0 8 0 0 0 - 80\n3 b0001 1 s1 "
		       "10.0.0.1 2 0 1 1 0 1 0 0 8 0 0 0 - 99999",
		&m);
	cr_assert_eq(m.n, 0);
	model_release(&m);
}

Test(answers, maps)
{
	struct routes r = {0};
	answer_map("0x557e6bb93290 a.com b0001\n0x557e6bb93320 .b.com sites\n\nunknown map\n0x1 "
		   "c.com other\n",
		true, &r);
	cr_assert_eq(r.n, 3);
	cr_assert_str_eq(r.v[0].key, "a.com");
	cr_assert_str_eq(r.v[0].value, "b0001");
	cr_assert_str_eq(r.v[1].value, "sites");
	unsigned to = 9;
	cr_assert(route_backend(r.v[1].value, &to) && to == 0);
	cr_assert(!route_backend(r.v[2].value, &to), "no backend of ours");
	cr_assert(route_backend("b0012|0|0", &to) && to == 12);
	routes_release(&r);
	answer_map("a.com b0001\n", false, &r);
	cr_assert_eq(r.n, 1);
	routes_release(&r);
}

Test(answers, certificates)
{
	struct routes r = {0};
	answer_certs("# /x/certs.list\n/x/certs/bb.pem b.com *.b.com\n/x/certs/aa.pem a.com\n\n"
		     "no list of that name\n/x/certs/.pem c.com\n",
		&r);
	cr_assert_eq(r.n, 2);
	cr_assert_str_eq(r.v[0].key, "aa");
	cr_assert_str_eq(r.v[1].key, "bb");
	cr_assert_str_eq(r.v[1].value, "b.com,*.b.com");
	routes_release(&r);
}

Test(answers, pid_and_version)
{
	cr_assert_eq(answer_pid("Name: HAProxy\nPid: 15285\nUptime: 0d\n"), 15285);
	cr_assert_eq(answer_pid("Name: x\n"), 0);
	cr_assert_eq(answer_pid(""), 0);
	cr_assert_eq(answer_version("New version created: 7\n\n"), 7);
	cr_assert_eq(answer_version("Unknown map identifier.\n"), 0);
}

Test(answers, trouble)
{
	size_t n;
	cr_assert_null(answer_trouble("", &n));
	cr_assert_null(answer_trouble("\n\n", &n));
	cr_assert_null(answer_trouble("no need to change the addr, port changed from '1' to '80' "
				      "by 'stats socket command'\n\n"
				      "IP changed from '127.0.0.1' to '10.0.0.1' by 'stats socket "
				      "command'\n\nNew server registered.\n\n",
		&n));
	const char *said = answer_trouble("\nNo such backend.\n\nNo such server.\n", &n);
	cr_assert_eq(n, strlen("No such backend."));
	cr_assert_eq(strncmp(said, "No such backend.", n), 0);
}

Test(answers, processes)
{
	struct workers w;
	answer_proc(
		"#<PID>          <type>          <reloads>       <uptime>        <version>      \n"
		"15282           master          3 [failed: 1]   0d00h00m01s     2.6.12-1+deb12u4\n"
		"# workers\n15300           worker          0               0d00h00m01s     "
		"2.6.12-1+deb12u4\n"
		"# old workers\n15285           worker          1               0d00h00m01s     "
		"2.6.12-1+deb12u4\n"
		"15286           worker          2               0d00h00m01s     2.6.12-1+deb12u4\n"
		"# programs\n999 worker 1 1\n\n",
		&w);
	cr_assert_eq(w.current, 999, "whatever is not under old workers is current");
	cr_assert_eq(w.failed, 1);
	cr_assert_eq(w.n_old, 2);
	cr_assert_eq(w.old[1], 15286);
	answer_proc("", &w);
	cr_assert_eq(w.current, 0);
}

Test(answers, connections)
{
	static const char text[] =
		"# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est "
		"unsafe_nb safe_nb idle_lim idle_cur idle_per_thr[2]\n"
		"sites/web 2/1 - 0 - 5000 9 0 0 0 0 -1 0 0 0\n"
		"b0001/s1 3/1 10.0.0.1 80 - 5000 2 3 0 0 0 -1 4 2 2\n"
		"b0001/s2 3/2 10.0.0.1 81 - 5000 1 0 0 0 0 -1 0 0 0\n"
		"b0001/s3 3/3 10.0.0.1 80 - 0 1 0 0 0 0 0\n";
	cr_assert_eq(answer_connections(text, "10.0.0.1", 80), 3);
	cr_assert_eq(answer_connections(text, "10.0.0.1", 81), 1);
	cr_assert_eq(answer_connections(text, "10.0.0.2", 80), 0);
}

Test(answers, keys_one_by_one)
{
	const char *at = "Name: HAProxy\nPid: 5\n\ntype=str, case=sensitive, found=yes, idx=tree, "
			 "key=\"a.com\", value=\"b0001|0|x\", type=\"str\"\n\n"
			 "type=str, case=sensitive, found=no\n\n"
			 "type=beg, case=sensitive, found=yes, idx=tree, key=\"G/\", value=\"b1\", "
			 "type=\"str\"\n\n";
	vk_autofree char *a = answer_key(&at, "a.com"), *b = answer_key(&at, "b.com"),
			 *longer = answer_key(&at, "G/api/"), *end = answer_key(&at, "c.com");
	cr_assert_str_eq(a, "b0001|0|x");
	cr_assert(b == NULL && longer == NULL && end == NULL);
}
