import CSystemd
import Glibc

/// One connection to the system bus. Belongs to one thread: made, used and let go there.
final class BusConnection {
  typealias Reply = (Result<BusMessage, BusError>) -> Void

  /// What a C callback gets: where to find the handler.
  fileprivate final class Handler {
    let run: (BusMessage) -> Void

    init(_ run: @escaping (BusMessage) -> Void) { self.run = run }
  }

  private struct Call {
    let handler: Handler
    let reply: Reply
  }

  /// Signals that match a rule: they are handled as long as this is held.
  final class Match {
    private let handler: Handler
    private let slot: OpaquePointer

    fileprivate init(_ handler: Handler, _ slot: OpaquePointer) {
      self.handler = handler
      self.slot = slot
    }

    deinit { sd_bus_slot_unref(slot) }
  }

  private let bus: OpaquePointer
  private var calls: [Int: Call] = [:]
  private var nextCall = 0

  init() throws(BusError) {
    var bus: OpaquePointer?
    let result = sd_bus_open_system(&bus)
    guard result >= 0, let bus else { throw BusError(code: result, "Cannot connect to the system bus") }
    self.bus = bus
    sd_bus_set_exit_on_disconnect(bus, 0)
  }

  deinit { sd_bus_close_unref(bus) }

  /// Ends the connection; every call that has no answer yet fails.
  func close(_ error: BusError) {
    sd_bus_close(bus)
    let waiting = calls.values
    calls = [:]
    for call in waiting { call.reply(.failure(error)) }
  }

  // MARK: Calls and signals

  /// Calls a method; `reply` gets the answer, on this thread, within `timeout`.
  func call(
    _ member: String, of interface: String, at path: String, destination: String, _ arguments: [BusValue],
    timeout: Duration = .seconds(25), reply: @escaping Reply
  ) {
    var message: OpaquePointer?
    var result = sd_bus_message_new_method_call(bus, &message, destination, path, interface, member)
    defer { sd_bus_message_unref(message) }
    for argument in arguments where result >= 0 { result = Self.append(argument, to: message) }
    guard result >= 0 else { return reply(.failure(BusError(code: result, "Cannot call \(member)"))) }
    let number = nextCall
    nextCall += 1
    let handler = Handler { [weak self] message in
      guard let call = self?.calls.removeValue(forKey: number) else { return }
      call.reply(message.error.map { .failure($0) } ?? .success(message))
    }
    calls[number] = Call(handler: handler, reply: reply)
    // The slot floats: it lives as long as the bus, as the handler does in `calls`.
    let microseconds = UInt64(max(1, timeout.components.seconds)) * 1_000_000
    result = sd_bus_call_async(
      bus, nil, message, Self.callback, Unmanaged.passUnretained(handler).toOpaque(), microseconds)
    if result < 0 {
      calls[number] = nil
      reply(.failure(BusError(code: result, "Cannot call \(member)")))
    }
  }

  /// Has signals that match a rule handled: from before the next call that is made, until the match is let go.
  func match(_ rule: String, _ run: @escaping (BusMessage) -> Void) throws(BusError) -> Match {
    let handler = Handler(run)
    var slot: OpaquePointer?
    let result = sd_bus_add_match_async(
      bus, &slot, rule, Self.callback, nil, Unmanaged.passUnretained(handler).toOpaque())
    guard result >= 0, let slot else { throw BusError(code: result, "Cannot match signals") }
    return Match(handler, slot)
  }

  private static let callback: sd_bus_message_handler_t = { message, context, _ in
    guard let message, let context else { return 0 }
    // Retained for the call: a reply's handler removes itself from `calls`, which was its only owner.
    let handler = Unmanaged<Handler>.fromOpaque(context).takeUnretainedValue()
    handler.run(BusMessage(pointer: message))
    return 0
  }

  private static func append(_ value: BusValue, to message: OpaquePointer?) -> Int32 {
    func type(_ letter: Unicode.Scalar) -> CChar { CChar(UInt8(ascii: letter)) }
    switch value {
    case .string(let text): return text.withCString { sd_bus_message_append_basic(message, type("s"), $0) }
    case .objectPath(let text): return text.withCString { sd_bus_message_append_basic(message, type("o"), $0) }
    case .int32(var number): return sd_bus_message_append_basic(message, type("i"), &number)
    case .uint32(var number): return sd_bus_message_append_basic(message, type("u"), &number)
    case .uint64(var number): return sd_bus_message_append_basic(message, type("t"), &number)
    case .bool(let flag):
      var number: Int32 = flag ? 1 : 0
      return sd_bus_message_append_basic(message, type("b"), &number)
    }
  }

  // MARK: The loop

  /// Handles all that has arrived; throws when the connection has ended.
  func processAll() throws(BusError) {
    while true {
      let result = sd_bus_process(bus, nil)
      if result < 0 { throw BusError(code: result, "The connection to the system bus ended") }
      if result == 0 { return }
    }
  }

  /// Waits until something arrives, a call times out, or `wakeUp` becomes readable.
  func wait(orUntilReadable wakeUp: Int32) {
    var descriptors = [
      pollfd(fd: sd_bus_get_fd(bus), events: Int16(truncatingIfNeeded: sd_bus_get_events(bus)), revents: 0),
      pollfd(fd: wakeUp, events: Int16(POLLIN), revents: 0),
    ]
    poll(&descriptors, nfds_t(descriptors.count), milliseconds())
  }

  /// Time until the next call times out, for poll(2): -1 for no bound.
  private func milliseconds() -> Int32 {
    var deadline: UInt64 = 0
    guard sd_bus_get_timeout(bus, &deadline) >= 0, deadline != .max else { return -1 }
    let now = Notifier.monotonicMicroseconds
    guard deadline > now else { return 0 }
    return Int32(clamping: (deadline - now) / 1_000 + 1)
  }
}
