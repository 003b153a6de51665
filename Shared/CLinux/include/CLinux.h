// What Swift's Glibc module does not show of Linux, for Shared/RPCSocket.
#ifndef FTVS_CLINUX_H
#define FTVS_CLINUX_H

#include "CLinuxProcesses.h"

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/types.h>

/// accept4 with SOCK_NONBLOCK and SOCK_CLOEXEC.
int ftvs_accept(int listener);

/// SO_PEERCRED. 0, or -1 and errno.
int ftvs_peer_credentials(int socket, pid_t *process, uid_t *user, gid_t *group);

/// SO_PEERGROUPS: how many groups there are, at most `room` of which are written; -1 and errno.
int ftvs_peer_groups(int socket, gid_t *groups, int room);

/// Names the calling thread, at most 15 characters.
void ftvs_name_thread(const char *name);

#endif
