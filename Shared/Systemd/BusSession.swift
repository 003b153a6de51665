import CSystemd
import Glibc

/// What goes on with systemd over one connection: calls, and jobs that are waited for. Belongs to the bus thread.
///
/// systemd tells the owner of a job of its end, unasked. It is asked for more only while a unit is being started: whoever
/// subscribes has it describe every change of every unit, which costs the most when a module's units all end at once.
final class BusSession {
  let connection: BusConnection
  typealias JobDone = (Result<SystemdClient.JobEnd, BusError>) -> Void

  private var jobRemoved: BusConnection.Match?
  private var jobs: [String: JobDone] = [:]
  /// Jobs that ended while the answers that name them are still under way.
  private var endedJobs: [String: String] = [:]
  private var requestsUnderWay = 0
  private var starting: [String: Starting] = [:]

  /// A unit while start jobs of it are waited for. systemd forgets a unit whose condition failed at once: what it says of it just
  /// before the job's end is all there is to know.
  private final class Starting {
    var jobs = 0
    var told: SystemdUnit?
    var signals: BusConnection.Match?
  }

  private static let destination = "org.freedesktop.systemd1"
  private static let managerPath = "/org/freedesktop/systemd1"
  private static let managerInterface = "org.freedesktop.systemd1.Manager"
  private static let unitInterface = "org.freedesktop.systemd1.Unit"
  private static let serviceInterface = "org.freedesktop.systemd1.Service"
  private static let sliceInterface = "org.freedesktop.systemd1.Slice"
  private static let properties = "org.freedesktop.DBus.Properties"
  private static let unitPrefix = "/org/freedesktop/systemd1/unit"

  init() throws(BusError) {
    connection = try BusConnection()
    jobRemoved = try connection.match(
      "type='signal',sender='\(Self.destination)',interface='\(Self.managerInterface)',member='JobRemoved'"
    ) { [weak self] in self?.jobRemoved($0) }
  }

  /// Ends what waits, with a reason.
  func close(_ error: BusError) {
    connection.close(error)
    let waiting = jobs.values
    jobs = [:]
    for done in waiting { done(.failure(error)) }
  }

  /// Calls a method of the manager.
  func manager(
    _ member: String, _ arguments: [BusValue], reply: @escaping BusConnection.Reply
  ) {
    connection.call(
      member, of: Self.managerInterface, at: Self.managerPath, destination: Self.destination, arguments, reply: reply)
  }

  // MARK: Jobs

  /// Asks for a job and calls `done` with its result when it has ended.
  func job(_ member: String, _ unit: String, _ done: @escaping JobDone) {
    let isStart = member == "StartUnit"
    if isStart { listen(to: unit) }
    let done: JobDone = { [weak self] result in
      guard isStart, let self else { return done(result) }
      let told = stopListening(to: unit)
      done(
        result.map { end in
          SystemdClient.JobEnd(result: end.result, conditionFailed: told.map { !$0.conditionHeld } ?? false)
        })
    }
    requestsUnderWay += 1
    manager(member, [.string(unit), .string("replace")]) { [weak self] reply in
      guard let self else { return }
      requestsUnderWay -= 1
      defer { if requestsUnderWay == 0 { endedJobs = [:] } }
      switch reply {
      case .failure(let error): done(.failure(error))
      case .success(let message):
        guard let path = message.readValue()?.string else {
          return done(.failure(BusError(name: "org.freedesktop.DBus.Error.InvalidArgs", message: "No job was named")))
        }
        if let result = endedJobs.removeValue(forKey: path) {
          done(.success(SystemdClient.JobEnd(result: result, conditionFailed: false)))
        } else {
          jobs[path] = done
        }
      }
    }
  }

  private func jobRemoved(_ message: BusMessage) {
    _ = message.readValue()
    guard let path = message.readValue()?.string, message.readValue() != nil,
      let result = message.readValue()?.string
    else { return }
    if let done = jobs.removeValue(forKey: path) {
      done(.success(SystemdClient.JobEnd(result: result, conditionFailed: false)))
    } else if requestsUnderWay > 0 {
      endedJobs[path] = result
    }
  }

