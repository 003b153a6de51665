import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// `ftctl volume snapshot …`
struct SnapshotCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "snapshot",
    abstract: "Snapshots: a volume's content under a name, to go back to.",
    subcommands: [List.self, Create.self, Revert.self, Delete.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows the snapshots of a volume as a tree.")
    @Argument(completion: .volumes, transform: userName) var volume: VolumeName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(volume) {
          let status = try await session.call(ShowVolume.self, .init(volume: volume), on: .storage)
          session.print(status.snapshots) { SnapshotText.tree($0, .current, .standard) }
        }
      }
    }
  }

  struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Keeps the present content under a name; also while a virtual machine uses the volume.",
      discussion: """
        The snapshot of a running virtual machine's volume is what its disk would hold after a power cut. Shut the \
        machine down first when its programs cannot start from that.
        """)
    @Argument(completion: .volumes, transform: userName) var volume: VolumeName
    @Argument(help: "Name of the snapshot.", transform: userName) var name: SnapshotName
    @Option(help: "A sentence about it.") var description: String?
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(volume) {
          let params = CreateSnapshot.Params(volume: volume, snapshot: name, description: description)
          try await session.show(CreateSnapshot.self, params, on: .storage) { _ in
            "Snapshot \(name) of \(volume) is taken."
          }
        }
      }
    }
  }

  struct Revert: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Gives the volume a snapshot's content; what was written since the last snapshot is lost.")
    @Argument(completion: .volumes, transform: userName) var volume: VolumeName
    @Argument(help: "Name of the snapshot.", transform: userName) var name: SnapshotName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(volume, and: name) {
          try await session.show(RevertToSnapshot.self, .init(volume: volume, snapshot: name), on: .storage) { _ in
            "\(volume) has the content of snapshot \(name) again."
          }
        }
      }
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Forgets a snapshot and frees what only it holds; also while the volume is used.")
    @Argument(completion: .volumes, transform: userName) var volume: VolumeName
    @Argument(help: "Name of the snapshot.", transform: userName) var name: SnapshotName
    @OptionGroup var wait: WaitOptions
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(volume, and: name) {
          let params = DeleteSnapshot.Params(volume: volume, snapshot: name)
          try await session.follow(DeleteSnapshot.self, params, wait) { _ in "Snapshot \(name) of \(volume) is deleted."
          }
        }
      }
    }
  }
}

/// Snapshots as text.
enum SnapshotText {
  /// Each below the one that it is based on, and where the volume stands.
  static func tree(_ snapshots: [SnapshotStatus], _ times: Times, _ style: Style, indent: Int = 0) -> String {
    if snapshots.isEmpty { return "No snapshots. Take one: ftctl volume snapshot create VOLUME NAME" }
    var table = Table(["SNAPSHOT", "TAKEN", "ALLOCATED", "DESCRIPTION"], right: [2])
    for (depth, snapshot) in ordered(snapshots) {
      let branch = depth == 0 ? "" : String(repeating: "  ", count: depth - 1) + "└ "
      table.add([
        Table.Cell("\(branch)\(snapshot.snapshot)\(snapshot.isCurrent ? " *" : "")"),
        Table.Cell(times.clock(snapshot.createdMilliseconds)), Table.Cell(Sizes.text(snapshot.allocatedBytes)),
        Table.Cell(snapshot.description),
      ])
    }
    return table.text(style, indent: indent)
  }

  /// The snapshots with their depth, children after their parent. What names a parent that is not there is a root.
  private static func ordered(_ snapshots: [SnapshotStatus]) -> [(depth: Int, snapshot: SnapshotStatus)] {
    let names = Set(snapshots.map(\.snapshot))
    let children = Dictionary(grouping: snapshots) { $0.parent.flatMap { names.contains($0) ? $0 : nil } }
    var found: [(Int, SnapshotStatus)] = []
    func visit(_ parent: SnapshotName?, _ depth: Int) {
      for child in children[parent] ?? [] where found.count < snapshots.count {
        found.append((depth, child))
        visit(child.snapshot, depth + 1)
      }
    }
    visit(nil, 0)
    return found
  }
}
