import BlockLayers
import Dispatch
import Synchronization

/// Where a session's requests go in: counts what is in flight, holds it back for a moment, or lets nothing more begin.
///
/// `close` and `pause` return when nothing is in flight any longer: that is the proof a fence gives, and what makes it
/// safe to change the device.
final class SessionGate: Sendable {
  private struct State {
    var device: any BlockDevice
    var inFlight = 0
    var begun: UInt64 = 0
    var isPaused = false
    var isClosed = false
    var isIdle: [DispatchSemaphore] = []
    var isPassable: [DispatchSemaphore] = []
  }

  private let state: Mutex<State>

  init(to device: any BlockDevice) { state = Mutex(State(device: device)) }

  /// Where an operation that may begin goes to, and which must `leave`; nil when none may. Blocks while it is paused.
  func enter() -> (any BlockDevice)? {
    while true {
      let (device, barrier) = state.withLock { state -> ((any BlockDevice)?, DispatchSemaphore?) in
        guard !state.isClosed else { return (nil, nil) }
        guard !state.isPaused else {
          let barrier = DispatchSemaphore(value: 0)
          state.isPassable.append(barrier)
          return (nil, barrier)
        }
        state.inFlight += 1
        state.begun &+= 1
        return (state.device, nil)
      }
      guard let barrier else { return device }
      barrier.wait()
    }
  }

  /// What went through it so far.
  var activity: ResyncPace.Activity {
    state.withLock { ResyncPace.Activity(begun: $0.begun, inFlight: $0.inFlight) }
  }

  func leave() {
    let waiters = state.withLock { state -> [DispatchSemaphore] in
      state.inFlight -= 1
      guard state.inFlight == 0, state.isClosed || state.isPaused else { return [] }
      defer { state.isIdle = [] }
      return state.isIdle
    }
    for waiter in waiters { waiter.signal() }
  }

  /// Lets nothing more begin, and waits for what did. Blocks.
  func close() {
    let (idle, passable) = state.withLock { state in
      state.isClosed = true
      defer { state.isPassable = [] }
      return (Self.idle(&state), state.isPassable)
    }
    for waiter in passable { waiter.signal() }
    idle?.wait()
  }

  /// Holds back what begins from now on, and waits for what did. Blocks.
  func pause() {
    let idle = state.withLock { state in
      state.isPaused = true
      return Self.idle(&state)
    }
    idle?.wait()
  }

  /// Lets what was held back go on, to another device where one is given.
  func resume(on device: (any BlockDevice)? = nil) {
    let waiters = state.withLock { state -> [DispatchSemaphore] in
      if let device { state.device = device }
      state.isPaused = false
      defer { state.isPassable = [] }
      return state.isPassable
    }
    for waiter in waiters { waiter.signal() }
  }

  private static func idle(_ state: inout State) -> DispatchSemaphore? {
    guard state.inFlight > 0 else { return nil }
    let waiter = DispatchSemaphore(value: 0)
    state.isIdle.append(waiter)
    return waiter
  }
}
