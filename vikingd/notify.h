/* sd_notify(3)'s protocol: datagrams to $NOTIFY_SOCKET. Without the variable nothing happens. */
#ifndef VIKINGD_NOTIFY_H
#define VIKINGD_NOTIFY_H

/* state: "READY=1", "STATUS=...", "STOPPING=1", several joined by '\n'. Best effort. */
void notify_send(const char *state);

#endif
