import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// `ftctl volume policy`
struct PolicyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "policy",
    abstract: "Shows or sets when writes to the volume are durable, and whether they wait while one leg is lost.",
    discussion: """
      Effective at once, also for a virtual machine that runs. With --on-one-leg hold it stands still when it writes while \
      only one leg is in step, and goes on when the other one is back, or the policy is changed.
      """)
  @Argument(completion: .volumes, transform: userName) var name: VolumeName
  @OptionGroup var policy: PolicyOptions
  @OptionGroup var options: GlobalOptions

  func run() async throws {
    try await options.run { session in
      try await session.about(name) {
        if policy.isEmpty {
          return try await session.show(ShowVolume.self, .init(volume: name), on: .storage, PolicyText.line)
        }
        let params = SetWritePolicy.Params(volume: name, cache: policy.cache, onOneLeg: policy.onOneLeg)
        try await session.show(SetWritePolicy.self, params, on: .storage, PolicyText.line)
      }
    }
  }
}

/// Options of commands that say how a volume is written.
struct PolicyOptions: ParsableArguments {
  @Option(help: "writeBack: durable when flushed (the usual way); writeThrough: durable when answered.")
  var cache: CachePolicy?
  @Option(help: "continue: writes go on with one leg (the usual way); hold: they wait for both.")
  var onOneLeg: OneLegPolicy?

  var isEmpty: Bool { cache == nil && onOneLeg == nil }
}

/// Write policies as text.
enum PolicyText {
  /// "data: writeBack, continue on one leg"
  static func line(_ volume: VolumeStatus) -> String { "\(volume.volume): \(text(volume))" }

  static func cell(_ volume: VolumeStatus) -> Table.Cell {
    Table.Cell(text(volume), volume.waitingSessions > 0 ? .red : nil)
  }

  private static func text(_ volume: VolumeStatus) -> String {
    "\(volume.cache.rawValue), \(volume.onOneLeg.rawValue) on one leg"
      + (volume.waitingSessions > 0 ? "; they wait for the other leg now" : "")
  }
}
