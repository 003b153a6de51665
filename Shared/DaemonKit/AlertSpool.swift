import AlertAPI
import Glibc
import Primitives
import RPC

/// Alerts on disk until the alert bus has them: one file an alert, in a directory that both instances of a service share.
///
///     SPOOL/TTTTTTTTTTTTTTT-NNNNNN-KEY.json    the alert as alert.append takes it
///     SPOOL/.KEY.new                           one being written
///
/// The name begins with the time in milliseconds and a number, so that names sort in the order of publishing. It belongs to one
/// thread. What cannot be written is kept in memory all the same, and sent from there.
final class AlertSpool {
  private struct Entry {
    var name: String
    var alert: NewAlert
    var size: Int
    /// Tells of alerts that were dropped; is never dropped itself.
    var isLoss: Bool
  }

  private let directory: String
  private let service: ServiceName
  private let limits: (count: Int, bytes: Int)
  private let now: () -> Int64
  private let report: (String) -> Void
  /// In the order of their names.
  private var entries: [Entry] = []
  private var bytes = 0
  private var nextNumber = 0
  /// How many were dropped in the episode that the last loss alert tells of, by severity.
  private var dropped: [Severity: Int] = [:]

  /// - Parameters:
  ///   - now: Milliseconds since 1970.
  ///   - report: Gets a sentence about what went wrong with the disk.
  init(
    directory: String, service: ServiceName, limits: (count: Int, bytes: Int), now: @escaping () -> Int64,
    report: @escaping (String) -> Void
  ) {
    self.directory = directory
    self.service = service
    self.limits = limits
    self.now = now
    self.report = report
  }

  /// Number of alerts that wait.
  var count: Int { entries.count }

  // MARK: In

  /// Takes up what the directory holds: what an earlier process, or the other instance, left.
  func load() {
    SmallFile.makeDirectory(directory, mode: 0o700)
    guard let listing = opendir(directory) else { return report(problem("read")) }
    defer { closedir(listing) }
    let known = Set(entries.map(\.name))
    while let item = readdir(listing) {
      let name = withUnsafeBytes(of: item.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name.hasSuffix(".new") {
        unlink("\(directory)/\(name)")
      } else if name.hasSuffix(".json"), !known.contains(name) {
        load(name)
      }
    }
    entries.sort { $0.name < $1.name }
    makeRoom()
  }

  private func load(_ name: String) {
    let path = "\(directory)/\(name)"
    guard let contents = SmallFile.read(path, limit: DaemonLimits.alertBytes * 2) else {
      return report(problem("read"))
    }
    guard let json = try? JSON.parse(contents),
      let alert = try? WireCoder.decode(NewAlert.self, from: json, unknownMembers: .ignore)
    else {
      report("The spooled alert \(path) is damaged and was removed.")
      unlink(path)
      return
    }
    entries.append(Entry(name: name, alert: alert, size: contents.count, isLoss: alert.kind == Self.lossKind))
    bytes += contents.count
  }

  /// Keeps an alert, durably where the disk lets it.
  func append(_ alert: NewAlert) {
    insert(alert, isLoss: false)
    makeRoom()
  }

  private func insert(_ alert: NewAlert, isLoss: Bool) {
    nextNumber += 1
    let name = "\(padded(alert.timeMilliseconds, 15))-\(padded(Int64(nextNumber), 6))-\(alert.key).json"
    guard let json = try? WireCoder.encode(alert) else { return }
    let contents = JSON.bytes(json)
    write(contents, name, alert.key)
    let entry = Entry(name: name, alert: alert, size: contents.count, isLoss: isLoss)
    entries.insert(entry, at: entries.lastIndex { $0.name < name }.map { $0 + 1 } ?? 0)
    bytes += contents.count
  }

  // MARK: Out

  /// The oldest alerts, in order.
  func oldest(_ count: Int) -> [NewAlert] {
    let batch = entries.prefix(count)
    // A loss alert that is under way tells no more: what is dropped from now on is told by another.
    if batch.contains(where: \.isLoss) { dropped = [:] }
    return batch.map(\.alert)
  }

  /// Lets go of alerts that the bus has.
  func remove(_ keys: Set<RequestKey>) {
    for entry in entries where keys.contains(entry.alert.key) {
      unlink("\(directory)/\(entry.name)")
      bytes -= entry.size
    }
    entries.removeAll { keys.contains($0.alert.key) }
  }

  // MARK: Overflow

  /// Drops alerts while there are too many: the oldest of the least severity first.
  private func makeRoom() {
    var isDropping = false
    while entries.count > limits.count || bytes > limits.bytes, let index = leastNeeded() {
      let entry = entries.remove(at: index)
      bytes -= entry.size
      unlink("\(directory)/\(entry.name)")
      dropped[entry.alert.severity, default: 0] += 1
      isDropping = true
    }
    if isDropping { tellLoss() }
  }

  private func leastNeeded() -> Int? {
    for severity in Severity.allCases {
      if let index = entries.firstIndex(where: { $0.alert.severity == severity && !$0.isLoss }) { return index }
    }
    return nil
  }

  /// One alert tells how many were dropped; it takes the place of the one before while that is not under way.
  private func tellLoss() {
    let total = dropped.values.reduce(0, +)
    if total > 1, let index = entries.lastIndex(where: \.isLoss) {
      let old = entries.remove(at: index)
      bytes -= old.size
      unlink("\(directory)/\(old.name)")
    }
    let counts = dropped.map { ($0.key.rawValue, JSONValue.integer(Int64($0.value))) }
    let time = now()
    let alert = NewAlert(
      key: .random(millisecondsSinceEpoch: time), timeMilliseconds: time, severity: .warning, source: service,
      kind: Self.lossKind, subject: service.rawValue,
      message: "The alert bus was away for long, and \(total) alerts of \(service.rawValue) were dropped. Look at its "
        + "log for what happened meanwhile.",
      data: ["dropped": .integer(Int64(total)), "bySeverity": .object(JSONObject(dictionary: counts))])
    insert(alert, isLoss: true)
  }

  static let lossKind = "alertsDropped"

  // MARK: Disk

  private func write(_ contents: [UInt8], _ name: String, _ key: RequestKey) {
    let new = "\(directory)/.\(key).new"
    var descriptor = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    if descriptor < 0 && errno == ENOENT {
      SmallFile.makeDirectory(directory, mode: 0o700)
      descriptor = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    }
    guard descriptor >= 0 else { return report(problem("written")) }
    let isWritten = Glibc.write(descriptor, contents, contents.count) == contents.count && fsync(descriptor) == 0
    close(descriptor)
    guard isWritten, rename(new, "\(directory)/\(name)") == 0 else {
      report(problem("written"))
      unlink(new)
      return
    }
    let folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard folder >= 0 else { return }
    fsync(folder)
    close(folder)
  }

  private func problem(_ verb: String) -> String {
    "The alert spool \(directory) cannot be \(verb): \(String(cString: strerror(errno))). Alerts are kept in memory."
  }

  private func padded(_ number: Int64, _ width: Int) -> String {
    let digits = String(max(0, number))
    return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
  }
}

extension JSONObject {
  /// An object of names that are unique.
  init(dictionary pairs: [(String, JSONValue)]) {
    self.init(uniqueMembers: pairs.sorted { $0.0 < $1.0 }.map { Member($0.0, $0.1) })
  }
}
