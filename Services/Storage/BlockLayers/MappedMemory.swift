import Glibc

/// Memory from the kernel that reads as zeros and takes none until it is touched: an allocator gives large pieces that were
/// used before, and writes the zeros.
public enum MappedMemory {
  /// Room for `count` values whose bytes are all zero; nil when there is none.
  public static func zeros<T: ~Copyable>(of type: T.Type, _ count: Int) -> UnsafeMutablePointer<T>? {
    let memory = mmap(
      nil, length(type, count), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let memory, memory != UnsafeMutableRawPointer(bitPattern: -1) else { return nil }
    return memory.bindMemory(to: type, capacity: max(count, 1))
  }

  /// Gives back what `zeros` returned for the same number.
  public static func giveBack<T: ~Copyable>(_ memory: UnsafeMutablePointer<T>, _ count: Int) {
    munmap(memory, length(T.self, count))
  }

  private static func length<T: ~Copyable>(_ type: T.Type, _ count: Int) -> Int {
    max(count, 1) * MemoryLayout<T>.stride
  }
}
