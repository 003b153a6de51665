import Primitives

/// Knows where a guest's serial console can be reached.
public struct ConsoleConnector: Sendable {
  struct Target: Sendable {
    var path: String
    var reactor: SocketReactor
  }

  let target: @Sendable (_ slot: Int, _ module: ModuleID) -> Target

  init(target: @escaping @Sendable (_ slot: Int, _ module: ModuleID) -> Target) { self.target = target }
}
