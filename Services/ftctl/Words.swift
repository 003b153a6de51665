import FTVSClient

/// States as people read them, with the colour that tells good from bad.
extension Table.Cell {
  init(_ state: ModuleState) {
    let colour: Style.Colour? =
      switch state {
      case .online: .green
      case .broken, .shot, .unknown: .red
      case .empty, .removed, .offline: .faint
      default: .yellow
      }
    self.init(Words.spaced(state.rawValue), colour)
  }

  init(_ state: PairState) {
    let colour: Style.Colour =
      switch state {
      case .duplex: .green
      case .simplex: .yellow
      case .down: .red
      }
    self.init(state.rawValue, colour)
  }

  init(_ state: InstanceState) {
    let colour: Style.Colour? =
      switch state {
      case .active: .green
      case .standby: nil
      case .starting: .yellow
      case .down: .red
      }
    self.init(state.rawValue, colour)
  }

  init(_ state: VMState) {
    let colour: Style.Colour? =
      switch state {
      case .running: .green
      case .crashed, .quarantined: .red
      case .defined, .saved: .faint
      default: .yellow
      }
    self.init(Words.spaced(state.rawValue), colour)
  }

  init(_ state: StorageLegState) {
    let colour: Style.Colour =
      switch state {
      case .inStep: .green
      case .resyncing: .yellow
      case .lost, .stale: .red
      }
    self.init(Words.spaced(state.rawValue), colour)
  }

  init(_ severity: Severity) {
    let colour: Style.Colour? =
      switch severity {
      case .info: .faint
      case .warning: .yellow
      case .error, .critical: .red
      }
    self.init(severity.rawValue, colour)
  }
}

/// Words of the API as people read them.
enum Words {
  /// `failedOver` as "failed over".
  static func spaced(_ word: String) -> String {
    word.reduce(into: "") { text, letter in
      if letter.isUppercase { text += " " + letter.lowercased() } else { text.append(letter) }
    }
  }

  /// "1 volume", "3 volumes".
  static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

  /// `-` for what is not there.
  static func orDash(_ text: String?) -> String { text.flatMap { $0.isEmpty ? nil : $0 } ?? "-" }
}
