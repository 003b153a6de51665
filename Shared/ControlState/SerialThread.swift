import Dispatch
import Glibc
import Synchronization

/// A thread of its own that runs jobs one after the other, in the order in which they were given.
///
/// SQLite and the legs block; two cores have two cooperative threads, so nothing of that runs on them.
final class SerialThread: Sendable {
  typealias Job = @Sendable () -> Void

  private struct Queue {
    var jobs: [Job] = []
    var isEnding = false
  }

  private let queue = Mutex(Queue())
  private let arrivals = DispatchSemaphore(value: 0)

  /// Starts the thread.
  init() {
    let start = Start(thread: self)
    var handle = pthread_t()
    let argument = Unmanaged.passRetained(start).toOpaque()
    let result = pthread_create(&handle, nil, runSerialThread, argument)
    guard result == 0 else {
      // Without a thread no job is taken; every caller is told so.
      Unmanaged<Start>.fromOpaque(argument).release()
      queue.withLock { $0.isEnding = true }
      return
    }
    pthread_detach(handle)
  }

  /// Gives a job without waiting for it. False when the thread has ended.
  @discardableResult
  func enqueue(_ job: @escaping Job) -> Bool {
    let isTaken = queue.withLock { queue in
      guard !queue.isEnding else { return false }
      queue.jobs.append(job)
      return true
    }
    if isTaken { arrivals.signal() }
    return isTaken
  }

  /// Runs a job and returns what it gave, or nil when the thread has ended.
  func run<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T? {
    await withCheckedContinuation { continuation in
      if !enqueue({ continuation.resume(returning: body()) }) { continuation.resume(returning: nil) }
    }
  }

  /// Ends the thread after the jobs that it was given.
  func end() {
    queue.withLock { $0.isEnding = true }
    arrivals.signal()
  }

  fileprivate func loop() {
    while true {
      arrivals.wait()
      let (jobs, isEnding) = queue.withLock { queue in
        defer { queue.jobs = [] }
        return (queue.jobs, queue.isEnding)
      }
      for job in jobs { job() }
      if isEnding { return }
    }
  }

  fileprivate final class Start: Sendable {
    let thread: SerialThread
    init(thread: SerialThread) { self.thread = thread }
  }
}

private func runSerialThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let argument else { return nil }
  let start = Unmanaged<SerialThread.Start>.fromOpaque(argument).takeRetainedValue()
  start.thread.loop()
  return nil
}
