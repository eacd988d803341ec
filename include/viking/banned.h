/*
 * Functions that fail to build anywhere in viking: unbounded copies, hidden state, shells, lax number
 * parsing, sleeps. Forced into every source file by the build (cmake/flags.cmake).
 */
#ifndef VIKING_BANNED_H
#define VIKING_BANNED_H

/* the headers that declare them come first, so that the poison hits only our own uses */
#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef VIKING_ALLOW_BANNED
/* some C libraries make macros of these when hardening is on */
#undef sprintf
#undef vsprintf
#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok gets system popen
#pragma GCC poison atoi atol atoll sscanf tmpnam mktemp
#undef alloca
#pragma GCC poison alloca usleep
#endif

#endif
