/*
 * The work of an acquisition and nothing else, natively: the yardstick beside which `deno task bench` puts
 * coldcase. Two threads, each with its share of the connections and a pack of its own: receive a block over
 * HTTP/1.1 keep-alive, SHA-256 of it against the checksum that was declared, zstd level 1, SHA-256 of the pack
 * as it is written, and at 64 MiB fsync, rename to the digest, fsync of the folder.
 * No retries, no record headers, no journal, no signatures: what fails ends it.
 *
 * pipeline PORT LIST FOLDER CONNECTIONS, where LIST has a line a block: its path, a space, its SHA-256 in hex.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zstd.h>

enum { BLOCK_BYTES = 524288, HEAD_BYTES = 4096, PACK_BYTES = 67108864, THREADS = 2, MAX_CONNECTIONS = 64 };

struct block {
  char path[192];
  unsigned char digest[32];
};

struct connection {
  int fd;
  const struct block *block;
  size_t received; /* head and body */
  size_t head_bytes; /* 0 until the whole head is there */
  unsigned char buffer[HEAD_BYTES + BLOCK_BYTES];
};

struct worker {
  pthread_t thread;
  int number;
  size_t packs;
  unsigned long long packed_bytes;
  int pack_fd;
  size_t pack_bytes;
  EVP_MD_CTX *pack_digest;
};

static struct block *blocks;
static size_t block_count;
static size_t next_block; /* taken with an atomic add */
static int port, connections_per_thread;
static const char *folder;

static void fail(const char *what) {
  fprintf(stderr, "Cannot %s: %s\n", what, errno ? strerror(errno) : "not as expected");
  exit(1);
}

static void write_all(int fd, const void *bytes, size_t length) {
  const char *at = bytes;
  while (length > 0) {
    ssize_t done = write(fd, at, length);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail("write");
    at += done;
    length -= (size_t)done;
  }
}

static void read_list(const char *path) {
  FILE *file = fopen(path, "r");
  char hex[65];
  size_t room = 1024;
  if (!file || !(blocks = malloc(room * sizeof *blocks))) fail("read the list");
  struct block block;
  while (fscanf(file, "%191s %64s", block.path, hex) == 2) {
    for (int i = 0; i < 32; i++) {
      if (sscanf(hex + 2 * i, "%2hhx", &block.digest[i]) != 1) fail("read a digest");
    }
    if (block_count == room && !(blocks = realloc(blocks, (room *= 2) * sizeof *blocks))) fail("read the list");
    blocks[block_count++] = block;
  }
  fclose(file);
}

static void open_pack(struct worker *worker) {
  char path[4096];
  snprintf(path, sizeof path, "%s/open-%d", folder, worker->number);
  worker->pack_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (worker->pack_fd < 0) fail("open a pack");
  EVP_DigestInit_ex(worker->pack_digest, EVP_sha256(), NULL);
  worker->pack_bytes = 0;
}

static void close_pack(struct worker *worker) {
  unsigned char digest[32];
  char from[4096], to[4096], hex[65];
  EVP_DigestFinal_ex(worker->pack_digest, digest, NULL);
  for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
  if (fsync(worker->pack_fd) != 0 || close(worker->pack_fd) != 0) fail("sync a pack");
  snprintf(from, sizeof from, "%s/open-%d", folder, worker->number);
  snprintf(to, sizeof to, "%s/%s", folder, hex);
  if (rename(from, to) != 0) fail("rename a pack");
  int directory = open(folder, O_RDONLY | O_DIRECTORY);
  if (directory < 0 || fsync(directory) != 0) fail("sync the folder");
  close(directory);
  worker->packs++;
  worker->packed_bytes += worker->pack_bytes;
  worker->pack_fd = -1;
}

