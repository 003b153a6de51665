/// Why a definition was refused: what is wrong, where, and what to do about it.
public struct DomainError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The element that is at fault, as a path from the root: `domain/devices/disk/source`; empty for a text that is not
  /// XML at all.
  public let element: String
  /// The attribute at fault, where it is one.
  public let attribute: String?
  /// Line of the element, counted from 1.
  public let line: Int
  /// A sentence without the place.
  public let explanation: String

  public init(element: String, attribute: String? = nil, line: Int, _ explanation: String) {
    self.element = element
    self.attribute = attribute
    self.line = line
    self.explanation = explanation
  }

  public var description: String {
    switch (element.isEmpty, attribute) {
    case (true, _): "line \(line): \(explanation)"
    case (false, let attribute?): "line \(line), <\(element)>, attribute '\(attribute)': \(explanation)"
    case (false, nil): "line \(line), <\(element)>: \(explanation)"
    }
  }
}
