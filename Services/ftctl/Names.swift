import ArgumentParser
import FTVSClient
import FoundationEssentials
import Primitives
import RPC

extension ModuleID: ExpressibleByArgument {}
extension LegID: ExpressibleByArgument {}
extension ServiceName: ExpressibleByArgument {}
extension Severity: ExpressibleByArgument {}
extension CachePolicy: ExpressibleByArgument {}
extension OneLegPolicy: ExpressibleByArgument {}
extension AlertState: ExpressibleByArgument {}

/// Reads a name of a user's choice, saying the rule when it is none.
@Sendable func userName<Name: UserName>(_ text: String) throws -> Name {
  guard let name = Name(rawValue: text) else { throw ValidationError("\"\(text)\" is no name. \(Name.rule)") }
  return name
}

extension CompletionKind {
  static var virtualMachines: CompletionKind {
    names { host in try await host.call(ListVMs.self, Nothing(), on: .vm).vms.map(\.name.rawValue) }
  }

  static var volumes: CompletionKind {
    names { host in try await host.call(ListVolumes.self, Nothing(), on: .storage).volumes.map(\.volume.rawValue) }
  }

  static var images: CompletionKind {
    names { host in try await host.call(ListImages.self, Nothing(), on: .storage).images.map(\.image.rawValue) }
  }

  /// Methods of the service that the command line names.
  static var methods: CompletionKind {
    .custom { arguments, _, prefix in
      guard let service = arguments.compactMap({ Socket(rawValue: $0) }).first else { return [] }
      let api = try? await session(arguments).call(Discover.self, Nothing(), on: service)
      return api.map { APIText.methods(of: $0).map(\.name).filter { $0.hasPrefix(prefix) } } ?? []
    }
  }

  /// Longest time for which a press of the tabulator waits for a service.
  private static let patience = Duration.seconds(1)

  private static func names(_ ask: @escaping @Sendable (Session) async throws -> [String]) -> CompletionKind {
    .custom { arguments, _, prefix in
      ((try? await ask(session(arguments))) ?? []).filter { $0.hasPrefix(prefix) }
    }
  }

  private static func session(_ arguments: [String]) -> Session {
    let option = arguments.firstIndex(of: "--run-directory").flatMap { index in
      index + 1 < arguments.count ? arguments[index + 1] : nil
    }
    return Session(directory: RunDirectory.choose(option: option), output: .json, timeout: patience)
  }
}

extension Session {
  /// Runs something about a virtual machine, volume or image; when there is none of that name, says which there are.
  func about<T, Name: UserName>(_ name: Name, _ body: () async throws -> T) async throws -> T {
    do {
      return try await body()
    } catch let error as RPCError {
      // What is missing may be another thing than this one.
      guard let names = await names(missing: error), names.noun == Name.noun else { throw error }
      throw Complaint(
        "\(error.message)\n" + NearMatch.sentence(name.rawValue, in: names.names, noun: names.noun), .failed)
    }
  }

  /// The same for something about two things.
  func about<T>(_ name: some UserName, and other: some UserName, _ body: () async throws -> T) async throws -> T {
    try await about(name) { try await about(other, body) }
  }

  private func names(missing error: RPCError) async -> (names: [String], noun: String)? {
    if error.matches(VMFailure.noSuchVM) {
      let list = try? await call(ListVMs.self, Nothing(), on: .vm)
      return list.map { ($0.vms.map(\.name.rawValue), VMName.noun) }
    }
    if error.matches(StorageFailure.noSuchVolume) {
      let list = try? await call(ListVolumes.self, Nothing(), on: .storage)
      return list.map { ($0.volumes.map(\.volume.rawValue), VolumeName.noun) }
    }
    if error.matches(StorageFailure.noSuchSnapshot), case .string(let text) = error.data["volume"],
      let volume = VolumeName(rawValue: text)
    {
      let status = try? await call(ShowVolume.self, .init(volume: volume), on: .storage)
      return status.map { ($0.snapshots.map(\.snapshot.rawValue), SnapshotName.noun) }
    }
    if error.matches(StorageFailure.noSuchCheckpoint), case .string(let text) = error.data["volume"],
      let volume = VolumeName(rawValue: text)
    {
      let status = try? await call(ShowVolume.self, .init(volume: volume), on: .storage)
      return status.map { ($0.checkpoints.map(\.checkpoint.rawValue), CheckpointName.noun) }
    }
    if error.matches(StorageFailure.noSuchImage) {
      let list = try? await call(ListImages.self, Nothing(), on: .storage)
      return list.map { ($0.images.map(\.image.rawValue), ImageName.noun) }
    }
    return nil
  }
}
