import Primitives
import RPC
import VMAPI

/// What may be asked of a virtual machine in which state, and what that leads to: the whole of it.
///
/// Every refusal derives from here, with the way that leads on. What happens to a machine unasked is not in it: that is
/// `VMMonitor+Watch.swift` (ends and stops), `VMMonitor+Recovery.swift` (restarts) and `Quarantine.swift`.
enum LifeTable {
  /// What somebody may ask for.
  enum Operation: String, Sendable, CaseIterable {
    case start, shutDown, kill, pause, resume, reset, interrupt, screenshot, sendKeys, askAgent, save, discardSaved,
      release, redefine, decideUndo, undefine
  }

  /// What follows from a request.
  enum Outcome: Sendable, Equatable {
    /// It is done, and the machine is or comes to be in that state. Nil: it is no longer known.
    case leads(VMState?)
    /// There is nothing to do; the machine is answered as it is.
    case already
    /// It is refused; the remedy says what to do first.
    case refused(Remedy)
  }

  /// The way from a refusal to what was asked for.
  enum Remedy: String, Sendable, CaseIterable {
    case start, resume, shutDown, wait, discard, release
  }

  /// One operation's outcomes, state by state.
  private struct Row {
    var defined, starting, running, paused, saving, saved, stopping, failedOver, crashed, quarantined: Outcome

    init(
      _ defined: Outcome, _ starting: Outcome, _ running: Outcome, _ paused: Outcome, _ saving: Outcome,
      _ saved: Outcome, _ stopping: Outcome, _ failedOver: Outcome, _ crashed: Outcome, _ quarantined: Outcome
    ) {
      (self.defined, self.starting, self.running, self.paused) = (defined, starting, running, paused)
      (self.saving, self.saved, self.stopping) = (saving, saved, stopping)
      (self.failedOver, self.crashed, self.quarantined) = (failedOver, crashed, quarantined)
    }

    subscript(state: VMState) -> Outcome {
      switch state {
      case .defined: defined
      case .starting: starting
      case .running: running
      case .paused: paused
      case .saving: saving
      case .saved: saved
      case .stopping: stopping
      case .failedOver: failedOver
      case .crashed: crashed
      case .quarantined: quarantined
      }
    }
  }

  private static func to(_ state: VMState) -> Outcome { .leads(state) }
  private static func no(_ remedy: Remedy) -> Outcome { .refused(remedy) }
  private static let same = Outcome.already
  private static let gone = Outcome.leads(nil)

