// For ./dev bench edge: clients that show a certificate, which wrk and h2load cannot; connections that stay and say nothing;
// handshakes that resume. One thread; what is not as it should be ends it with 1.
//
//   tls_load load PORT HOST PATH COUNT SECONDS [CERT KEY]    COUNT connections ask without pause; prints RESULT
//   tls_load idle PORT HOST PATH COUNT SECONDS [CERT KEY]    opens a tenth, says so, waits for a line, opens the rest, waits
//   tls_load resume PORT HOST PATH COUNT SECONDS             handshakes that resume the session of the first
//   tls_load handshake PORT HOST PATH COUNT SECONDS [CERT KEY]    full handshakes, after one request that has to be answered
//
// RESULT requests microseconds p50 p99
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kMostSamples = 4 << 20, kHead = 16 << 10, kChunk = 256 << 10 };

struct client {
  SSL* ssl;
  int fd;
  long long asked;  // when, in nanoseconds
  size_t head_size;
  long left;  // of the body; -1: the head is not whole yet
  char head[kHead];
};

static const char *host, *path, *header = "";  // one more, with its line's end
static int port, any_status;
static SSL_CTX* context;
static SSL_SESSION* kept;
static char chunk[kChunk];
static unsigned* samples;
static size_t sample_count;

static void fail(const char* what) {
  fprintf(stderr, "tls_load: %s: %s\n", what, strerror(errno));
  ERR_print_errors_fp(stderr);
  exit(1);
}

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int keep_session(SSL* ssl, SSL_SESSION* session) {
  (void)ssl;
  if (kept != NULL) return 0;
  kept = session;
  return 1;
}

// Connected and shaken hands; blocking.
static void open_client(struct client* client, SSL_SESSION* session) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (client->fd < 0 || connect(client->fd, (struct sockaddr*)&to, sizeof to) != 0) fail("connect");
  const int yes = 1;
  setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  client->ssl = SSL_new(context);
  if (client->ssl == NULL || SSL_set_fd(client->ssl, client->fd) != 1) fail("SSL_new");
  SSL_set_tlsext_host_name(client->ssl, host);
  if (session != NULL) SSL_set_session(client->ssl, session);
  if (SSL_connect(client->ssl) != 1) fail("handshake");
}

static void ask(struct client* client) {
  char text[2048];
  const int size = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s:%d\r\n%s\r\n", path, host, port, header);
  client->head_size = 0;
  client->left = -1;
  client->asked = now();
  if (SSL_write(client->ssl, text, size) != size) fail("write");
}

// Bytes of an answer: 1 when it is whole.
static int take(struct client* client, const char* bytes, size_t size) {
  if (client->left < 0) {
    if (client->head_size + size >= kHead) size = kHead - 1 - client->head_size;  // the rest is the body's, and long
    memcpy(client->head + client->head_size, bytes, size);
    client->head_size += size;
    client->head[client->head_size] = 0;
    const char* end = strstr(client->head, "\r\n\r\n");
    if (end == NULL) return 0;
    const char* length = strcasestr(client->head, "\r\ncontent-length:");
    if ((!any_status && strncmp(client->head, "HTTP/1.1 200", 12) != 0) || length == NULL || length > end) fail(client->head);
    client->left = strtol(length + 17, NULL, 10) - (long)(client->head_size - (size_t)(end + 4 - client->head));
    return client->left == 0;
  }
  client->left -= (long)size;
  if (client->left < 0) fail("more than the answer");
  return client->left == 0;
}

// What can be read now; 1 when an answer is whole. Blocking sockets wait for it.
static int receive(struct client* client) {
  for (;;) {
    const int most = client->left < 0 ? kHead / 2 : kChunk;
    const int got = SSL_read(client->ssl, chunk, most);
    if (got <= 0) {
      if (SSL_get_error(client->ssl, got) == SSL_ERROR_WANT_READ) return 0;
      fail("read");
    }
    if (take(client, chunk, (size_t)got)) return 1;
  }
}

static int by_size(const void* left, const void* right) {
  const unsigned a = *(const unsigned*)left, b = *(const unsigned*)right;
  return a < b ? -1 : a > b;
}

static void report(long long took) {
  qsort(samples, sample_count, sizeof *samples, by_size);
  const unsigned p50 = sample_count == 0 ? 0 : samples[sample_count / 2], p99 = sample_count == 0 ? 0 : samples[(sample_count - 1) * 99 / 100];
  printf("RESULT %zu %lld %u %u\n", sample_count, took / 1000, p50, p99);
}

static void sample(long long began) {
  if (sample_count < kMostSamples) samples[sample_count++] = (unsigned)((now() - began) / 1000);
}

