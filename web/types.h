/* Content types by a file name's extension. Pure. */
#ifndef WEB_TYPES_H
#define WEB_TYPES_H

const char *type_of(const char *name); /* "application/octet-stream" when it is not known */

#endif
