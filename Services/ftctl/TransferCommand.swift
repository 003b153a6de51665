import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// What imports and exports have in common.
enum TransferHelp {
  static let formats = ArgumentHelp("Format of the file: \(DiskFormat.names).", valueName: "format")
  static let needs = "qemu-img (Debian: qemu-utils) has to be installed where ftctl runs."
}

extension LibraryCommand {
  struct Import: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Adds an image from a disk image file.",
      discussion: """
        The format is told by the file's first bytes when --format is left out. The file is copied into a volume of its \
        own, compared with it, and then becomes the image; when that fails or is interrupted the volume is deleted. \
        \(TransferHelp.needs)
        """, aliases: ["add"])
    @Argument(help: "Name of the image.", transform: userName) var name: ImageName
    @Argument(help: "The file.", completion: .file()) var file: String
    @Option(help: TransferHelp.formats) var format: DiskFormat?
    @Option(help: "A sentence about it.") var description: String?
    @Flag(help: "Throw away what is left of an import that was cut.") var restart = false
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        let work = DiskImport(session: session, path: file, format: format)
        let image = try await work.image(name, description: description, restart: restart)
        session.print(image) { "\($0.image) is in the library: \(Sizes.text($0.sizeBytes))." }
      }
    }
  }

  struct Export: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Writes an image into a disk image file.", discussion: TransferHelp.needs)
    @Argument(completion: .images, transform: userName) var name: ImageName
    @OptionGroup var target: ExportOptions
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await target.write(name.rawValue, session) {
            try await session.call(ExportImageToCaller.self, .init(image: name), on: .storage)
          }
        }
      }
    }
  }
}

extension VolumeCommand {
  struct Import: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Creates a volume from a disk image file.",
      discussion: """
        The format is told by the file's first bytes when --format is left out. The volume is compared with the file; \
        when that fails or is interrupted it is deleted. Until it is whole there is an empty volume NAME.import. \
        \(TransferHelp.needs)
        """)
    @Argument(transform: userName) var name: VolumeName
    @Argument(help: "The file.", completion: .file()) var file: String
    @Option(help: TransferHelp.formats) var format: DiskFormat?
    @Flag(help: "Throw away what is left of an import that was cut.") var restart = false
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        let work = DiskImport(session: session, path: file, format: format)
        session.print(try await work.volume(name, restart: restart), VolumeText.line)
      }
    }
  }

  struct Export: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Writes a volume, or a snapshot of it, into a disk image file.",
      discussion: """
        The present content can be written while nobody uses the volume, a snapshot also while a virtual machine does. \
        \(TransferHelp.needs)
        """)
    @Argument(completion: .volumes, transform: userName) var name: VolumeName
    @OptionGroup var target: ExportOptions
    @Option(help: "The snapshot; the present content when left out.", transform: userName) var snapshot: SnapshotName?
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await target.write(name.rawValue, session) {
            let params = ExportVolumeToCaller.Params(volume: name, snapshot: snapshot)
            return try await session.call(ExportVolumeToCaller.self, params, on: .storage)
          }
        }
      }
    }
  }
}

/// Where an export is written.
struct ExportOptions: ParsableArguments {
  @Argument(help: "The file.", completion: .file()) var file: String
  @Option(help: TransferHelp.formats) var format: DiskFormat = .raw
  @Flag(help: "Replace a file that is there.") var force = false

  func write(
    _ title: String, _ session: Session, _ begin: @Sendable () async throws -> CallerExport
  ) async throws {
    let work = DiskExport(session: session, path: file, format: format, force: force)
    session.print(try await work.run(title, begin)) {
      "\(title) is in \($0.file): \(Sizes.text($0.sizeBytes)), \(Sizes.text($0.allocatedBytes)) on disk."
    }
  }
}
