import Primitives

/// What is found on a leg before anything is decided.
enum LegFinding: Sendable, Hashable {
  /// Not reachable, with the reason.
  case absent(String)
  /// There, and holds nothing.
  case blank
  /// Holds a database that cannot be read, with the reason.
  case damaged(String)
  /// Holds a copy that was not finished.
  case incomplete(LegHeader)
  /// Holds a whole database.
  case complete(LegHeader)

  var header: LegHeader? {
    switch self {
    case .complete(let header), .incomplete(let header): header
    case .absent, .blank, .damaged: nil
    }
  }
}

/// Which leg is right, decided by ancestry.
enum LegChoice: Sendable, Hashable {
  /// Both are blank: set up anew.
  case initialise
  /// Start from `source`. `level` is in the same generation and at most one transaction behind; what is neither is
  /// resynced when it is there. `adopted` become ancestors of the next generation.
  case start(source: LegID, level: LegID?, adopted: Set<GenerationID>, isForced: Bool)

  static func decide(
    _ findings: [LegID: LegFinding], service: ServiceName, witness: Witness?, force: LegID?
  ) throws(ControlStateError) -> LegChoice {
    let words = Explainer(service: service, findings: findings, witness: witness)
    let own = try findings.filter { _, finding in !isForeign(finding, service, witness) }.checked(words)
    if let force { return try forced(force, own, witness, words) }
    let complete = own.compactMapValues { finding in
      if case .complete(let header) = finding { header } else { nil }
    }
    switch (complete[.io0], complete[.io1]) {
    case (let first?, let second?): return try choose(first, second, witness, words)
    case (let header?, nil): return try alone(.io0, header, witness, words)
    case (nil, let header?): return try alone(.io1, header, witness, words)
    case (nil, nil):
      guard own.count == findings.count else { throw words.foreign() }
      guard LegID.allCases.allSatisfy({ findings[$0] == .blank }) else { throw words.noLeg() }
      guard witness == nil else { throw words.noData() }
      return .initialise
    }
  }

  static func isForeign(_ finding: LegFinding, _ service: ServiceName, _ witness: Witness?) -> Bool {
    guard let header = finding.header else { return false }
    return header.service != service.rawValue || (witness.map { $0.host != header.host } ?? false)
  }

  private static func choose(
    _ first: LegHeader, _ second: LegHeader, _ witness: Witness?, _ words: Explainer
  ) throws(ControlStateError) -> LegChoice {
    let source: LegID
    if first.generation == second.generation {
      // A whole copy that is no member was put there by hand: it says nothing.
      let members = first.members.intersection(second.members)
      if members == [.io0, .io1] {
        source = first.sequence >= second.sequence ? .io0 : .io1
        return try checked(
          .start(source: source, level: source.other, adopted: [], isForced: false), source == .io0 ? first : second,
          source, witness, words)
      }
      guard let member = members.first else { throw words.stale(.io0) }
      source = member
    } else {
      switch (first.ancestors.contains(second.generation), second.ancestors.contains(first.generation)) {
      case (true, false): source = .io0
      case (false, true): source = .io1
      case (true, true), (false, false): throw words.split()
      }
    }
    let header = source == .io0 ? first : second
    guard header.members.contains(source) else { throw words.stale(source) }
    return try checked(
      .start(source: source, level: nil, adopted: [], isForced: false), header, source, witness, words)
  }

  private static func alone(
    _ leg: LegID, _ header: LegHeader, _ witness: Witness?, _ words: Explainer
  ) throws(ControlStateError) -> LegChoice {
    // One that says "both" cannot know whether the other went on without it: only the witness can.
    guard header.members == [leg] || (header.members.contains(leg) && witness != nil) else { throw words.stale(leg) }
    return try checked(.start(source: leg, level: nil, adopted: [], isForced: false), header, leg, witness, words)
  }

  /// The witness knows of a generation that this leg does not: the leg is an old one.
  private static func checked(
    _ choice: LegChoice, _ header: LegHeader, _ leg: LegID, _ witness: Witness?, _ words: Explainer
  ) throws(ControlStateError) -> LegChoice {
    guard witness.map({ header.includes($0.generation) }) ?? true else { throw words.stale(leg) }
    return choice
  }

  private static func forced(
    _ leg: LegID, _ own: [LegID: LegFinding], _ witness: Witness?, _ words: Explainer
  ) throws(ControlStateError) -> LegChoice {
    switch own[leg] {
    case .complete:
      var adopted: Set<GenerationID> = []
      if let other = own[leg.other]?.header { adopted = other.ancestors.union([other.generation]) }
      if let witness { adopted.insert(witness.generation) }
      return .start(source: leg, level: nil, adopted: adopted, isForced: true)
    case .blank where own.values.allSatisfy({ $0 == .blank }) && own.count == 2: return .initialise
    default: throw words.cannotForce(leg)
    }
  }
}

extension [LegID: LegFinding] {
  /// Two hosts' legs and nothing that says which is ours.
  fileprivate func checked(_ words: Explainer) throws(ControlStateError) -> [LegID: LegFinding] {
    if isEmpty { throw words.foreign() }
    if Set(values.compactMap { $0.header?.host }).count > 1 { throw words.foreign() }
    return self
  }
}
