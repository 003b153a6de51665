import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// Earlier definitions of a virtual machine, and those that were edited by hand.
extension VMCommand {
  struct Versions: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Lists the definitions that a virtual machine has and had.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.show(ListVMVersions.self, .init(name: name), on: .vm) {
            VMText.versions($0.versions, .current, .standard)
          }
        }
      }
    }
  }

  struct Restore: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes an earlier definition the current one again, of a virtual machine that is not running.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @Argument(help: "Number of the version, from 'ftctl vm versions'.") var version: Int
    @OptionGroup var options: GlobalOptions

    func validate() throws {
      guard version > 0 else { throw ValidationError("A version is a number from 1; 'ftctl vm versions' lists them.") }
    }

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          let current = try await session.call(ShowVM.self, .init(name: name), on: .vm)
          let earlier = try await session.call(ShowVM.self, .init(name: name, version: version), on: .vm)
          let params = DefineVM.Params(definition: earlier.definition, expectedVersion: current.version)
          try await session.show(DefineVM.self, params, on: .vm) {
            let number = $0.version.map { "; that is version \($0) now" } ?? ""
            return "\($0.name) is defined as it was in version \(version)\(number)."
          }
        }
      }
    }
  }

  struct Reload: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Takes the definition that was edited by hand in LEG/vm/machines/NAME/domain.xml.",
      discussion: """
        An edit of one leg's file is enough; the other leg follows. Where both were edited, they must be alike. 'ftctl vm edit'
        is the better way: it says at once what is wrong.
        """)
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          try await session.show(ReloadVM.self, .init(name: name), on: .vm) { result in
            let legs = result.legs.map(\.rawValue).joined(separator: " and ")
            return legs.isEmpty
              ? "Nothing was edited by hand; \(name) is as it was." : "\(name) is defined as its file on \(legs) says."
          }
        }
      }
    }
  }
}

extension VMText {
  static func versions(_ versions: [VMVersion], _ times: Times, _ style: Style) -> String {
    var table = Table(["VERSION", "DEFINED", "FROM", "SIZE", ""], right: [0, 3])
    for version in versions {
      let origin =
        switch version.origin {
        case .defined: "a call"
        case .reloaded: "a file edited by hand"
        case .replaced: "a file edited by hand, never in force"
        }
      let time = version.definedMilliseconds == 0 ? "-" : times.clock(version.definedMilliseconds)
      table.add([
        "\(version.version)", Table.Cell(time), Table.Cell(origin), Table.Cell(Sizes.text(version.sizeBytes)),
        Table.Cell(version.current ? "current" : "", .green),
      ])
    }
    return table.text(style)
  }
}
