import ControlState
import DomainXML
import Primitives
import RPC
import ServiceAPI
import VMAPI

/// Definitions: made, changed, removed.
extension VMMonitor {
  func define(_ params: DefineVM.Params) async throws(RPCError) -> VMDetail {
    let domain: Domain
    do { domain = try Domain(xml: params.definition) } catch { throw RPCError(error, name: nil) }
    if let earlier = try await environment.state.answer(for: DefineVM.self, params) { return earlier }
    return try await exclusive(domain.name) { monitor async throws(RPCError) in
      let draft = DefinitionDraft(
        domain: domain, text: params.definition, autostart: params.autostart, expectedVersion: params.expectedVersion,
        origin: .defined)
      let state = monitor.environment.state
      return try await monitor.define(draft) { statements, answer async throws(RPCError) in
        try await state.perform(DefineVM.self, params) { transaction in
          for statement in statements { try transaction.execute(statement.sql, statement.arguments) }
          return answer
        }
      }
    }
  }

  /// Makes a draft the definition. Inside `exclusive`.
  ///
  /// - Parameter write: writes it down with the answer that it is given, and returns what is answered.
  func define(
    _ draft: DefinitionDraft,
    write: @Sendable (_ statements: [MachineStore.Statement], VMDetail) async throws(RPCError) -> VMDetail
  ) async throws(RPCError) -> VMDetail {
    let name = draft.domain.name
    let isNew = machines[name] == nil
    try checkVersion(draft)
    var machine = Machine(try record(for: draft))
    // Slot and UUID are taken from here on.
    reservations[name] = machine.record
    defer { reservations[name] = nil }
    let lost = try await editsToKeep(of: name, butNot: draft.text)
    var version = try await store.highestVersion(of: name)
    var statements = MachineStore.statements(for: machine.record, nil)
    for text in lost {
      version += 1
      statements += MachineStore.statements(version: version, of: name, text, .replaced, at: now())
    }
    machine.version = machines[name]?.version ?? 0
    if machine.record.definition != machines[name]?.record.definition {
      machine.version = version + 1
      statements += MachineStore.statements(
        version: machine.version, of: name, machine.record.definition, draft.origin, at: now())
    }
    let result = try await write(statements, machine.detail)
    if var existing = machines[name] {
      existing.record = machine.record
      existing.domain = machine.domain
      existing.version = machine.version
      machines[name] = existing
    } else {
      machines[name] = machine
    }
    reportedEdits[name] = nil
    await files.write(name, machine.record.definition, to: legsInStep)
    announce(name)
    alert(.info, "vmDefined", name, "'\(name)' was \(isNew ? "defined" : "redefined").")
    return result
  }

  private func checkVersion(_ draft: DefinitionDraft) throws(RPCError) {
    let current = machines[draft.domain.name]?.version ?? 0
    guard let expected = draft.expectedVersion, expected != current else { return }
    let name = draft.domain.name
    throw RPCError(
      VMFailure.definitionChanged,
      current == 0
        ? "There is no '\(name)' any more whose version \(expected) could be changed."
        : expected == 0
          ? "'\(name)' exists already; take another name."
          : "Version \(expected) of '\(name)' is no longer the current one, \(current) is; look at that and change it instead.",
      data: ["name": .string(name.rawValue), "version": .integer(Int64(current))])
  }

  /// The record that a definition leads to.
  private func record(for draft: DefinitionDraft) throws(RPCError) -> MachineRecord {
    let domain = draft.domain
    let existing = machines[domain.name]?.record
    var record = if let existing { try redefinable(existing, domain) } else { try newRecord(domain) }
    do throws(DomainError) {
      record.definition = try DefinitionText.filled(
        draft.text, uuid: record.uuid, addresses: addresses(for: domain, record.uuid))
      // What was filled in may have made it too long.
      _ = try Domain(xml: record.definition)
    } catch { throw RPCError(error, name: domain.name) }
    record.autostart = draft.autostart ?? record.autostart
    return record
  }

