import DomainXML
import Primitives
import RPC
import VMAPI

/// Earlier definitions, and definitions that were edited by hand on a leg.
extension VMMonitor {
  func versions(of name: VMName) async throws(RPCError) -> ListVMVersions.Result {
    let machine = try machine(name)
    return .init(versions: try await store.versions(of: name, current: machine.version))
  }

  func show(_ name: VMName, version: Int?) async throws(RPCError) -> VMDetail {
    var detail = try machine(name).detail
    guard let version, version != detail.version else { return detail }
    guard let text = try await store.text(of: name, version: version) else {
      throw RPCError(
        VMFailure.noSuchVersion,
        "'\(name)' has no version \(version), or it is no longer kept; 'ftctl vm versions \(name)' lists those there are.",
        data: ["name": .string(name.rawValue), "version": .integer(Int64(version))])
    }
    detail.definition = text
    detail.version = version
    return detail
  }

  /// Takes what was edited by hand. Inside `exclusive`.
  func reload(_ name: VMName) async throws(RPCError) -> ReloadVM.Result {
    _ = try machine(name)
    let (edits, silent) = try await edits(of: name)
    guard silent.isEmpty else {
      throw RPCError(
        CommonFailure.timedOut,
        "The leg \(silent[0]) does not answer; repeat the command when it does, or when it was dropped.",
        data: ["leg": .string(silent[0].rawValue)])
    }
    guard let first = edits.first else { return .init(legs: [], vm: try machine(name).detail) }
    guard Set(edits.values).count == 1 else {
      throw RPCError(
        VMFailure.definitionChanged,
        "The definition of '\(name)' was edited differently on the legs; make \(files.path(name, on: .io0)) and "
          + "\(files.path(name, on: .io1)) alike, or the same as before, and repeat the command.",
        data: ["name": .string(name.rawValue)])
    }
    let path = files.path(name, on: first.key)
    guard case .text(let text) = first.value else {
      throw RPCError(
        VMFailure.badDefinition, "\(path) is not text in UTF-8 of at most 1 MiB.", data: ["path": .string(path)])
    }
    let domain: Domain
    do { domain = try Domain(xml: text) } catch { throw RPCError(error, name: name) }
    guard domain.name == name else {
      throw RPCError(
        VMFailure.badDefinition,
        "\(path) names '\(domain.name)'; a virtual machine cannot be renamed: write <name>\(name)</name>.",
        data: ["path": .string(path)])
    }
    let state = environment.state
    let draft = DefinitionDraft(domain: domain, text: text, origin: .reloaded)
    let detail = try await define(draft) { statements, answer async throws(RPCError) in
      try await state.write { transaction in
        for statement in statements { try transaction.execute(statement.sql, statement.arguments) }
      }
      return answer
    }
    return .init(legs: edits.keys.sorted { $0.rawValue < $1.rawValue }, vm: detail)
  }

  /// What was edited by hand of one machine on each leg, and the legs that do not tell.
  private func edits(
    of name: VMName
  ) async throws(RPCError) -> (edits: [LegID: DefinitionFiles.Edit], silent: [LegID]) {
    guard let definition = machines[name]?.record.definition else { return ([:], []) }
    let found = await files.edits(of: [name: definition], on: legsInStep)
    return (try await unknown(found.edits[name] ?? [:], of: name), found.silent)
  }

  /// Without earlier definitions, whose replacement was cut off.
  private func unknown(
    _ edits: [LegID: DefinitionFiles.Edit], of name: VMName
  ) async throws(RPCError) -> [LegID: DefinitionFiles.Edit] {
    var unknown = edits
    for case (let leg, .text(let text)) in edits where try await store.knows(text, of: name) { unknown[leg] = nil }
    return unknown
  }

  /// Texts that were edited by hand and that another definition is about to replace: nobody's work is lost.
  func editsToKeep(of name: VMName, butNot text: String) async throws(RPCError) -> [String] {
    let texts = try await edits(of: name).edits.values.compactMap { edit -> String? in
      if case .text(let text) = edit { text } else { nil }
    }
    return Set(texts).subtracting([text]).sorted()
  }

  // MARK: Noticing

  /// Looks for edits now and then, until cancelled.
  func watchDefinitionFiles() async throws {
    while !Task.isCancelled {
      try await Task.sleep(for: timing.definitionLook)
      await noticeEdits()
    }
  }

  /// Tells of files that were edited by hand, each once. One look after another: what one found is older than what the
  /// next one does.
  func noticeEdits() async {
    let before = noticing
    let look = Task {
      await before?.value
      await self.lookForEdits()
    }
    noticing = look
    await look.value
  }

  private func lookForEdits() async {
    let found = await files.edits(of: machines.mapValues(\.record.definition), on: legsInStep).edits
    for name in reportedEdits.keys where found[name] == nil { reportedEdits[name] = nil }
    for (name, edits) in found {
      guard let unknown = try? await unknown(edits, of: name) else { continue }
      if unknown.isEmpty, let definition = machines[name]?.record.definition {
        await files.write(name, definition, inPlaceOf: edits)
      }
      for (leg, edit) in unknown where reportedEdits[name]?[leg] != edit.hashValue {
        reportedEdits[name, default: [:]][leg] = edit.hashValue
        report(edit, of: name, on: leg)
      }
    }
  }

  private func report(_ edit: DefinitionFiles.Edit, of name: VMName, on leg: LegID) {
    let path = files.path(name, on: leg)
    var problem: String?
    switch edit {
    case .unreadable: problem = "it is not text in UTF-8 of at most 1 MiB"
    case .text(let text):
      do throws(DomainError) { _ = try Domain(xml: text) } catch { problem = error.description }
    }
    let advice =
      problem.map { "It cannot be taken: \($0)." }
      ?? "'ftctl vm reload \(name)' takes it; nothing of it is in force before."
    alert(
      .warning, "vmDefinitionEdited", name, "\(path) was edited by hand. \(advice)",
      ["leg": .string(leg.rawValue), "path": .string(path), "valid": .bool(problem == nil)])
  }
}
