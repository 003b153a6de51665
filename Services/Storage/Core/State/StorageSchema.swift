/// The tables in which the storage service keeps what it knows, and how they came about.
///
/// A file of a leg belongs to the state when a row of `layer` names it. A file that is being made, or that is to go, is
/// named by a row of `looseFile` instead; the row is durable before the file is touched, and the same transaction that
/// makes the file part of the state removes the row. So whoever is stopped between any two steps leaves only files
/// that the next activation finds in `looseFile` and removes.
public enum StorageSchema {
  /// SQL, applied in order, each once.
  public static let migrations: [String] = [
    """
    CREATE TABLE volume (
      name TEXT PRIMARY KEY NOT NULL,
      sizeBytes INTEGER NOT NULL,
      top TEXT NOT NULL,
      -- Grows with every fence; never repeats for a name, not even after the volume was deleted.
      generation INTEGER NOT NULL,
      -- Who may connect in this generation; null when the volume is not exported.
      clientUser INTEGER,
      -- Whether a client of this generation is connected, or was when the service ended.
      connected INTEGER NOT NULL DEFAULT 0,
      -- Whether layers were opened for writing and not closed since: a crash then may leave the legs different.
      openForWriting INTEGER NOT NULL DEFAULT 0,
      -- Whether the legs must be compared before the second one counts.
      legsDiffer INTEGER NOT NULL DEFAULT 0,
      createdMilliseconds INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE image (
      name TEXT PRIMARY KEY NOT NULL,
      sizeBytes INTEGER NOT NULL,
      top TEXT NOT NULL,
      description TEXT NOT NULL,
      createdMilliseconds INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE layer (
      id TEXT PRIMARY KEY NOT NULL,
      role TEXT NOT NULL,
      parent TEXT,
      volume TEXT,
      image TEXT,
      CHECK ((volume IS NULL) != (image IS NULL))
    ) STRICT;
    CREATE INDEX layerParent ON layer (parent);
    CREATE TABLE looseFile (path TEXT PRIMARY KEY NOT NULL) STRICT;
    -- A commit that began: the parent is partly overwritten, so that the undo layer can no longer be discarded.
    CREATE TABLE commitIntent (
      volume TEXT PRIMARY KEY NOT NULL,
      layer TEXT NOT NULL,
      keepEnabled INTEGER,
      requestKey TEXT
    ) STRICT;
    -- How each leg stood when it was last told of.
    CREATE TABLE legAlert (leg TEXT PRIMARY KEY NOT NULL, state TEXT NOT NULL) STRICT;
    CREATE TABLE counter (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) STRICT;
    INSERT INTO counter (name, value) VALUES ('generation', 1);
    """,
    """
    -- The names of layers that are not written any more.
    CREATE TABLE snapshot (
      volume TEXT NOT NULL,
      name TEXT NOT NULL,
      layer TEXT NOT NULL UNIQUE,
      sizeBytes INTEGER NOT NULL,
      description TEXT NOT NULL,
      createdMilliseconds INTEGER NOT NULL,
      PRIMARY KEY (volume, name)
    ) STRICT;
    -- Operations that last. Those that run are gone on with by the next instance.
    CREATE TABLE job (
      id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
      operation TEXT NOT NULL,
      state TEXT NOT NULL,
      volume TEXT NOT NULL,
      -- The image that is made, or that the volume is put on.
      image TEXT,
      description TEXT NOT NULL DEFAULT '',
      -- The layer from which on down is read, and the one that is written.
      source TEXT,
      target TEXT,
      -- Whether a merged layer is about to take the place of the one above it.
      isReplacing INTEGER NOT NULL DEFAULT 0,
      -- Up to where all is durable in the target.
      doneBytes INTEGER NOT NULL DEFAULT 0,
      totalBytes INTEGER NOT NULL DEFAULT 0,
      reason TEXT,
      createdMilliseconds INTEGER NOT NULL,
      endedMilliseconds INTEGER
    ) STRICT;
    CREATE INDEX jobState ON job (state);
    ALTER TABLE image ADD COLUMN operatingSystem TEXT NOT NULL DEFAULT '';
    -- Separated by blanks, which no tag has.
    ALTER TABLE image ADD COLUMN tags TEXT NOT NULL DEFAULT '';
    """,
    """
    -- Moments of volumes from which on it is kept what changed; each until the next one of the volume.
    CREATE TABLE checkpoint (
      -- In the order of their making.
      id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
      volume TEXT NOT NULL,
      name TEXT NOT NULL,
      -- The snapshot that was taken at the same moment, as long as it is there.
      snapshot TEXT,
      sizeBytes INTEGER NOT NULL,
      -- Whether all has to count as changed.
      isAllChanged INTEGER NOT NULL DEFAULT 0,
      createdMilliseconds INTEGER NOT NULL,
      UNIQUE (volume, name)
    ) STRICT;
    -- What changed after a checkpoint, by spans of 16 MiB: a bit for each 64 KiB, the lowest first.
    CREATE TABLE changedSpan (
      checkpoint INTEGER NOT NULL,
      span INTEGER NOT NULL,
      bits BLOB,
      -- Whether all of it has to count as changed, because it is being written.
      isHot INTEGER NOT NULL DEFAULT 0,
      PRIMARY KEY (checkpoint, span)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    -- Who may read a snapshot or an image over NBD, by its topmost layer, and until when.
    CREATE TABLE readExport (
      layer TEXT NOT NULL,
      clientUser INTEGER NOT NULL,
      untilMilliseconds INTEGER NOT NULL,
      PRIMARY KEY (layer, clientUser)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE image ADD COLUMN contentSHA256 TEXT;
    """,
    """
    -- What the last scrub of a volume or an image found, in blocks of 4 KiB.
    CREATE TABLE scrubReport (
      volume TEXT UNIQUE,
      image TEXT UNIQUE,
      endedMilliseconds INTEGER NOT NULL,
      checkedBytes INTEGER NOT NULL,
      skippedBytes INTEGER NOT NULL,
      repairedOnIO0 INTEGER NOT NULL,
      repairedOnIO1 INTEGER NOT NULL,
      undecidedBlocks INTEGER NOT NULL,
      lostBlocks INTEGER NOT NULL,
      CHECK ((volume IS NULL) != (image IS NULL))
    ) STRICT;
    -- How far the jobs that scrub are with each layer, and what they found there.
    CREATE TABLE scrubbedLayer (
      job INTEGER NOT NULL,
      layer TEXT NOT NULL,
      doneBytes INTEGER NOT NULL,
      isWhole INTEGER NOT NULL,
      checkedBytes INTEGER NOT NULL,
      skippedBytes INTEGER NOT NULL,
      repairedOnIO0 INTEGER NOT NULL,
      repairedOnIO1 INTEGER NOT NULL,
      undecidedBlocks INTEGER NOT NULL,
      lostBlocks INTEGER NOT NULL,
      PRIMARY KEY (job, layer)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    -- When writes are durable, and whether they wait while only one leg is in step.
    ALTER TABLE volume ADD COLUMN cache TEXT NOT NULL DEFAULT 'writeBack';
    ALTER TABLE volume ADD COLUMN onOneLeg TEXT NOT NULL DEFAULT 'continue';
    """,
    """
    -- Times that the volume was opened for writing: who finds it unchanged knows that nobody wrote meanwhile.
    ALTER TABLE volume ADD COLUMN openings INTEGER NOT NULL DEFAULT 0;
    """,
  ]
}
