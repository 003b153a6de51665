/// Names of keys: QEMU's (`QKeyCode` in its qapi/ui.json), and libvirt's, which are those of Linux's input-event-codes.h.
enum KeyNames {
  /// Keys pressed together, at most.
  static let limit = 16

  static let all: Set<String> = {
    let letters = "abcdefghijklmnopqrstuvwxyz0123456789".map { String($0) }
    let functions = (1...12).map { "f\($0)" }
    let pad = (0...9).map { "kp_\($0)" }
    return Set(letters + functions + pad + named)
  }()

  private static let named = [
    "shift", "shift_r", "alt", "alt_r", "ctrl", "ctrl_r", "menu", "esc", "minus", "equal", "backspace", "tab",
    "bracket_left", "bracket_right", "ret", "semicolon", "apostrophe", "grave_accent", "backslash", "comma", "dot",
    "slash", "asterisk", "spc", "caps_lock", "num_lock", "scroll_lock", "kp_divide", "kp_multiply", "kp_subtract",
    "kp_add", "kp_enter", "kp_decimal", "kp_comma", "kp_equals", "sysrq", "less", "print", "home", "pgup", "pgdn",
    "end", "left", "up", "down", "right", "insert", "delete", "stop", "again", "props", "undo", "front", "copy", "open",
    "paste", "find", "cut", "lf", "help", "meta_l", "meta_r", "compose", "pause", "ro", "hiragana", "henkan", "yen",
    "muhenkan", "katakanahiragana", "power", "sleep", "wake", "audionext", "audioprev", "audiostop", "audioplay",
    "audiomute", "volumeup", "volumedown", "mediaselect", "mail", "calculator", "computer", "ac_home", "ac_back",
    "ac_forward", "ac_refresh", "ac_bookmarks", "lang1", "lang2",
  ]

  /// Linux's names that are not QEMU's in capitals.
  private static let linux = [
    "leftctrl": "ctrl", "rightctrl": "ctrl_r", "leftalt": "alt", "rightalt": "alt_r", "leftshift": "shift",
    "rightshift": "shift_r", "leftmeta": "meta_l", "rightmeta": "meta_r", "enter": "ret", "space": "spc",
    "pageup": "pgup", "pagedown": "pgdn", "leftbrace": "bracket_left", "rightbrace": "bracket_right",
    "grave": "grave_accent", "capslock": "caps_lock", "numlock": "num_lock", "scrolllock": "scroll_lock",
    "kpenter": "kp_enter", "kpplus": "kp_add", "kpminus": "kp_subtract", "kpasterisk": "kp_multiply",
    "kpslash": "kp_divide", "kpdot": "kp_decimal", "102nd": "less", "linefeed": "lf", "mute": "audiomute",
    "nextsong": "audionext", "previoussong": "audioprev",
  ]

  /// QEMU's name of a key, or nil when neither knows it. Capitals do not matter.
  static func canonical(_ name: String) -> String? {
    let lower = name.lowercased()
    if all.contains(lower) { return lower }
    guard lower.hasPrefix("key_") else { return nil }
    let key = String(lower.dropFirst(4))
    if let mapped = linux[key] { return mapped }
    if all.contains(key) { return key }
    return key.hasPrefix("kp") && all.contains("kp_\(key.dropFirst(2))") ? "kp_\(key.dropFirst(2))" : nil
  }
}
