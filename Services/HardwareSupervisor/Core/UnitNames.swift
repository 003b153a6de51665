import Primitives

/// Names of the units of a module.
enum UnitNames {
  static func service(_ service: ServiceName, on module: ModuleID) -> String {
    "ftvs-\(service.rawValue)@\(module.rawValue).service"
  }
  static func agent(_ module: ModuleID) -> String { "ftvs-module@\(module.rawValue).service" }
  static func slice(_ module: ModuleID) -> String { "ftvs-\(module.rawValue).slice" }

  /// The supervisor comes last: when it stops a module in good order and runs there itself, it ends with that step.
  static func all(_ module: ModuleID) -> [String] {
    [agent(module)] + ([.alerts, .storage, .vm, .hardware] as [ServiceName]).map { service($0, on: module) }
  }
}
