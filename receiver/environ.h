/*
 * The environment handed on: settings may be given as VIKING_* (include/viking/config.h), and each of our
 * programs reads its configuration anew, so all of them must see the same. What belongs to one process or
 * one push is left out; who starts a child adds its own.
 */
#ifndef RECEIVER_ENVIRON_H
#define RECEIVER_ENVIRON_H

#include <viking/mem.h>

void environ_settings(struct vk_strv *env); /* adds VIKING_*=... */
void environ_program(struct vk_strv *env);  /* PATH, LANG and the settings, for a program of ours */

#endif
