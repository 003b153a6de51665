import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// `ftctl volume checkpoint …`
struct CheckpointCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "checkpoint",
    abstract: "Checkpoints: moments from which on a volume keeps which of its blocks change.",
    discussion: "Backups make them, with snapshots, and delete those that they need no longer.",
    subcommands: [List.self, Delete.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the checkpoints of a volume, the oldest first.")
    @Argument(completion: .volumes, transform: userName) var volume: VolumeName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(volume) {
          let status = try await session.call(ShowVolume.self, .init(volume: volume), on: .storage)
          session.print(status.checkpoints) { CheckpointText.list($0, .current, .standard) }
        }
      }
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Forgets a checkpoint; also while the volume is used.",
      discussion: "The next backup into the directory that it belongs to copies everything.")
    @Argument(completion: .volumes, transform: userName) var volume: VolumeName
    @Argument(help: "Name of the checkpoint.", transform: userName) var name: CheckpointName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(volume, and: name) {
          let params = DeleteCheckpoint.Params(volume: volume, checkpoint: name)
          try await session.show(DeleteCheckpoint.self, params, on: .storage) { _ in
            "Checkpoint \(name) of \(volume) is deleted."
          }
        }
      }
    }
  }
}

/// Checkpoints as text.
enum CheckpointText {
  static func list(_ checkpoints: [CheckpointStatus], _ times: Times, _ style: Style) -> String {
    if checkpoints.isEmpty { return "No checkpoints. A backup makes one: ftctl volume backup create VOLUME DIRECTORY" }
    var table = Table(["CHECKPOINT", "MADE", "SNAPSHOT"])
    for checkpoint in checkpoints {
      table.add([
        Table.Cell(checkpoint.checkpoint.rawValue), Table.Cell(times.clock(checkpoint.createdMilliseconds)),
        Table.Cell(Words.orDash(checkpoint.snapshot?.rawValue)),
      ])
    }
    return table.text(style)
  }
}
