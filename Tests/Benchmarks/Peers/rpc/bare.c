// The least that a call can cost: frames of fixed bytes over a Unix socket, one blocking thread on each side, one write a frame,
// reads of whatever is there.
//
//     bare server SOCKET ANSWER_FILE
//     bare client SOCKET CALLS IN_FLIGHT REQUEST_FILE
//
// The files hold a frame each, its length included. The client works with every server of such frames.
#include "report.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct frame {
  char bytes[4096];
  size_t count;
};

struct input {
  int descriptor;
  size_t begin, end;
  char bytes[1 << 16];
};

static struct frame load(const char *path) {
  struct frame frame;
  FILE *file = fopen(path, "r");
  if (!file) fail(path);
  frame.count = fread(frame.bytes, 1, sizeof frame.bytes, file);
  fclose(file);
  return frame;
}

static struct sockaddr_un address_of(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  return address;
}

static void put(int descriptor, const struct frame *frame) {
  for (size_t sent = 0; sent < frame->count;) {
    ssize_t count = write(descriptor, frame->bytes + sent, frame->count - sent);
    if (count <= 0) fail("write");
    sent += (size_t)count;
  }
}

// Whether a whole frame was there to be taken; waits for one.
static int take(struct input *input) {
  for (;;) {
    size_t held = input->end - input->begin;
    if (held >= 4) {
      uint32_t length;
      memcpy(&length, input->bytes + input->begin, 4);
      size_t whole = 4 + (size_t)ntohl(length);
      if (whole > sizeof input->bytes) return 0;
      if (held >= whole) {
        input->begin += whole;
        return 1;
      }
    }
    memmove(input->bytes, input->bytes + input->begin, held);
    input->begin = 0;
    input->end = held;
    ssize_t count = read(input->descriptor, input->bytes + held, sizeof input->bytes - held);
    if (count <= 0) return 0;
    input->end += (size_t)count;
  }
}

static void serve(const char *path, struct frame answer) {
  struct sockaddr_un address = address_of(path);
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 16)) fail(path);
  puts("ready");
  fflush(stdout);
  for (;;) {
    static struct input input;
    input = (struct input){.descriptor = accept(listener, NULL, NULL)};
    if (input.descriptor < 0) fail("accept");
    while (take(&input)) put(input.descriptor, &answer);
    close(input.descriptor);
  }
}

// Makes the calls; their times where `times` is given.
static void make(struct input *input, const struct frame *request, long calls, long in_flight, uint64_t *times) {
  uint64_t begun[64];
  for (long sent = 0, answered = 0; answered < calls; answered++) {
    for (; sent < calls && sent < answered + in_flight; sent++) {
      begun[sent % 64] = nanoseconds();
      put(input->descriptor, request);
    }
    if (!take(input)) fail("read");
    if (times) times[answered] = nanoseconds() - begun[answered % 64];
  }
}

static void call(const char *path, long calls, long in_flight, struct frame request) {
  struct sockaddr_un address = address_of(path);
  static struct input input;
  input.descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(input.descriptor, (struct sockaddr *)&address, sizeof address)) fail(path);
  uint64_t *times = times_for(calls);
  make(&input, &request, WARM_UP_CALLS, in_flight, NULL);
  uint64_t begin = nanoseconds();
  make(&input, &request, calls, in_flight, times);
  report(times, calls, nanoseconds() - begin);
}

int main(int count, char **arguments) {
  if (count == 4 && !strcmp(arguments[1], "server")) {
    serve(arguments[2], load(arguments[3]));
    return 0;
  }
  long in_flight = count == 6 ? atol(arguments[4]) : 0;
  if (in_flight < 1 || in_flight > 64) return 64;
  call(arguments[2], atol(arguments[3]), in_flight, load(arguments[5]));
  return 0;
}
