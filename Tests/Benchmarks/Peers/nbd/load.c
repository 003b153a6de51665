// The client of every server that is measured: one thread, requests in flight over one or more connections, one system call for
// all the requests that the last answers made room for, nothing copied and nothing allocated for a request.
//
//     load run SOCKET EXPORT PATTERN BLOCK DEPTH CONNECTIONS MILLISECONDS SEED
//     load count SOCKET EXPORT PATTERN BLOCK DEPTH CONNECTIONS REQUESTS SEED
//     load hold SOCKET EXPORT...
//
// Patterns: read, write (random places), sequential-read, sequential-write, flush (a random write, then a flush, as one request),
// fill (once through the device, whatever the time).
// `run` and `count` print the requests a second and the share of a processor that the load took itself; `count` ends after a number
// of requests. Every 4 KiB that are written begin with their offset, and every 4 KiB that are read must. `hold` reads a little of
// each export, prints `ready` and stays connected.
#include "nbd.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>

enum { PAGE = 4096, DEEPEST = 64, WIDEST = 16, WARM_UP_SHARE = 8, LARGEST_DEVICE = 1 << 30 };

struct slot {
  struct nbd_request request;
  char *payload;
  int is_busy, must_flush;
};

struct connection {
  int descriptor;
  uint64_t size, next;
  size_t begin, end;
  char *bytes;
  long in_flight;
  struct slot slots[DEEPEST];
  // Slots that are to be sent.
  int waiting[DEEPEST];
  int waits;
};

static struct {
  int writes, sequential, flushes, once;
  // Requests to make; where it is 0, time decides.
  long requests;
  size_t block, room;
  long depth, connections;
  uint64_t random;
} plan;
static long begun, finished;
static int is_over;

static uint64_t nanoseconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// xorshift64*
static uint64_t draw(void) {
  plan.random ^= plan.random >> 12;
  plan.random ^= plan.random << 25;
  plan.random ^= plan.random >> 27;
  return plan.random * 0x2545f4914f6cdd1dull;
}

// Opens an export; its size.
static uint64_t open_export(int descriptor, const char *name) {
  struct nbd_greeting greeting;
  take(descriptor, &greeting, sizeof greeting);
  must(be64toh(greeting.magic) == NBD_MAGIC && be64toh(greeting.option_magic) == NBD_OPTION_MAGIC, "no NBD server");
  uint32_t flags = htobe32(be16toh(greeting.flags) & (NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES));
  put(descriptor, &flags, sizeof flags);
  uint32_t length = (uint32_t)strlen(name);
  struct nbd_option option = {htobe64(NBD_OPTION_MAGIC), htobe32(NBD_OPTION_GO), htobe32(4 + length + 2)};
  uint32_t name_length = htobe32(length);
  uint16_t no_information = 0;
  put(descriptor, &option, sizeof option);
  put(descriptor, &name_length, sizeof name_length);
  put(descriptor, name, length);
  put(descriptor, &no_information, sizeof no_information);
  for (uint64_t size = 0;;) {
    struct nbd_option_reply reply;
    char bytes[4096];
    take(descriptor, &reply, sizeof reply);
    uint32_t count = be32toh(reply.length), type = be32toh(reply.type);
    must(be64toh(reply.magic) == NBD_OPTION_REPLY_MAGIC && count <= sizeof bytes, "no answer to an option");
    take(descriptor, bytes, count);
    if (type == NBD_REPLY_ACK) return size;
    must(type == NBD_REPLY_INFO, "the export is refused");
    struct nbd_export export;
    if (count < sizeof export) continue;
    memcpy(&export, bytes, sizeof export);
    if (be16toh(export.type) == NBD_INFO_EXPORT) size = be64toh(export.size);
  }
}

static int connect_to(const char *path) {
  struct sockaddr_un address = address_of(path);
  int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
  // A server that has just made its socket may not listen yet.
  for (int attempt = 0; connect(descriptor, (struct sockaddr *)&address, sizeof address); attempt++) {
    if (errno != ECONNREFUSED || attempt == 1000) fail(path);
    usleep(1000);
  }
  return descriptor;
}

