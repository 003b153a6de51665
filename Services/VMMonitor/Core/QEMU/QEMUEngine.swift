import DomainXML
import Glibc
import HostConfiguration
import Primitives
import RPC

/// Runs virtual machines with QEMU.
public struct QEMUEngine: VMEngine {
  private let paths: HostPaths
  private let program: String
  private let accelerator: QEMUArguments.Accelerator?
  private let reactor: SocketReactor
  private let files = BlockingQueue("guest files")

  /// Nil where the system has no descriptors or threads left.
  public init?(_ configuration: HostConfiguration) {
    guard let reactor = SocketReactor.shared else { return nil }
    paths = HostPaths(configuration)
    program = configuration.qemuProgram ?? "/usr/bin/qemu-system-x86_64"
    accelerator = configuration.accelerator.flatMap(QEMUArguments.Accelerator.init(rawValue:))
    self.reactor = reactor
  }

  public func prepare(_ plan: GuestPlan) async throws(EngineError) {
    if let emulator = plan.domain.emulator, emulator.value != program {
      throw .notPrepared(
        "line \(emulator.line), <domain/devices/emulator>: this host runs \(program); name that or remove the element")
    }
    let guest = GuestFiles(paths, slot: plan.slot, module: plan.module)
    let arguments = QEMUArguments(plan: plan, files: guest, program: program, accelerator: accelerator)
    let (bytes, memoryBytes) = (arguments.file, arguments.memoryKiB * 1024)
    let failure = await files.run { () -> String? in
      do throws(FileSystem.Failure) {
        try FileSystem.makeDirectory(guest.directory, mode: 0o750)
        if let complaint = guest.prepareMemory(plan.sharedMemory, bytes: memoryBytes) { return complaint }
        for path in [guest.control, guest.console, guest.screen, guest.agent, guest.process] { unlink(path) }
        // World-readable, for the guest's own user reads it; the directory keeps everybody else out.
        try FileSystem.replace(guest.arguments, with: bytes, mode: 0o644, durable: false)
        return nil
      } catch { return error.description }
    }
    if let failure { throw .notPrepared(failure) }
  }

  public func attach(
    slot: Int, module: ModuleID, patience: Duration, answerTime: Duration
  ) async throws(EngineError) -> any VMInstance {
    let guest = GuestFiles(paths, slot: slot, module: module)
    do {
      let client = try await QMPClient.connect(
        path: guest.control, reactor: reactor, patience: patience, answerTime: answerTime)
      let accelerator = try await client.execute("query-kvm")
      let hasKVM = accelerator["enabled"] == .bool(true)
      let agent = GuestAgent(path: guest.agent, reactor: reactor)
      return QEMUInstance(client, agent: agent, engine: hasKVM ? "qemu/kvm" : "qemu/tcg")
    } catch { throw EngineError(error) }
  }

  public var mayEmulate: Bool { accelerator == nil }

  public func endedInOrder(slot: Int, module: ModuleID) async -> Bool {
    let guest = GuestFiles(paths, slot: slot, module: module)
    return await files.run { FileSystem.exists(guest.arguments) && !FileSystem.exists(guest.process) }
  }

  /// Where guests' consoles are.
  public var consoles: ConsoleConnector {
    let (paths, reactor) = (paths, reactor)
    return ConsoleConnector { slot, module in
      ConsoleConnector.Target(path: GuestFiles(paths, slot: slot, module: module).console, reactor: reactor)
    }
  }
}
