#!/bin/sh
# The other compiler builds everything clean too.
set -eu
build=$1/clang
cmake -S . -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang -DVIKING_TESTS=OFF >/dev/null
ninja -C "$build" >"$build/log" 2>&1 || { grep -E 'error|warning' "$build/log" | head -30; exit 1; }
