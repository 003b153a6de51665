import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// `ftctl volume …`
struct VolumeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "volume",
    abstract: "Volumes: what virtual machines see as disks.",
    subcommands: [
      List.self, Show.self, Create.self, Import.self, Export.self, Delete.self, Undo.self, SnapshotCommand.self,
      BackupCommand.self, CheckpointCommand.self, Resize.self, Check.self, ScrubCommand.Volume.self, PolicyCommand.self,
      Flatten.self, Rebase.self, Legs.self,
    ])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the volumes.")
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(ListVolumes.self, Nothing(), on: .storage) { ListText.volumes($0.volumes, .standard) }
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows one volume and its layers.")
    @Argument(completion: .volumes, transform: userName) var name: VolumeName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.show(ShowVolume.self, .init(volume: name), on: .storage) {
            VolumeText.detail($0, .current, .standard)
          }
        }
      }
    }
  }

  struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Creates a volume: empty, or on an image of the library.")
    @Argument(transform: userName) var name: VolumeName
    @Option(help: "Size, such as 10G; the image's when left out.") var size: ByteCount?
    @Option(help: "Image of the library below it.", completion: .images, transform: userName) var image: ImageName?
    @Flag(help: "Keep what is written in an undo layer.") var undo = false
    @OptionGroup var policy: PolicyOptions
    @OptionGroup var options: GlobalOptions

    func validate() throws {
      guard size != nil || image != nil else { throw ValidationError("Give --size, --image or both.") }
    }

    func run() async throws {
      try await options.run { session in
        let params = CreateVolume.Params(
          volume: name, sizeBytes: size?.bytes, image: image, undo: undo ? true : nil, cache: policy.cache,
          onOneLeg: policy.onOneLeg)
        let create = { try await session.show(CreateVolume.self, params, on: .storage, VolumeText.line) }
        if let image { try await session.about(image, create) } else { try await create() }
      }
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Deletes a volume and all that is on it.")
    @Argument(completion: .volumes, transform: userName) var name: VolumeName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(DeleteVolume.self, .init(volume: name), on: .storage) {
          $0.deleted ? "\(name) is deleted." : "There was no volume \(name)."
        }
      }
    }
  }

  struct Resize: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes the volume larger; also while a virtual machine uses it.",
      discussion: """
        A running virtual machine sees the new size when it was shut down and started again. A partition and a file \
        system in the volume have to be enlarged from within.
        """)
    @Argument(completion: .volumes, transform: userName) var name: VolumeName
    @Argument(help: "The new size, such as 20G.") var size: ByteCount
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          let params = ResizeVolume.Params(volume: name, sizeBytes: size.bytes)
          try await session.show(ResizeVolume.self, params, on: .storage, VolumeText.line)
        }
      }
    }
  }

  struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Looks whether the volume's files are as they should be, on each leg.",
      discussion: "Ends with 1 when something could not be read as it was written.")
    @Argument(completion: .volumes, transform: userName) var name: VolumeName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        let found = try await session.about(name) {
          try await session.call(CheckVolume.self, .init(volume: name), on: .storage)
        }
        session.print(found) { VolumeText.check($0, of: name, .standard) }
        if !found.isSound {
          throw Complaint("Volume \(name) is damaged; ftctl volume legs tells whether a leg is good.")
        }
      }
    }
  }

  struct Flatten: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Copies into the volume what it has from its image, which it no longer needs then.")
    @Argument(completion: .volumes, transform: userName) var name: VolumeName
    @OptionGroup var wait: WaitOptions
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.follow(FlattenVolume.self, .init(volume: name), wait) { _ in
            "\(name) holds all its content itself."
          }
        }
      }
    }
  }

  struct Rebase: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Bases the volume on another image; its content stays as it is.")
    @Argument(completion: .volumes, transform: userName) var name: VolumeName
    @Argument(help: "The image.", completion: .images, transform: userName) var image: ImageName
    @OptionGroup var wait: WaitOptions
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name, and: image) {
          try await session.follow(RebaseVolume.self, .init(volume: name, image: image), wait) { _ in
            "\(name) is based on \(image)."
          }
        }
      }
    }
  }

  struct Undo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Undo layers: keep what is written apart, then fold it in or throw it away.",
      subcommands: [Enable.self, Commit.self, Discard.self])

    struct Enable: AsyncParsableCommand {
      static let configuration = CommandConfiguration(abstract: "Keeps what is written from now on in an undo layer.")
      @Argument(completion: .volumes, transform: userName) var name: VolumeName
      @OptionGroup var options: GlobalOptions

      func run() async throws {
        try await options.run { session in
          try await session.about(name) {
            try await session.show(EnableUndo.self, .init(volume: name), on: .storage, VolumeText.line)
          }
        }
      }
    }

    struct Commit: AsyncParsableCommand {
      static let configuration = CommandConfiguration(abstract: "Folds the undo layer into the volume.")
      @Argument(completion: .volumes, transform: userName) var name: VolumeName
      @Flag(help: "Go on with a new, empty undo layer.") var keepEnabled = false
      @OptionGroup var options: GlobalOptions

      func run() async throws {
        try await options.run { session in
          try await session.about(name) {
            let params = CommitUndo.Params(volume: name, keepEnabled: keepEnabled ? true : nil)
            try await session.show(CommitUndo.self, params, on: .storage, VolumeText.line)
          }
        }
      }
    }

    struct Discard: AsyncParsableCommand {
      static let configuration = CommandConfiguration(
        abstract: "Throws the undo layer away: the volume is as it was when the layer was made.")
      @Argument(completion: .volumes, transform: userName) var name: VolumeName
      @Flag(help: "Go on with a new, empty undo layer.") var keepEnabled = false
      @OptionGroup var options: GlobalOptions

      func run() async throws {
        try await options.run { session in
          try await session.about(name) {
            let params = DiscardUndo.Params(volume: name, keepEnabled: keepEnabled ? true : nil)
            try await session.show(DiscardUndo.self, params, on: .storage, VolumeText.line)
          }
        }
      }
    }
  }

  struct Legs: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows the two copies of the data.")
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(GetLegs.self, Nothing(), on: .storage) { ListText.legs($0.legs, .current, .standard) }
      }
    }
  }
}

