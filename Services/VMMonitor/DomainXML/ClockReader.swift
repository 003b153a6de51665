/// Reads `<clock>`.
enum ClockReader {
  static func read(_ domain: Scan) throws(DomainError) -> Domain.Clock {
    var result = Domain.Clock()
    guard let clock = try domain.child("clock") else { return result }
    try clock.allow(attributes: ["offset"], children: ["timer"])
    _ = try clock.required("offset")
    result.offset = Domain.Clock.Offset(rawValue: try clock.choice("offset", ["utc", "localtime"]) ?? "") ?? .utc
    var seen: Set<String> = []
    for timer in clock.children("timer") {
      try timer.allow(attributes: ["name", "tickpolicy", "present"])
      let name = try timer.required("name")
      try timer.choice("name", ["rtc", "pit", "hpet", "kvmclock"])
      guard seen.insert(name).inserted else { throw timer.error("the timer '\(name)' is there twice") }
      try read(timer, name, &result)
    }
    return result
  }

  private static func read(_ timer: Scan, _ name: String, _ clock: inout Domain.Clock) throws(DomainError) {
    switch name {
    case "rtc":
      try timer.choice("present", ["yes"])
      clock.rtc = try policy(timer, [.delay, .catchup])
    case "pit":
      try timer.choice("present", ["yes"])
      clock.pit = try policy(timer, [.delay, .discard])
    case "hpet":
      try timer.choice("tickpolicy", [])
      clock.hasHPET = try timer.flag("present") ?? true
    default:
      try timer.choice("tickpolicy", [])
      clock.hasKVMClock = try timer.flag("present") ?? true
    }
  }

  private static func policy(
    _ timer: Scan, _ policies: [Domain.Clock.TickPolicy]
  ) throws(DomainError) -> Domain.Clock.TickPolicy? {
    try timer.choice("tickpolicy", policies.map(\.rawValue)).flatMap(Domain.Clock.TickPolicy.init(rawValue:))
  }
}
