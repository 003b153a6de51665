import Primitives
import RPC
import ServiceAPI
import Testing

@testable import ControlState

/// A keyed method of these tests.
enum AddItem: RPCMethod {
  static let name = "item.add"
  static let summary = "Adds an item."
  static let access = Access.operator
  static let effect = Effect.keyed

  struct Params: KeyedParams {
    var requestKey: RequestKey?
    var text: String
    enum CodingKeys: CodingKey, CaseIterable { case requestKey, text }
    static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .requestKey: Field(\.requestKey, "Key.")
      case .text: Field(\.text, "Text.")
      }
    }
  }

  typealias Result = Int64
}

@Suite(.timeLimit(.minutes(1)))
struct RequestKeyTests {
  let fixture = Fixture()

  func key(_ offset: Int64 = 0) -> RequestKey {
    RequestKey.random(millisecondsSinceEpoch: fixture.clock.withLock { $0 } + offset)
  }

  func add(_ text: String, _ key: RequestKey?, _ state: ControlState) async throws(RPCError) -> Int64 {
    try await state.perform(AddItem.self, .init(requestKey: key, text: text)) { transaction in
      try transaction.execute("INSERT INTO item (text) VALUES (?)", [text])
      return transaction.lastInsertedRowID
    }
  }

  @Test func `a repeat gets the first answer and is not executed`() async throws {
    let state = try await fixture.open()
    let key = key()
    #expect(try await add("a", key, state) == 1)
    #expect(try await add("a", key, state) == 1)
    #expect(try await state.items() == ["a"])
    #expect(try await state.answer(for: AddItem.self, .init(requestKey: key, text: "a")) == 1)
  }

  @Test func `a repeat after a restart on the other leg gets the first answer`() async throws {
    let state = try await fixture.open()
    let key = key()
    _ = try await add("a", key, state)
    await state.close()
    try fixture.lose(.io0)
    let second = try await fixture.open()
    #expect(try await add("a", key, second) == 1)
    #expect(try await second.items() == ["a"])
  }

  @Test func `a key with other parameters is refused`() async throws {
    let state = try await fixture.open()
    let key = key()
    _ = try await add("a", key, state)
    let error = await #expect(throws: RPCError.self) { try await add("b", key, state) }
    #expect(error?.matches(CommonFailure.requestKeyReused) == true)
    #expect(try await state.items() == ["a"])
  }

  @Test func `a request without a key is executed each time`() async throws {
    let state = try await fixture.open()
    _ = try await add("a", nil, state)
    _ = try await add("a", nil, state)
    #expect(try await state.items() == ["a", "a"])
  }

  @Test func `an old key is refused and not executed`() async throws {
    let state = try await fixture.open()
    let error = await #expect(throws: RPCError.self) { try await add("a", key(-3_600_001), state) }
    #expect(error?.matches(CommonFailure.requestKeyExpired) == true)
    #expect(try await state.items() == [])
  }

  @Test func `a forgotten key stays refused though the clock is set back`() async throws {
    let state = try await fixture.open()
    let old = key()
    _ = try await add("a", old, state)
    fixture.clock.withLock { $0 += 3_700_000 }
    _ = try await add("b", key(), state)
    fixture.clock.withLock { $0 -= 3_700_000 }
    let error = await #expect(throws: RPCError.self) { try await add("a", old, state) }
    #expect(error?.matches(CommonFailure.requestKeyExpired) == true)
    await state.close()
    let second = try await fixture.open()
    await #expect(throws: RPCError.self) { try await add("a", old, second) }
    #expect(try await second.items() == ["a", "b"])
  }

  @Test func `beyond the number limit the oldest are forgotten and refused`() async throws {
    let state = try await fixture.open { $0.requestKeyLimit = 10 }
    var keys: [RequestKey] = []
    for number in 0..<12 {
      fixture.clock.withLock { $0 += 1 }
      keys.append(key())
      _ = try await add("\(number)", keys[number], state)
    }
    let error = await #expect(throws: RPCError.self) { try await add("0", keys[0], state) }
    #expect(error?.matches(CommonFailure.requestKeyExpired) == true)
    #expect(try await add("11", keys[11], state) == 12)
    #expect(try await state.items().count == 12)
  }

  @Test func `a key far in the future is refused`() async throws {
    let state = try await fixture.open()
    let error = await #expect(throws: RPCError.self) { try await add("a", key(300_001), state) }
    #expect(error?.matches(CommonFailure.invalidParams) == true)
    _ = try await add("b", key(299_000), state)
  }

  @Test func `a refused request leaves its key unused`() async throws {
    let state = try await fixture.open()
    let key = key()
    await #expect(throws: RPCError.self) {
      try await state.perform(AddItem.self, .init(requestKey: key, text: "a")) { _ in
        throw RPCError(CommonFailure.limitExceeded, "no")
      }
    }
    #expect(try await state.answer(for: AddItem.self, .init(requestKey: key, text: "a")) == nil)
    #expect(try await add("a", key, state) == 1)
  }
}
