/// The kinds of alert that this service publishes; stable words.
enum StorageAlert: String, CaseIterable {
  case volumeCreated, volumeDeleted, volumeFenced
  case undoEnabled, undoCommitted, undoDiscarded, undoCommitFailed
  case snapshotCreated, snapshotReverted, snapshotDeleted
  case imageAdded, imageDeleted, imageDamaged
  case volumeResized, volumeFlattened, volumeRebased, jobFailed
  case legLost, legInStep, legStale, resyncStarted, resyncFailed
  case pathLost, pathRestored
  case volumeInStep
  case writePolicyChanged, writesHeld, writesResumed
  case readFailed
  case blocksRepaired, blocksDiffered, blocksLost
  case damagedLayer, outOfSpace
}