/// Volumes as text.
enum VolumeText {
  /// "data: 10 GiB on io0 io1, with an undo layer"
  static func line(_ volume: VolumeStatus) -> String {
    "\(volume.volume): \(Sizes.text(volume.sizeBytes)) on \(volume.legs.map(\.rawValue).joined(separator: " and "))"
      + (volume.image.map { ", based on \($0)" } ?? "") + (volume.hasUndoLayer ? ", with an undo layer" : "")
  }

  static func check(_ found: CheckVolume.Result, of name: VolumeName, _ style: Style) -> String {
    if found.findings.isEmpty { return "\(name): \(found.layers) files were checked, all is as it should be." }
    var table = Table(["LAYER", "LEG", "KIND", "OFFSET", "FINDING"], right: [3])
    for finding in found.findings {
      table.add([
        Table.Cell(finding.layer), Table.Cell(finding.leg.rawValue), Table.Cell(finding.kind), "\(finding.offsetBytes)",
        Table.Cell(finding.message),
      ])
    }
    let verdict = found.isSound ? "all can be read as it was written." : "not all can be read as it was written."
    return table.text(style) + "\n\n\(name): \(found.layers) files were checked, \(verdict)"
  }

  static func detail(_ volume: VolumeStatus, _ times: Times, _ style: Style) -> String {
    var facts = Table(["", ""])
    facts.add(["Volume", Table.Cell(volume.volume.rawValue)])
    facts.add(["Size", Table.Cell("\(Sizes.text(volume.sizeBytes)) (\(volume.sizeBytes) bytes)")])
    facts.add(["Image", Table.Cell(Words.orDash(volume.image?.rawValue))])
    facts.add(["Undo layer", volume.hasUndoLayer ? "yes" : "no"])
    let isWhole = volume.legs.count == LegID.allCases.count
    facts.add(["In step on", Table.Cell(volume.legs.map(\.rawValue).joined(separator: " "), isWhole ? nil : .yellow)])
    facts.add(["Writes", PolicyText.cell(volume)])
    facts.add(["Generation", "\(volume.generation)"])
    facts.add(["Sessions", "\(volume.sessions)"])
    facts.add(ScrubText.fact(volume.lastScrub, times))
    var layers = Table(["LAYER", "ROLE", "ALLOCATED", "IMAGE"], right: [2])
    for layer in volume.layers {
      layers.add([
        Table.Cell(layer.layer), Table.Cell(layer.role.rawValue), Table.Cell(Sizes.text(layer.allocatedBytes)),
        Table.Cell(Words.orDash(layer.image?.rawValue)),
      ])
    }
    let snapshots = volume.snapshots.isEmpty ? [] : [SnapshotText.tree(volume.snapshots, times, style)]
    let checkpoints = volume.checkpoints.isEmpty ? [] : [CheckpointText.list(volume.checkpoints, times, style)]
    return ([facts.text(style), layers.text(style)] + snapshots + checkpoints).joined(separator: "\n\n")
  }
}
