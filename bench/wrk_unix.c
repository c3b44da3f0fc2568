// For ./dev bench authzen: wrk knows TCP only, and wary's decision point listens on a unix socket. Loaded before wrk, this
// takes the connections that wrk makes to the loopback address over to the socket WARY_BENCH_SOCKET names.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef int (*connect_call)(int, const struct sockaddr*, socklen_t);

int connect(int fd, const struct sockaddr* address, socklen_t size) {
  const char* path = getenv("WARY_BENCH_SOCKET");
  connect_call real = (connect_call)dlsym(RTLD_NEXT, "connect");
  if (path == NULL || address->sa_family != AF_INET) return real(fd, address, size);
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof to.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(to.sun_path, path);
  const int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (made < 0) return -1;
  const int flags = fcntl(fd, F_GETFL);
  // Blocking until it is connected: a full backlog would be an error otherwise.
  if (real(made, (const struct sockaddr*)&to, sizeof to) != 0 || dup2(made, fd) < 0) {
    close(made);
    return -1;
  }
  close(made);
  return fcntl(fd, F_SETFL, flags);
}
