import FTVSClient
import Testing

/// The exact texts of some requests and answers, both ways: what is sent, and what is understood.
@Suite struct FrameTests {
  private struct Exchange {
    let request: String
    let answer: String
  }

  private func exchange<M: RPCMethod>(
    _ method: M.Type, _ params: M.Params, _ result: M.Result
  ) throws -> Exchange where M.Params: Equatable, M.Result: Equatable {
    let request = String(decoding: RPCMessage.request(1, M.name, try WireCoder.encode(params)), as: UTF8.self)
    let answer = String(decoding: RPCMessage.result(1, try WireCoder.encode(result)), as: UTF8.self)
    let readParams = try #require(try JSON.parse(request)["params"])
    #expect(try WireCoder.decode(M.Params.self, from: readParams, unknownMembers: .refuse) == params)
    let readResult = try #require(try JSON.parse(answer)["result"])
    #expect(try WireCoder.decode(M.Result.self, from: readResult, unknownMembers: .ignore) == result)
    return Exchange(request: request, answer: answer)
  }

  @Test func `requests and answers are as in the golden file`() throws {
    let volume = VolumeStatus(
      volume: VolumeName(unchecked: "disk0"), sizeBytes: 1 << 30, image: ImageName(unchecked: "debian"),
      layers: [LayerStatus(layer: "undo-1", role: .undo, image: nil, allocatedBytes: 2_097_152)], hasUndoLayer: true,
      generation: 3, sessions: 1, legs: [.io0, .io1])
    let vm = VMSummary(
      name: VMName(unchecked: "guest"), state: .running, module: .cpu1, autostart: true, processID: 4_711, failovers: 1)
    let alert = AlertRecord(
      sequence: 9, timeMilliseconds: 1_700_000_000_000, severity: .critical, source: .hardware, kind: "moduleFailed",
      subject: "cpu0", message: "Module cpu0 failed; bring it online again with \"ftctl module online cpu0\".",
      data: ["silenceMilliseconds": 104], state: .open)
    let key = try #require(RequestKey(rawValue: "1700000000000-0123456789abc"))
    let exchanges = [
      try exchange(
        CreateVolume.self,
        .init(volume: volume.volume, image: volume.image, undo: true, requestKey: key), volume),
      try exchange(StartVM.self, .init(name: vm.name), vm),
      try exchange(ListAlerts.self, .init(limit: 1), .init(alerts: [alert], firstSequence: 1, lastSequence: 9)),
      try exchange(ServicePing.self, Nothing(), .init(service: .vm, module: .cpu0, epoch: 7)),
      try exchange(FollowAlerts.self, .init(afterSequence: 8), Subscribed(subscription: 1)),
    ]
    var lines = exchanges.flatMap { ["-> \($0.request)", "<- \($0.answer)"] }
    let event = try WireCoder.encode(AlertEvent(alert: alert))
    lines.append("<- " + String(decoding: RPCMessage.event(FollowAlerts.name, 1, event), as: UTF8.self))
    lines.append("<- " + String(decoding: RPCMessage.end(FollowAlerts.name, 1, nil), as: UTF8.self))
    let error = RPCError(StorageFailure.noSuchVolume, "No volume is named disk1.", data: ["volume": "disk1"])
    lines.append("<- " + String(decoding: RPCMessage.failure(2, error), as: UTF8.self))
    try GoldenFile.check("frames.txt", lines.joined(separator: "\n") + "\n")
  }
}
