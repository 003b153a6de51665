import ArgumentParser
import Glibc
import FTVSClient
import Primitives
import RPC

/// `ftctl job …`
struct JobCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "job",
    abstract: "Operations on volumes and images that last.",
    subcommands: [List.self, Show.self, Wait.self, Cancel.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the jobs under way, and the last that ended.")
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(ListJobs.self, Nothing(), on: .storage) { JobText.list($0.jobs, .current, .standard) }
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows how far a job is.")
    @Argument(help: "Its number.") var job: Int64
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(ShowJob.self, .init(job: job), on: .storage, JobText.line)
      }
    }
  }

  struct Wait: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Waits until a job has ended, showing how far it is.")
    @Argument(help: "Its number.") var job: Int64
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        let status = try await session.call(ShowJob.self, .init(job: job), on: .storage)
        session.print(try await JobWait(session: session).untilEnded(status), JobText.line)
      }
    }
  }

  struct Cancel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Ends a job and undoes what it did so far.")
    @Argument(help: "Its number.") var job: Int64
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.show(CancelJob.self, .init(job: job), on: .storage, JobText.line)
      }
    }
  }
}

/// Options of commands that begin a job.
struct WaitOptions: ParsableArguments {
  @Flag(help: "Do not wait for the job to end; ftctl job wait does that later.") var noWait = false
}

extension Session {
  /// Calls a method that begins a job, and waits for its end unless told not to.
  func follow<M: RPCMethod>(
    _ method: M.Type, _ params: M.Params, _ options: WaitOptions, _ text: (JobStatus) -> String
  ) async throws where M.Result == JobStatus {
    if let job = try await ended(method, params, options) { print(job, text) }
  }

  /// The same, for whoever prints something else; nil where it is not waited for, which is said then.
  func ended<M: RPCMethod>(
    _ method: M.Type, _ params: M.Params, _ options: WaitOptions
  ) async throws -> JobStatus? where M.Result == JobStatus {
    let begun = try await call(method, RequestKey.filled(in: params), on: .storage)
    if options.noWait {
      print(begun, JobText.line)
      return nil
    }
    return try await JobWait(session: self).untilEnded(begun)
  }
}

/// Waits for a job, showing how far it is.
struct JobWait {
  let session: Session

  /// The job once all was done; throws when it failed or was cancelled.
  func untilEnded(_ begun: JobStatus) async throws -> JobStatus {
    let progress = Progress()
    defer { progress.clear() }
    let interrupted = InterruptGuard {
      progress.clear()
      Terminal.write(
        "Job \(begun.job) goes on: ftctl job wait \(begun.job), or ftctl job cancel \(begun.job).", STDERR_FILENO)
    }
    defer { interrupted.disarm() }
    var status = begun
    while status.state == .running {
      if let reason = status.reason {
        progress.show("\(status.subject) \(reason)")
      } else {
        progress.show(JobText.title(status), done: status.doneBytes, of: max(status.totalBytes, 1))
      }
      try await Task.sleep(for: .milliseconds(200))
      status = try await session.call(ShowJob.self, .init(job: begun.job), on: .storage)
    }
    guard status.state == .done else { throw Complaint(JobText.line(status)) }
    return status
  }
}

/// Jobs as text.
enum JobText {
  static func list(_ jobs: [JobStatus], _ times: Times, _ style: Style) -> String {
    if jobs.isEmpty { return "No jobs." }
    var table = Table(["JOB", "OPERATION", "SUBJECT", "STATE", "DONE", "BEGAN", "REASON"], right: [0, 4])
    for job in jobs {
      table.add([
        "\(job.job)", Table.Cell(job.operation), Table.Cell(job.subject),
        Table.Cell(job.state.rawValue, job.state == .failed ? .red : nil), Table.Cell(percent(job)),
        Table.Cell(times.clock(job.createdMilliseconds)), Table.Cell(job.reason ?? ""),
      ])
    }
    return table.text(style)
  }

  /// "Job 3, volume.flatten of web: 1.5 GiB of 10 GiB"
  static func line(_ job: JobStatus) -> String {
    let title = "Job \(job.job), \(job.operation) of \(job.subject)"
    let reason = job.reason.map { ": \($0)" } ?? ""
    switch job.state {
    case .running: return "\(title): \(Sizes.text(job.doneBytes)) of \(Sizes.text(job.totalBytes))\(reason)"
    case .done: return "\(title), is done."
    case .failed: return "\(title), failed\(reason)"
    case .cancelled: return "\(title), was cancelled."
    }
  }

  static func title(_ job: JobStatus) -> String {
    switch job.operation {
    case DeleteSnapshot.name, "volume.mergeLayers": "Merging layers of \(job.subject)"
    case FlattenVolume.name: "Flattening \(job.subject)"
    case RebaseVolume.name: "Rebasing \(job.subject)"
    case CaptureVolume.name: "Copying into image \(job.subject)"
    case VerifyImage.name: "Verifying \(job.subject)"
    case ScrubVolume.name, ScrubImage.name: "Scrubbing \(job.subject)"
    case "library.checksum": "Reading image \(job.subject)"
    default: "\(job.operation) of \(job.subject)"
    }
  }

  private static func percent(_ job: JobStatus) -> String {
    if job.state == .done { return "100%" }
    guard job.totalBytes > 0 else { return "-" }
    return "\(Int(Double(job.doneBytes) / Double(job.totalBytes) * 100))%"
  }
}
