import Glibc
import Synchronization

/// Threads that touch the same variables, ordered by what the argument names: ThreadSanitizer must be silent about each of
/// them, and must report `nothing`. `Tests/run sanitize` asks for all, so that neither a blind sanitizer nor one that sees
/// races everywhere passes for a clean run.
@main
struct Races {
  static func main() async {
    switch CommandLine.arguments.last {
    case "mutex": byMutex()
    case "continuation": await byContinuation()
    case "nothing": byNothing()
    default: exit(EX_USAGE)
    }
  }
}

/// @unchecked Sendable: whether it is safe to share is what is asked here.
final class Shared: @unchecked Sendable {
  var count = 0
}

nonisolated func byMutex() {
  let lock = Mutex(())
  let shared = Shared()
  inFourThreads {
    for turn in 0..<5_000 {
      // Held for a while now and then, so that others come to wait in the kernel.
      let isLong = turn % 100 == 0
      lock.withLock { _ in
        shared.count += 1
        if isLong { usleep(10) }
      }
      let wasFree: Void? = lock.withLockIfAvailable { _ in shared.count += 1 }
      _ = wasFree
    }
  }
}

/// A thread resumes the task, both after the task has begun to wait and before.
nonisolated func byContinuation() async {
  for isEarly in [false, true] {
    let shared = await withCheckedContinuation { continuation in
      let thread = Thread {
        let shared = Shared()
        shared.count = 1
        if !isEarly { usleep(10_000) }
        continuation.resume(returning: shared)
      }
      if isEarly { usleep(10_000) }
      thread.detach()
    }
    shared.count += 1
  }
}

nonisolated func byNothing() {
  let shared = Shared()
  inFourThreads { for _ in 0..<1_000 { shared.count += 1 } }
}

nonisolated func inFourThreads(_ body: @escaping @Sendable () -> Void) {
  for thread in (0..<4).map({ _ in Thread(body) }) { thread.join() }
}

/// A thread of the operating system, of the kind that the sanitizer sees.
struct Thread {
  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private var thread = pthread_t()

  init(_ run: @escaping @Sendable () -> Void) {
    let body = Unmanaged.passRetained(Body(run))
    let status = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, body.toOpaque())
    precondition(status == 0)
  }

  func join() { pthread_join(thread, nil) }
  func detach() { pthread_detach(thread) }
}
