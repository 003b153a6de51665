import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// `ftctl module …`
struct ModuleCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "module",
    abstract: "The hot-swappable modules: show, take out of service, repair.",
    subcommands: [
      List.self, Show.self, Offline.self, Online.self, Fail.self, Remove.self, Insert.self, PathCommand.self,
    ])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the modules and their states.")
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(GetModules.self, Nothing(), on: .hardware) {
          ModuleText.list($0, .current, .standard)
        }
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows one module.")
    @Argument(help: "cpu0, cpu1, io0 or io1.") var module: ModuleID
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        let list = try await session.call(GetModules.self, Nothing(), on: .hardware)
        guard let status = list.modules.first(where: { $0.module == module }) else {
          throw Complaint("The host has no module \(module.rawValue).")
        }
        session.print(status) { ModuleText.detail($0, .current, .standard) }
      }
    }
  }

  struct Offline: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Takes a module out of service in good order; what runs on it goes to its partner.")
    @Argument(help: "cpu0, cpu1, io0 or io1.") var module: ModuleID
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(TakeModuleOffline.self, .init(module: module), on: .hardware, ModuleText.line)
      }
    }
  }

  struct Online: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Brings a module into service, and waits until it is.")
    @Argument(help: "cpu0, cpu1, io0 or io1.") var module: ModuleID
    @Flag(help: "Do not wait until it is online.") var noWait = false
    @Option(help: "Longest wait in seconds.") var timeout = 3600.0
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        let status = try await session.call(BringModuleOnline.self, .init(module: module), on: .hardware)
        if noWait || status.state == .online { return session.print(status, ModuleText.line) }
        let last = try await ModuleWait(session: session, module: module).untilOnline(atMost: .seconds(timeout))
        session.print(last, ModuleText.line)
      }
    }
  }

  struct Fail: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Fails a module as a fault would: everything on it is killed at once.")
    @Argument(help: "cpu0, cpu1, io0 or io1.") var module: ModuleID
    @Option(help: "Why, for the records.") var reason: String?
    @Flag(help: "Fail the last module of its pair, too; the host then stops.") var force = false
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        let params = FailModule.Params(module: module, reason: reason, force: force ? true : nil)
        try await session.show(FailModule.self, params, on: .hardware, ModuleText.line)
      }
    }
  }

  struct Remove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Takes a module that is out of service from its slot.")
    @Argument(help: "cpu0, cpu1, io0 or io1.") var module: ModuleID
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(RemoveModule.self, .init(module: module), on: .hardware, ModuleText.line)
      }
    }
  }

  struct Insert: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Puts a module back into its slot; it stays offline until brought online.")
    @Argument(help: "cpu0, cpu1, io0 or io1.") var module: ModuleID
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(InsertModule.self, .init(module: module), on: .hardware, ModuleText.line)
      }
    }
  }
}

/// Waits for a module that is on its way into service, showing how far it is.
struct ModuleWait {
  let session: Session
  let module: ModuleID

  func untilOnline(atMost limit: Duration) async throws -> ModuleStatus {
    let progress = Progress()
    defer { progress.clear() }
    let deadline = ContinuousClock.now + limit
    let pause = Duration.milliseconds(250)
    while true {
      // Asked again and again rather than followed: the supervisor itself may be moving, and a resync's progress has to
      // be asked for anyway.
      let list = try await session.call(GetModules.self, Nothing(), on: .hardware)
      guard let status = list.modules.first(where: { $0.module == module }) else {
        throw Complaint("The host has no module \(module.rawValue).")
      }
      switch status.state {
      case .online: return status
      case .broken, .offline, .removed, .empty, .shot:
        throw Complaint(ModuleText.line(status) + (status.nextStep.map { "\n\($0)" } ?? ""))
      default: break
      }
      guard ContinuousClock.now < deadline else {
        throw Complaint("\(ModuleText.line(status))\nIt goes on; ftctl module show \(module.rawValue).", .timedOut)
      }
      await show(status, progress)
      try await Task.sleep(for: pause)
    }
  }

  private func show(_ status: ModuleStatus, _ progress: Progress) async {
    let text = "\(module.rawValue) \(Words.spaced(status.state.rawValue))"
    if module.kind == .io, let legs = try? await session.call(GetLegs.self, Nothing(), on: .storage).legs,
      let leg = legs.first(where: { $0.leg.module == module }), leg.state == .resyncing, let done = leg.doneBytes,
      let total = leg.totalBytes, total > 0
    {
      progress.show(text, done: done, of: total)
    } else {
      progress.show(status.reason.map { "\(text): \($0)" } ?? text)
    }
  }
}

/// Modules as text.
enum ModuleText {
  static func list(_ list: ModuleList, _ times: Times, _ style: Style) -> String {
    var table = Table(["MODULE", "STATE", "FOR", "FAILURES", "REASON"], right: [3])
    for module in list.modules {
      table.add([
        Table.Cell(module.module.rawValue), Table.Cell(module.state), Table.Cell(times.since(module.sinceMilliseconds)),
        "\(module.failures)", Table.Cell(module.reason ?? ""),
      ])
    }
    let pairs = list.pairs.map { pair in
      let cell = Table.Cell(pair.state)
      return "\(pair.kind.rawValue) \(style.paint(cell.text, cell.colour))"
    }
    return table.text(style) + "\n\n" + pairs.joined(separator: ", ")
  }

  /// "cpu0 is broken: its agent fell silent"
  static func line(_ status: ModuleStatus) -> String {
    "\(status.module.rawValue) is \(Words.spaced(status.state.rawValue))"
      + (status.reason.map { ": \($0)" } ?? "")
  }

  static func detail(_ status: ModuleStatus, _ times: Times, _ style: Style) -> String {
    var table = Table(["", ""])
    table.add(["Module", Table.Cell(status.module.rawValue)])
    table.add(["State", Table.Cell(status.state)])
    if let reason = status.reason { table.add(["Reason", Table.Cell(reason)]) }
    table.add([
      "Since",
      Table.Cell("\(times.clock(status.sinceMilliseconds)), \(times.since(status.sinceMilliseconds))"),
    ])
    table.add(["Failures", "\(status.failures)"])
    if let age = status.heartbeatAgeMilliseconds {
      table.add(["Last heartbeat", Table.Cell("\(Times.duration(Int64(age))) ago")])
    }
    if let next = status.nextStep { table.add(["Next", Table.Cell(next)]) }
    return table.text(style)
  }
}
