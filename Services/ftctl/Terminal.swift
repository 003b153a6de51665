import FoundationEssentials
import Glibc
import Synchronization

/// Colours of a text, which are left out where nobody would see them.
struct Style: Sendable, Equatable {
  var isColoured: Bool
  /// Columns after which a table's last column is cut; nil cuts nothing.
  var width: Int?

  /// For what goes to standard output.
  static var standard: Style { Style(isColoured: Terminal.isColoured(STDOUT_FILENO)) }
  static let plain = Style(isColoured: false)

  enum Colour: String { case red = "31", green = "32", yellow = "33", faint = "2", bold = "1" }

  func paint(_ text: String, _ colour: Colour?) -> String {
    guard isColoured, let colour, !text.isEmpty else { return text }
    return "\u{1B}[\(colour.rawValue)m\(text)\u{1B}[0m"
  }
}

/// What ftctl writes to and reads from.
enum Terminal {
  static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

  /// Colour only on a terminal that has it, and never when NO_COLOR asks for none (no-color.org).
  static func isColoured(_ descriptor: Int32) -> Bool {
    let environment = ProcessInfo.processInfo.environment
    return isColoured(
      isTerminal: isTerminal(descriptor), noColour: environment["NO_COLOR"], terminal: environment["TERM"])
  }

  static func isColoured(isTerminal: Bool, noColour: String?, terminal: String?) -> Bool {
    isTerminal && (noColour ?? "").isEmpty && terminal != "dumb"
  }

  /// Sees to it that the three standard descriptors are taken: a socket that got the number of one that was closed
  /// would be written to. What takes the place of one fails when it is used.
  static func takeStandardDescriptors() {
    for (descriptor, wrongWay) in [(STDIN_FILENO, O_WRONLY), (STDOUT_FILENO, O_RDONLY), (STDERR_FILENO, O_RDONLY)]
    where fcntl(descriptor, F_GETFD) < 0 {
      // The lowest that is free, which is this one.
      _ = open("/dev/null", wrongWay)
    }
  }

  /// Writes a line, or several, to standard output. Ends the program when that cannot take it, with an explanation;
  /// not when its reader has gone, who has seen enough.
  static func say(_ text: String) {
    let error = write(text.hasSuffix("\n") || text.isEmpty ? text : text + "\n", STDOUT_FILENO)
    guard error != 0, error != EPIPE else { return }
    complain("What was done cannot be printed: standard output: \(String(cString: strerror(error))).")
    exit(FtctlExit.system.rawValue)
  }

  /// Writes what is wrong to standard error.
  static func complain(_ text: String) {
    write(Style(isColoured: isColoured(STDERR_FILENO)).paint("ftctl:", .red) + " \(text)\n", STDERR_FILENO)
  }

  /// Writes all of it. Returns the `errno` of what went wrong, which is no concern of most callers; 0 when nothing did.
  @discardableResult
  static func write(_ text: String, _ descriptor: Int32) -> Int32 { write(Array(text.utf8), descriptor) }

  @discardableResult
  static func write(_ bytes: [UInt8], _ descriptor: Int32) -> Int32 {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 {
        if errno == EINTR { continue }
        if errno == EAGAIN {
          var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
          poll(&wait, 1, -1)
          continue
        }
        return errno
      }
      rest = rest.dropFirst(count)
    }
    return 0
  }

  /// Width of the terminal in columns; 80 where it is not known.
  static var width: Int { width(of: STDERR_FILENO) ?? 80 }

  /// Width of a terminal in columns; nil where it is none.
  static func width(of descriptor: Int32) -> Int? {
    var size = winsize()
    return ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : nil
  }
}

/// One line on the terminal that is written over and over; nothing at all where standard error is no terminal.
final class Progress: Sendable {
  private let isShown: Bool
  private let begin = ContinuousClock.now
  private let isDrawn = Mutex(false)

  /// Nothing is shown for what takes less than a second.
  private static let quiet = Duration.seconds(1)

  init(isShown: Bool = Terminal.isTerminal(STDERR_FILENO)) { self.isShown = isShown }

  /// Shows a sentence and how long it takes already.
  func show(_ text: String) {
    let elapsed = ContinuousClock.now - begin
    draw("\(text) (\(Times.duration(elapsed.milliseconds)))", elapsed)
  }

  /// Shows a bar.
  func show(_ text: String, done: Int64, of total: Int64) {
    let elapsed = ContinuousClock.now - begin
    draw(Self.bar(text, done: done, of: total, elapsed: elapsed, width: Terminal.width), elapsed)
  }

  /// Removes the line.
  func clear() {
    let wasDrawn = isDrawn.withLock { drawn in
      defer { drawn = false }
      return drawn
    }
    if wasDrawn { Terminal.write("\r\u{1B}[K", STDERR_FILENO) }
  }

  private func draw(_ line: String, _ elapsed: Duration) {
    guard isShown, elapsed >= Self.quiet else { return }
    isDrawn.withLock { $0 = true }
    Terminal.write("\r\u{1B}[K" + String(line.prefix(max(20, Terminal.width - 1))), STDERR_FILENO)
  }

  /// `Uploading web [#####.....]  45%  230.0 MiB/s  12 s left`
  static func bar(_ text: String, done: Int64, of total: Int64, elapsed: Duration, width: Int) -> String {
    let part = total > 0 ? min(1, max(0, Double(done) / Double(total))) : 1
    let seconds = Double(elapsed.milliseconds) / 1000
    let percent = "\(Int(part * 100))%"
    var facts = String(repeating: " ", count: max(0, 4 - percent.count)) + percent
    if seconds > 0.5, done > 0 {
      facts += "  \(Sizes.text(Int64(Double(done) / seconds)))/s"
      if part < 1 { facts += "  \(Times.duration(Int64(seconds * (1 - part) / part * 1000))) left" }
    }
    let cells = max(10, min(40, width - text.count - facts.count - 6))
    let full = Int(part * Double(cells))
    let bar = String(repeating: "#", count: full) + String(repeating: ".", count: cells - full)
    return "\(text) [\(bar)] \(facts)"
  }
}

extension Duration {
  /// In whole milliseconds.
  var milliseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds.multipliedReportingOverflow(by: 1000).partialValue &+ attoseconds / 1_000_000_000_000_000
  }
}

extension Progress {
  /// Shows a sentence and its duration until cancelled.
  func ticking(_ text: String) -> Task<Void, Never> {
    Task {
      while !Task.isCancelled {
        show(text)
        try? await Task.sleep(for: .milliseconds(250))
      }
    }
  }
}
