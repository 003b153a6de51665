/* Calls of Linux that the C library declares only with _GNU_SOURCE, which the Glibc module is built without. */
#ifndef FTVS_LINUX_FILE_H
#define FTVS_LINUX_FILE_H
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

extern int fallocate(int descriptor, int mode, off_t offset, off_t count);
extern int pthread_setname_np(pthread_t thread, const char *name);
extern ssize_t preadv2(int descriptor, const struct iovec *pieces, int count, off_t offset, int flags);
extern int dup3(int from, int to, int flags);
extern int accept4(int listener, struct sockaddr *address, socklen_t *length, int flags);

/* CRC32C by the processor's own instruction: the register after `count` more bytes; without the inversions before and
 * after. Only to be called where ftvs_has_crc32c() is not 0. */
#if defined(__x86_64__)
static inline int ftvs_has_crc32c(void) { return __builtin_cpu_supports("sse4.2") != 0; }

__attribute__((target("sse4.2")))
static inline uint32_t ftvs_crc32c(uint32_t crc, const void *bytes, size_t count) {
  const unsigned char *at = (const unsigned char *)bytes;
  uint64_t wide = crc;
  for (; count >= 8; count -= 8, at += 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    wide = __builtin_ia32_crc32di(wide, word);
  }
  crc = (uint32_t)wide;
  for (; count > 0; count--, at++) crc = __builtin_ia32_crc32qi(crc, *at);
  return crc;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>
/* HWCAP_CRC32. */
static inline int ftvs_has_crc32c(void) { return (getauxval(AT_HWCAP) & (1 << 7)) != 0; }

__attribute__((target("crc")))
static inline uint32_t ftvs_crc32c(uint32_t crc, const void *bytes, size_t count) {
  const unsigned char *at = (const unsigned char *)bytes;
  for (; count >= 8; count -= 8, at += 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    crc = __builtin_arm_crc32cd(crc, word);
  }
  for (; count > 0; count--, at++) crc = __builtin_arm_crc32cb(crc, *at);
  return crc;
}
#else
static inline int ftvs_has_crc32c(void) { return 0; }
static inline uint32_t ftvs_crc32c(uint32_t crc, const void *bytes, size_t count) { return crc; }
#endif

/* preadv2: only what is in memory. */
static const int FTVS_READ_NOWAIT = 0x08;
/* fallocate: give back the space of a range and keep the length. */
static const int FTVS_FALLOCATE_PUNCH = 0x02 | 0x01;
/* lseek: to the next data, to the next hole. */
static const int FTVS_SEEK_DATA = 3;
static const int FTVS_SEEK_HOLE = 4;
/* open: a descriptor that names a file and can neither read nor write it. */
static const int FTVS_OPEN_PATH = 010000000;
#endif
