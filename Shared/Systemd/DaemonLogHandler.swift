import CSystemd
import Glibc
import Logging
import Synchronization

/// Logs to the journal with structured fields where the journal reads this process's standard error, else to standard error
/// as plain lines.
public struct DaemonLogHandler: LogHandler {
  /// Where a process logs to.
  public enum Destination: Sendable, Equatable {
    case journal
    /// Lines of `LEVEL message name=value…` on a descriptor.
    case lines(Int32)

    /// The journal, if `JOURNAL_STREAM` names the file that standard error is.
    public static func ofThisProcess() -> Destination {
      guard let stream = getenv("JOURNAL_STREAM") else { return .lines(STDERR_FILENO) }
      return isStream(STDERR_FILENO, String(cString: stream)) ? .journal : .lines(STDERR_FILENO)
    }

    /// Whether a descriptor is the file that `DEVICE:INODE` names.
    static func isStream(_ descriptor: Int32, _ name: String) -> Bool {
      var status = stat()
      guard fstat(descriptor, &status) == 0 else { return false }
      return name == "\(status.st_dev):\(status.st_ino)"
    }
  }

  /// The level below which nothing is logged, for all handlers of a process: it can be changed while the process runs.
  public final class Threshold: Sendable {
    private let value: Mutex<Logger.Level>

    public init(_ level: Logger.Level) { value = Mutex(level) }

    public var level: Logger.Level {
      get { value.withLock { $0 } }
      set { value.withLock { $0 = newValue } }
    }
  }

  public var metadata: Logger.Metadata = [:]
  public var metadataProvider: Logger.MetadataProvider?
  private let identifier: String
  private let destination: Destination
  private let threshold: Threshold
  private var ownLevel: Logger.Level?

  /// - Parameters:
  ///   - identifier: The program's name.
  ///   - threshold: Shared by all loggers of the process that do not set a level of their own.
  public init(identifier: String, destination: Destination, threshold: Threshold) {
    self.identifier = identifier
    self.destination = destination
    self.threshold = threshold
  }

  public var logLevel: Logger.Level {
    get { ownLevel ?? threshold.level }
    set { ownLevel = newValue }
  }

  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  public func log(event: LogEvent) {
    var all = metadata
    if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
    if let own = event.metadata { all.merge(own) { $1 } }
    if let error = event.error { all["error"] = "\(error)" }
    switch destination {
    case .journal: Self.send(JournalFields(event, identifier: identifier, metadata: all))
    case .lines(let descriptor): Self.write(Self.line(event, identifier: identifier, metadata: all), to: descriptor)
    }
  }

  static func line(_ event: LogEvent, identifier: String, metadata: Logger.Metadata) -> String {
    let facts = metadata.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
    return "\(identifier)[\(getpid())] \(event.level): \(event.message)\(facts)\n"
  }

  /// In one call, so that lines of two processes do not mix.
  private static func write(_ line: String, to descriptor: Int32) {
    let bytes = Array(line.utf8)
    _ = Glibc.write(descriptor, bytes, bytes.count)
  }

  private static func send(_ entry: JournalFields) {
    let bytes = entry.fields.flatMap { $0 }
    bytes.withUnsafeBytes { buffer in
      guard let base = buffer.baseAddress else { return }
      var offset = 0
      let vectors = entry.fields.map { field in
        defer { offset += field.count }
        return iovec(iov_base: UnsafeMutableRawPointer(mutating: base + offset), iov_len: field.count)
      }
      _ = sd_journal_sendv(vectors, Int32(vectors.count))
    }
  }
}
