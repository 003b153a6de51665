import ArgumentParser
import FTVSClient
import Primitives
import RPC

extension UndoAction: ExpressibleByArgument {}

/// `ftctl vm undo`
extension VMCommand {
  struct Undo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Keeps, commits or discards what was written to all undo disks of a virtual machine that is off.",
      discussion: """
        What happens at each shutdown is in its definition: <ftvs:undo policy='keep|commit|discard|ask'/>. With ask it is
        not started again before this command said what becomes of them.
        """)
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @Argument(help: "keep, commit or discard.") var action: UndoAction
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.show(DecideUndo.self, .init(name: name, action: action), on: .vm) { _ in
            switch action {
            case .keep: "What was written to the undo disks of \(name) stays apart."
            case .commit: "What was written to the undo disks of \(name) is final."
            case .discard: "What was written to the undo disks of \(name) is gone."
            }
          }
        }
      }
    }
  }
}