static void store(struct worker *worker, ZSTD_CCtx *zstd, struct connection *connection) {
  static __thread unsigned char compressed[BLOCK_BYTES + BLOCK_BYTES / 128];
  const unsigned char *bytes = connection->buffer + connection->head_bytes;
  unsigned char digest[32];
  size_t length = ZSTD_compressCCtx(zstd, compressed, sizeof compressed, bytes, BLOCK_BYTES, 1);
  if (!EVP_Digest(bytes, BLOCK_BYTES, digest, NULL, EVP_sha256(), NULL) ||
      memcmp(digest, connection->block->digest, 32) != 0) {
    errno = 0;
    fail("accept a block");
  }
  if (ZSTD_isError(length) || length >= BLOCK_BYTES) length = BLOCK_BYTES;
  else bytes = compressed;
  if (worker->pack_fd < 0) open_pack(worker);
  EVP_DigestUpdate(worker->pack_digest, bytes, length);
  write_all(worker->pack_fd, bytes, length);
  worker->pack_bytes += length;
  if (worker->pack_bytes >= PACK_BYTES) close_pack(worker);
}

static void dial(struct connection *connection) {
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
  int on = 1;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
  setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Asks for the next block; 0 where there is none left. */
static int ask(struct connection *connection) {
  char request[512];
  size_t position = __atomic_fetch_add(&next_block, 1, __ATOMIC_RELAXED);
  if (position >= block_count) return 0;
  connection->block = &blocks[position];
  connection->received = connection->head_bytes = 0;
  int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", connection->block->path);
  write_all(connection->fd, request, (size_t)length);
  return 1;
}

/* Takes what has come; 1 where the block is whole. */
static int receive(struct connection *connection) {
  size_t wanted = connection->head_bytes ? connection->head_bytes + BLOCK_BYTES : sizeof connection->buffer;
  ssize_t got = recv(connection->fd, connection->buffer + connection->received, wanted - connection->received, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (got <= 0) fail("receive a block");
  connection->received += (size_t)got;
  if (!connection->head_bytes) {
    unsigned char *end = memmem(connection->buffer, connection->received, "\r\n\r\n", 4);
    if (!end) return 0;
    connection->head_bytes = (size_t)(end - connection->buffer) + 4;
    *end = 0;
    const char *head = (const char *)connection->buffer;
    if (strncmp(head, "HTTP/1.1 200", 12) != 0 || !strcasestr(head, "Content-Length: 524288")) {
      errno = 0;
      fail("take an answer");
    }
  }
  return connection->received == connection->head_bytes + BLOCK_BYTES;
}

static void *work(void *argument) {
  struct worker *worker = argument;
  struct connection *connections = calloc((size_t)connections_per_thread, sizeof *connections);
  struct pollfd polls[MAX_CONNECTIONS];
  ZSTD_CCtx *zstd = ZSTD_createCCtx();
  worker->pack_digest = EVP_MD_CTX_new();
  worker->pack_fd = -1;
  if (!connections || !zstd || !worker->pack_digest) fail("start a thread");
  int open = 0;
  for (int i = 0; i < connections_per_thread; i++) {
    dial(&connections[i]);
    polls[i] = (struct pollfd){ .fd = connections[i].fd, .events = POLLIN };
    if (ask(&connections[i])) open++;
    else polls[i].fd = -1;
  }
  while (open > 0) {
    if (poll(polls, (nfds_t)connections_per_thread, -1) < 0 && errno != EINTR) fail("poll");
    for (int i = 0; i < connections_per_thread; i++) {
      if (polls[i].fd < 0 || !polls[i].revents || !receive(&connections[i])) continue;
      store(worker, zstd, &connections[i]);
      if (ask(&connections[i])) continue;
      polls[i].fd = -1;
      open--;
    }
  }
  if (worker->pack_fd >= 0) close_pack(worker);
  return NULL;
}

int main(int count, char **arguments) {
  struct worker workers[THREADS] = { 0 };
  if (count != 5) return fprintf(stderr, "pipeline PORT LIST FOLDER CONNECTIONS\n"), 2;
  port = atoi(arguments[1]);
  folder = arguments[3];
  connections_per_thread = atoi(arguments[4]) / THREADS;
  if (connections_per_thread < 1 || connections_per_thread > MAX_CONNECTIONS) return 2;
  read_list(arguments[2]);
  for (int i = 0; i < THREADS; i++) {
    workers[i].number = i;
    if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) fail("start a thread");
  }
  size_t packs = 0;
  unsigned long long bytes = 0;
  for (int i = 0; i < THREADS; i++) {
    pthread_join(workers[i].thread, NULL);
    packs += workers[i].packs;
    bytes += workers[i].packed_bytes;
  }
  printf("%zu blocks in %zu packs, %llu bytes\n", block_count, packs, bytes);
  return 0;
}
