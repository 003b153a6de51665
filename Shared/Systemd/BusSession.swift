import CSystemd
import Glibc

/// What goes on with systemd over one connection: jobs that are waited for, followers of changes. Belongs to the bus thread.
final class BusSession {
  private struct Follower {
    let prefix: String
    let continuation: AsyncStream<SystemdUnit>.Continuation
  }

  let connection: BusConnection
  private typealias JobDone = @Sendable (Result<SystemdClient.JobEnd, BusError>) -> Void

  private var jobs: [String: (unit: String, done: JobDone)] = [:]
  /// Jobs that ended while the answers that name them are still under way.
  private var endedJobs: [String: String] = [:]
  private var requestsUnderWay = 0
  /// What was told of units while a job of theirs is waited for. systemd forgets a unit whose condition failed at once: what it
  /// says of it just before the job's end is all there is to know.
  private var toldDuringJobs: [String: SystemdUnit] = [:]
  private var jobsOfUnits: [String: Int] = [:]
  private var followers: [Follower] = []
  /// What was last told of each unit that changed.
  private var units: [String: SystemdUnit] = [:]

  private static let destination = "org.freedesktop.systemd1"
  private static let managerPath = "/org/freedesktop/systemd1"
  private static let managerInterface = "org.freedesktop.systemd1.Manager"
  private static let unitInterface = "org.freedesktop.systemd1.Unit"
  private static let serviceInterface = "org.freedesktop.systemd1.Service"
  private static let properties = "org.freedesktop.DBus.Properties"
  private static let unitPrefix = "/org/freedesktop/systemd1/unit"

  init() throws(BusError) {
    connection = try BusConnection()
    let manager = "type='signal',sender='\(Self.destination)',interface='\(Self.managerInterface)'"
    try connection.match("\(manager),member='JobRemoved'") { [weak self] in self?.jobRemoved($0) }
    try matchUnits()
    // Without a subscription systemd sends signals of jobs to their owners only, and none of units.
    self.manager("Subscribe", []) { _ in }
  }