  /// Has systemd tell of a unit that is about to be started.
  private func listen(to unit: String) {
    if starting.isEmpty { manager("Subscribe", []) { _ in } }
    let start = starting[unit] ?? Starting()
    starting[unit] = start
    start.jobs += 1
    guard start.jobs == 1, let path = Self.path(of: unit) else { return }
    // Without these signals the start is still told from a failure, only a failed condition is not.
    start.signals = try? connection.match(
      "type='signal',sender='\(Self.destination)',interface='\(Self.properties)',member='PropertiesChanged',"
        + "path='\(path)'"
    ) { [weak start] message in
      guard let start, message.readValue() != nil else { return }
      start.told = start.told ?? SystemdUnit(name: unit)
      start.told?.merge(message.readProperties())
    }
  }

  /// What was told of a unit, one of whose start jobs is waited for no longer.
  private func stopListening(to unit: String) -> SystemdUnit? {
    guard let start = starting[unit] else { return nil }
    start.jobs -= 1
    if start.jobs == 0 { starting[unit] = nil }
    if starting.isEmpty { manager("Unsubscribe", []) { _ in } }
    return start.told
  }

  // MARK: Units

  /// Reads a unit's properties; one that systemd does not hold is inactive.
  func fetch(_ name: String, _ done: @escaping (Result<SystemdUnit, BusError>) -> Void) {
    ifLoaded(name, else: SystemdUnit(name: name), done) { [self] path in
      var wanted = ["LoadState", "ActiveState", "SubState", "ConditionResult", "ConditionTimestampMonotonic"].map {
        (Self.unitInterface, $0)
      }
      if name.hasSuffix(".service") { wanted += ["Result", "MainPID"].map { (Self.serviceInterface, $0) } }
      // One call each, all under way at once: together they cost systemd a fraction of what GetAll does.
      let gathered = Gathered(SystemdUnit(name: name), missing: wanted.count)
      for (interface, property) in wanted {
        get(property, of: interface, at: path) { reply in
          switch reply {
          case .success(let value): if let value { gathered.unit.merge([property: value]) }
          case .failure(let error): gathered.error = gathered.error ?? error
          }
          gathered.missing -= 1
          if gathered.missing == 0 { done(gathered.error.map { .failure($0) } ?? .success(gathered.unit)) }
        }
      }
    }
  }

  /// Reads where the processes of a service or slice are.
  func fetchControlGroup(_ name: String, _ done: @escaping (Result<String, BusError>) -> Void) {
    ifLoaded(name, else: "", done) { [self] path in
      get("ControlGroup", of: name.hasSuffix(".slice") ? Self.sliceInterface : Self.serviceInterface, at: path) {
        done($0.map { $0?.string ?? "" })
      }
    }
  }

  /// A unit is asked for by name first: reading the properties of one that systemd does not hold would make it load the file and drop
  /// it again for each.
  private func ifLoaded<R>(
    _ name: String, else absent: R, _ done: @escaping (Result<R, BusError>) -> Void, _ body: @escaping (String) -> Void
  ) {
    guard let path = Self.path(of: name) else {
      return done(.failure(BusError(name: Self.noSuchUnit, message: "\(name) is no unit's name")))
    }
    manager("GetUnit", [.string(name)]) { reply in
      switch reply {
      case .success: body(path)
      case .failure(let error) where error.name == Self.noSuchUnit: done(.success(absent))
      case .failure(let error): done(.failure(error))
      }
    }
  }

  private static let noSuchUnit = "org.freedesktop.systemd1.NoSuchUnit"

  private func get(
    _ property: String, of interface: String, at path: String, _ done: @escaping (Result<BusValue?, BusError>) -> Void
  ) {
    connection.call(
      "Get", of: Self.properties, at: path, destination: Self.destination, [.string(interface), .string(property)]
    ) { done($0.map { $0.readVariant() }) }
  }

  /// What the answers to the calls of one `fetch` have brought so far.
  private final class Gathered {
    var unit: SystemdUnit
    var missing: Int
    var error: BusError?

    init(_ unit: SystemdUnit, missing: Int) {
      self.unit = unit
      self.missing = missing
    }
  }

  // MARK: Names

  static func path(of unit: String) -> String? {
    var path: UnsafeMutablePointer<CChar>?
    guard sd_bus_path_encode(unitPrefix, unit, &path) >= 0, let path else { return nil }
    defer { free(path) }
    return String(cString: path)
  }
}
