/* The scanner against what engines do with the same text (measured on 20.10, both builders). */
#include "dockerfile.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <viking/str.h>

#define REGISTRY "127.0.0.1:5000"

static int scan_args(const char *text, const char *args, const char *target,
	struct dockerfile **ret, struct vk_err *err)
{
	json_t *a = args != NULL ? json_loads(args, 0, NULL) : NULL;
	cr_assert(args == NULL || a != NULL, "%s", args);
	struct dockerfile_opts o = {.file = "F", .args = a, .target = target, .registry = REGISTRY};
	int rc = dockerfile_scan(text, strlen(text), &o, ret, err);
	json_decref(a);
	return rc;
}

static void expect_images(const char *text, const char *args, const char *want)
{
	struct vk_err err = {0};
	struct dockerfile *d = NULL;
	cr_assert_eq(scan_args(text, args, NULL, &d, &err), 0, "%s\n%s", text, err.msg);
	vk_autobuf got = VK_BUF_INIT(4096);
	for (size_t i = 0; i < d->n; i++)
		vk_buf_addf(&got, "%s%s@%u", i > 0 ? " " : "", d->uses[i].image, d->uses[i].line);
	cr_expect_str_eq(vk_buf_str(&got), want, "%s", text);
	dockerfile_free(d);
}

static void expect_refused_args(const char *text, const char *args, int code, const char *word)
{
	struct vk_err err = {0};
	struct dockerfile *d = NULL;
	int rc = scan_args(text, args, NULL, &d, &err);
	cr_expect_eq(rc, code, "%s\nwas %d %s", text, rc, err.msg);
	cr_expect(strstr(err.msg, word) != NULL, "%s\n%s", text, err.msg);
	dockerfile_free(d);
}

static void expect_refused(const char *text, int code, const char *word)
{
	expect_refused_args(text, NULL, code, word);
}

Test(dockerfile, names_of_images)
{
	expect_images("FROM debian:12\n", NULL, "debian:12@1");
	expect_images("from  --platform=linux/amd64 debian:12 AS base\nFROM base\nRUN x\n", NULL,
		"debian:12@1");
	expect_images("\xef\xbb\xbf  FrOm \"debian:12\"\r\nRUN x\r\n", NULL, "debian:12@1");
	expect_images("FROM scratch\nCOPY --from=busybox:1 /bin /bin\n", NULL, "busybox:1@2");
	expect_images("FROM a:1 AS One\nFROM b:1\nCOPY --from=one /x /x\nCOPY --from=0 /x /x\n",
		NULL, "a:1@1 b:1@2");
	expect_images("FROM a:1\nRUN --mount=type=bind,from=b:2,target=/b "
		      "--mount=type=cache,target=/c x\n",
		NULL, "a:1@1 b:2@2");
	expect_images("FROM a:1\nRUN --mount=\"type=bind,\\\"from=b:2\\\",target=/b\" x\n", NULL,
		"a:1@1 b:2@2");
	expect_images("FROM viking:latest\n", NULL, "viking:latest@1");
	expect_images("FROM viking:s/b\nCOPY --chown=1 --from=viking:o/t /x /x\n", NULL,
		"viking:s/b@1 viking:o/t@2");
}

Test(dockerfile, continued_lines)
{
	expect_images("FROM \\\n# a comment\n\n  debian:12\n", NULL, "debian:12@1");
	expect_images("FROM a:1\nRUN echo \\\nFROM b:1\nRUN x\n", NULL, "a:1@1");
	expect_images("# escape=`\nFROM a:1\nRUN c:\\ \nFROM b:1\nRUN d `\nFROM c:1\n", NULL,
		"a:1@2 b:1@4");
	expect_images("# Escape = `\n# note\nFROM a:1\nRUN x `  \nFROM b:1\n", NULL, "a:1@3");
	expect_images("# note\n# escape=`\nFROM a:1\nRUN x `\nFROM b:1\n", NULL, "a:1@3 b:1@5");
	expect_images("FROM a:1\nRUN echo \\\\\nFROM b:1\n", NULL, "a:1@1 b:1@3");
}

