import Glibc
import LabAPI
import Primitives
import RPC

/// The life of a unit's processes: start, ready, watched, ended, restarted.
extension LabSupervisor {
  // MARK: Start

  /// Starts the process of a unit that has none.
  func launch(_ unit: Unit) {
    loop.cancel(unit.restartTimer)
    unit.restartTimer = nil
    if isEnding || unit.process != nil { return }
    if isShot(unit.name.module) {
      unit.result = .condition
      change(unit, .inactive)
      answerStarts(unit, .failure(conditionFailed(unit)))
      watchSockets(of: unit)
      return
    }
    let name = unit.name
    unit.cause = nil
    unit.end = nil
    unit.status = nil
    do throws(LabError) {
      let process = try startProcess(unit)
      unit.process = process
      loop.watch(process.descriptor) { [weak self] in self?.assumeIsolated { $0.mainEnded(name) } }
    } catch {
      logger.error("A unit could not be started.", metadata: ["unit": "\(unit.name)", "error": "\(error)"])
      unit.result = .exitCode
      change(unit, .failed)
      answerStarts(unit, .failure(failed(unit, "could not be started: \(error)")))
      return
    }
    recordProcesses()
    if unit.name.isDaemon {
      unit.state = .activating
      announce(unit)
      unit.startTimer = loop.after(configuration.timing.start) { [weak self] in
        self?.assumeIsolated { $0.startTimedOut(name) }
      }
    } else {
      unit.result = .success
      change(unit, .active)
      answerStarts(unit, .success(unit.shown))
    }
  }

  private func startProcess(_ unit: Unit) throws(LabError) -> UnitProcess {
    let name = unit.name.description
    let output = try openLog(paths.log(of: name))
    defer { close(output) }
    var environment = LabEnvironment.inherited
    environment["FTVS_CONFIGURATION"] = paths.configuration
    var descriptors: [Int32] = []
    if unit.name.isDaemon {
      environment["NOTIFY_SOCKET"] = paths.notify
      environment["WATCHDOG_USEC"] = "\(configuration.timing.watchdog.nanoseconds / 1000)"
      descriptors = unit.name.sockets.compactMap { listeners[$0] }
      if !descriptors.isEmpty {
        environment["LISTEN_FDS"] = "\(descriptors.count)"
        environment["LISTEN_FDNAMES"] = unit.name.sockets.joined(separator: ":")
      }
    }
    var command = ["\(configuration.binaries)/\(unit.name.program)"]
    if case .guest(let module, let slot) = unit.name {
      command.append("\(paths.host.guest(slot: slot))/\(module.rawValue).args")
    } else {
      command += ["--module", unit.name.module.rawValue]
    }
    return try UnitProcess.start(
      command, environment: environment, descriptors: descriptors, output: output,
      invocation: GenerationID.random().rawValue)
  }

  /// Output beyond this is moved aside when the unit starts, so that a unit that dies again and again does not fill
  /// the disk.
  private static let longestLog: off_t = 16 << 20

