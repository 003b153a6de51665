import Synchronization

/// Whether somebody interrupted a copy: the thread that copies looks at it after each piece, so that nothing is cleaned up
/// beside it.
final class Interruption: Sendable {
  private let asked = Atomic(false)
  private let ended = Atomic(false)

  var isAsked: Bool { asked.load(ordering: .acquiring) }

  /// Throws once somebody interrupted.
  func check() throws(Complaint) {
    if isAsked { throw Complaint("Interrupted.") }
  }

  /// Asks for the end.
  func ask() { asked.store(true, ordering: .releasing) }

  /// Asks for the end, and waits for it.
  func askAndWait() async {
    ask()
    while !ended.load(ordering: .acquiring) { try? await Task.sleep(for: .milliseconds(20)) }
  }

  /// All was cleaned up.
  func end() { ended.store(true, ordering: .releasing) }
}
