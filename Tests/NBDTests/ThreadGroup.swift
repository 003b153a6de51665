import Primitives
import BlockLayers

/// Threads that a test waits for.
final class ThreadGroup: @unchecked Sendable {
  // `running` is touched only with `monitor` held.
  private let monitor = Monitor()
  private var running = 0

  func start(_ body: @escaping @Sendable () -> Void) {
    monitor.locked { running += 1 }
    let started = IOThread.start(name: "test") { [self] in
      body()
      monitor.lock()
      running -= 1
      monitor.wakeAll()
      monitor.unlock()
    }
    if !started { monitor.locked { running -= 1 } }
  }

  func join() {
    monitor.lock()
    while running > 0 { monitor.wait() }
    monitor.unlock()
  }
}
