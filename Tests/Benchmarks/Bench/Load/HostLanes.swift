import Glibc
import Primitives
import RPC

/// What a client asks of the services of a host: much that reads, and now and then something with an effect.
struct HostLanes {
  let runDirectory: String
  /// Unlike that of every other client, earlier ones included: subjects are made of it.
  let client: String

  /// One lane a service.
  func make() -> [Lane] {
    ServiceName.allCases.map { service in
      var effect = Effects(service: service, client: client)
      return Lane(path: "\(runDirectory)/\(service.rawValue).sock") { effect.next() }
    }
  }

  /// Draws a service's requests.
  private struct Effects {
    let service: ServiceName
    let client: String
    var effects = 0
    var nextEffect: UInt64 = 0

    mutating func next() -> Lane.Request {
      let now = Clock.now
      guard now >= nextEffect, let request = effect() else {
        return Lane.Request(method: "service.ping", params: [:], subject: nil)
      }
      effects += 1
      nextEffect = now + (service == .alerts ? 100_000_000 : 1_000_000_000)
      return request
    }

    private func effect() -> Lane.Request? {
      let subject = "bench-\(client)-\(effects)"
      let key = JSONValue.string(RequestKey.random(millisecondsSinceEpoch: Self.milliseconds).rawValue)
      switch service {
      case .alerts:
        let alert: JSONValue = [
          "key": key, "timeMilliseconds": .integer(Self.milliseconds), "severity": "info", "source": "alerts",
          "kind": "benchmark", "subject": .string(subject), "message": "A benchmark's alert.", "data": [:],
        ]
        return Lane.Request(method: "alert.append", params: ["alerts": [alert]], subject: subject)
      case .storage where effects < 40:
        return Lane.Request(
          method: "volume.create", params: ["volume": .string(subject), "sizeBytes": 1_048_576, "requestKey": key],
          subject: subject)
      case .vm where effects < 2:
        return Lane.Request(
          method: "vm.define",
          params: ["definition": .string(GuestDefinition.idle(name: subject)), "requestKey": key],
          subject: subject)
      default: return nil
      }
    }

    private static var milliseconds: Int64 {
      var time = timespec()
      clock_gettime(CLOCK_REALTIME, &time)
      return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
  }
}
