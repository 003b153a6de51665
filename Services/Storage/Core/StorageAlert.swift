/// The kinds of alert that this service publishes; stable words.
enum StorageAlert: String, CaseIterable {
  case volumeCreated, volumeDeleted, volumeFenced
  case undoEnabled, undoCommitted, undoDiscarded, undoCommitFailed
  case imageAdded, imageDeleted
  case legLost, legInStep, legStale, resyncStarted, resyncFailed
  case volumeInStep
  case blocksRepaired, blocksDiffered, blocksLost
  case damagedLayer, outOfSpace
}
