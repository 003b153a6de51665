import CSystemd
import Glibc

/// Why a call over the system bus failed.
public struct BusError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The D-Bus name of the error.
  public var name: String
  public var message: String

  public init(name: String, message: String) {
    self.name = name
    self.message = message
  }

  /// A failure of this side, by its negative errno.
  init(code: Int32, _ action: String) {
    name = code == -EACCES || code == -EPERM ? Self.accessDenied : Self.disconnected
    message = "\(action): \(String(cString: strerror(-code)))"
  }

  public static let disconnected = "org.freedesktop.DBus.Error.Disconnected"
  public static let accessDenied = "org.freedesktop.DBus.Error.AccessDenied"

  public var description: String { "\(message) (\(name))" }
}

/// An argument of a call, or a value of a property.
enum BusValue: Equatable {
  case string(String)
  case objectPath(String)
  case int32(Int32)
  case uint32(UInt32)
  case uint64(UInt64)
  case bool(Bool)

  var string: String? {
    switch self {
    case .string(let text), .objectPath(let text): text
    default: nil
    }
  }

  var uint32: UInt32? {
    guard case .uint32(let number) = self else { return nil }
    return number
  }

  var uint64: UInt64? {
    guard case .uint64(let number) = self else { return nil }
    return number
  }

  var bool: Bool? {
    guard case .bool(let value) = self else { return nil }
    return value
  }
}

/// A message that was received, read from its beginning to its end. Valid inside the handler that got it.
struct BusMessage {
  let pointer: OpaquePointer

  var path: String { sd_bus_message_get_path(pointer).map { String(cString: $0) } ?? "" }
  var member: String { sd_bus_message_get_member(pointer).map { String(cString: $0) } ?? "" }

  /// The error that this message is, if it is one.
  var error: BusError? {
    guard sd_bus_message_is_method_error(pointer, nil) > 0, let error = sd_bus_message_get_error(pointer) else {
      return nil
    }
    return BusError(
      name: error.pointee.name.map { String(cString: $0) } ?? "",
      message: error.pointee.message.map { String(cString: $0) } ?? "")
  }

  /// The next value, where it is of a type that `BusValue` has; nil at the end and for all others.
  func readValue() -> BusValue? {
    var type: CChar = 0
    guard sd_bus_message_peek_type(pointer, &type, nil) > 0 else { return nil }
    switch UInt8(bitPattern: type) {
    case UInt8(ascii: "s"), UInt8(ascii: "o"):
      var text: UnsafePointer<CChar>?
      guard sd_bus_message_read_basic(pointer, type, &text) > 0, let text else { return nil }
      return type == CChar(UInt8(ascii: "s")) ? .string(String(cString: text)) : .objectPath(String(cString: text))
    case UInt8(ascii: "i"):
      var number: Int32 = 0
      return sd_bus_message_read_basic(pointer, type, &number) > 0 ? .int32(number) : nil
    case UInt8(ascii: "u"):
      var number: UInt32 = 0
      return sd_bus_message_read_basic(pointer, type, &number) > 0 ? .uint32(number) : nil
    case UInt8(ascii: "t"):
      var number: UInt64 = 0
      return sd_bus_message_read_basic(pointer, type, &number) > 0 ? .uint64(number) : nil
    case UInt8(ascii: "b"):
      var number: Int32 = 0
      return sd_bus_message_read_basic(pointer, type, &number) > 0 ? .bool(number != 0) : nil
    default: return nil
    }
  }

  /// The value inside the variant that comes next; nil, and the variant skipped, where it is of another type.
  func readVariant() -> BusValue? {
    var contents: UnsafePointer<CChar>?
    var type: CChar = 0
    guard sd_bus_message_peek_type(pointer, &type, &contents) > 0, type == Self.variant, let contents else {
      return nil
    }
    guard ["s", "o", "i", "u", "t", "b"].contains(String(cString: contents)) else {
      sd_bus_message_skip(pointer, "v")
      return nil
    }
    guard sd_bus_message_enter_container(pointer, Self.variant, contents) > 0 else { return nil }
    defer { sd_bus_message_exit_container(pointer) }
    return readValue()
  }

  /// The dictionary of names and variants that comes next, without values of other types.
  func readProperties() -> [String: BusValue] {
    var properties: [String: BusValue] = [:]
    guard sd_bus_message_enter_container(pointer, Self.array, "{sv}") > 0 else { return [:] }
    defer { sd_bus_message_exit_container(pointer) }
    while sd_bus_message_enter_container(pointer, Self.entry, "sv") > 0 {
      let name = readValue()?.string
      let value = readVariant()
      if let name, let value { properties[name] = value }
      sd_bus_message_exit_container(pointer)
    }
    return properties
  }

  private static let variant = CChar(UInt8(ascii: "v"))
  private static let array = CChar(UInt8(ascii: "a"))
  private static let entry = CChar(UInt8(ascii: "e"))
}
