import Primitives
import Testing

@testable import ControlState

struct LegChoiceTests {
  static let g1 = GenerationID.random()
  static let g2 = GenerationID.random()
  static let g3 = GenerationID.random()

  func header(
    _ generation: GenerationID, _ ancestors: Set<GenerationID> = [], members: Set<LegID> = [.io0, .io1],
    sequence: Int64 = 5, host: String = "h", service: String = "vm"
  ) -> LegHeader {
    LegHeader(
      host: host, service: service, generation: generation, generationMilliseconds: 1_700_000_000_000, members: members,
      isComplete: true, sequence: sequence, epoch: 1, migrations: 0, requestFloor: 0, ancestors: ancestors)
  }

  func witness(_ generation: GenerationID, _ members: Set<LegID> = [.io0, .io1]) -> Witness {
    Witness(host: "h", service: "vm", generation: generation, members: members, timeMilliseconds: 1_700_000_000_000)
  }

  func decide(
    _ io0: LegFinding, _ io1: LegFinding, _ witness: Witness? = nil, force: LegID? = nil
  ) throws(ControlStateError) -> LegChoice {
    try LegChoice.decide([.io0: io0, .io1: io1], service: .vm, witness: witness, force: force)
  }

  func start(_ leg: LegID, level: LegID? = nil) -> LegChoice {
    .start(source: leg, level: level, adopted: [], isForced: false)
  }

  @Test func `two empty legs are set up`() throws {
    #expect(try decide(.blank, .blank) == .initialise)
  }

  @Test func `two empty legs of a host that held data are refused`() {
    #expect { try decide(.blank, .blank, witness(Self.g1)) } throws: { error in
      if case .noData = error as? ControlStateError { true } else { false }
    }
  }

  @Test func `one empty leg without the other is refused`() {
    #expect { try decide(.blank, .absent("gone")) } throws: { error in
      if case .noLeg = error as? ControlStateError { true } else { false }
    }
  }

  @Test func `in one generation the leg with more transactions wins and the other is brought level`() throws {
    let choice = try decide(.complete(header(Self.g1, sequence: 4)), .complete(header(Self.g1, sequence: 5)))
    #expect(choice == start(.io1, level: .io0))
  }

  @Test func `the descendant wins however many transactions the ancestor has`() throws {
    let choice = try decide(
      .complete(header(Self.g1, sequence: 900)), .complete(header(Self.g2, [Self.g1], members: [.io1], sequence: 3)))
    #expect(choice == start(.io1))
  }

  @Test func `two descendants of one ancestor are a split, explained with both generations`() throws {
    let error = #expect(throws: ControlStateError.self) {
      try decide(
        .complete(header(Self.g2, [Self.g1], members: [.io0])), .complete(header(Self.g3, [Self.g1], members: [.io1])))
    }
    guard case .split(let explanation)? = error else { return #expect(Bool(false)) }
    #expect(explanation.contains(Self.g2.rawValue.prefix(8)) && explanation.contains(Self.g3.rawValue.prefix(8)))
    #expect(explanation.contains("2023-11-14") && explanation.contains("service.forceLeg '{\"leg\":\"io1\"}'"))
  }

  @Test func `a leg that knows that it was alone starts alone`() throws {
    #expect(try decide(.complete(header(Self.g2, [Self.g1], members: [.io0])), .absent("gone")) == start(.io0))
  }

  @Test func `a leg that says both starts alone when the witness says that nobody went on`() throws {
    #expect(try decide(.absent("gone"), .complete(header(Self.g1)), witness(Self.g1)) == start(.io1))
    #expect(try decide(.absent("gone"), .complete(header(Self.g2, [Self.g1])), witness(Self.g1)) == start(.io1))
  }

  @Test(arguments: [nil, LegChoiceTests.g2])
  func `a leg that says both is refused alone when the witness is missing or knows another generation`(
    _ generation: GenerationID?
  ) {
    #expect {
      try decide(.absent("gone"), .complete(header(Self.g1)), generation.map { witness($0) })
    } throws: { error in
      if case .staleLeg(.io1, _) = error as? ControlStateError { true } else { false }
    }
  }

  @Test func `two legs that agree but are older than the witness are refused`() {
    #expect(throws: ControlStateError.self) {
      try decide(.complete(header(Self.g1)), .complete(header(Self.g1)), witness(Self.g2))
    }
  }

  @Test func `an unfinished copy never starts`() {
    let copy = LegFinding.incomplete(header(Self.g1, members: [.io1]))
    #expect(throws: ControlStateError.self) { try decide(.absent("gone"), copy, witness(Self.g1)) }
    #expect(throws: ControlStateError.self) { try decide(.absent("gone"), copy, witness(Self.g1), force: .io1) }
  }

  @Test func `a whole copy that is no member does not start alone`() {
    #expect(throws: ControlStateError.self) {
      try decide(.absent("gone"), .complete(header(Self.g1, members: [.io0])), witness(Self.g1))
    }
  }

  @Test func `a damaged leg counts as lost`() throws {
    #expect(try decide(.complete(header(Self.g1)), .damaged("bad"), witness(Self.g1)) == start(.io0))
  }

  @Test func `a foreign leg is left out where the witness tells which is ours`() throws {
    let other = LegFinding.complete(header(Self.g3, host: "other"))
    #expect(try decide(.complete(header(Self.g1)), other, witness(Self.g1)) == start(.io0))
  }

  @Test func `legs of two hosts are refused where nothing tells which is ours`() {
    #expect {
      try decide(.complete(header(Self.g1)), .complete(header(Self.g3, host: "other")))
    } throws: { error in
      if case .foreignLeg = error as? ControlStateError { true } else { false }
    }
  }

  @Test func `force takes a leg and adopts the other's history`() throws {
    let choice = try decide(
      .complete(header(Self.g2, [Self.g1], members: [.io0])), .complete(header(Self.g3, [Self.g1], members: [.io1])),
      witness(Self.g2), force: .io1)
    #expect(choice == .start(source: .io1, level: nil, adopted: [Self.g1, Self.g2], isForced: true))
  }
}
