import Glibc

/// A thread of its own that runs pieces of work one after the other: for calls that block, which must never hold up the
/// cooperative pool or an event loop.
///
/// It ends when `stop` was called and what had been enqueued before is done. What is enqueued later never runs.
public final class SerialThread: @unchecked Sendable {
  // @unchecked: `work` and `isStopped` are only touched with `monitor` held.
  private let monitor = Monitor()
  private var work: [@Sendable () -> Void] = []
  private var isStopped = false

  /// Starts the thread; `name` is what debuggers show, at most 15 bytes of it.
  public init(name: String) {
    startThread(name: name) { [self] in run() }
  }

  /// Has work done after all that was enqueued before. Returns at once; false after `stop`.
  @discardableResult
  public func enqueue(_ body: @escaping @Sendable () -> Void) -> Bool {
    monitor.locked {
      guard !isStopped else { return false }
      work.append(body)
      monitor.wakeOne()
      return true
    }
  }

  /// Does work on the thread and waits for it; nil after `stop`.
  public func result<T: Sendable>(of body: @escaping @Sendable () -> T) async -> T? {
    await withCheckedContinuation { continuation in
      if !enqueue({ continuation.resume(returning: body()) }) { continuation.resume(returning: nil) }
    }
  }

  /// Lets the thread end after what was enqueued.
  public func stop() {
    monitor.locked {
      isStopped = true
      monitor.wakeOne()
    }
  }

  private func run() {
    while let body = next() { body() }
  }

  private func next() -> (@Sendable () -> Void)? {
    monitor.locked {
      while work.isEmpty {
        if isStopped { return nil }
        monitor.wait()
      }
      return work.removeFirst()
    }
  }
}

/// Starts a detached thread that runs `body` and ends. All signals are blocked in it, so that they go to the threads that
/// expect them.
///
/// The process ends when the kernel gives no thread: nothing can be kept alive without one.
public func startThread(name: String, _ body: @escaping @Sendable () -> Void) {
  let box = Unmanaged.passRetained(ThreadBody(name: String(name.prefix(15)), run: body))
  var all = sigset_t()
  var before = sigset_t()
  sigfillset(&all)
  pthread_sigmask(SIG_SETMASK, &all, &before)
  var thread = pthread_t()
  let error = pthread_create(
    &thread, nil,
    { argument in
      guard let argument else { return nil }
      let body = Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue()
      nameThread(body.name)
      body.run()
      return nil
    }, box.toOpaque())
  pthread_sigmask(SIG_SETMASK, &before, nil)
  guard error == 0 else {
    let message = "The kernel gives this process no more threads: \(String(cString: strerror(error))).\n"
    _ = write(STDERR_FILENO, message, message.utf8.count)
    exit(EXIT_FAILURE)
  }
  pthread_detach(thread)
}

/// Names the calling thread; that it fails matters to nobody.
private func nameThread(_ name: String) {
  let descriptor = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
  guard descriptor >= 0 else { return }
  _ = write(descriptor, name, name.utf8.count)
  close(descriptor)
}

private final class ThreadBody: Sendable {
  let name: String
  let run: @Sendable () -> Void

  init(name: String, run: @escaping @Sendable () -> Void) {
    self.name = name
    self.run = run
  }
}