static void open_connection(struct connection *connection, const char *path, const char *name) {
  connection->descriptor = connect_to(path);
  connection->size = open_export(connection->descriptor, name) / plan.block * plan.block;
  if (connection->size > LARGEST_DEVICE) connection->size = LARGEST_DEVICE;
  must(connection->size > 0, "the export is empty");
  connection->bytes = room(plan.room);
  for (long index = 0; index < plan.depth; index++)
    if (plan.writes) connection->slots[index].payload = memset(room(plan.block), 0x5a, plan.block);
}

static void submit(struct connection *connection, long index, int type) {
  struct slot *slot = &connection->slots[index];
  uint64_t offset = 0;
  if (type != NBD_FLUSH) {
    offset = plan.sequential ? connection->next : draw() % (connection->size / plan.block) * plan.block;
    connection->next = (offset + plan.block) % connection->size;
    if ((plan.once && connection->next == 0) || ++begun == plan.requests) is_over = 1;
    for (size_t at = 0; type == NBD_WRITE && at < plan.block; at += PAGE) {
      uint64_t tag = offset + at;
      memcpy(slot->payload + at, &tag, sizeof tag);
    }
  }
  slot->request = (struct nbd_request){
    htobe32(NBD_REQUEST_MAGIC), 0, htobe16((uint16_t)type), (uint64_t)index, htobe64(offset),
    htobe32(type == NBD_FLUSH ? 0 : (uint32_t)plan.block)};
  slot->is_busy = 1;
  slot->must_flush = plan.flushes && type != NBD_FLUSH;
  connection->in_flight++;
  connection->waiting[connection->waits++] = (int)index;
}

static void next_request(struct connection *connection, long index) {
  if (!is_over) submit(connection, index, plan.writes ? NBD_WRITE : NBD_READ);
}

static void send_waiting(struct connection *connection) {
  struct iovec pieces[2 * DEEPEST];
  int count = 0;
  for (int index = 0; index < connection->waits; index++) {
    struct slot *slot = &connection->slots[connection->waiting[index]];
    pieces[count++] = (struct iovec){&slot->request, sizeof slot->request};
    if (slot->request.type == htobe16(NBD_WRITE)) pieces[count++] = (struct iovec){slot->payload, plan.block};
  }
  connection->waits = 0;
  for (int first = 0; first < count;) {
    ssize_t sent = writev(connection->descriptor, pieces + first, count - first);
    if (sent <= 0) fail("writev");
    while (first < count && (size_t)sent >= pieces[first].iov_len) sent -= (ssize_t)pieces[first++].iov_len;
    if (first < count) {
      pieces[first].iov_base = (char *)pieces[first].iov_base + sent;
      pieces[first].iov_len -= (size_t)sent;
    }
  }
}

static void check(const struct slot *slot, const char *data) {
  for (size_t at = 0; at < plan.block; at += PAGE) {
    uint64_t tag;
    memcpy(&tag, data + at, sizeof tag);
    must(tag == be64toh(slot->request.offset) + at, "a read returned something else than what was written");
  }
}

// Takes the answers that have arrived, after waiting for some, and sends what they make room for.
static void turn(struct connection *connection) {
  if (plan.room - connection->end < plan.block + sizeof(struct nbd_reply)) {
    memmove(connection->bytes, connection->bytes + connection->begin, connection->end - connection->begin);
    connection->end -= connection->begin;
    connection->begin = 0;
  }
  ssize_t received =
    recv(connection->descriptor, connection->bytes + connection->end, plan.room - connection->end, 0);
  if (received <= 0) fail("the server left");
  connection->end += (size_t)received;
  for (;;) {
    struct nbd_reply reply;
    size_t held = connection->end - connection->begin;
    if (held < sizeof reply) break;
    memcpy(&reply, connection->bytes + connection->begin, sizeof reply);
    must(reply.magic == htobe32(NBD_SIMPLE_REPLY_MAGIC) && !reply.error, "the server answered with an error");
    must(reply.cookie < (uint64_t)plan.depth, "an answer to nothing");
    struct slot *slot = &connection->slots[reply.cookie];
    must(slot->is_busy, "two answers");
    size_t whole = sizeof reply + (slot->request.type == htobe16(NBD_READ) ? plan.block : 0);
    if (held < whole) break;
    if (whole > sizeof reply) check(slot, connection->bytes + connection->begin + sizeof reply);
    connection->begin += whole;
    slot->is_busy = 0;
    connection->in_flight--;
    if (slot->must_flush) {
      submit(connection, (long)reply.cookie, NBD_FLUSH);
    } else {
      finished++;
      next_request(connection, (long)reply.cookie);
    }
  }
  if (connection->begin == connection->end) connection->begin = connection->end = 0;
  if (connection->waits) send_waiting(connection);
}