  private func redefinable(_ record: MachineRecord, _ domain: Domain) throws(RPCError) -> MachineRecord {
    _ = try admits(.redefine, domain.name)
    guard domain.uuid == nil || domain.uuid == record.uuid else {
      throw RPCError(
        VMFailure.vmExists,
        "'\(domain.name)' exists with the UUID \(record.uuid); use that one or none, or another name.",
        data: ["name": .string(domain.name.rawValue), "identifier": .string(record.uuid)])
    }
    return record
  }

  private func newRecord(_ domain: Domain) throws(RPCError) -> MachineRecord {
    let uuid = domain.uuid ?? Self.randomUUID()
    let others = machines.values.map(\.record) + reservations.values
    if let other = others.first(where: { $0.uuid == uuid }) {
      throw RPCError(
        VMFailure.vmExists, "'\(other.name)' has the UUID \(uuid); take another one or remove the element.",
        data: ["name": .string(other.name.rawValue), "identifier": .string(uuid)])
    }
    let used = Set(others.map(\.slot))
    guard let slot = (0..<Self.slots).first(where: { !used.contains($0) }) else {
      throw RPCError(
        VMFailure.limitReached, "The host has \(Self.slots) virtual machines; undefine one that is not needed.",
        data: ["limit": .integer(Int64(Self.slots))])
    }
    return MachineRecord(name: domain.name, uuid: uuid, slot: slot, definition: "", autostart: false)
  }

  /// An address for each interface: its own, the one that it had, or one that nobody else has.
  private func addresses(for domain: Domain, _ uuid: String) -> [String] {
    var taken = Set(domain.interfaces.compactMap(\.mac))
    for machine in machines.values where machine.name != domain.name {
      taken.formUnion(addresses(of: machine))
    }
    let earlier = machines[domain.name].map(addresses) ?? []
    return domain.interfaces.enumerated().map { index, interface in
      if let mac = interface.mac { return mac }
      var address = index < earlier.count ? earlier[index] : MACAddress.drawn(uuid: uuid, index: index)
      var attempt = 0
      while !taken.insert(address).inserted {
        attempt += 1
        address = MACAddress.drawn(uuid: uuid, index: index, attempt: attempt)
      }
      return address
    }
  }

  private func addresses(of machine: Machine) -> [String] {
    ((try? machine.domain.get())?.interfaces ?? []).enumerated().map { index, interface in
      interface.mac ?? MACAddress.drawn(uuid: machine.record.uuid, index: index)
    }
  }

  func undefine(_ name: VMName) async throws(RPCError) -> Bool {
    guard machines[name] != nil else { return false }
    _ = try admits(.undefine, name)
    try await store.remove(name)
    machines[name] = nil
    await files.remove(name, from: legsInStep)
    consoles.remove(name)
    alert(.info, "vmUndefined", name, "'\(name)' was undefined; its volumes stay.")
    return true
  }

  func setAutostart(_ name: VMName, _ autostart: Bool) async throws(RPCError) -> VMSummary {
    _ = try machine(name)
    try await commit(name) { $0.autostart = autostart }
    return try machine(name).summary
  }

  var legsInStep: [LegID] { environment.state.legs().filter { $0.state == .inStep }.map(\.leg) }

  /// A random UUID (RFC 9562, version 4).
  private static func randomUUID() -> String {
    var bytes = (0..<16).map { _ in UInt8.random(in: 0...255) }
    bytes[6] = bytes[6] & 0x0F | 0x40
    bytes[8] = bytes[8] & 0x3F | 0x80
    let digits = Array(bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())
    return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(digits[$0]) }.joined(separator: "-")
  }
}

/// A definition that somebody wants.
struct DefinitionDraft: Sendable {
  var domain: Domain
  var text: String
  var autostart: Bool?
  /// The version that it follows, where its author said so.
  var expectedVersion: Int?
  var origin: VMVersion.Origin
}