Test(dockerfile, heredocs_are_no_instructions)
{
	expect_images("FROM a:1\nRUN <<EOF\nFROM b:1\nEOF\nFROM c:1\n", NULL, "a:1@1 c:1@5");
	expect_images("FROM a:1\nRUN cat <<-'END' > /x && cat 3<<\"B\"\n\tFROM b:1\n\tEND\nFROM "
		      "c:1\nB\nFROM d:1\n",
		NULL, "a:1@1 d:1@7");
	expect_images("FROM a:1\nRUN echo \"<<EOF\"\nFROM b:1\n", NULL, "a:1@1 b:1@3");
	expect_images("FROM a:1\nRUN cat <<<EOF\nFROM b:1\n", NULL, "a:1@1 b:1@3");
	/* engines before 23 read the body as instructions: what is forbidden there is forbidden */
	expect_refused("FROM a:1\nRUN <<EOF\nFROM localhost:5000/x\nEOF\n", VK_DENIED, "F:3: ");
	expect_refused("FROM a:1\nRUN <<EOF\nbad ( line \\\nCOPY --from=127.0.0.1:5000/x / /\nADD "
		       "http://localhost/ /\nEOF\n",
		VK_DENIED, "ADD of");
}

Test(dockerfile, variables)
{
	expect_images("ARG B=debian:12\nFROM $B\n", NULL, "debian:12@2");
	expect_images("ARG B=debian:12\nFROM ${B}\n", "{\"B\": \"alpine:3\"}", "alpine:3@2");
	expect_images("FROM debian:${V:-12}\n", NULL, "debian:12@1");
	expect_images("ARG V=11 W=x\nFROM debian:${V:+${W:-y}}\n", NULL, "debian:x@2");
	expect_images("ARG A=viking ARG\nARG B=\"$A:s/b\"\nFROM $B\n", NULL, "viking:s/b@3");
	expect_images("ARG A='$x'\nARG B=1\nFROM img:$B AS st$A\nFROM st\n", NULL, "img:1@3 st@4");
	expect_images("ARG N=base\nFROM a:1 AS base\nFROM ${N}\n", NULL, "a:1@2");
	expect_refused(
		"FROM a:1\nARG B=b:1\nFROM $B\n", VK_INVALID, "F:3: the image of FROM is empty");
	expect_refused("FROM ${B\n", VK_INVALID, "not closed");
	expect_refused("FROM ${B#x}\n", VK_INVALID, "F:1: the form ${...#...}");
	expect_refused(
		"FROM a:1\nCOPY --from=$X /a /a\n", VK_INVALID, "F:2: from= takes no variable");
}

Test(dockerfile, loopback_and_ids)
{
	static const char *const images[] = {"127.0.0.1:5000/o/a", "localhost/a",
		"LOCALHOST:5000/a:1", "127.1/a", "0x7f000001:5000/a", "2130706433/a",
		"017700000001/a", "0.0.0.0:5000/a", "[::1]:5000/a", "[::ffff:127.0.0.1]:5000/a",
		"a.localhost/x", "localhost.:5000/x", "sha256:abc", "0123456789abcdef", "abc", "7"};
	for (size_t i = 0; i < VK_COUNT(images); i++) {
		static const char *const forms[] = {"FROM %s\n", "FROM a:1\nCOPY --from=%s /a /b\n",
			"FROM a:1\nRUN --mount=type=bind,from=%s,target=/x true\n",
			"# syntax=%s\nFROM a:1\n", "FROM a:1\nADD --from=%s /a /b\n",
			"FROM a:1\nONBUILD COPY --from=%s / /\n"};
		for (size_t j = 0; j < VK_COUNT(forms); j++) {
			if (images[i][0] == '7' && j != 0) /* a number is a stage there */
				continue;
			const char *at = strstr(forms[j], "%s");
			vk_autofree char *text = vk_asprintf(
				"%.*s%s%s", (int)(at - forms[j]), forms[j], images[i], at + 2);
			expect_refused(text, VK_DENIED, "F:");
		}
	}
	expect_refused("ARG B=localhost:5000/a\nFROM x:1\n", VK_DENIED, "F:1: ");
	expect_refused_args(
		"ARG B=x:1\nFROM $B\n", "{\"B\": \"127.0.0.1:5000/a\"}", VK_DENIED, "F:1: ");
	expect_refused("ARG H=127.0.0.1\nFROM ${H}:5000/a\n", VK_DENIED, "F:2: ");
	expect_refused("FROM ${TARGETARCH:-localhost/x}\n", VK_DENIED, "F:1: ");
	expect_refused("FROM \\\nlocal\\\nhost/x\n", VK_DENIED, "F:1: ");
	expect_refused("FROM a:1\nCOPY --f\"rom=local\"host/x / /\n", VK_DENIED, "F:2: ");
	expect_images(
		"ARG URL=http://localhost:8080/x\nARG N=123\nFROM a:1\nENV A=http://localhost\n",
		NULL, "a:1@3");
	expect_images("FROM cafe:latest\n", NULL, "cafe:latest@1");
}

