// What Swift's Glibc module does not show of Linux, for Services/Lab.
#ifndef FTVS_CLINUX_PROCESSES_H
#define FTVS_CLINUX_PROCESSES_H

#include <spawn.h>
#include <stddef.h>
#include <sys/types.h>

/// Orphaned descendants become children of this process instead of init's. 0, or -1 and errno.
int ftvs_become_child_subreaper(void);

/// A descriptor (close-on-exec) that becomes readable when the process ends; -1 and errno.
int ftvs_pidfd_open(pid_t process);

/// Makes the child close every descriptor from this number on. 0, or an error number.
int ftvs_spawn_close_from(posix_spawn_file_actions_t *actions, int first);

/// Has the kernel tell who sends what a datagram socket receives (SO_PASSCRED). 0, or -1 and errno.
int ftvs_pass_credentials(int socket);

/// Receives one datagram without waiting. Returns its length, or -1 and errno. `process` is who sent it, 0 when the
/// kernel did not tell. Descriptors that came along are closed.
ssize_t ftvs_receive_from_process(int socket, void *bytes, size_t room, pid_t *process);

#endif
