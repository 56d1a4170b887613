/* The least that a subscriber can do: take apart what Redis sends, and look at each message once.
   reader PORT CHANNELS MESSAGES; says "ready" when subscribed, and the monotonic time of the last message. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 20];
static size_t have, at;
static int wire;

static char *need(size_t bytes) {
  while (have - at < bytes) {
    if (at > sizeof buffer / 2) { memmove(buffer, buffer + at, have - at); have -= at; at = 0; }
    ssize_t got = read(wire, buffer + have, sizeof buffer - have);
    if (got <= 0) exit(1);
    have += got;
  }
  return buffer + at;
}
static long number(void) { /* of a line such as "$14\r\n", whose first byte is taken */
  long value = 0;
  for (char c; (c = *need(1)) != '\r'; at++) value = 10 * value + (c - '0');
  need(2); at += 2;
  return value;
}
static char kind(void) { char c = *need(1); at++; return c; }
static char *text(long *size) {
  if (kind() != '$') exit(2);
  *size = number();
  char *found = need(*size + 2);
  at += *size + 2;
  return found;
}
int main(int count, char **given) {
  if (count != 4) return 3;
  long channels = atol(given[2]), messages = atol(given[3]), size, seen = 0, told = 0, sum = 0;
  struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(atoi(given[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  wire = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(wire, (void *)&place, sizeof place)) return 4;
  for (long n = 0; n < channels; n++) {
    char name[64], line[128];
    int length = snprintf(name, sizeof name, "svc%ld:heartbeat", n);
    length = snprintf(line, sizeof line, "*2\r\n$9\r\nSUBSCRIBE\r\n$%d\r\n%s\r\n", length, name);
    if (write(wire, line, length) != length) return 5;
  }
  while (seen < messages) {
    if (kind() != '*') return 6;
    number();
    char first = *text(&size);
    text(&size);
    if (first == 's') {
      if (kind() != ':') return 7;
      number();
      if (++told == channels) { puts("ready"); fflush(stdout); }
    } else { sum += text(&size)[0]; seen++; }
  }
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  printf("%ld.%09ld\n", now.tv_sec, now.tv_nsec);
  return sum == 0;
}