Test(dockerfile, frontends)
{
	expect_images("# syntax=docker/dockerfile:1\nFROM a:1\n", NULL, "a:1@2");
	expect_images("# syntax = docker.io/docker/dockerfile:1.4@sha256:00 extra\nFROM a:1\n",
		NULL, "a:1@2");
	expect_refused("# syntax=evil/frontend\nFROM a:1\n", VK_DENIED, "F:1: the frontend");
	expect_refused(
		"# escape=`\n#syntax=evil/frontend\nFROM a:1\n", VK_DENIED, "F:2: the frontend");
	expect_refused(
		"# unknown=x\n# syntax=evil/frontend\nFROM a:1\n", VK_DENIED, "the frontend");
	expect_refused("#!/bin/x\n# syntax=evil/frontend\nFROM a:1\n", VK_DENIED, "the frontend");
	expect_refused("// syntax=evil/frontend\nFROM a:1\n", VK_INVALID, "F:1: no instruction");
	expect_refused_args(
		"FROM a:1\n", "{\"BUILDKIT_SYNTAX\": \"evil/x\"}", VK_DENIED, "the frontend");
	expect_images("FROM a:1\n# syntax=evil/frontend\n", NULL, "a:1@1");
}

Test(dockerfile, add_of_urls)
{
	static const char *const sources[] = {"http://127.0.0.1:2379/v3",
		"https://user:pw@localhost/x", "http://[::1]/", "http://169.254.169.254/latest",
		"http://10.1.2.3/", "http://172.20.0.1/", "http://192.168.0.1:80/",
		"http://metadata.google.internal/", "http://intranet/", "HTTP://0/",
		"git@10.0.0.1:x/y", "ssh://git@192.168.1.1/x", "http://[fe80::1%25eth0]/",
		"http://[fd00::1]/", "http://[64:ff9b::7f00:1]/", "http://a.b@127.0.0.1/"};
	for (size_t i = 0; i < VK_COUNT(sources); i++) {
		vk_autofree char *plain = vk_asprintf("FROM a:1\nADD %s /x\n", sources[i]);
		expect_refused(plain, VK_DENIED, "F:2: ");
		vk_autofree char *list =
			vk_asprintf("FROM a:1\nADD [\"y\", \"%s\", \"/x\"]\n", sources[i]);
		expect_refused(list, VK_DENIED, "F:2: ");
		vk_autofree char *arg = vk_asprintf(
			"FROM a:1\nARG U=%s\nENV V $U\nADD --chown=1:1 a ${V} /x\n", sources[i]);
		expect_refused(arg, VK_DENIED, "F:4: ");
	}
	expect_images(
		"FROM a:1\nADD https://github.com/x/y.tar.gz git@github.com:x/y.git a.txt /x\n",
		NULL, "a:1@1");
	expect_images("FROM a:1\nADD file-$VERSION.tar https://x.org/$V/y /x\n", NULL, "a:1@1");
	expect_refused("FROM a:1\nADD $URL /x\n", VK_DENIED, "could reach any host");
	expect_refused("FROM a:1\nADD ht${X} /x\n", VK_DENIED, "could reach any host");
	expect_refused("FROM a:1\nADD https://${HOST}/y /x\n", VK_DENIED, "could reach any host");
	expect_images("FROM a:1\nARG TARGETARCH\nADD bin-${TARGETARCH} ${TARGETARCH}/x /x\n", NULL,
		"a:1@1");
	expect_refused("FROM a:1 AS b\nENV U=http://10.0.0.1/\nFROM b\nADD $U /x\n", VK_DENIED,
		"F:4: ADD of");
}

