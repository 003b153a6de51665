import ControlState
import Primitives
import RPC
import StorageAPI
import Synchronization

/// Putting right what an earlier instance left half done.
extension StorageService {
  /// Removes the files of operations that did not end, notes which volumes' legs may differ, and takes the locks of
  /// volumes whose commit has to go on. Nothing is served before.
  func recover() async throws(RPCError) {
    await prepareLegs()
    let loose = try await freeingSpace { () throws(RPCError) in
      try await state.write { transaction -> [String] in
        try transaction.execute("UPDATE volume SET legsDiffer = 1, openForWriting = 0 WHERE openForWriting = 1")
        // Jobs and commits go on writing.
        try transaction.execute(
          """
          UPDATE volume SET openForWriting = 1
          WHERE name IN (SELECT volume FROM job WHERE state = ? AND operation != ?)
          OR name IN (SELECT volume FROM commitIntent)
          """, [JobState.running.rawValue, JobRecord.Operation.scrubVolume.rawValue])
        return try Catalog.looseFiles(in: transaction.database)
      }
    }
    await removeLooseFiles(loose)
    let commits = try await state.read { database in try Catalog.commits(in: database) }
    for commit in commits { try await locks.acquire(commit.volume.rawValue, for: CommitUndo.name) }
    unfinished.withLock { $0 = commits }
    try await resumeJobs()
  }

  /// Makes what every leg has to have.
  private func prepareLegs() async {
    do throws(RPCError) {
      try await blocking { () throws(RPCError) in
        try self.store.onEachLeg("preparing the leg") { leg throws(LegFileError) in
          try self.files.makeRoots(on: leg)
          self.files.keepReserve(on: leg)
        }
      }
    } catch {
      environment.logger.error("a leg could not be prepared", metadata: ["error": "\(error)"])
    }
  }

  /// Removes files that nothing accounts for. There are none unless a leg was written by something else.
  ///
  /// Volumes are served meanwhile: a file is accounted for before it is made, so what is listed first and then not known
  /// is nobody's.
  func removeStrayFiles() async {
    do throws(RPCError) {
      let listed = Mutex<[LegID: [String]]>([:])
      try await blocking(on: resyncs) { () throws(RPCError) in
        try self.store.onEachLeg("looking for stray files") { leg throws(LegFileError) in
          let paths = try self.files.list(on: leg)
          listed.withLock { $0[leg] = paths }
        }
      }
      let known = try await knownFiles()
      let layers = try await state.read { database in Set(try Catalog.layers(in: database).map(\.id)) }
      await resyncs.run { self.store.logs.removeOthers(than: layers) }
      try await blocking(on: resyncs) { () throws(RPCError) in
        try self.store.onEachLeg("removing stray files") { leg throws(LegFileError) in
          for path in listed.withLock({ $0[leg] ?? [] }) where !known.contains(path) {
            self.environment.logger.warning("stray file removed", metadata: ["leg": "\(leg)", "path": "\(path)"])
            try self.files.remove(path, on: leg)
          }
        }
      }
    } catch {
      environment.logger.error("stray files could not be looked for", metadata: ["error": "\(error)"])
    }
  }

  /// The paths that the state accounts for, loose ones included.
  func knownFiles() async throws(RPCError) -> Set<String> {
    try await state.read { database in
      Set(try Catalog.layers(in: database).map(\.path)).union(try Catalog.looseFiles(in: database))
    }
  }

  /// Finishes the commits that an earlier instance began; their volumes are locked until then.
  func finishCommits() async {
    for commit in unfinished.withLock({ $0 }) {
      do throws(RPCError) {
        let chain = try await chain(of: commit.volume)
        if chain.layers.first?.id == commit.layer {
          _ = try await finish(commit, of: chain)
        } else {
          try await state.write { transaction in try transaction.removeCommit(of: commit.volume) }
        }
      } catch {
        environment.logger.error(
          "a commit could not be finished", metadata: ["volume": "\(commit.volume)", "error": "\(error)"])
      }
      locks.release(commit.volume.rawValue)
    }
  }
}