  // swift-format-ignore
  private static func row(_ operation: Operation) -> Row {
    switch operation {
    //                       defined        starting       running        paused         saving         saved          stopping       failedOver     crashed        quarantined
    case .start:        Row( to(.running),  same,          same,          no(.resume),   no(.wait),     to(.running),  no(.wait),     same,          to(.running),  no(.release))
    // A paused guest is let go on, for it has to run to shut down.
    case .shutDown:     Row( same,          to(.defined),  to(.stopping), to(.stopping), no(.wait),     same,          to(.stopping), to(.defined),  same,          same)
    case .kill:         Row( same,          to(.defined),  to(.defined),  to(.defined),  to(.defined),  same,          to(.defined),  to(.defined),  to(.defined),  same)
    // (A start from saved memory that is ended before it was loaded leaves the machine saved.)
    // A guest that its engine stopped is held, too, from then on.
    case .pause:        Row( no(.start),    no(.wait),     to(.paused),   to(.paused),   no(.wait),     no(.start),    no(.wait),     no(.wait),     no(.start),    no(.release))
    case .resume:       Row( no(.start),    no(.wait),     same,          to(.running),  no(.wait),     no(.start),    no(.wait),     no(.wait),     no(.start),    no(.release))
    case .reset:        Row( no(.start),    no(.wait),     to(.running),  to(.paused),   no(.wait),     no(.start),    no(.wait),     no(.wait),     no(.start),    no(.release))
    case .interrupt:    Row( no(.start),    no(.wait),     to(.running),  no(.resume),   no(.wait),     no(.start),    to(.stopping), no(.wait),     no(.start),    no(.release))
    case .screenshot:   Row( no(.start),    no(.wait),     to(.running),  to(.paused),   no(.wait),     no(.start),    to(.stopping), no(.wait),     no(.start),    no(.release))
    case .sendKeys:     Row( no(.start),    no(.wait),     to(.running),  no(.resume),   no(.wait),     no(.start),    to(.stopping), no(.wait),     no(.start),    no(.release))
    case .askAgent:     Row( no(.start),    no(.wait),     to(.running),  no(.resume),   no(.wait),     no(.start),    no(.wait)    , no(.wait),     no(.start),    no(.release))
    case .save:         Row( no(.start),    no(.wait),     to(.saved),    to(.saved),    same,          same,          no(.wait),     no(.wait),     no(.start),    no(.release))
    case .discardSaved: Row( same,          no(.wait),     same,          same,          no(.wait),     to(.defined),  same,          same,          same,          same)
    case .release:      Row( same,          same,          same,          same,          same,          same,          same,          same,          same,          to(.defined))
    case .redefine:     Row( to(.defined),  no(.shutDown), no(.shutDown), no(.shutDown), no(.shutDown), no(.discard),  no(.shutDown), no(.shutDown), to(.crashed),  to(.quarantined))
    case .decideUndo:   Row( to(.defined),  no(.shutDown), no(.shutDown), no(.shutDown), no(.shutDown), no(.discard),  no(.shutDown), no(.shutDown), to(.crashed),  to(.quarantined))
    case .undefine:     Row( gone,          no(.shutDown), no(.shutDown), no(.shutDown), no(.shutDown), no(.discard),  no(.shutDown), no(.shutDown), gone,          gone)
    }
  }

  static func outcome(of operation: Operation, in state: VMState) -> Outcome { row(operation)[state] }

  /// The sentence of a refusal: how it is, and what to do.
  static func sentence(_ name: VMName, _ state: VMState, _ remedy: Remedy) -> String {
    "'\(name)' \(words(state)); \(way(remedy, name))."
  }

  private static func words(_ state: VMState) -> String {
    switch state {
    case .defined: "does not run"
    case .starting: "is being started"
    case .running: "runs"
    case .paused: "is paused"
    case .saving: "is being saved"
    case .saved: "is saved to disk"
    case .stopping: "is shutting down"
    case .failedOver: "is being restarted after a failure"
    case .crashed: "crashed"
    case .quarantined: "is quarantined because it kept failing"
    }
  }

  private static func way(_ remedy: Remedy, _ name: VMName) -> String {
    switch remedy {
    case .start: "start it first: ftctl vm start \(name)"
    case .resume: "let it go on first: ftctl vm resume \(name)"
    case .shutDown: "shut it down first: ftctl vm shutdown \(name)"
    case .wait: "wait until that is done, or end it at once: ftctl vm kill \(name)"
    case .discard:
      "start it and shut it down first, or give up what was saved: ftctl vm discard-saved \(name)"
    case .release: "find out why, then release it: ftctl vm release \(name)"
    }
  }
}

extension VMMonitor {
  /// Asks the table whether an operation may be done now.
  ///
  /// - Returns: false when there is nothing to do.
  /// - Throws: `wrongState` with what to do first.
  func admits(_ operation: LifeTable.Operation, _ name: VMName) throws(RPCError) -> Bool {
    let state = try machine(name).state
    switch LifeTable.outcome(of: operation, in: state) {
    case .leads: return true
    case .already: return false
    case .refused(let remedy):
      throw RPCError(
        VMFailure.wrongState, LifeTable.sentence(name, state, remedy),
        data: [
          "name": .string(name.rawValue), "state": .string(state.rawValue), "remedy": .string(remedy.rawValue),
        ])
    }
  }
}
