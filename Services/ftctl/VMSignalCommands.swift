import ArgumentParser
import FTVSClient
import FoundationEssentials
import Primitives
import RPC

/// What is done to a virtual machine while it runs.
extension VMCommand {
  struct Pause: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Stops a virtual machine's processors; memory and disks stay as they are.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.show(PauseVM.self, .init(name: name), on: .vm, VMText.line)
        }
      }
    }
  }

  struct Resume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lets a paused virtual machine go on.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.show(ResumeVM.self, .init(name: name), on: .vm, VMText.line)
        }
      }
    }
  }

  struct Reset: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Resets a virtual machine at once, as its reset button would.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.show(ResetVM.self, .init(name: name), on: .vm) { _ in "\(name) was reset." }
        }
      }
    }
  }

  struct Interrupt: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "nmi",
      abstract: "Sends a non-maskable interrupt: most systems write a crash dump then.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.show(InterruptVM.self, .init(name: name), on: .vm) { _ in "\(name) was interrupted." }
        }
      }
    }
  }

  struct Keys: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Presses keys together: ftctl vm keys web ctrl alt delete",
      discussion: """
        Names are QEMU's (ctrl, alt, shift, delete, ret, spc, esc, f1, kp_1, meta_l) or libvirt's (KEY_LEFTCTRL).
        """)
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @Argument(help: "1 to 16 keys.") var keys: [String]
    @Option(help: "Milliseconds for which they are held.") var hold: Int?
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          let params = SendKeys.Params(name: name, keys: keys, holdMilliseconds: hold)
          try await session.show(SendKeys.self, params, on: .vm) { _ in
            "Pressed \(keys.joined(separator: " ")) in \(name)."
          }
        }
      }
    }
  }

  struct Screenshot: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Writes a picture of a virtual machine's screen to a file, PNG.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @Argument(help: "The file; NAME.png when left out, - is standard output.", completion: .file(extensions: ["png"]))
    var file: String?
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          let picture = try await session.call(GetScreenshot.self, .init(name: name), on: .vm)
          guard !session.isJSON else { return session.print(picture) { _ in "" } }
          guard let bytes = Data(base64Encoded: picture.data) else {
            throw Complaint("The service answered with a picture that is not base64.")
          }
          let path = file ?? "\(name).png"
          try OutputFile.write(Array(bytes), to: path)
          guard path != "-" else { return }
          Terminal.say("\(path): \(picture.widthPixels) by \(picture.heightPixels) pixels")
        }
      }
    }
  }
}
