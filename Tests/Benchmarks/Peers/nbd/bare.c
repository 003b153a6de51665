// The least that a block can cost: a file served over NBD by one thread that waits with epoll and reads and writes the file where
// the request says, without any layer, lock or check that a correct client would need.
//
//     bare SOCKET FILE
#include "nbd.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>

enum { ROOM = 1 << 20, LARGEST = 512 << 10, CLIENTS = 64 };

struct client {
  int descriptor;
  size_t begin, end;
  char *bytes;
};

// Answers of the client that is served right now.
static char *answers;
static size_t answered;
static int file;
static uint64_t size;

static void reply_option(int descriptor, uint32_t option, uint32_t type, const void *bytes, uint32_t count) {
  struct nbd_option_reply reply = {
    htobe64(NBD_OPTION_REPLY_MAGIC), htobe32(option), htobe32(type), htobe32(count)};
  put(descriptor, &reply, sizeof reply);
  put(descriptor, bytes, count);
}

static void negotiate(int descriptor) {
  struct nbd_greeting greeting = {
    htobe64(NBD_MAGIC), htobe64(NBD_OPTION_MAGIC), htobe16(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES)};
  put(descriptor, &greeting, sizeof greeting);
  uint32_t flags;
  take(descriptor, &flags, sizeof flags);
  for (;;) {
    struct nbd_option header;
    char ignored[4096];
    take(descriptor, &header, sizeof header);
    must(be32toh(header.length) <= sizeof ignored, "an option that is too long");
    take(descriptor, ignored, be32toh(header.length));
    uint32_t option = be32toh(header.option);
    if (option == NBD_OPTION_GO) {
      struct nbd_export export = {htobe16(NBD_INFO_EXPORT), htobe64(size), htobe16(NBD_EXPORT_FLAGS)};
      reply_option(descriptor, option, NBD_REPLY_INFO, &export, sizeof export);
      reply_option(descriptor, option, NBD_REPLY_ACK, NULL, 0);
      return;
    }
    reply_option(descriptor, option, NBD_REPLY_UNSUPPORTED, NULL, 0);
  }
}

static void flush_answers(int descriptor) {
  put(descriptor, answers, answered);
  answered = 0;
}

// Whether the client stays.
static int execute(struct client *client, const struct nbd_request *request, const char *payload) {
  uint32_t count = be32toh(request->count);
  off_t offset = (off_t)be64toh(request->offset);
  struct nbd_reply reply = {htobe32(NBD_SIMPLE_REPLY_MAGIC), 0, request->cookie};
  if (answered + sizeof reply + count > ROOM) flush_answers(client->descriptor);
  char *data = answers + answered + sizeof reply;
  int failed = 0;
  switch (be16toh(request->type)) {
  case NBD_READ: failed = pread(file, data, count, offset) != (ssize_t)count; break;
  case NBD_WRITE: failed = pwrite(file, payload, count, offset) != (ssize_t)count; break;
  case NBD_FLUSH: failed = fdatasync(file); break;
  default: return 0;
  }
  if (failed) reply.error = htobe32(5);
  memcpy(answers + answered, &reply, sizeof reply);
  answered += sizeof reply + (be16toh(request->type) == NBD_READ ? count : 0);
  return 1;
}

// Serves what has arrived. Whether the client stays.
static int serve(struct client *client) {
  if (client->begin == client->end) client->begin = client->end = 0;
  if (ROOM - client->end < LARGEST + sizeof(struct nbd_request)) {
    memmove(client->bytes, client->bytes + client->begin, client->end - client->begin);
    client->end -= client->begin;
    client->begin = 0;
  }
  ssize_t received = recv(client->descriptor, client->bytes + client->end, ROOM - client->end, 0);
  if (received <= 0) return 0;
  client->end += (size_t)received;
  for (;;) {
    struct nbd_request request;
    size_t held = client->end - client->begin;
    if (held < sizeof request) break;
    memcpy(&request, client->bytes + client->begin, sizeof request);
    if (be32toh(request.magic) != NBD_REQUEST_MAGIC || be32toh(request.count) > LARGEST) return 0;
    size_t whole = sizeof request + (be16toh(request.type) == NBD_WRITE ? be32toh(request.count) : 0);
    if (held < whole) break;
    if (!execute(client, &request, client->bytes + client->begin + sizeof request)) return 0;
    client->begin += whole;
  }
  flush_answers(client->descriptor);
  return 1;
}

int main(int count, char **arguments) {
  if (count != 3) return 64;
  struct stat status;
  file = open(arguments[2], O_RDWR);
  if (file < 0 || fstat(file, &status)) fail(arguments[2]);
  size = (uint64_t)status.st_size;
  answers = room(ROOM);
  struct sockaddr_un address = address_of(arguments[1]);
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 16)) fail(arguments[1]);
  int poller = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN};
  if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event)) fail("epoll");
  puts("ready");
  fflush(stdout);
  for (;;) {
    struct epoll_event ready[CLIENTS];
    int number = epoll_wait(poller, ready, CLIENTS, -1);
    for (int index = 0; index < number; index++) {
      struct client *client = ready[index].data.ptr;
      if (client) {
        if (serve(client)) continue;
        close(client->descriptor);
        free(client->bytes);
        free(client);
        continue;
      }
      client = calloc(1, sizeof *client);
      if (!client) fail("memory");
      client->bytes = room(ROOM);
      client->descriptor = accept(listener, NULL, NULL);
      if (client->descriptor < 0) fail("accept");
      negotiate(client->descriptor);
      struct epoll_event watched = {.events = EPOLLIN, .data.ptr = client};
      if (epoll_ctl(poller, EPOLL_CTL_ADD, client->descriptor, &watched)) fail("epoll");
    }
  }
}
