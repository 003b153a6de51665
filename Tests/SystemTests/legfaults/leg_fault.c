/* Faults of a leg's disk, as a service sees them. Preloaded into the four services by `leg_faults.py`.
 *
 * A control file, shared with the test through a mapping, says what is wrong with which leg:
 *
 *   offset 0         "LEGFAULT"
 *   offset 64 + 64N  leg N: fault (u32), calls that hang now (u32), and the calls that met the fault, a u64 for each of
 *                    hardware, vm, storage, alerts and any other program
 *
 *   fault 0  none
 *   fault 1  EIO: every write and every sync of a file or directory below the leg's directory fails
 *   fault 2  ENOSPC: every write fails, and whatever makes a file larger
 *   fault 3  hang: a sync does not return before the fault ends. Unlike one that the kernel waits for, it can be killed
 *
 * Where no leg has a fault a call costs a look at memory. Else the descriptor's path is looked up: a directory that was
 * moved away is not the leg any more.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { LEGS = 2, SERVICES = 5, LENGTH = 4096, NOT_BELOW = -1 };
enum fault { NONE, FAILS, FULL, HANGS };
/* What a call does to a file: FREES needs no space and waits for nothing. */
enum operation { WRITES, FREES, SYNCS };

struct leg {
  _Atomic uint32_t fault;
  _Atomic uint32_t hanging;
  _Atomic uint64_t injected[SERVICES];
  char unused[64 - 8 - 8 * SERVICES];
};

struct control {
  char magic[8];
  char unused[56];
  struct leg legs[LEGS];
};

static struct control *control;
static const char *directories[LEGS];
static int service = SERVICES - 1;

__attribute__((constructor)) static void begin(void) {
  static const char *const names[SERVICES - 1] = {"ftvs-hardware", "ftvs-vm", "ftvs-storage", "ftvs-alerts"};
  const char *path = getenv("LEG_FAULT_CONTROL");
  directories[0] = getenv("LEG_FAULT_IO0");
  directories[1] = getenv("LEG_FAULT_IO1");
  if (!path || !directories[0] || !directories[1]) return;
  for (int n = 0; n < SERVICES - 1; n++) {
    if (strcmp(program_invocation_short_name, names[n]) == 0) service = n;
  }
  int descriptor = open(path, O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return;
  struct control *found = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  close(descriptor);
  if (found != MAP_FAILED && memcmp(found->magic, "LEGFAULT", 8) == 0) control = found;
}

/* The leg below whose directory a descriptor's file is. */
static int leg_of(int descriptor) {
  char link[32], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0 || path[0] != '/') return NOT_BELOW;
  path[length] = 0;
  for (int n = 0; n < LEGS; n++) {
    size_t prefix = strlen(directories[n]);
    if (strncmp(path, directories[n], prefix) == 0 && path[prefix] == '/') return n;
  }
  return NOT_BELOW;
}

static void wait_for_end(struct leg *leg) {
  const struct timespec pause = {0, 2000000};
  leg->hanging++;
  while (leg->fault == HANGS) nanosleep(&pause, NULL);
  leg->hanging--;
}

/* What a call must fail with, or 0; returns late where the leg hangs. */
static int injected(int descriptor, enum operation operation) {
  if (!control || (control->legs[0].fault == NONE && control->legs[1].fault == NONE)) return 0;
  int before = errno;
  int number = leg_of(descriptor);
  errno = before;
  if (number == NOT_BELOW) return 0;
  struct leg *leg = &control->legs[number];
  switch ((enum fault)leg->fault) {
  case FAILS: leg->injected[service]++; return EIO;
  case FULL:
    if (operation != WRITES) return 0;
    leg->injected[service]++;
    return ENOSPC;
  case HANGS:
    if (operation != SYNCS) return 0;
    leg->injected[service]++;
    wait_for_end(leg);
    return 0;
  default: return 0;
  }
}

/* The function of that name in the next library. */
static void *next(const char *name) {
  void *function = dlsym(RTLD_NEXT, name);
  if (!function) abort();
  return function;
}

/* A function that answers -1 and sets errno. */
#define STAND_IN(operation, result, name, parameters, ...)                                                             \
  result name parameters {                                                                                             \
    static _Atomic(void *) real;                                                                                       \
    int code = injected(descriptor, operation);                                                                        \
    if (code != 0) {                                                                                                   \
      errno = code;                                                                                                    \
      return -1;                                                                                                       \
    }                                                                                                                  \
    if (!real) real = next(#name);                                                                                     \
    return ((result(*) parameters)real)(__VA_ARGS__);                                                                  \
  }

STAND_IN(WRITES, ssize_t, write, (int descriptor, const void *bytes, size_t count), descriptor, bytes, count)
STAND_IN(
    WRITES, ssize_t, pwrite, (int descriptor, const void *bytes, size_t count, off_t at), descriptor, bytes, count, at)
STAND_IN(
    WRITES, ssize_t, pwrite64, (int descriptor, const void *bytes, size_t count, off64_t at), descriptor, bytes, count,
    at)
STAND_IN(WRITES, ssize_t, writev, (int descriptor, const struct iovec *parts, int count), descriptor, parts, count)
STAND_IN(
    WRITES, ssize_t, pwritev, (int descriptor, const struct iovec *parts, int count, off_t at), descriptor, parts,
    count, at)
STAND_IN(
    WRITES, ssize_t, pwritev64, (int descriptor, const struct iovec *parts, int count, off64_t at), descriptor, parts,
    count, at)
STAND_IN(
    WRITES, ssize_t, copy_file_range,
    (int source, off64_t *from, int descriptor, off64_t *to, size_t count, unsigned flags), source, from, descriptor,
    to, count, flags)
STAND_IN(SYNCS, int, fsync, (int descriptor), descriptor)
STAND_IN(SYNCS, int, fdatasync, (int descriptor), descriptor)

static enum operation resizing(int descriptor, off64_t size) {
  struct stat facts;
  return fstat(descriptor, &facts) == 0 && size <= facts.st_size ? FREES : WRITES;
}

static enum operation allocating(int mode) { return mode & FALLOC_FL_PUNCH_HOLE ? FREES : WRITES; }

STAND_IN(resizing(descriptor, size), int, ftruncate, (int descriptor, off_t size), descriptor, size)
STAND_IN(resizing(descriptor, size), int, ftruncate64, (int descriptor, off64_t size), descriptor, size)
STAND_IN(
    allocating(mode), int, fallocate, (int descriptor, int mode, off_t at, off_t count), descriptor, mode, at, count)
STAND_IN(
    allocating(mode), int, fallocate64, (int descriptor, int mode, off64_t at, off64_t count), descriptor, mode, at,
    count)

/* These answer the error itself. */
#define ALLOCATE(name, offset)                                                                                         \
  int name(int descriptor, offset at, offset count) {                                                                  \
    static _Atomic(void *) real;                                                                                       \
    int code = injected(descriptor, WRITES);                                                                           \
    if (code != 0) return code;                                                                                        \
    if (!real) real = next(#name);                                                                                     \
    return ((int (*)(int, offset, offset))real)(descriptor, at, count);                                                \
  }

ALLOCATE(posix_fallocate, off_t)
ALLOCATE(posix_fallocate64, off64_t)