  /// Ends what waits, with a reason.
  func close(_ error: BusError) {
    connection.close(error)
    let waiting = jobs.values
    jobs = [:]
    for job in waiting { job.done(.failure(error)) }
    for follower in followers { follower.continuation.finish() }
    followers = []
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
  func job(
    _ member: String, _ unit: String, _ done: @escaping @Sendable (Result<SystemdClient.JobEnd, BusError>) -> Void
  ) {
    requestsUnderWay += 1
    jobsOfUnits[unit, default: 0] += 1
    if jobsOfUnits[unit] == 1 { toldDuringJobs[unit] = nil }
    manager(member, [.string(unit), .string("replace")]) { [weak self] reply in
      guard let self else { return }
      requestsUnderWay -= 1
      defer { if requestsUnderWay == 0 { endedJobs = [:] } }
      switch reply {
      case .failure(let error):
        _ = told(of: unit)
        done(.failure(error))
      case .success(let message):
        guard let path = message.readValue()?.string else {
          _ = told(of: unit)
          return done(.failure(BusError(name: "org.freedesktop.DBus.Error.InvalidArgs", message: "No job was named")))
        }
        if let result = endedJobs.removeValue(forKey: path) {
          done(.success(end(of: unit, result)))
        } else {
          jobs[path] = (unit, done)
        }
      }
    }
  }

  private func end(of unit: String, _ result: String) -> SystemdClient.JobEnd {
    let told = told(of: unit)
    return SystemdClient.JobEnd(result: result, conditionFailed: told.map { !$0.conditionHeld } ?? false)
  }

  /// What was told of a unit, one of whose jobs is waited for no longer.
  private func told(of unit: String) -> SystemdUnit? {
    let told = toldDuringJobs[unit]
    jobsOfUnits[unit, default: 1] -= 1
    if jobsOfUnits[unit] == 0 {
      jobsOfUnits[unit] = nil
      toldDuringJobs[unit] = nil
    }
    return told
  }

  private func jobRemoved(_ message: BusMessage) {
    _ = message.readValue()
    guard let path = message.readValue()?.string, message.readValue() != nil,
      let result = message.readValue()?.string
    else { return }
    if let job = jobs.removeValue(forKey: path) {
      job.done(.success(end(of: job.unit, result)))
    } else if requestsUnderWay > 0 {
      endedJobs[path] = result
    }
  }

  // MARK: Units

  /// Reads a unit's properties. One that systemd does not hold is inactive: it is asked for by name first, because reading the
  /// properties of such a unit would make systemd load its file and drop it again for each.
  func fetch(_ name: String, _ done: @escaping (Result<SystemdUnit, BusError>) -> Void) {
    manager("GetUnit", [.string(name)]) { [weak self] reply in
      switch reply {
      case .success: self?.fetchLoaded(name, done)
      case .failure(let error) where error.name == Self.noSuchUnit:
        done(.success(SystemdUnit(name: name)))
      case .failure(let error): done(.failure(error))
      }
    }
  }

  private static let noSuchUnit = "org.freedesktop.systemd1.NoSuchUnit"

  /// One call each, all under way at once: together they cost systemd a fraction of what GetAll does.
  private func fetchLoaded(_ name: String, _ done: @escaping (Result<SystemdUnit, BusError>) -> Void) {
    guard let path = Self.path(of: name) else {
      return done(.failure(BusError(name: Self.noSuchUnit, message: "\(name) is no unit's name")))
    }
    var wanted = ["LoadState", "ActiveState", "SubState", "ConditionResult", "ConditionTimestampMonotonic"].map {
      (Self.unitInterface, $0)
    }
    if name.hasSuffix(".service") {
      wanted += ["Result", "MainPID", "ControlGroup"].map { (Self.serviceInterface, $0) }
    } else if name.hasSuffix(".slice") {
      wanted.append(("org.freedesktop.systemd1.Slice", "ControlGroup"))
    }
    let gathered = Gathered(SystemdUnit(name: name), missing: wanted.count)
    for (interface, property) in wanted {
      connection.call(
        "Get", of: Self.properties, at: path, destination: Self.destination, [.string(interface), .string(property)]
      ) { reply in
        switch reply {
        case .success(let message):
          if let value = message.readVariant() { gathered.unit.merge([property: value]) }
        case .failure(let error): gathered.error = gathered.error ?? error
        }
        gathered.missing -= 1
        if gathered.missing == 0 { done(gathered.error.map { .failure($0) } ?? .success(gathered.unit)) }
      }
    }
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

  // MARK: Changes

  /// Sends changes of units to a stream.
  func follow(
    _ prefix: String, _ continuation: AsyncStream<SystemdUnit>.Continuation,
    _ done: @escaping @Sendable (Result<Void, BusError>) -> Void
  ) {
    followers.append(Follower(prefix: prefix, continuation: continuation))
    // Its answer comes after the matches are in force, for the bus handles them in order.
    connection.call(
      "Ping", of: "org.freedesktop.DBus.Peer", at: Self.managerPath, destination: Self.destination, []
    ) { done($0.map { _ in }) }
  }

  private func matchUnits() throws(BusError) {
    let signal = "type='signal',sender='\(Self.destination)'"
    try connection.match(
      "\(signal),interface='\(Self.properties)',member='PropertiesChanged',path_namespace='\(Self.unitPrefix)'"
    ) { [weak self] in self?.propertiesChanged($0) }
    try connection.match("\(signal),interface='\(Self.managerInterface)',member='UnitRemoved'") { [weak self] message in
      guard let self, let name = message.readValue()?.string, isFollowed(name) else { return }
      unitDisappeared(name)
    }
  }

  private func isFollowed(_ name: String) -> Bool { followers.contains { name.hasPrefix($0.prefix) } }

  /// systemd sends the change of the service part (process, result) just before the one of the unit part (state): the latter
  /// completes what followers are told.
  private func propertiesChanged(_ message: BusMessage) {
    guard let name = Self.name(of: message.path), let interface = message.readValue()?.string else { return }
    let hasJob = jobsOfUnits[name] != nil
    guard hasJob || isFollowed(name) else { return }
    var unit = units[name] ?? SystemdUnit(name: name)
    let properties = message.readProperties()
    if hasJob { toldDuringJobs[name, default: SystemdUnit(name: name)].merge(properties) }
    guard isFollowed(name) else { return }
    unit.merge(properties)
    units[name] = unit
    if interface == Self.unitInterface { tell(unit) }
  }

  /// UnitNew is not listened to: it also tells of a unit that somebody only looked at, whose look would cause the next.
  private func unitDisappeared(_ name: String) {
    guard let known = units.removeValue(forKey: name), known.activeState != "inactive" else { return }
    tell(SystemdUnit(name: name))
  }

  private func tell(_ unit: SystemdUnit) {
    followers.removeAll { follower in
      guard unit.name.hasPrefix(follower.prefix) else { return false }
      if case .terminated = follower.continuation.yield(unit) { return true }
      return false
    }
  }

  // MARK: Names

  static func path(of unit: String) -> String? {
    var path: UnsafeMutablePointer<CChar>?
    guard sd_bus_path_encode(unitPrefix, unit, &path) >= 0, let path else { return nil }
    defer { free(path) }
    return String(cString: path)
  }

  static func name(of path: String) -> String? {
    var name: UnsafeMutablePointer<CChar>?
    guard sd_bus_path_decode(path, unitPrefix, &name) > 0, let name else { return nil }
    defer { free(name) }
    return String(cString: name)
  }
}
