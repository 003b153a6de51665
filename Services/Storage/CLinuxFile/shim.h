/* Calls of Linux that the C library declares only with _GNU_SOURCE, which the Glibc module is built without. */
#ifndef FTVS_LINUX_FILE_H
#define FTVS_LINUX_FILE_H
#include <pthread.h>
#include <sys/socket.h>
#include <sys/types.h>

extern int fallocate(int descriptor, int mode, off_t offset, off_t count);
extern int pthread_setname_np(pthread_t thread, const char *name);
extern int dup3(int from, int to, int flags);
extern int accept4(int listener, struct sockaddr *address, socklen_t *length, int flags);

/* fallocate: give back the space of a range and keep the length. */
static const int FTVS_FALLOCATE_PUNCH = 0x02 | 0x01;
/* lseek: to the next data, to the next hole. */
static const int FTVS_SEEK_DATA = 3;
static const int FTVS_SEEK_HOLE = 4;
/* open: a descriptor that names a file and can neither read nor write it. */
static const int FTVS_OPEN_PATH = 010000000;
#endif