static void load(int count, int seconds) {
  struct client* clients = calloc((size_t)count, sizeof *clients);
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < count; ++i) {
    open_client(&clients[i], NULL);
    ask(&clients[i]);
    receive(&clients[i]);  // outside the figures: what a first request costs
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, clients[i].fd, &event) != 0) fail("epoll");
  }
  printf("open %d\n", count);
  fflush(stdout);
  for (int i = 0; i < count; ++i) {
    if (fcntl(clients[i].fd, F_SETFL, fcntl(clients[i].fd, F_GETFL) | O_NONBLOCK) != 0) fail("fcntl");
    ask(&clients[i]);
  }
  const long long begin = now(), end = begin + seconds * 1000000000LL;
  while (now() < end) {
    struct epoll_event events[256];
    const int ready = epoll_wait(poll, events, 256, 1000);
    if (ready <= 0) fail("nothing for a second");
    for (int i = 0; i < ready; ++i) {
      struct client* client = events[i].data.ptr;
      if (!receive(client)) continue;
      sample(client->asked);
      ask(client);
    }
  }
  report(now() - begin);
}

static void hold(int count) {
  struct client* client = calloc(1, sizeof *client);
  for (int i = 0; i < count; ++i) {
    open_client(client, NULL);
    ask(client);
    receive(client);
    if (i + 1 != count / 10 && i + 1 != count) continue;
    printf("open %d\n", i + 1);
    fflush(stdout);
    if (getchar() == EOF) return;
  }
}

static void resume(int seconds) {
  struct client* client = calloc(1, sizeof *client);
  open_client(client, NULL);
  ask(client);
  any_status = 1;   // nobody asks
  receive(client);  // the ticket comes before the answer
  if (kept == NULL) fail("no session to resume");
  const long long begin = now(), end = begin + seconds * 1000000000LL;
  while (now() < end) {
    const long long began = now();
    SSL_SESSION* again = SSL_SESSION_dup(kept);  // the library uses each but once
    open_client(client, again);
    SSL_SESSION_free(again);
    if (SSL_session_reused(client->ssl) != 1) fail("not resumed");
    sample(began);
    SSL_shutdown(client->ssl);
    SSL_free(client->ssl);
    close(client->fd);
  }
  report(now() - begin);
}

// Of the first and the last connection. In TLS 1.3 a client is done before its certificate was looked at: what the server sends before it hangs up says whether it was taken.
static void end_client(struct client* client) {
  SSL_shutdown(client->ssl);
  int got = 0;
  do got = SSL_read(client->ssl, chunk, kChunk);  // a server may say that it was asked nothing
  while (got > 0);
  if (SSL_get_error(client->ssl, got) == SSL_ERROR_SSL && ERR_GET_REASON(ERR_peek_error()) != SSL_R_UNEXPECTED_EOF_WHILE_READING) fail("refused");
  ERR_clear_error();
  SSL_free(client->ssl);
  close(client->fd);
}

static void shake_hands(int seconds) {
  struct client* client = calloc(1, sizeof *client);
  open_client(client, NULL);
  ask(client);
  receive(client);
  end_client(client);
  const long long begin = now(), end = begin + seconds * 1000000000LL;
  while (now() < end) {
    const long long began = now();
    open_client(client, NULL);
    sample(began);
    SSL_shutdown(client->ssl);
    SSL_free(client->ssl);
    close(client->fd);
  }
  report(now() - begin);
  open_client(client, NULL);
  end_client(client);  // taken still
}

int main(int argc, char** argv) {
  if (argc != 7 && argc != 9) return fprintf(stderr, "tls_load: MODE PORT HOST PATH COUNT SECONDS [CERT KEY]\n"), 2;
  port = atoi(argv[2]);
  host = argv[3];
  if (getenv("BENCH_HEADER") != NULL) header = getenv("BENCH_HEADER");
  path = argv[4];
  const int count = atoi(argv[5]), seconds = atoi(argv[6]);
  samples = malloc(kMostSamples * sizeof *samples);
  context = SSL_CTX_new(TLS_client_method());
  if (argc == 9 && (SSL_CTX_use_certificate_chain_file(context, argv[7]) != 1 || SSL_CTX_use_PrivateKey_file(context, argv[8], SSL_FILETYPE_PEM) != 1)) {
    fail("the client's certificate");
  }
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, keep_session);
  if (strcmp(argv[1], "load") == 0) load(count, seconds);
  else if (strcmp(argv[1], "idle") == 0) hold(count);
  else if (strcmp(argv[1], "resume") == 0) resume(seconds);
  else if (strcmp(argv[1], "handshake") == 0) any_status = argc == 7, shake_hands(seconds);
  else return 2;
  return 0;
}
