import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// `ftctl library …`
struct LibraryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "library",
    abstract: "The library of read-only base images.",
    subcommands: [
      List.self, Show.self, Import.self, Export.self, Verify.self, ScrubCommand.Image.self, Capture.self, Promote.self,
      Edit.self, Delete.self,
    ])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the images.")
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(ListImages.self, Nothing(), on: .storage) {
          ListText.images($0.images, .current, .standard)
        }
      }
    }
  }

  struct Capture: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Copies a volume's content, or a snapshot's, into a new image; the volume stays.")
    @Argument(completion: .volumes, transform: userName) var volume: VolumeName
    @Argument(help: "Name of the image.", transform: userName) var name: ImageName
    @Option(help: "The snapshot to copy; the present content when left out.", transform: userName)
    var snapshot: SnapshotName?
    @Option(help: "A sentence about it.") var description: String?
    @OptionGroup var wait: WaitOptions
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(volume) {
          let params = CaptureVolume.Params(volume: volume, snapshot: snapshot, image: name, description: description)
          try await session.follow(CaptureVolume.self, params, wait) { job in
            "\(name) is in the library: \(Sizes.text(job.totalBytes))."
          }
        }
      }
    }
  }

  struct Promote: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Makes an image of a volume, which is no volume then.")
    @Argument(completion: .volumes, transform: userName) var volume: VolumeName
    @Argument(help: "Name of the image.", transform: userName) var name: ImageName
    @Option(help: "A sentence about it.") var description: String?
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(volume) {
          let params = PromoteVolume.Params(volume: volume, image: name, description: description)
          try await session.show(PromoteVolume.self, params, on: .storage) {
            "\($0.image) is in the library: \(Sizes.text($0.sizeBytes))."
          }
        }
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows one image and who uses it.")
    @Argument(completion: .images, transform: userName) var name: ImageName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        let images = try await session.call(ListImages.self, Nothing(), on: .storage).images
        guard let image = images.first(where: { $0.image == name }) else {
          throw Complaint(
            "The library has no image \(name).\n"
              + NearMatch.sentence(name.rawValue, in: images.map(\.image.rawValue), noun: ImageName.noun))
        }
        session.print(image) { LibraryText.detail($0, .current, .standard) }
      }
    }
  }

  struct Verify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Reads an image whole and compares its SHA-256 with the one that was kept when it came to be.",
      discussion: "Ends with 1 when they differ.")
    @Argument(completion: .images, transform: userName) var name: ImageName
    @OptionGroup var wait: WaitOptions
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.follow(VerifyImage.self, .init(image: name), wait) { job in
            "\(name) is as it came to be: \(Sizes.text(job.totalBytes)) were read."
          }
        }
      }
    }
  }

  struct Edit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Changes what is said of an image.")
    @Argument(completion: .images, transform: userName) var name: ImageName
    @Option(help: "A sentence about it.") var description: String?
    @Option(help: "The operating system that it holds, such as \"Debian 12\".") var system: String?
    @Option(help: "A word to find it by, in place of those it has; may be given several times.") var tag: [String] = []
    @Flag(help: "Take all its tags away.") var noTags = false
    @OptionGroup var options: GlobalOptions

    func validate() throws {
      guard description != nil || system != nil || !tag.isEmpty || noTags else {
        throw ValidationError("Give --description, --system, --tag or --no-tags.")
      }
      guard tag.isEmpty || !noTags else { throw ValidationError("--tag and --no-tags exclude each other.") }
    }

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          let params = UpdateImage.Params(
            image: name, description: description, operatingSystem: system, tags: tag.isEmpty && !noTags ? nil : tag)
          try await session.show(UpdateImage.self, params, on: .storage) { LibraryText.detail($0, .current, .standard) }
        }
      }
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Deletes an image that no volume is based on.")
    @Argument(completion: .images, transform: userName) var name: ImageName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(DeleteImage.self, .init(image: name), on: .storage) {
          $0.deleted ? "\(name) is deleted." : "There was no image \(name)."
        }
      }
    }
  }
}

/// Images as text.
enum LibraryText {
  static func detail(_ image: ImageStatus, _ times: Times, _ style: Style) -> String {
    var facts = Table(["", ""])
    facts.add(["Image", Table.Cell(image.image.rawValue)])
    facts.add(["Description", Table.Cell(Words.orDash(image.description.isEmpty ? nil : image.description))])
    facts.add(["System", Table.Cell(Words.orDash(image.operatingSystem.isEmpty ? nil : image.operatingSystem))])
    facts.add(["Tags", Table.Cell(Words.orDash(image.tags.isEmpty ? nil : image.tags.joined(separator: " ")))])
    facts.add(["Size", Table.Cell("\(Sizes.text(image.sizeBytes)) (\(image.sizeBytes) bytes)")])
    facts.add(["Allocated", Table.Cell(Sizes.text(image.allocatedBytes))])
    facts.add(["SHA-256", Table.Cell(image.contentSHA256 ?? "not computed yet")])
    facts.add(["Added", Table.Cell(times.clock(image.createdMilliseconds))])
    facts.add(ScrubText.fact(image.lastScrub, times))
    facts.add([
      "Used by",
      Table.Cell(Words.orDash(image.usedBy.isEmpty ? nil : image.usedBy.map(\.rawValue).joined(separator: " "))),
    ])
    return facts.text(style)
  }
}
