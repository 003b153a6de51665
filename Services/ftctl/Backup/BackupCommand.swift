import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// `ftctl volume backup …`
struct BackupCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backup",
    abstract: "Backups of volumes: everything once, then what changed.",
    discussion: """
      A backup is a VHD file in DIRECTORY/VOLUME: a dynamic one that holds everything, or a differencing one on the last \
      that holds what changed since. Keep all files of a chain: each is of no use without those before it.
      """,
    subcommands: [Create.self, List.self, Restore.self, Prune.self])

  struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Backs a volume up into a directory; also while a virtual machine uses it.",
      discussion: """
        The backup of a running virtual machine's volume is what its disk would hold after a power cut. The volume keeps \
        a checkpoint until the next backup into the same directory, so that it is known what changes meanwhile.
        """)
    @Argument(completion: .volumes, transform: userName) var volume: VolumeName
    @Argument(help: "Where the backups are kept.", completion: .directory) var directory: String
    @Flag(help: "Copy everything, and begin a new chain.") var full = false
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(volume) {
          let folder = try BackupFolder(directory, of: volume)
          let done = try await BackupRun(session: session, volume: volume, folder: folder, isFull: full).run()
          session.print(done.backup) { BackupText.line($0, done.reason, in: folder) }
        }
      }
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the backups in a directory, the oldest first.")
    @Argument(help: "Where the backups are kept.", completion: .directory) var directory: String
    @Argument(help: "Of this volume alone.", completion: .volumes, transform: userName) var volume: VolumeName?
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        let volumes = try volume.map { [$0] } ?? BackupFolder.volumes(in: directory)
        let backups = try volumes.flatMap { try BackupFolder(directory, of: $0).backups() }
        session.print(backups) { BackupText.list($0, .current, .standard) }
      }
    }
  }

  struct Restore: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes a new volume with the content of a backup.",
      discussion: "Until it is whole there is an empty volume NAME.import; when it fails both are deleted.")
    @Argument(help: "Where the backups are kept.", completion: .directory) var directory: String
    @Argument(help: "The volume that was backed up.", transform: userName) var volume: VolumeName
    @Option(
      name: .customLong("as"), help: "Name of the new volume; that of the old one when left out.", transform: userName)
    var newName: VolumeName?
    @Option(help: "The backup, as the list names it; the last one when left out.") var backup: String?
    @Flag(help: "Throw away what is left of a restoration that was cut.") var restart = false
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        let folder = try BackupFolder(directory, of: volume)
        let backups = try folder.backups()
        guard let chosen = backup.map({ name in backups.first { $0.name == name } }) ?? backups.last else {
          throw Complaint(missing(among: backups), .noInput)
        }
        let restore = BackupRestore(session: session, folder: folder, backup: chosen)
        let status = try await restore.run(as: newName ?? volume, restart: restart)
        session.print(status) { "\($0.volume) is as \(volume) was at \(chosen.name): \(Sizes.text($0.sizeBytes))." }
      }
    }

    private func missing(among backups: [Backup]) -> String {
      guard let backup, !backups.isEmpty else { return "\(directory) has no backup of \(volume)." }
      return
        "\(directory) has no backup \(backup) of \(volume); there are \(backups.map(\.name).joined(separator: ", "))."
    }
  }
}

extension BackupCommand {
  struct Prune: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Removes the oldest backups of a volume.",
      discussion: """
        Where one that stays holds only what changed since one that goes, it becomes a full one first; that needs space for \
        all that the volume held. The next backup still copies only what changed.
        """)
    @Argument(help: "Where the backups are kept.", completion: .directory) var directory: String
    @Argument(help: "The volume that was backed up.", transform: userName) var volume: VolumeName
    @Option(help: "How many of the newest stay.") var keep: Int
    @OptionGroup var options: GlobalOptions

    func validate() throws {
      guard keep >= 1 else {
        throw ValidationError(
          "--keep is how many backups stay: 1 or more. To remove all, remove \(directory)/\(volume).")
      }
    }

    func run() async throws {
      try await options.run { session in
        let folder = try BackupFolder(directory, of: volume)
        guard try !folder.backups().isEmpty else {
          throw Complaint("\(directory) has no backup of \(volume).", .noInput)
        }
        let outcome = try await BackupPrune(folder: folder, keep: keep).run()
        session.print(outcome.kept) { _ in BackupText.pruned(outcome, of: volume) }
      }
    }
  }
}

/// Backups as text.
enum BackupText {
  static func line(_ backup: Backup, _ reason: BackupRun.Reason?, in folder: BackupFolder) -> String {
    let what = reason?.sentence ?? "what changed since \(backup.parent ?? "the last one")"
    return
      "\(backup.volume) is backed up: \(what), \(Sizes.text(backup.copiedBytes)) in \(folder.file(backup.name, "vhd"))."
  }

  static func pruned(_ outcome: BackupPrune.Outcome, of volume: VolumeName) -> String {
    let removed = outcome.removed.map(\.name)
    guard let first = removed.first, let last = removed.last else {
      return "\(volume) has \(outcome.kept.count) backups: nothing to remove."
    }
    let which = removed.count == 1 ? "\(first) is removed" : "\(first) to \(last) are removed (\(removed.count))"
    let completed = outcome.completed.map { "\n\($0) is a full one now." }.joined()
    return "\(volume): \(which), \(outcome.kept.count) are left.\(completed)"
  }

  static func list(_ backups: [Backup], _ times: Times, _ style: Style) -> String {
    if backups.isEmpty { return "No backups. Make one: ftctl volume backup create VOLUME DIRECTORY" }
    var table = Table(["VOLUME", "BACKUP", "TAKEN", "COPIED", "SIZE", "SINCE"], right: [3, 4])
    for backup in backups {
      table.add([
        Table.Cell(backup.volume.rawValue), Table.Cell(backup.name), Table.Cell(times.clock(backup.takenMilliseconds)),
        Table.Cell(Sizes.text(backup.copiedBytes)), Table.Cell(Sizes.text(backup.sizeBytes)),
        Table.Cell(backup.parent ?? "full"),
      ])
    }
    return table.text(style)
  }
}
