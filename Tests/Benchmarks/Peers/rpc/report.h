// What every client measures and prints.
#ifndef REPORT_H
#define REPORT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WARM_UP_CALLS = 100 };

static uint64_t nanoseconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int ascending(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return (a > b) - (a < b);
}

// Nearest rank.
static double percentile(const uint64_t *sorted, long count, long hundredths) {
  long rank = (count * hundredths + 99) / 100;
  return (double)sorted[rank > 0 ? rank - 1 : 0] / 1000;
}

// `times` are the nanoseconds of each call, `total` those of all together.
static void report(uint64_t *times, long count, uint64_t total) {
  qsort(times, (size_t)count, sizeof *times, ascending);
  printf("%f %f %f\n", percentile(times, count, 50), percentile(times, count, 99), (double)count * 1e9 / (double)total);
}

static uint64_t *times_for(long count) {
  uint64_t *times = count > 0 ? calloc((size_t)count, sizeof *times) : NULL;
  if (!times) fail("the number of calls");
  return times;
}

#endif
