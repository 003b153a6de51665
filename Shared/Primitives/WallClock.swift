import Glibc

/// The time of day in milliseconds since 1970, for records; it may jump. Durations are measured by `ContinuousClock`.
public func wallClockMilliseconds() -> Int64 {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}
