import Glibc

/// The processes of a lab that was killed.
///
/// The kernel ends them with the lab; this finds those that got away (a process may clear its death signal).
enum LeftBehind {
  /// Notes the running processes: a line each with number, start in ticks since boot, and unit.
  static func record(_ text: String, at path: String) {
    let new = path + ".new"
    let descriptor = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { return }
    let bytes = Array(text.utf8)
    let written = write(descriptor, bytes, bytes.count)
    close(descriptor)
    if written == bytes.count { rename(new, path) }
  }

  /// Kills what is left of those that were noted, and waits until it is gone. Only a process with the number and the
  /// start that were noted is ours, and with it its session: any other is left alone.
  static func end(recordedAt path: String) {
    guard let text = TextFile.read(path) else { return }
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count == 3, let processID = Int32(fields[0]), processID > 1, let start = UInt64(fields[1]),
        let entry = ProcessTable.entry(processID), entry.startTicks == start
      else { continue }
      let session = ProcessTable.all().filter { $0.session == processID || $0.processID == processID }
      for member in session { kill(member.processID, SIGKILL) }
      awaitEnd(of: session)
    }
    unlink(path)
  }

  private static func awaitEnd(of processes: [ProcessEntry]) {
    for process in processes {
      var rounds = 0
      while let now = ProcessTable.entry(process.processID), now.startTicks == process.startTicks,
        now.state != UInt8(ascii: "Z"), rounds < 1000
      {
        usleep(2000)
        rounds += 1
      }
    }
  }
}

/// Small text files.
enum TextFile {
  /// The contents, or nil when it cannot be read.
  static func read(_ path: String, atMost limit: Int = 1 << 20) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 8192)
    while bytes.count < limit {
      let count = Glibc.read(descriptor, &part, part.count)
      if count <= 0 { break }
      bytes.append(contentsOf: part.prefix(count))
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Writes a file as a whole: a reader sees the old or the new one.
  static func write(_ text: String, to path: String) throws(LabError) {
    let new = path + ".new"
    let descriptor = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw .system("Cannot write \(path)") }
    let bytes = Array(text.utf8)
    let written = Glibc.write(descriptor, bytes, bytes.count)
    let code = errno
    close(descriptor)
    guard written == bytes.count else { throw .system("Cannot write \(path)", code) }
    guard rename(new, path) == 0 else { throw .system("Cannot write \(path)") }
  }
}
