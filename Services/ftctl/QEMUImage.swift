import FTVSClient
import Primitives
import RPC

/// What qemu-img is told to open: every part is named, so that it never guesses a format or a protocol.
struct QEMUSource: Sendable, Equatable {
  /// In the syntax of `--image-opts`.
  var options: String

  /// A file or a disk of this machine.
  static func file(_ path: String, _ format: DiskFormat, isDisk: Bool = false) -> QEMUSource {
    let parts = [
      "driver=\(format.driver)", "file.driver=\(isDisk ? "host_device" : "file")", "file.filename=\(quoted(path))",
    ]
    return QEMUSource(options: parts.joined(separator: ","))
  }

  /// An export of the storage service. A failover of it is a pause.
  static func export(_ export: CallerExport, socket: String) -> QEMUSource {
    let parts = [
      "driver=raw", "file.driver=nbd", "file.server.type=unix", "file.server.path=\(quoted(socket))",
      "file.export=\(quoted(export.exportName))", "file.reconnect-delay=60",
    ]
    return QEMUSource(options: parts.joined(separator: ","))
  }

  private static func quoted(_ text: String) -> String {
    String(text.flatMap { $0 == "," ? [",", ","] : [$0] })
  }
}

/// Runs qemu-img: the storage service itself neither runs programs nor reads foreign formats.
struct QEMUImage: Sendable {
  let runner = ProgramRunner()
  let progress = Progress()

  /// What `qemu-img info` says of a file.
  struct Info: Sendable {
    var virtualBytes: Int64
    /// Whether the content is in other files, too.
    var needsOthers: Bool
    var isEncrypted: Bool
  }

  func info(_ source: QEMUSource) async throws(Complaint) -> Info {
    let end = try await run(["info", "--output=json", "--image-opts", source.options])
    guard end.code == 0, let facts = try? JSON.parse(end.output), let size = facts["virtual-size"]?.integer else {
      throw Complaint("qemu-img cannot read it: \(end.reason).", .noInput)
    }
    let data = facts["format-specific"]?["data"]
    return Info(
      virtualBytes: size,
      needsOthers: facts["backing-filename"] != nil || data?["data-file"] != nil
        || (data?["extents"]?.array ?? []).count > 1,
      isEncrypted: facts["encrypted"] == .bool(true))
  }

  /// Throws when a file's structure is damaged; clusters that nothing uses are no damage.
  func check(_ source: QEMUSource) async throws(Complaint) {
    let end = try await run(["check", "-q", "--image-opts", source.options])
    guard [0, 3, 63].contains(end.code) else {
      let found = (end.output + end.errors).split(whereSeparator: \.isNewline).first.map { ": \($0)" } ?? ""
      throw Complaint("It is damaged, or was not copied whole\(found).", .noInput)
    }
  }

  /// Bytes of a source that are more than zeros.
  func dataBytes(_ source: QEMUSource) async throws(Complaint) -> Int64 {
    let end = try await run(["map", "--output=json", "--image-opts", source.options])
    guard end.code == 0, let extents = (try? JSON.parse(end.output))?.array else {
      throw Complaint("qemu-img cannot tell what holds data: \(end.reason).")
    }
    return extents.reduce(0) { sum, extent in
      guard extent["data"] == .bool(true), extent["zero"] != .bool(true) else { return sum }
      return sum.addingReportingOverflow(max(0, extent["length"]?.integer ?? 0)).partialValue
    }
  }

  /// Copies a source into an export that reads as zeros.
  func fill(_ target: QEMUSource, from source: QEMUSource, _ title: String, bytes: Int64) async throws(Complaint) {
    // The cache of the target's default mode would not be flushed at the end.
    let words = [
      "convert", "-n", "--target-is-zero", "-t", "writeback", "-p", "--image-opts", "--target-image-opts",
      source.options, target.options,
    ]
    try await runLong(words, title, bytes)
  }

  /// Copies a source into a new file.
  func write(
    _ path: String, _ format: DiskFormat, from source: QEMUSource, _ title: String, bytes: Int64
  ) async throws(Complaint) {
    var words = ["convert", "-t", "writeback", "-p", "--image-opts", "-O", format.driver]
    if let options = format.creationOptions { words += ["-o", options] }
    try await runLong(words + [source.options, path], title, bytes)
  }

  /// Throws when two sources differ.
  func compare(_ one: QEMUSource, _ other: QEMUSource, _ title: String, bytes: Int64) async throws(Complaint) {
    try await runLong(["compare", "-p", "--image-opts", one.options, other.options], title, bytes)
  }

  // MARK: Running

  private func run(
    _ words: [String], output: @escaping @Sendable (String) -> Void = { _ in }
  ) async throws(Complaint) -> ProgramRunner.End {
    let end = try await runner.run(["qemu-img"] + words, output: output)
    guard end.code != 127 else {
      throw Complaint("qemu-img is not installed: apt-get install qemu-utils.", .system)
    }
    return end
  }

  private func runLong(_ words: [String], _ title: String, _ bytes: Int64) async throws(Complaint) {
    defer { progress.clear() }
    let end = try await run(words) { [progress] text in
      guard let part = Self.part(text) else { return }
      progress.show(title, done: Int64(part * Double(bytes)), of: bytes)
    }
    guard end.code != 0 else { return }
    if words.first == "compare", end.code == 1 {
      throw Complaint("What was written reads differently from its source, which may have changed meanwhile.")
    }
    throw Complaint("\(title) failed: \(end.reason).")
  }

  /// `    (12.34/100%)`: what of the whole is done.
  static func part(_ text: String) -> Double? {
    guard let last = text.split(separator: "(").last(where: { $0.contains("/100%") }),
      let percent = last.split(separator: "/").first.flatMap({ Double($0) })
    else { return nil }
    return min(1, max(0, percent / 100))
  }
}
