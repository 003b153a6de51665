import BlockLayers
import Glibc
import Testing
import VHD

/// Files of ours read by others, and theirs by us.
@Suite struct OracleTests {
  let directory = TemporaryDirectory()

  func random(_ device: any BlockDevice, seed: UInt64) throws -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    var model = try device.bytes(at: 0, count: Int(device.size))
    for _ in 0..<40 {
      let at = Int.random(in: 0..<model.count, using: &generator) & ~511
      let count = min(Int.random(in: 1...100, using: &generator) * 512, model.count - at)
      if Int.random(in: 0..<6, using: &generator) == 0 {
        try device.trim(at: Int64(at), count: Int64(count))
        for index in at..<at + count { model[index] = 0 }
      } else {
        let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
        try device.write(bytes, at: Int64(at))
        model.replaceSubrange(at..<at + count, with: bytes)
      }
    }
    try device.flush()
    return model
  }

  func save(_ bytes: [UInt8], _ name: String) throws {
    try PosixFile(path: directory.path(name), mode: .create).write(bytes, at: 0)
  }

  @Test(arguments: [("fixed", 0), ("dynamic", 2 << 20), ("dynamic", 512 << 10), ("dynamic", 4 << 20)])
  func `qemu-img reads our files`(kind: String, blockSize: Int64) throws {
    let size: Int64 = 9_000_448
    let file = try PosixFile(path: directory.path("a.vhd"), mode: .create)
    if kind == "fixed" {
      try VHDLayer.createFixed(file, size: size)
    } else {
      try VHDLayer.createDynamic(file, size: size, blockSize: blockSize)
    }
    try save(random(VHDLayer.open(file), seed: 4), "a.raw")
    let info = try run("qemu-img", "info", "-f", "vpc", "--output=json", directory.path("a.vhd"))
    #expect(info.status == 0 && info.text.contains("\"virtual-size\": \(size)"), "\(info.text)")
    let compare = try run(
      "qemu-img", "compare", "-f", "vpc", "-F", "raw", directory.path("a.vhd"), directory.path("a.raw"))
    #expect(compare.status == 0, "\(compare.text)")
    let back = try run(
      "qemu-img", "convert", "-f", "vpc", "-O", "raw", directory.path("a.vhd"), directory.path("back.raw"))
    #expect(back.status == 0, "\(back.text)")
    #expect(try directory.content("back.raw") == directory.content("a.raw"))
  }

  @Test(arguments: ["dynamic", "fixed"], ["on", "off"])
  func `files that qemu-img made open here`(subformat: String, forceSize: String) throws {
    var generator = SeededGenerator(seed: 8)
    var bytes = [UInt8](repeating: 0, count: 6 << 20)
    for index in stride(from: 1 << 20, to: 3 << 20, by: 3) { bytes[index] = .random(in: 0...255, using: &generator) }
    try save(bytes, "a.raw")
    let convert = try run(
      "qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "subformat=\(subformat),force_size=\(forceSize)",
      directory.path("a.raw"), directory.path("a.vhd"))
    #expect(convert.status == 0, "\(convert.text)")
    let layer = try VHDLayer.open(PosixFile(path: directory.path("a.vhd"), mode: .readWrite))
    #expect(layer.kind == (subformat == "fixed" ? .fixed : .dynamic))
    #expect(forceSize == "off" || layer.size == Int64(bytes.count))
    #expect(try layer.bytes(at: 0, count: bytes.count) == bytes)
    // Written here, read there.
    let model = try random(layer, seed: 5)
    try save(model, "b.raw")
    let compare = try run(
      "qemu-img", "compare", "-f", "vpc", "-F", "raw", directory.path("a.vhd"), directory.path("b.raw"))
    #expect(compare.status == 0, "\(compare.text)")
  }

  /// Reads a chain with libvhdi and writes its content: arguments are the files from the top down to the base, then the
  /// file to write.
  static let reader = """
    import ctypes, sys
    vhdi = ctypes.CDLL("libvhdi.so.1")
    pointer, error = ctypes.c_void_p, ctypes.c_void_p()
    def call(name, *arguments):
        function = getattr(vhdi, "libvhdi_file_" + name)
        result = function(*arguments, ctypes.byref(error))
        if result < 0:
            text = ctypes.create_string_buffer(4096)
            vhdi.libvhdi_error_backtrace_sprint(error, text, 4096)
            sys.exit(name + ": " + text.value.decode())
        return result
    vhdi.libvhdi_file_read_buffer_at_offset.restype = ctypes.c_ssize_t
    vhdi.libvhdi_file_read_buffer_at_offset.argtypes = [pointer, pointer, ctypes.c_size_t, ctypes.c_int64, pointer]
    below = None
    for path in reversed(sys.argv[1:-1]):
        file = pointer()
        call("initialize", ctypes.byref(file))
        call("open", file, path.encode(), 1)
        if below is not None:
            call("set_parent_file", file, below)
        below = file
    size = ctypes.c_uint64()
    call("get_media_size", below, ctypes.byref(size))
    with open(sys.argv[-1], "wb") as target:
        at = 0
        while at < size.value:
            buffer = ctypes.create_string_buffer(min(1 << 20, size.value - at))
            count = vhdi.libvhdi_file_read_buffer_at_offset(below, buffer, len(buffer), at, ctypes.byref(error))
            if count <= 0:
                sys.exit("read at %d" % at)
            target.write(buffer.raw[:count])
            at += count
    """

  @Test(arguments: [2, 3, 5])
  func `libvhdi reads our differencing chains`(depth: Int) throws {
    let size: Int64 = 7_340_032
    let base = try PosixFile(path: directory.path("0.vhd"), mode: .create)
    try VHDLayer.createDynamic(base, size: size)
    var layer = try VHDLayer.open(base)
    var model = try random(layer, seed: 1)
    for index in 1..<depth {
      let file = try PosixFile(path: directory.path("\(index).vhd"), mode: .create)
      let name = "\(index - 1).vhd"
      try VHDLayer.createDifferencing(
        file, size: size, parent: .init(identity: layer.identity, name: name, relativePath: name))
      layer = try VHDLayer.open(file, parent: layer)
      model = try random(layer, seed: UInt64(index) + 1)
    }
    #expect(try layer.bytes(at: 0, count: Int(size)) == model)
    let files = (0..<depth).reversed().map { directory.path("\($0).vhd") }
    let output = try run(["python3", "-c", Self.reader] + files + [directory.path("out.raw")])
    try #require(output.status == 0, "python3 and libvhdi1 are needed (apt-get install libvhdi1): \(output.text)")
    let found = try directory.content("out.raw")
    let wrong = stride(from: 0, to: model.count, by: 512).filter {
      found.count != model.count || found[$0..<$0 + 512] != model[$0..<$0 + 512]
    }
    #expect(wrong.isEmpty, "sectors \(wrong.map { $0 / 512 })")
    let info = try run("vhdiinfo", directory.path("\(depth - 1).vhd"))
    #expect(info.text.contains("Differential") || info.text.contains("Differencing"), "\(info.text)")
    #expect(info.text.contains("\(layer.identity.uuid)"), "\(info.text)")
  }
}
