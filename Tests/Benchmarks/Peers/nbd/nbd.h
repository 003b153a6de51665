// What the server and the load share: the protocol's numbers (https://github.com/NetworkBlockDevice/nbd, doc/proto.md) and sockets.
#ifndef NBD_H
#define NBD_H

#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NBD_MAGIC 0x4e42444d41474943ull
#define NBD_OPTION_MAGIC 0x49484156454f5054ull
#define NBD_OPTION_REPLY_MAGIC 0x3e889045565a9ull

enum {
  NBD_FIXED_NEWSTYLE = 1,
  NBD_NO_ZEROES = 2,
  NBD_OPTION_GO = 7,
  NBD_REPLY_ACK = 1,
  NBD_REPLY_INFO = 3,
  NBD_INFO_EXPORT = 0,
  NBD_REQUEST_MAGIC = 0x25609513,
  NBD_SIMPLE_REPLY_MAGIC = 0x67446698,
  NBD_READ = 0,
  NBD_WRITE = 1,
  NBD_DISCONNECT = 2,
  NBD_FLUSH = 3,
};
#define NBD_REPLY_UNSUPPORTED 0x80000001u
// Has flags, sends flush, may be used over several connections.
enum { NBD_EXPORT_FLAGS = 1 | 4 | 256 };

struct __attribute__((packed)) nbd_greeting {
  uint64_t magic, option_magic;
  uint16_t flags;
};
struct __attribute__((packed)) nbd_option {
  uint64_t magic;
  uint32_t option, length;
};
struct __attribute__((packed)) nbd_option_reply {
  uint64_t magic;
  uint32_t option, type, length;
};
struct __attribute__((packed)) nbd_export {
  uint16_t type;
  uint64_t size;
  uint16_t flags;
};
struct __attribute__((packed)) nbd_request {
  uint32_t magic;
  uint16_t flags, type;
  uint64_t cookie, offset;
  uint32_t count;
};
struct __attribute__((packed)) nbd_reply {
  uint32_t magic, error;
  uint64_t cookie;
};

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void must(int holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static struct sockaddr_un address_of(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  must(strlen(path) < sizeof address.sun_path, "the socket's path is too long");
  strcpy(address.sun_path, path);
  return address;
}

static void put(int descriptor, const void *bytes, size_t count) {
  for (size_t sent = 0; sent < count;) {
    ssize_t now = send(descriptor, (const char *)bytes + sent, count - sent, MSG_NOSIGNAL);
    if (now <= 0) fail("send");
    sent += (size_t)now;
  }
}

static void take(int descriptor, void *bytes, size_t count) {
  if (!count) return;
  if (recv(descriptor, bytes, count, MSG_WAITALL) != (ssize_t)count) fail("the other side left");
}

static void *room(size_t count) {
  void *bytes = aligned_alloc(4096, (count + 4095) / 4096 * 4096);
  if (!bytes) fail("memory");
  memset(bytes, 0, count);
  return bytes;
}

#endif