Test(dockerfile, malformed)
{
	expect_refused("", VK_INVALID, "F has no FROM");
	expect_refused("# only\n", VK_INVALID, "F has no FROM");
	expect_refused(
		"RUN x\nFROM a:1\n", VK_INVALID, "F:1: an instruction before the first FROM");
	expect_refused("FROM a:1 # comment\n", VK_INVALID, "F:1: FROM takes");
	expect_refused("FROM a:1 AS\n", VK_INVALID, "F:1: FROM takes");
	expect_refused("FROM A:1\n", VK_INVALID, "F:1: ");
	expect_refused("FROM viking:s/b:v1\n", VK_INVALID, "F:1: \"viking:s/b:v1\" has a tag");
	expect_refused("FROM viking:s/b@sha256:00\n", VK_INVALID, "has a tag");
	expect_refused("FROM viking:/b\n", VK_INVALID, "F:1: ");
	expect_refused("FROM viking:123/b\n", VK_INVALID, "digits only");
	expect_refused("FROM a:1\nONBUILD COPY --from=viking:s/b / /\n", VK_INVALID, "ONBUILD");
	expect_refused(
		"ARG A=x\nARG B=$A$A$A$A$A$A$A$A\nARG C=$B$B$B$B$B$B$B$B\nARG D=$C$C$C$C$C$C$C$C\n"
		"ARG E=$D$D$D$D$D$D$D$D\nARG F=$E$E$E$E$E$E$E$E\nFROM $F\n",
		VK_LIMIT, "grows");
	struct vk_err err = {0};
	struct dockerfile *d = NULL;
	struct dockerfile_opts o = {.file = "F"};
	cr_expect_eq(dockerfile_scan("FROM a\0b\n", 9, &o, &d, &err), VK_INVALID);
}

Test(dockerfile, targets)
{
	struct vk_err err = {0};
	struct dockerfile *d = NULL;
	const char *text = "FROM a:1 AS Build\nFROM b:1 AS prod\n";
	static const char *const good[] = {"build", "PROD", "0", "1", ""};
	for (size_t i = 0; i < VK_COUNT(good); i++) {
		cr_expect_eq(
			scan_args(text, NULL, good[i], &d, &err), 0, "%s: %s", good[i], err.msg);
		dockerfile_free(VK_TAKE(d));
	}
	cr_expect_eq(scan_args(text, NULL, "prdo", &d, &err), VK_INVALID);
	cr_expect_str_eq(err.hint, "did you mean \"prod\"?");
	cr_expect_eq(scan_args(text, NULL, "2", &d, &err), VK_INVALID);
}

static void expect_rewrite(const char *text, const char *want)
{
	struct vk_err err = {0};
	struct dockerfile *d = NULL;
	json_t *refs = json_pack("{s:s, s:s}", "s/b", "R/s/b@sha256:1", "o/t", "R/o/t@sha256:2");
	vk_autobuf out = VK_BUF_INIT(65536);
	cr_assert_eq(scan_args(text, NULL, NULL, &d, &err), 0, "%s\n%s", text, err.msg);
	cr_assert_eq(dockerfile_rewrite(d, text, strlen(text), refs, NULL, &out, &err), 0, "%s",
		err.msg);
	cr_expect_str_eq(vk_buf_str(&out), want);
	dockerfile_free(d);
	json_decref(refs);
}

