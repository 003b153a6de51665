import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// What a virtual machine's guest agent is asked for.
extension VMCommand {
  struct Guest: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Shows what a guest's agent tells: its system, addresses and file systems.",
      discussion: """
        The definition needs a channel to the agent ('ftctl vm create --guest-agent' makes one), and the guest the package
        qemu-guest-agent. What is shown is the guest's own word.
        """)
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.show(GetGuestInfo.self, .init(name: name), on: .vm, GuestText.info)
        }
      }
    }
  }

  struct Freeze: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Brings a guest's file systems to rest, so that a snapshot or a backup of its disks is consistent.",
      discussion: """
        ftctl vm freeze web && ftctl volume snapshot create web-disk0 before-upgrade; ftctl vm thaw web
        They go on by themselves when the time is over.
        """)
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @Option(help: "Seconds after which they go on at the latest, 1 to 600; 30 when left out.") var timeout: Int?
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          let params = FreezeVM.Params(name: name, timeoutSeconds: timeout)
          try await session.show(FreezeVM.self, params, on: .vm) {
            "\(GuestText.fileSystems($0.fileSystems)) of \(name) at rest. Let them go on: ftctl vm thaw \(name)"
          }
        }
      }
    }
  }

  struct Thaw: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lets a guest's file systems go on that were frozen.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.show(ThawVM.self, .init(name: name), on: .vm) {
            $0.fileSystems == 0
              ? "Nothing of \(name) was frozen." : "\(GuestText.fileSystems($0.fileSystems)) of \(name) go on."
          }
        }
      }
    }
  }
}

/// A guest's own word, for people.
enum GuestText {
  static func fileSystems(_ count: Int) -> String { count == 1 ? "1 file system" : "\(count) file systems" }

  static func info(_ info: GuestInfo) -> String {
    var lines = [line("host name", info.hostName), line("system", info.system), line("kernel", info.kernel)]
    lines.append(line("agent", info.agentVersion))
    for interface in info.interfaces {
      let addresses = interface.addresses.isEmpty ? "no address" : interface.addresses.joined(separator: ", ")
      lines.append(line(interface.name, interface.hardwareAddress.map { "\(addresses) (\($0))" } ?? addresses))
    }
    for fileSystem in info.fileSystems { lines.append(line(fileSystem.mountPoint, usage(fileSystem))) }
    return lines.compactMap(\.self).joined(separator: "\n")
  }

  private static func line(_ name: String, _ value: String?) -> String? {
    value.map { name + String(repeating: " ", count: max(1, 16 - name.count)) + $0 }
  }

  private static func usage(_ fileSystem: GuestFileSystem) -> String {
    guard let used = fileSystem.usedBytes, let total = fileSystem.totalBytes else { return fileSystem.kind }
    return "\(fileSystem.kind), \(Sizes.text(used)) of \(Sizes.text(total)) used"
  }
}
