import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// `ftctl vm …`
struct VMCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vm",
    abstract: "Virtual machines: define, run, watch.",
    subcommands: [
      List.self, Show.self, Create.self, Define.self, Edit.self, Reload.self, Versions.self, Restore.self,
      Undefine.self, Start.self, Shutdown.self, Kill.self, Pause.self, Resume.self, Save.self, DiscardSaved.self,
      Release.self, Undo.self, Reset.self, Interrupt.self, Keys.self, Screenshot.self, Autostart.self,
      VMConsoleCommand.self,
      Follow.self, Availability.self, Top.self, Guest.self, Freeze.self, Thaw.self,
    ])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the virtual machines.")
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(ListVMs.self, Nothing(), on: .vm) { ListText.vms($0.vms, .standard) }
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows one virtual machine.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @Flag(help: "Print its definition, as libvirt domain XML.") var xml = false
    @Option(help: "Show this version of its definition, from 'ftctl vm versions'.") var version: Int?
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.show(ShowVM.self, .init(name: name, version: version), on: .vm) {
            xml || version != nil ? $0.definition : VMText.detail($0, .current, .standard)
          }
        }
      }
    }
  }

  struct Define: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Defines a virtual machine from libvirt domain XML, or redefines one that is not running.")
    @Argument(help: "The file; - is standard input.", completion: .file(extensions: ["xml"])) var file: String
    @Flag(inversion: .prefixedNo, help: "Start it with the host.") var autostart: Bool?
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        let definition = try InputFile.text(file, atMost: 1 << 20)
        let params = DefineVM.Params(definition: definition, autostart: autostart)
        try await session.show(DefineVM.self, params, on: .vm) {
          "\($0.name) is defined. Start it: ftctl vm start \($0.name)"
        }
      }
    }
  }

  struct Undefine: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Forgets a virtual machine that is not running; its volumes stay.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(UndefineVM.self, .init(name: name), on: .vm) {
          $0.undefined ? "\(name) is undefined; its volumes stay." : "There was no \(name)."
        }
      }
    }
  }

  struct Start: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Starts a virtual machine.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @Option(help: "CPU module on which to start it, when that is in service.") var module: ModuleID?
    @Flag(help: "Throw away what was saved and start it from its beginning.") var discardSaved = false
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.show(
            StartVM.self, .init(name: name, module: module, discardSaved: discardSaved ? true : nil), on: .vm,
            VMText.line)
        }
      }
    }
  }

  struct Shutdown: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Asks a virtual machine to shut down, and ends it when it does not.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @Option(help: "Seconds that it may take before it is ended.") var timeout = 60
    @Flag(help: "Do not wait until it has ended.") var noWait = false
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          let vm = try await session.call(ShutDownVM.self, .init(name: name, timeoutSeconds: timeout), on: .vm)
          let last = noWait ? vm : try await VMWait(session: session, name: name).untilEnded(vm, within: timeout)
          session.print(last, VMText.line)
        }
      }
    }
  }

  struct Kill: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Ends a virtual machine at once, as if its power were cut.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.show(KillVM.self, .init(name: name), on: .vm, VMText.line)
        }
      }
    }
  }

  struct Autostart: AsyncParsableCommand {
    enum Choice: String, ExpressibleByArgument, CaseIterable { case on, off }
    static let configuration = CommandConfiguration(
      abstract: "Sets whether a virtual machine is started with the host.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @Argument(help: "on or off.") var choice: Choice
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.show(SetVMAutostart.self, .init(name: name, autostart: choice == .on), on: .vm) {
            "\($0.name) is \($0.autostart ? "started" : "not started") with the host."
          }
        }
      }
    }
  }

  struct Follow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Prints every virtual machine's state, and then each change, until interrupted.")
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.follow(FollowVMs.self, on: .vm, params: { Nothing() }) { event in
          let times = Times.current
          session.printEvent(event) { "\(times.clock(times.now))  \(VMText.line($0.vm))" }
          return true
        }
      }
    }
  }

  struct Availability: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Tells how available virtual machines were, computed from the records.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName?
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        let ask = {
          try await session.show(GetVMAvailability.self, .init(name: name), on: .vm) {
            VMText.availability($0.vms, .current, .standard)
          }
        }
        if let name { try await session.about(name, ask) } else { try await ask() }
      }
    }
  }
}
