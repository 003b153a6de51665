import DomainXML
import Primitives
import VMAPI

/// A virtual machine as the active monitor knows it: its record, and what only this process knows.
struct Machine {
  var record: MachineRecord
  /// What the definition says, or why it can no longer be read.
  var domain: Result<Domain, DomainError>
  /// Version of the definition.
  var version = 0
  var instance: (any VMInstance)?
  /// Follows the instance's events; ends with the connection.
  var watcher: Task<Void, Never>?
  var engine: String?
  var processID: Int?
  /// Why its engine stopped it, while that is so.
  var paused: String?
  /// It shut down by itself since its start.
  var hasShutDown = false
  /// How it was ended from outside since its start.
  var endedBy: String?
  /// Recoveries in a row that did not lead to a healthy guest.
  var attempts = 0
  var upSince: ContinuousClock.Instant?
  /// Somebody wants it ended: nobody starts it again meanwhile.
  var isUnwanted = false
  /// Storage was not asked yet, or did not answer, to end the sessions of its disks.
  var holdsDisks = false

  /// While its file systems are frozen: when they are thawed at the latest, in milliseconds since 1970.
  var thawMilliseconds: Int64?
  var frozenFileSystems = 0

  /// The file that its memory is being written to.
  var savingIdentifier: String?
  /// What it used, the newest last.
  var samples: [VMSample] = []
  /// Whether this monitor has looked at what the one before left; set for what it began itself.
  var isTakenOver = true
  /// Where and when it failed last by itself, as far as is known.
  var lastFailure: (module: ModuleID, time: Int64)?
  /// When alerts told last of what it did.
  var reported: [EngineEvent: ContinuousClock.Instant] = [:]

  init(_ record: MachineRecord) {
    self.record = record
    domain = Result { () throws(DomainError) -> Domain in try Domain(xml: record.definition) }
  }

  var name: VMName { record.name }

  /// Names of its two possible units.
  static func unit(_ module: ModuleID, slot: Int) -> String { "ftvs-guest-\(module.rawValue)@\(slot).service" }

  /// The unit of the module on which it runs or is to run.
  var unit: String? { record.module.map { Self.unit($0, slot: record.slot) } }

  /// Of many that are to be started, the higher one comes first.
  var restartPriority: Int { (try? domain.get())?.restartPriority ?? 0 }

  var volumes: [VolumeName] { (try? domain.get())?.volumes ?? [] }

  var state: VMState {
    switch record.phase {
    case .off: .defined
    case .starting: .starting
    case .running: paused == nil && !record.isHeld ? .running : .paused
    case .stopping: .stopping
    case .recovering: record.failedMilliseconds == nil ? .starting : .failedOver
    case .crashed: .crashed
    case .saving: .saving
    case .saved: .saved
    case .quarantined: .quarantined
    }
  }

  var summary: VMSummary {
    VMSummary(
      name: record.name, state: state, module: record.phase.hasProcess ? record.module : nil,
      autostart: record.autostart, processID: processID, failovers: record.failovers, reason: reason)
  }

  /// Its processors stand still because of something that was asked for.
  var isStoppedByUs: Bool { record.isHeld || record.phase == .saving }

  private var reason: String? {
    if let paused { return paused }
    if record.undo == .ask { return VMMonitor.question(name) }
    guard record.phase == .running, record.isHeld else { return record.reason }
    return record.reason ?? "it was paused on demand; 'ftctl vm resume \(name)' lets it go on"
  }

  var detail: VMDetail {
    let domain = try? domain.get()
    return VMDetail(
      name: record.name, identifier: record.uuid, state: state, module: summary.module, autostart: record.autostart,
      processID: processID, failovers: record.failovers, reason: summary.reason, memoryBytes: domain?.memoryBytes ?? 0,
      cpus: domain?.topology.cpus ?? 0,
      disks: domain?.disks.map(VMDisk.init) ?? [], engine: engine ?? "qemu",
      definition: record.definition, version: version, lastRecovery: record.lastRecovery,
      saved: record.saved)
  }
}

extension VMDisk {
  init(_ disk: Domain.Disk) {
    self.init(target: disk.target, volume: disk.volume, kind: disk.kind.rawValue, bus: disk.bus.rawValue)
  }
}
