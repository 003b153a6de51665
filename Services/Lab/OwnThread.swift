import Glibc

/// A thread for what blocks: it may not run on the threads that tasks share.
public enum OwnThread {
  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  /// Runs `body` on a new thread. Where the kernel has no thread left, it runs here and now.
  public static func start(_ body: @escaping @Sendable () -> Void) {
    let argument = Unmanaged.passRetained(Body(body))
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, argument.toOpaque())
    if code == 0 {
      pthread_detach(thread)
    } else {
      argument.takeRetainedValue().run()
    }
  }
}
