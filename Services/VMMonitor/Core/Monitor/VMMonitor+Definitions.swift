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
      try await monitor.define(domain, params)
    }
  }

  private func define(_ domain: Domain, _ params: DefineVM.Params) async throws(RPCError) -> VMDetail {
    let isNew = machines[domain.name] == nil
    let record = try record(for: domain, params)
    let machine = Machine(record)
    reserve(record)
    do {
      await files.write(domain.name, params.definition, to: legsInStep)
      let answer = machine.detail
      let statements = MachineStore.statements(for: record, nil)
      let result = try await environment.state.perform(DefineVM.self, params) { transaction in
        for statement in statements { try transaction.execute(statement.sql, statement.arguments) }
        return answer
      }
      if var existing = machines[domain.name] {
        existing.record = record
        existing.domain = .success(domain)
        machines[domain.name] = existing
      } else {
        machines[domain.name] = machine
      }
      reservations[domain.name] = nil
      announce(domain.name)
      alert(.info, "vmDefined", domain.name, "'\(domain.name)' was \(isNew ? "defined" : "redefined").")
      return result
    } catch {
      reservations[domain.name] = nil
      await restoreFiles(of: domain.name)
      throw error
    }
  }

  /// The record that a definition leads to.
  private func record(for domain: Domain, _ params: DefineVM.Params) throws(RPCError) -> MachineRecord {
    if var record = machines[domain.name]?.record {
      _ = try admits(.redefine, domain.name)
      guard domain.uuid == nil || domain.uuid == record.uuid else {
        throw RPCError(
          VMFailure.vmExists,
          "'\(domain.name)' exists with the UUID \(record.uuid); use that one or none, or another name.",
          data: ["name": .string(domain.name.rawValue), "identifier": .string(record.uuid)])
      }
      record.definition = params.definition
      record.autostart = params.autostart ?? record.autostart
      return record
    }
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
    return MachineRecord(
      name: domain.name, uuid: uuid, slot: slot, definition: params.definition, autostart: params.autostart ?? false)
  }

  /// Keeps slot and UUID of a definition that is being written.
  private func reserve(_ record: MachineRecord) { reservations[record.name] = record }

  private func restoreFiles(of name: VMName) async {
    if let definition = machines[name]?.record.definition {
      await files.write(name, definition, to: legsInStep)
    } else {
      await files.remove(name, from: legsInStep)
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

  private var legsInStep: [LegID] { environment.state.legs().filter { $0.state == .inStep }.map(\.leg) }

  /// A random UUID (RFC 9562, version 4).
  private static func randomUUID() -> String {
    var bytes = (0..<16).map { _ in UInt8.random(in: 0...255) }
    bytes[6] = bytes[6] & 0x0F | 0x40
    bytes[8] = bytes[8] & 0x3F | 0x80
    let digits = Array(bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())
    return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(digits[$0]) }.joined(separator: "-")
  }
}