static double processor_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

// Whether anything was in flight.
static int turn_those_ready(int poller, struct connection *connections) {
  long in_flight = 0;
  for (long index = 0; index < plan.connections; index++) in_flight += connections[index].in_flight;
  if (!in_flight) return 0;
  struct epoll_event ready[WIDEST];
  int number = plan.connections > 1 ? epoll_wait(poller, ready, WIDEST, -1) : 1;
  for (int index = 0; index < number; index++)
    turn(plan.connections > 1 ? ready[index].data.ptr : connections);
  return 1;
}

static void run(struct connection *connections, uint64_t time) {
  int poller = epoll_create1(0);
  for (long index = 0; index < plan.connections; index++) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connections + index};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, connections[index].descriptor, &event)) fail("epoll");
    for (long slot = 0; slot < plan.depth; slot++) next_request(connections + index, slot);
    send_waiting(connections + index);
  }
  // What the first requests find cold does not count.
  uint64_t begin = nanoseconds(), counts_from = begin + time / WARM_UP_SHARE, end;
  while (nanoseconds() < counts_from) turn_those_ready(poller, connections);
  finished = 0;
  counts_from = nanoseconds();
  double before = processor_seconds();
  while ((end = nanoseconds()) < begin + time || plan.once || plan.requests)
    if (!turn_those_ready(poller, connections)) break;
  double seconds = (double)(end - counts_from) / 1e9;
  printf("%f %f\n", (double)finished / seconds, (processor_seconds() - before) / seconds);
  is_over = 1;
  while (turn_those_ready(poller, connections)) {}
}

static void hold(const char *path, int count, char **names) {
  for (int index = 0; index < count; index++) {
    int descriptor = connect_to(path);
    uint64_t size = open_export(descriptor, names[index]);
    for (uint64_t part = 0; part < 16; part++) {
      struct nbd_request request = {
        htobe32(NBD_REQUEST_MAGIC), 0, htobe16(NBD_READ), part, htobe64(size / 16 * part / PAGE * PAGE), htobe32(PAGE)};
      struct nbd_reply reply;
      char page[PAGE];
      put(descriptor, &request, sizeof request);
      take(descriptor, &reply, sizeof reply);
      must(!reply.error, "the server answered with an error");
      take(descriptor, page, sizeof page);
    }
  }
  puts("ready");
  fflush(stdout);
  for (;;) pause();
}

int main(int count, char **arguments) {
  if (count >= 4 && !strcmp(arguments[1], "hold")) hold(arguments[2], count - 3, arguments + 3);
  int counts = count == 10 && !strcmp(arguments[1], "count");
  if (count != 10 || (!counts && strcmp(arguments[1], "run"))) return 64;
  const char *pattern = arguments[4];
  plan.once = !strcmp(pattern, "fill");
  plan.flushes = !strcmp(pattern, "flush");
  plan.sequential = !strncmp(pattern, "sequential-", 11) || plan.once;
  plan.writes = strstr(pattern, "write") || plan.once || plan.flushes;
  plan.block = (size_t)atol(arguments[5]);
  plan.depth = atol(arguments[6]);
  plan.connections = atol(arguments[7]);
  plan.random = (uint64_t)atoll(arguments[9]) * 2 + 1;
  must(plan.block >= PAGE && plan.block <= 1 << 20, "a block is between 4 KiB and 1 MiB");
  must(plan.depth >= 1 && plan.depth <= DEEPEST, "the depth is too large");
  must(plan.connections >= 1 && plan.connections <= WIDEST, "too many connections");
  plan.room = 2 * (plan.block + sizeof(struct nbd_reply)) + (256 << 10);
  struct connection *connections = calloc((size_t)plan.connections, sizeof *connections);
  if (!connections) fail("memory");
  for (long index = 0; index < plan.connections; index++) {
    open_connection(connections + index, arguments[2], arguments[3]);
    // Connections begin apart from each other.
    connections[index].next = connections[index].size / plan.block * (uint64_t)index / (uint64_t)plan.connections * plan.block;
  }
  plan.requests = counts ? atol(arguments[8]) : 0;
  run(connections, counts || plan.once ? 0 : (uint64_t)atoll(arguments[8]) * 1000000u);
  return 0;
}
