/* The least that can fail over: an active and a standby share a listening socket; who holds the lock accepts and echoes
   frames. What a failover costs when the service itself costs nothing. Without any error handling that a yardstick can
   do without: whatever goes wrong ends it, and it is started anew. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTENER = 3, CLIENTS = 1024, BYTES = 65536 };

static struct { uint32_t count; char bytes[BYTES]; } input[CLIENTS];

static void notify_ready(void) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path) return;
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (*path == '@') address.sun_path[0] = 0;
    int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sendto(s, "READY=1", 7, 0, (void *)&address, offsetof(struct sockaddr_un, sun_path) + strlen(path));
    close(s);
}

static void drop(int client) {
    input[client].count = 0;
    close(client);
}

static void serve(int client) {
    uint32_t *count = &input[client].count;
    char *bytes = input[client].bytes;
    ssize_t got = read(client, bytes + *count, BYTES - *count);
    if (got <= 0) { drop(client); return; }
    *count += got;
    while (*count >= 4) {
        const unsigned char *u = (unsigned char *)bytes;
        uint32_t frame = 4 + ((uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3]);
        if (frame > BYTES) { drop(client); return; }
        if (*count < frame) return;
        if (write(client, bytes, frame) != (ssize_t)frame) { drop(client); return; }
        memmove(bytes, bytes + frame, *count - frame);
        *count -= frame;
    }
}

int main(int argc, char **argv) {
    if (argc != 2) return 64;
    notify_ready();
    int lock = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX)) return 1;
    int poll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = LISTENER};
    epoll_ctl(poll, EPOLL_CTL_ADD, LISTENER, &event);
    for (;;) {
        struct epoll_event events[64];
        int count = epoll_wait(poll, events, 64, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd != LISTENER) { serve(fd); continue; }
            int client = accept4(LISTENER, 0, 0, SOCK_CLOEXEC);
            if (client < 0) continue;
            if (client >= CLIENTS) { close(client); continue; }
            event = (struct epoll_event){.events = EPOLLIN, .data.fd = client};
            epoll_ctl(poll, EPOLL_CTL_ADD, client, &event);
        }
    }
}
