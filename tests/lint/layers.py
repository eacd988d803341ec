"""The arrows between folders: base knows no program, level 0 no library, and no program another's headers."""
import os
import re
import sys

top = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
PROGRAMS = ["agent", "builder", "certs", "cli", "dns", "firewall", "front", "hooks", "receiver", "router", "scheduler", "vikingd", "web"]
LEVEL0 = {"err", "mem", "str", "log", "fs", "id", "banned"}
# third-party headers and who may include them (besides tests)
LIBRARIES = {
    "curl/": {"base"}, "jansson.h": None, "yaml.h": {"base"}, "sqlite3.h": {"base"}, "event2/": {"base"},
    "microhttpd.h": {"base"}, "sodium.h": {"base"}, "seccomp.h": {"base", "builder"}, "git2": {"builder", "hooks"},
    "libssh/": {"receiver"}, "openssl/ssl.h": {"base"}, "nftables/": {"firewall"},
}
bad = []


def includes(path):
    with open(path, errors="replace") as f:
        for n, line in enumerate(f, 1):
            m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if m:
                yield n, m.group(1), m.group(2)


def check(folder, path):
    name = os.path.relpath(path, top)
    own = {f for f in os.listdir(os.path.join(top, folder)) if f.endswith(".h")}
    stem = os.path.basename(path).rsplit(".", 1)[0]
    for n, kind, inc in includes(path):
        where = f"{name}:{n}"
        if kind == '"' and inc not in own:
            bad.append(f"{where}: \"{inc}\" is not a header of {folder}/")
        for library, who in LIBRARIES.items():
            if kind == "<" and inc.startswith(library) and who is not None and folder not in who:
                bad.append(f"{where}: <{inc}> is wrapped by base; only {', '.join(sorted(who))} may include it")
        if folder == "base" and stem in LEVEL0 and kind == "<":
            if inc.startswith("viking/") and inc[7:-2] not in LEVEL0:
                bad.append(f"{where}: level 0 includes <{inc}>")
            if any(inc.startswith(lib) for lib in LIBRARIES):
                bad.append(f"{where}: level 0 includes a library, <{inc}>")


for folder in ["base"] + PROGRAMS:
    for base, _, files in os.walk(os.path.join(top, folder)):
        for f in sorted(files):
            if f.endswith((".c", ".h")):
                check(folder, os.path.join(base, f))
for folder in sorted(os.listdir(top)):
    if os.path.isdir(os.path.join(top, folder)) and not folder.startswith((".", "build")):
        if folder not in PROGRAMS + ["base", "include", "tests", "packaging", "docs", "cmake", "debian"]:
            bad.append(f"{folder}/: a folder that DESIGN does not know")
        elif folder in PROGRAMS + ["base"] and not os.path.exists(os.path.join(top, folder, "README.md")):
            bad.append(f"{folder}/README.md: missing")
print("\n".join(bad) or "layers: clean")
sys.exit(1 if bad else 0)
