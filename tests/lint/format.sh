#!/bin/sh
# clang-format ends the discussion.
exec clang-format --dry-run -Werror $(git ls-files '*.c' '*.h')