  private func openLog(_ path: String) throws(LabError) -> Int32 {
    var facts = stat()
    if stat(path, &facts) == 0, facts.st_size > Self.longestLog { rename(path, path + ".1") }
    let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw .system("Cannot write \(path)") }
    return descriptor
  }

  private func startTimedOut(_ name: UnitName) {
    guard let unit = units[name], unit.state == .activating, let process = unit.process else { return }
    logger.warning("A unit did not become ready in time and is killed.", metadata: ["unit": "\(name)"])
    unit.cause = .timeout
    process.signal(SIGKILL)
  }

  // MARK: Reports

  func receiveNotifications() {
    for notification in NotifySocket.receive(notifySocket) {
      guard let unit = unit(of: notification.sender) else { continue }
      apply(notification, to: unit)
    }
  }

  private func unit(of sender: Int32) -> Unit? {
    if let unit = units.values.first(where: { $0.process?.processID == sender }) { return unit }
    guard let session = ProcessTable.entry(sender)?.session else { return nil }
    return units.values.first { $0.process?.processID == session }
  }

  private func apply(_ notification: Notification, to unit: Unit) {
    if let status = notification.status, status != unit.status {
      unit.status = status
      announce(unit)
    }
    if notification.isAlive || notification.isReady { unit.lastSignOfLife = .now }
    if notification.isReady && unit.state == .activating && unit.name.isDaemon {
      loop.cancel(unit.startTimer)
      unit.startTimer = nil
      unit.result = .success
      change(unit, .active)
      watchHealth(unit, for: configuration.timing.watchdog)
      answerStarts(unit, .success(unit.shown))
    }
    if notification.isStopping && unit.state == .active { change(unit, .deactivating) }
    if notification.isHung { killHung(unit) }
  }

  private func watchHealth(_ unit: Unit, for time: Duration) {
    let name = unit.name
    unit.watchdogTimer = loop.after(time) { [weak self] in self?.assumeIsolated { $0.checkHealth(name) } }
  }

  private func checkHealth(_ name: UnitName) {
    // A lab that was itself delayed must not take what waits in the socket for silence.
    receiveNotifications()
    guard let unit = units[name], unit.process != nil, unit.end == nil else { return }
    let silence = ContinuousClock.now - unit.lastSignOfLife
    if silence < configuration.timing.watchdog {
      watchHealth(unit, for: configuration.timing.watchdog - silence)
    } else {
      killHung(unit)
    }
  }

  private func killHung(_ unit: Unit) {
    logger.warning("A unit gives no sign of life and is killed.", metadata: ["unit": "\(unit.name)"])
    unit.cause = .watchdog
    unit.process?.signal(SIGKILL)
  }

  // MARK: End

  private func mainEnded(_ name: UnitName) {
    guard let unit = units[name], let process = unit.process, unit.end == nil, let end = process.reap() else { return }
    loop.unwatch(process.descriptor)
    close(process.descriptor)
    unit.end = end
    loop.cancel(unit.startTimer)
    loop.cancel(unit.watchdogTimer)
    unit.startTimer = nil
    unit.watchdogTimer = nil
    awaitEmpty(name, pause: configuration.timing.emptyCheck)
  }

  /// Waits until no process of the unit is left, ending those that outlive the main one.
  private func awaitEmpty(_ name: UnitName, pause: Duration) {
    guard let unit = units[name], let process = unit.process, let end = unit.end else { return }
    let left = process.members()
    if left.isEmpty { return finish(unit, end) }
    for entry in left { Glibc.kill(entry.processID, SIGKILL) }
    loop.after(pause) { [weak self] in
      self?.assumeIsolated { $0.awaitEmpty(name, pause: min(pause * 2, .milliseconds(100))) }
    }
  }

  /// Lets go of ended processes that had left their unit's session and came to us.
  private func reapStrays() {
    let own = getpid()
    let main = Set(units.values.compactMap { $0.process?.processID })
    for entry in ProcessTable.all()
    where entry.parent == own && entry.state == UInt8(ascii: "Z") && !main.contains(entry.processID) {
      waitpid(entry.processID, nil, WNOHANG)
    }
  }

  private func finish(_ unit: Unit, _ end: ProcessEnd) {
    unit.process = nil
    unit.end = nil
    loop.cancel(unit.stopTimer)
    unit.stopTimer = nil
    unit.result = result(of: unit, end)
    unit.status = nil
    recordProcesses()
    if configuration.ownsProcess { reapStrays() }
    if unit.isStopped {
      finishStop(unit)
    } else if unit.name.isDaemon {
      logger.info("A unit ended.", metadata: ["unit": "\(unit.name)", "result": "\(unit.result.rawValue)"])
      unit.state = .activating
      announce(unit)
      answerStarts(unit, .failure(failed(unit, "ended before it was ready (\(unit.result.rawValue))")))
      let name = unit.name
      unit.restartTimer = loop.after(configuration.timing.restart) { [weak self] in
        self?.assumeIsolated { $0.restart(name) }
      }
    } else {
      unit.isStopped = true
      unit.state = unit.result == .success ? .inactive : .failed
      announce(unit)
      answerStarts(unit, .failure(failed(unit, "ended (\(unit.result.rawValue))")))
    }
  }

  private func restart(_ name: UnitName) {
    if let unit = units[name] { launch(unit) }
  }

  private func finishStop(_ unit: Unit) {
    unit.state = .inactive
    announce(unit)
    let waiters = unit.waitsForStop
    unit.waitsForStop = []
    for waiter in waiters { waiter.resume(returning: unit.shown) }
    if unit.startsAfterStop {
      unit.startsAfterStop = false
      unit.isStopped = false
      launch(unit)
    } else {
      answerStarts(unit, .failure(failed(unit, "was stopped")))
      watchSockets(of: unit)
    }
  }

  private func result(of unit: Unit, _ end: ProcessEnd) -> UnitResult {
    if let cause = unit.cause { return cause }
    switch end {
    case .exited(0): return unit.name.isDaemon && unit.state == .activating && !unit.isStopped ? .protocol : .success
    case .exited(143) where unit.isStopped, .signalled(SIGTERM) where unit.isStopped: return .success
    case .exited: return .exitCode
    case .signalled: return .signal
    }
  }

  // MARK: Activation by connections that wait

  /// Starts a service when somebody connects while none of its instances runs, as its socket's activator does under
  /// systemd.
  private func watchSockets(of unit: Unit) {
    guard case .service(let service, _) = unit.name, !isEnding, !activating.contains(service) else { return }
    let instances = ModuleID.all(of: .cpu).compactMap { units[.service(service, $0)] }
    guard instances.allSatisfy(\.isDown) else { return }
    activating.insert(service)
    for name in unit.name.sockets {
      guard let descriptor = listeners[name] else { continue }
      loop.watch(descriptor) { [weak self] in self?.assumeIsolated { $0.activate(service) } }
    }
  }

  private func activate(_ service: ServiceName) {
    let instances = ModuleID.all(of: .cpu).compactMap { units[.service(service, $0)] }
    for name in instances.first?.name.sockets ?? [] {
      if let descriptor = listeners[name] { loop.unwatch(descriptor) }
    }
    for unit in instances where unit.isDown && !isShot(unit.name.module) {
      unit.isStopped = false
      launch(unit)
    }
    loop.after(configuration.timing.activation) { [weak self] in self?.assumeIsolated { $0.endActivation(service) } }
  }

  private func endActivation(_ service: ServiceName) {
    activating.remove(service)
    if let unit = units[.service(service, .cpu0)] { watchSockets(of: unit) }
  }

  // MARK: Records

  /// Writes which processes are ours, for whoever cleans up when the lab is killed.
  private func recordProcesses() {
    let lines = units.values.compactMap { unit in
      unit.process.map { "\($0.processID) \($0.startTicks) \(unit.name)\n" }
    }
    LeftBehind.record(lines.joined(), at: paths.processes)
  }
}
