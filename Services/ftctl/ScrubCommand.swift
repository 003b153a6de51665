import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// `ftctl volume scrub` and `ftctl library scrub`
enum ScrubCommand {
  struct Volume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "scrub",
      abstract: "Compares the volume on both legs, and repairs what is wrong on one; also while it is used.",
      discussion: "Ends with 1 when blocks are wrong on both legs. Virtual machines come first: it goes slowly then.")
    @Argument(completion: .volumes, transform: userName) var name: VolumeName
    @OptionGroup var wait: WaitOptions
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          guard let job = try await session.ended(ScrubVolume.self, .init(volume: name), wait) else { return }
          let volume = try await session.call(ShowVolume.self, .init(volume: name), on: .storage)
          try session.tell(volume.lastScrub, of: name.rawValue, job)
        }
      }
    }
  }

  struct Image: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "scrub",
      abstract: "Compares an image on both legs, and repairs what is wrong on one.",
      discussion: "Ends with 1 when blocks are wrong on both legs.")
    @Argument(completion: .images, transform: userName) var name: ImageName
    @OptionGroup var wait: WaitOptions
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          guard let job = try await session.ended(ScrubImage.self, .init(image: name), wait) else { return }
          let images = try await session.call(ListImages.self, Nothing(), on: .storage).images
          try session.tell(images.first { $0.image == name }?.lastScrub, of: name.rawValue, job)
        }
      }
    }
  }
}

extension Session {
  fileprivate func tell(_ scrub: ScrubStatus?, of name: String, _ job: JobStatus) throws {
    guard let scrub else { return print(job, JobText.line) }
    print(scrub) { "\(name): \(ScrubText.found($0))" }
    if scrub.lostBlocks > 0 {
      throw Complaint("\(name) has blocks that are wrong on both legs: restore what they hold from a backup.")
    }
  }
}

/// What scrubs found, as text.
enum ScrubText {
  static func fact(_ scrub: ScrubStatus?, _ times: Times) -> [Table.Cell] {
    guard let scrub else { return ["Last scrub", "-"] }
    let isBad = scrub.lostBlocks > 0 || scrub.undecidedBlocks > 0
    return [
      "Last scrub", Table.Cell("\(times.clock(scrub.endedMilliseconds)): \(found(scrub))", isBad ? .red : nil),
    ]
  }

  /// "1.5 GiB compared, 3 blocks repaired on io1"
  static func found(_ scrub: ScrubStatus) -> String {
    var parts = ["\(Sizes.text(scrub.checkedBytes)) compared"]
    if scrub.skippedBytes > 0 { parts.append("\(Sizes.text(scrub.skippedBytes)) left out as it was being written") }
    for (leg, blocks) in [("io0", scrub.repairedBlocksOnIO0), ("io1", scrub.repairedBlocksOnIO1)] where blocks > 0 {
      parts.append("\(count(blocks)) repaired on \(leg)")
    }
    if scrub.undecidedBlocks > 0 {
      parts.append("\(count(scrub.undecidedBlocks)) made equal without knowing which was right")
    }
    if scrub.lostBlocks > 0 { parts.append("\(count(scrub.lostBlocks)) wrong on both legs") }
    if parts.count == 1 { parts.append("all as it should be") }
    return parts.joined(separator: ", ")
  }

  private static func count(_ blocks: Int) -> String { blocks == 1 ? "1 block" : "\(blocks) blocks" }
}
