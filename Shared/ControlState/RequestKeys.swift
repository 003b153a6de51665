import GRDB
import Primitives
import RPC

extension ControlState {
  /// Executes a keyed method inside the database: key and answer are stored in the transaction of the effect. A repeat
  /// with the same key gets the first one's answer; an expired or reused key is refused, never executed.
  public func perform<M: RPCMethod>(
    _ method: M.Type, _ params: M.Params, _ body: @escaping @Sendable (inout Transaction) throws -> M.Result
  ) async throws(RPCError) -> M.Result where M.Params: KeyedParams {
    guard let key = params.requestKey else { return try await write(body) }
    let request = try KeyedRequest(method.name, key, params)
    return try await attempt { engine throws(RPCError) in
      let limits = KeyLimits(engine.configuration)
      let floor = engine.requestFloor
      return try engine.write { transaction in
        if let answer = try request.answer(in: transaction.database, limits, floor: floor) {
          return try WireCoder.decode(M.Result.self, from: answer, unknownMembers: .ignore)
        }
        let result = try body(&transaction)
        try request.store(try WireCoder.encode(result), in: &transaction, limits)
        return result
      }
    }
  }

  /// The answer that a request with this key got before, for methods with effects outside the database; nil when it is
  /// new. Refuses expired and reused keys. Such a method stores its answer by `perform` when its effect is done.
  public func answer<M: RPCMethod>(
    for method: M.Type, _ params: M.Params
  ) async throws(RPCError) -> M.Result? where M.Params: KeyedParams {
    guard let key = params.requestKey else { return nil }
    let request = try KeyedRequest(method.name, key, params)
    return try await attempt { engine throws(RPCError) in
      let limits = KeyLimits(engine.configuration)
      let floor = engine.requestFloor
      let answer = try engine.read { database in try request.answer(in: database, limits, floor: floor) }
      guard let answer else { return nil }
      return try WireCoder.decode(M.Result.self, from: answer, unknownMembers: .ignore)
    }
  }
}

extension Engine {
  var requestFloor: Int64 { header?.requestFloor ?? 0 }
}

/// How long and how many request keys are remembered, and the time it is.
private struct KeyLimits {
  let now: Int64
  let age: Int64
  let count: Int
  /// Clocks of callers may be ahead by this much, in milliseconds.
  static let future: Int64 = 300_000

  init(_ configuration: ControlState.Configuration) {
    now = configuration.now()
    age = configuration.requestKeyAge.milliseconds
    count = max(1, configuration.requestKeyLimit)
  }
}

/// A request that carries a key.
private struct KeyedRequest: Sendable {
  let key: RequestKey
  let method: String
  let fingerprint: String

  init<P: KeyedParams>(_ method: String, _ key: RequestKey, _ params: P) throws(RPCError) {
    self.key = key
    self.method = method
    var anonymous = params
    anonymous.requestKey = nil
    fingerprint = Fingerprint.of(try WireCoder.encode(anonymous))
  }

  /// The stored answer, or nil when the request is new and young enough to be executed.
  func answer(in database: Database, _ limits: KeyLimits, floor: Int64) throws -> JSONValue? {
    let row = try Row.fetchOne(
      database, sql: "SELECT method, fingerprint, answer FROM ftvs_request WHERE key = ?", arguments: [key.rawValue])
    if let row {
      guard row.text("method") == method, row.text("fingerprint") == fingerprint else {
        throw RPCError(
          CommonFailure.requestKeyReused,
          "The request key \(key) was used for another request (\(row.text("method") ?? "unknown")); draw a new one.")
      }
      guard let answer = row.text("answer") else {
        throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "a stored answer is not readable")
      }
      return try JSON.parse(answer)
    }
    let drawn = key.millisecondsSinceEpoch
    if drawn > limits.now &+ KeyLimits.future {
      throw RPCError(
        CommonFailure.invalidParams,
        "The request key \(key) was drawn more than 5 minutes in the future; set the caller's clock and draw a new one."
      )
    }
    if drawn < limits.now - limits.age || drawn <= floor {
      throw RPCError(
        CommonFailure.requestKeyExpired,
        "The request key \(key) is older than the service remembers, so it is not known whether the request was "
          + "executed. It was not executed now: look at the state, then repeat with a new key if needed.")
    }
    return nil
  }

  func store(_ answer: JSONValue, in transaction: inout Transaction, _ limits: KeyLimits) throws {
    let drawn = key.millisecondsSinceEpoch
    try transaction.execute(
      "INSERT INTO ftvs_request (key, drawn, method, fingerprint, answer) VALUES (?, ?, ?, ?, ?)",
      [key.rawValue, drawn, method, fingerprint, JSON.text(answer)])
    // What is forgotten is at or below the floor from now on, so that it is never executed again.
    var floor: Int64?
    let oldest = try Int64.fetchOne(transaction.database, sql: "SELECT min(drawn) FROM ftvs_request") ?? drawn
    if oldest < limits.now - limits.age { floor = limits.now - limits.age - 1 }
    let count = try Int.fetchOne(transaction.database, sql: "SELECT count(*) FROM ftvs_request") ?? 0
    if count > limits.count {
      // A tenth at once, so that this is rare. The key just stored stays: the floor is below it or at its time.
      let excess = max(1, count - limits.count + limits.count / 10)
      let time = try Int64.fetchOne(
        transaction.database, sql: "SELECT drawn FROM ftvs_request ORDER BY drawn LIMIT 1 OFFSET ?",
        arguments: [min(excess, count) - 1])
      floor = max(floor ?? .min, time ?? .min)
    }
    guard let floor else { return }
    try transaction.execute("DELETE FROM ftvs_request WHERE drawn <= ? AND key <> ?", [floor, key.rawValue])
    transaction.requestFloor = floor
  }
}

/// A fingerprint of a JSON value that does not depend on the order of an object's members.
enum Fingerprint {
  static func of(_ value: JSONValue) -> String {
    var low: UInt64 = 0xCBF2_9CE4_8422_2325
    var high: UInt64 = 0x6C62_272E_07BB_0142
    let bytes = JSON.bytes(sorted(value))
    for byte in bytes {
      low = (low ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
      high = (high ^ UInt64(byte) ^ (low >> 32)) &* 0x0000_0100_0000_01B3
    }
    return "\(String(low, radix: 16))-\(String(high, radix: 16))-\(bytes.count)"
  }

  private static func sorted(_ value: JSONValue) -> JSONValue {
    switch value {
    case .object(let object):
      .object(
        JSONObject(
          uniqueMembers: object.members.sorted { $0.name < $1.name }.map { .init($0.name, sorted($0.value)) }))
    case .array(let elements): .array(elements.map(sorted))
    case .null, .bool, .integer, .number, .string: value
    }
  }
}
