import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// A virtual machine's memory on disk, and the way out of quarantine.
extension VMCommand {
  struct Save: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Writes a virtual machine's memory to disk and ends it; its next start goes on from there.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          let first: VMSummary
          do {
            first = try await session.call(SaveVM.self, .init(name: name), on: .vm)
          } catch let error as RPCError where error.matches(CommonFailure.timedOut) || error.isPassing {
            // Much memory takes its time, and a failover may have ended the call: what became of it is looked at.
            first = try await session.call(ShowVM.self, .init(name: name), on: .vm).summary
          }
          let last = try await VMWait(session: session, name: name).untilSaved(first)
          guard last.state == .saved else { throw Complaint("\(VMText.line(last)): it was not saved.") }
          session.print(last, VMText.line)
        }
      }
    }
  }

  struct DiscardSaved: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Throws a virtual machine's saved memory away: its next start is from its beginning.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.show(DiscardSavedVM.self, .init(name: name), on: .vm, VMText.line)
        }
      }
    }
  }

  struct Release: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Ends the quarantine of a virtual machine that kept failing.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.show(ReleaseVM.self, .init(name: name), on: .vm, VMText.line)
        }
      }
    }
  }
}

extension VMDetail {
  /// The same as a list shows it.
  var summary: VMSummary {
    VMSummary(
      name: name, state: state, module: module, autostart: autostart, processID: processID, failovers: failovers,
      reason: reason)
  }
}