Test(dockerfile, rewrite_replaces_only_names)
{
	expect_rewrite("# viking:s/b\nFROM   viking:s/b   AS x\r\nRUN echo viking:s/b\nCOPY "
		       "--from=viking:o/t a b\n",
		"# viking:s/b\nFROM   R/s/b@sha256:1   AS x\r\nRUN echo viking:s/b\nCOPY "
		"--from=R/o/t@sha256:2 a b\n");
	expect_rewrite("FROM --platform=linux/amd64 \"viking:s/b\"\n",
		"FROM --platform=linux/amd64 R/s/b@sha256:1\n");
	expect_rewrite("FROM a:1\nCOPY --from=\"viking:s/b\" x y\n",
		"FROM a:1\nCOPY --from=\"R/s/b@sha256:1\" x y\n");
	expect_rewrite("FROM a:1\nRUN --mount=type=bind,from=viking:s/b,target=/x "
		       "--mount=from=viking:o/t,target=/y z",
		"FROM a:1\nRUN --mount=type=bind,from=R/s/b@sha256:1,target=/x "
		"--mount=from=R/o/t@sha256:2,target=/y z");
	expect_rewrite("ARG B=viking:s/b\nFROM ${B} AS q\n",
		"ARG B=viking:s/b\nFROM R/s/b@sha256:1 AS q\n");
	expect_rewrite(
		"FROM vik\\\n# c\ning:s/b\nRUN x\n", "FROM R/s/b@sha256:1\\\n# c\n\nRUN x\n");
	expect_rewrite("FROM a:1\nRUN <<E\nFROM viking:s/b\nE\n",
		"FROM a:1\nRUN <<E\nFROM viking:s/b\nE\n");
}

Test(dockerfile, rewrite_needs_every_boat)
{
	struct vk_err err = {0};
	struct dockerfile *d = NULL;
	const char *text = "FROM viking:s/b\n";
	vk_autobuf out = VK_BUF_INIT(65536);
	json_t *none = json_object();
	cr_assert_eq(scan_args(text, NULL, NULL, &d, &err), 0);
	cr_expect_eq(
		dockerfile_rewrite(d, text, strlen(text), none, NULL, &out, &err), VK_NOTFOUND);
	cr_expect(strstr(err.msg, "viking:s/b") != NULL);
	vk_buf_clear(&out);
	cr_expect_eq(dockerfile_rewrite(d, text, strlen(text), none, REGISTRY, &out, &err), 0);
	cr_expect_str_eq(vk_buf_str(&out), "FROM " REGISTRY "/s/b:latest\n");
	dockerfile_free(d);
	json_decref(none);
}

Test(dockerfile, triggers_of_base_images)
{
	struct vk_err err = {0};
	cr_expect_eq(dockerfile_check_trigger("COPY --from=127.0.0.1:5000/o/a / /", REGISTRY, &err),
		VK_DENIED);
	cr_expect_eq(
		dockerfile_check_trigger("ADD http://localhost/ /", REGISTRY, &err), VK_DENIED);
	cr_expect_eq(dockerfile_check_trigger(
			     "RUN --mount=type=bind,from=abc,target=/x y", REGISTRY, &err),
		VK_DENIED);
	cr_expect_eq(dockerfile_check_trigger("COPY . /srv", REGISTRY, &err), 0);
	cr_expect_eq(dockerfile_check_trigger("RUN make", REGISTRY, &err), 0);
}

Test(dockerfile, so_many_instructions_and_no_more)
{
	struct vk_err err = {0};
	struct dockerfile *d = NULL;
	vk_autobuf text = VK_BUF_INIT(1 << 20);
	vk_buf_adds(&text, "FROM a:1\n");
	for (int i = 1; i < DOCKERFILE_INSTRUCTIONS_MAX; i++)
		vk_buf_addf(&text, "ENV D%d=y\n", i);
	cr_assert_eq(scan_args(vk_buf_str(&text), NULL, NULL, &d, &err), 0, "%s", err.msg);
	dockerfile_free(d);
	vk_buf_adds(&text, "ENV LAST=y\n");
	expect_refused(vk_buf_str(&text), VK_LIMIT, "F:501: more than 500 instructions");
}

Test(dockerfile, long_lines_end_in_time)
{
	vk_autobuf text = VK_BUF_INIT(1 << 20);
	vk_buf_adds(&text, "FROM a:1\nCOPY ");
	for (int i = 0; i < 4000; i++)
		vk_buf_adds(&text, "--chown=1 ");
	vk_buf_adds(&text, "a b\n");
	int64_t start = vk_mono_ms();
	expect_images(vk_buf_str(&text), NULL, "a:1@1");
	cr_expect_lt(vk_mono_ms() - start, 10000);
}
