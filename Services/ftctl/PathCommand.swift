import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// `ftctl module path …`
struct PathCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "path",
    abstract: "The two paths to each leg: cut and restore them, to try what happens then.",
    discussion: "ftctl volume legs shows by which path each leg is reached.",
    subcommands: [Fail.self, Restore.self])

  struct Fail: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Cuts a path as a fault would: the leg is reached by the other one.")
    @Argument(help: "io0 or io1.") var leg: LegID
    @Argument(help: "0 or 1.") var path: Int
    @Option(help: "Why, for the records.") var reason: String?
    @Flag(help: "Cut the last path of the leg, too; the leg is lost then.") var force = false
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        let params = FailPath.Params(leg: leg, path: path, reason: reason, force: force ? true : nil)
        try await session.show(FailPath.self, params, on: .hardware, text)
      }
    }
  }

  struct Restore: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Restores a path that was cut.")
    @Argument(help: "io0 or io1.") var leg: LegID
    @Argument(help: "0 or 1.") var path: Int
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(RestorePath.self, .init(leg: leg, path: path), on: .hardware, text)
      }
    }
  }

  private static func text(_ path: PathStatus) -> String {
    "Path \(path.path) to leg \(path.leg) is \(path.isCut ? "cut" : "restored")."
  }
}
