import ArgumentParser
import FTVSClient
import Primitives
import RPC

extension NewMachine.Disk: ExpressibleByArgument {}
extension NewMachine.Forward: ExpressibleByArgument {}
extension NewMachine.Bus: ExpressibleByArgument {}

extension VMCommand {
  /// `ftctl vm create`
  struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes a virtual machine with its volumes, without any XML to write.",
      discussion: """
        --disk VOLUME takes a volume that is there, new:SIZE makes an empty one, image:IMAGE one on an image of the library.
        With --print-xml nothing is made: the definition is printed, to be changed and given to 'ftctl vm define'.
        """)

    enum Network: String, ExpressibleByArgument, CaseIterable { case user, none }
    enum Machine: String, ExpressibleByArgument, CaseIterable { case q35, pc }
    enum Model: String, ExpressibleByArgument, CaseIterable { case virtio, e1000, e1000e }
    enum Protection: String, ExpressibleByArgument, CaseIterable { case restart, none }

    @Argument(help: "Name of the new virtual machine.", transform: userName) var name: VMName
    @Option(help: "Memory, such as 2G.") var memory: ByteCount
    @Option(help: "Virtual processors, 1 to 64.") var cpus = 1
    @Option(help: "A line about it.") var title: String?
    @Option(help: "A disk: VOLUME, new:SIZE or image:IMAGE. Repeat it for more.", completion: .volumes)
    var disk: [NewMachine.Disk] = []
    @Option(help: "How the disks are attached.") var bus = NewMachine.Bus.virtio
    @Option(help: "A volume with a disc for a CD-ROM drive.", completion: .volumes, transform: userName)
    var cdrom: [VolumeName] = []
    @Option(help: "Network: user leads out through the host, none is none.") var network = Network.user
    @Option(help: "Network card.") var networkModel = Model.virtio
    @Option(help: "Port of the host that leads to one of the guest: [tcp:|udp:][ADDRESS:]PORT:GUESTPORT.")
    var forward: [NewMachine.Forward] = []
    @Flag(help: "Boot by UEFI.") var uefi = false
    @Option(help: "Machine type.") var machine = Machine.q35
    @Option(help: "Kernel that is booted directly; a file of the host.") var kernel: String?
    @Option(help: "Initial RAM disk of the kernel.") var initrd: String?
    @Option(help: "Command line of the kernel.") var append: String?
    @Flag(help: "Give it a screen, reached by VNC.") var vnc = false
    @Flag(help: "Give it a channel to a guest agent, see 'ftctl vm guest'.") var guestAgent = false
    @Option(help: "What is done when its module is lost.") var protection: Protection?
    @Option(help: "CPU module on which it is to be started.") var module: ModuleID?
    @Flag(help: "Start it with the host.") var autostart = false
    @Flag(help: "Start it now.") var start = false
    @Flag(name: .customLong("print-xml"), help: "Print the definition and make nothing.") var printXML = false
    @OptionGroup var options: GlobalOptions

    func validate() throws {
      guard (1...64).contains(cpus) else { throw ValidationError("--cpus is from 1 to 64.") }
      guard kernel != nil || (initrd == nil && append == nil) else {
        throw ValidationError("--initrd and --append need a --kernel.")
      }
      guard network == .user || forward.isEmpty else { throw ValidationError("--forward needs --network user.") }
      guard module?.kind != .io else { throw ValidationError("--module is cpu0 or cpu1.") }
      guard disk.count <= 16 else { throw ValidationError("At most 16 disks.") }
      let places = bus == .sata ? disk.count + cdrom.count : cdrom.count
      guard places <= 6 || bus == .scsi else { throw ValidationError("SATA has 6 places for disks and CD-ROM drives.") }
    }

    /// What the options describe.
    var newMachine: NewMachine {
      get throws(Complaint) { try describedMachine() }
    }

    private func describedMachine() throws(Complaint) -> NewMachine {
      var new = NewMachine(name: name, title: title, memoryBytes: memory.bytes, cpus: cpus)
      new.disks = disk
      new.bus = bus
      new.discs = cdrom
      new.hasNetwork = network == .user
      new.networkModel = networkModel.rawValue
      new.forwards = forward
      new.isUEFI = uefi
      new.machine = machine.rawValue
      new.kernel = try path(kernel)
      new.initialRAMDisk = try path(initrd)
      new.commandLine = append
      new.hasScreen = vnc
      new.hasAgent = guestAgent
      new.protection = protection?.rawValue
      new.module = module
      return new
    }

    /// A file of the host: a relative path begins here, where the host is this one.
    private func path(_ given: String?) throws(Complaint) -> String? {
      guard let given, options.host == nil else { return given }
      return try FilePath.absolute(given)
    }

    func run() async throws {
      let new = try newMachine
      guard !printXML else { return Terminal.say(new.xml) }
      try await options.run { session in
        let creation = MachineCreation(session: session, new: new)
        try await creation.run(autostart: autostart)
        guard start else { return Terminal.say("\(name) is defined. Start it: ftctl vm start \(name)") }
        try await session.show(StartVM.self, .init(name: name), on: .vm, VMText.line)
      }
    }
  }
}

/// Makes the volumes of a machine, then the machine; whatever fails, none of them is left.
struct MachineCreation {
  let session: Session
  let new: NewMachine

  func run(autostart: Bool) async throws {
    let machines = try await session.call(ListVMs.self, Nothing(), on: .vm).vms
    guard !machines.contains(where: { $0.name == new.name }) else {
      throw Complaint("\(new.name) exists already; take another name, or change it: ftctl vm edit \(new.name)")
    }
    let own = new.disks.indices.filter { index in
      if case .volume = new.disks[index].source { false } else { true }
    }
    let names = own.map(new.volume)
    try await checkFree(names)
    try await NewVolume(session: session, word: "creation").removing(names) {
      for index in own { try await make(index) }
    } then: {
      let params = DefineVM.Params(definition: new.xml, autostart: autostart ? true : nil, expectedVersion: 0)
      _ = try await session.call(DefineVM.self, RequestKey.filled(in: params), on: .vm)
    }
  }

  /// What is there already is somebody's, and would be removed when something fails.
  private func checkFree(_ names: [VolumeName]) async throws {
    guard !names.isEmpty else { return }
    let volumes = try await session.call(ListVolumes.self, Nothing(), on: .storage).volumes.map(\.volume)
    guard let taken = names.first(where: volumes.contains) else { return }
    throw Complaint(
      "The volume \(taken) exists already. Use it with --disk \(taken), or delete it: ftctl volume delete \(taken)")
  }

  private func make(_ index: Int) async throws {
    var params = CreateVolume.Params(volume: new.volume(of: index))
    switch new.disks[index].source {
    case .volume: return
    case .new(let size): params.sizeBytes = size
    case .image(let image): params.image = image
    }
    _ = try await session.call(CreateVolume.self, RequestKey.filled(in: params), on: .storage)
  }
}
