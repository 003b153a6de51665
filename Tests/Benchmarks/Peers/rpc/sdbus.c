#define _GNU_SOURCE
// A method with the answer of service.ping over sd-bus, peer to peer.
//
//     sdbus server SOCKET
//     sdbus client SOCKET CALLS IN_FLIGHT
#include "report.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define PATH "/service"
#define INTERFACE "host.ftvs.Service"

static void check(int result, const char *what) {
  if (result >= 0) return;
  fprintf(stderr, "%s: %s\n", what, strerror(-result));
  exit(1);
}

static int ping(sd_bus_message *message, void *data, sd_bus_error *error) {
  (void)data, (void)error;
  return sd_bus_reply_method_return(message, "ssx", "hardware", "cpu0", (int64_t)7);
}

static const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0), SD_BUS_METHOD("Ping", "", "ssx", ping, SD_BUS_VTABLE_UNPRIVILEGED), SD_BUS_VTABLE_END};

static void serve_one(int descriptor) {
  sd_bus *bus = NULL;
  sd_id128_t identifier;
  check(sd_id128_randomize(&identifier), "an identifier");
  check(sd_bus_new(&bus), "a bus");
  check(sd_bus_set_fd(bus, descriptor, descriptor), "the descriptor");
  check(sd_bus_set_server(bus, 1, identifier), "the server's side");
  check(sd_bus_set_trusted(bus, 1), "trust");
  check(sd_bus_add_object_vtable(bus, NULL, PATH, INTERFACE, vtable, NULL), "the method");
  check(sd_bus_start(bus), "start");
  for (;;) {
    int result = sd_bus_process(bus, NULL);
    if (result < 0) break;
    if (result == 0 && sd_bus_wait(bus, UINT64_MAX) < 0) break;
  }
  sd_bus_close_unref(bus);
}

static void serve(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 16)) fail(path);
  puts("ready");
  fflush(stdout);
  for (;;) {
    int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (descriptor < 0) fail("accept");
    serve_one(descriptor);
  }
}

static void call_one(sd_bus *bus) {
  sd_bus_message *answer = NULL;
  const char *service, *module;
  int64_t epoch;
  check(sd_bus_call_method(bus, NULL, PATH, INTERFACE, "Ping", NULL, &answer, ""), "the call");
  check(sd_bus_message_read(answer, "ssx", &service, &module, &epoch), "the answer");
  sd_bus_message_unref(answer);
}

static void call_one_after_the_other(sd_bus *bus, long calls, uint64_t *times) {
  for (long index = 0; index < calls; index++) {
    uint64_t begin = nanoseconds();
    call_one(bus);
    if (times) times[index] = nanoseconds() - begin;
  }
}

// Calls of which some are in flight.
struct pipeline {
  sd_bus *bus;
  long calls, sent, answered;
  uint64_t begun[64], *times;
};

static int answered(sd_bus_message *answer, void *data, sd_bus_error *error);

static void send_one(struct pipeline *pipeline) {
  pipeline->begun[pipeline->sent++ % 64] = nanoseconds();
  check(sd_bus_call_method_async(pipeline->bus, NULL, NULL, PATH, INTERFACE, "Ping", answered, pipeline, ""), "a call");
}

static int answered(sd_bus_message *answer, void *data, sd_bus_error *error) {
  struct pipeline *pipeline = data;
  const char *service, *module;
  int64_t epoch;
  (void)error;
  check(sd_bus_message_read(answer, "ssx", &service, &module, &epoch), "an answer");
  if (pipeline->times) pipeline->times[pipeline->answered] = nanoseconds() - pipeline->begun[pipeline->answered % 64];
  pipeline->answered++;
  if (pipeline->sent < pipeline->calls) send_one(pipeline);
  return 0;
}

static void call_in_flight(sd_bus *bus, long calls, long in_flight, uint64_t *times) {
  struct pipeline pipeline = {.bus = bus, .calls = calls, .times = times};
  while (pipeline.sent < calls && pipeline.sent < in_flight) send_one(&pipeline);
  while (pipeline.answered < calls) {
    int result = sd_bus_process(bus, NULL);
    check(result, "process");
    if (result == 0) check(sd_bus_wait(bus, UINT64_MAX), "wait");
  }
}

static void make(sd_bus *bus, long calls, long in_flight, uint64_t *times) {
  if (in_flight == 1) call_one_after_the_other(bus, calls, times);
  else call_in_flight(bus, calls, in_flight, times);
}

static void call(const char *path, long calls, long in_flight) {
  char address[256];
  snprintf(address, sizeof address, "unix:path=%s", path);
  sd_bus *bus = NULL;
  check(sd_bus_new(&bus), "a bus");
  check(sd_bus_set_address(bus, address), "the address");
  check(sd_bus_start(bus), "start");
  uint64_t *times = times_for(calls);
  make(bus, WARM_UP_CALLS, in_flight, NULL);
  uint64_t begin = nanoseconds();
  make(bus, calls, in_flight, times);
  report(times, calls, nanoseconds() - begin);
  sd_bus_close_unref(bus);
}

int main(int count, char **arguments) {
  if (count == 3 && !strcmp(arguments[1], "server")) {
    serve(arguments[2]);
    return 0;
  }
  long in_flight = count == 5 ? atol(arguments[4]) : 0;
  if (in_flight < 1 || in_flight > 64) return 64;
  call(arguments[2], atol(arguments[3]), in_flight);
  return 0;
}
