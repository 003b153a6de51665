import Glibc

/// Unix time in milliseconds.
func wallMilliseconds() -> Int64 {
  let time = read(CLOCK_REALTIME)
  return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}

/// Time since the host started, in nanoseconds.
func monotonicNanoseconds() -> Int64 {
  let time = read(CLOCK_MONOTONIC)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

private func read(_ clock: clockid_t) -> timespec {
  var time = timespec()
  clock_gettime(clock, &time)
  return time
}
