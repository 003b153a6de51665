"""Command lines of ftctl that are wrong, and surroundings that an operator's terminal does not have."""

import json
import os
import subprocess
import tempfile

from . import volumes
from .host import require

DONE, FAILED, USAGE, NO_INPUT, UNAVAILABLE, SYSTEM = 0, 1, 64, 66, 69, 71


class Ftctl:
    """Runs ftctl against the host, or whatever the arguments name."""

    def __init__(self, host):
        self.host = host

    def run(self, *arguments, environment=None, **options):
        surroundings = {"PATH": "/usr/bin:/bin", "HOME": "/root", "FTVS_RUN_DIRECTORY": self.host.run}
        surroundings.update(environment or {})
        surroundings = {name: value for name, value in surroundings.items() if value is not None}
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.run([self.host.ftctl, *arguments], env=surroundings, timeout=20, **options)

    def ends(self, code, *arguments, says=None, **options):
        """Checks the exit code, and that what is wrong is said on standard error, in words and without a trace."""
        done = self.run(*arguments, **options)
        words = done.stderr.decode("utf-8", "strict")
        what = "ftctl %s" % " ".join("%.40s" % argument for argument in arguments)
        require(done.returncode == code, "%s ended with %d instead of %d: %s", what, done.returncode, code, words[:300])
        if code != DONE:
            require(len(words.strip()) > 10, "%s says nothing: %r", what, words)
            require(not done.stdout or "-o" in arguments, "%s complains on standard output: %r", what, done.stdout[:200])
        for trace in ("Fatal error", "RPCError(", "Error Domain", "stack dump"):
            require(trace not in words, "%s: %s", what, words[:500])
        for word in [says] if isinstance(says, str) else says or []:
            require(word in words, "%s does not say %r: %s", what, word, words[:500])
        return done


def typos(host):
    ftctl = Ftctl(host)
    ftctl.ends(USAGE, "statsu", says="status")
    ftctl.ends(USAGE, "volume", "creat", "x", says="create")
    ftctl.ends(USAGE, "vm", "strat", "x", says="start")
    ftctl.ends(USAGE, "volume", "undo", "comit", "x", says="commit")
    for arguments in (
        ("volume", "create"), ("volume", "create", "x"), ("volume", "delete"), ("vm", "define"), ("vm", "start"), ("call",),
        ("call", "storage"), ("library", "import", "x"), ("volume", "export", "x"), ("library", "export", "x", "f", "--format", "x"), ("module", "fail"), ("--no-such-option",), ("status", "extra"),
        ("volume", "list", "-o", "xml"), ("volume", "list", "--deadline", "0"), ("volume", "list", "--deadline", "-5"),
        ("volume", "list", "--deadline", "nan"), ("volume", "list", "--deadline", "1e9"), ("volume", "list", "--host", "-oProxyCommand=x"),
        ("call", "nothing", "x"), ("call", "storage", "volume.list", "{"), ("call", "storage", "volume.list", "[]"),
        ("module", "fail", "cpu7"), ("module", "offline", "CPU0"), ("lab", "up", "--heartbeat-bound", "0"),
        ("lab", "up", "--heartbeat-bound", "99999999999999999999"),
    ):
        ftctl.ends(USAGE, *arguments)
    for name in ("../x", "a/b", "", "a b", "ü", "x" * 64):
        ftctl.ends(USAGE, "volume", "show", name, says="name")
        ftctl.ends(USAGE, "vm", "start", name, says="name")
    for size in ("0", "-1", "1.5.2G", "10X", "", "G", "1e999", "99999999999999999999", "99999999T", "nan", "0x10"):
        done = ftctl.run("volume", "create", "bad-v", "--size", size)
        require(done.returncode in (USAGE, FAILED), "--size %s: %d %s", size, done.returncode, done.stderr)
        require(len(done.stderr) > 10, "--size %s says nothing", size)
    ftctl.ends(FAILED, "volume", "create", "bad-v", "--size", "3T", says="2040 GiB")
    ftctl.ends(FAILED, "volume", "create", "bad-v", "--size", "513", says="512")


def what_is_not_there(host):
    ftctl = Ftctl(host)
    volumes.create(host, "bad-guard")
    ftctl.ends(FAILED, "volume", "show", "bad-gaurd", says="bad-guard")
    ftctl.ends(FAILED, "vm", "start", "no-such", says="no-such")
    ftctl.ends(FAILED, "vm", "console", "no-such", says="no-such")
    ftctl.ends(FAILED, "volume", "undo", "commit", "bad-guard", says="undo")
    ftctl.ends(FAILED, "volume", "create", "bad-v", "--image", "no-such", says="no-such")
    ftctl.ends(FAILED, "call", "storage", "volume.lits", says="volume.list")
    ftctl.ends(DONE, "volume", "delete", "no-such")
    for file in ("/no/such/file", "/", "/dev/null", "/proc/self/mem"):
        ftctl.ends(NO_INPUT, "library", "import", "bad-i", file, says=file)
    for file in ("/no/such/file", "/"):
        ftctl.ends(NO_INPUT, "vm", "define", file, says=file)
    done = ftctl.run("vm", "define", "/dev/zero")
    require(done.returncode in (NO_INPUT, FAILED) and done.stderr, "vm define /dev/zero: %d", done.returncode)
    with tempfile.NamedTemporaryFile() as image:
        image.write(b"QFI\xfb" + b"\0" * 10_000)
        image.flush()
        ftctl.ends(NO_INPUT, "library", "import", "bad-i", image.name, says="qcow2")
        ftctl.ends(NO_INPUT, "volume", "import", "bad-i", image.name, "--format", "vmdk", says="VMDK")
    done = ftctl.ends(FAILED, "call", "storage", "volume.show", '{"volume": "no-such"}', "-o", "json")
    error = json.loads(done.stdout)["error"]
    require((error["code"], error["kind"]) == (3001, "noSuchVolume"), "%s", error)


def surroundings(host):
    ftctl = Ftctl(host)
    for locale in ("tr_TR.UTF-8", "C", "POSIX", "de_DE.ISO-8859-1", "xx_XX", ""):
        for command in (("status",), ("volume", "list"), ("volume", "create", "bad-v", "--size", "2M"), ("volume", "delete", "bad-v")):
            ftctl.ends(DONE, *command, environment={"LANG": locale, "LC_ALL": locale})
    for changed in ({"HOME": None}, {"HOME": ""}, {"PATH": None}, {"TERM": None}, {"TERM": "none"}, {"COLUMNS": "0"},
                    {"COLUMNS": "99999999999999999999"}, {"TZ": "No/Such"}, {"NO_COLOR": ""}):
        ftctl.ends(DONE, "status", environment=changed)
        ftctl.ends(DONE, "alert", "list", environment=changed)
    ftctl.ends(UNAVAILABLE, "volume", "list", environment={"FTVS_RUN_DIRECTORY": "/no/such/directory"}, says="/no/such/directory")
    ftctl.ends(UNAVAILABLE, "volume", "list", "--run-directory", "x" * 200)
    ftctl.ends(UNAVAILABLE, "status", "--run-directory", "/")
    ftctl.ends(UNAVAILABLE, "volume", "list", "--deadline", "1", "--run-directory", "/no\n\x1b[31m/such")
    # Standard output that is closed, that nobody reads, and that is full.
    done = subprocess.run(
        [host.ftctl, "status", "--run-directory", host.run], stdout=None, stderr=subprocess.PIPE, timeout=20,
        preexec_fn=lambda: os.close(1))
    require(done.returncode == SYSTEM, "with standard output closed ftctl ended with %d", done.returncode)
    reader, writer = os.pipe()
    os.close(reader)
    done = ftctl.run("api", "storage", stdout=writer)
    os.close(writer)
    require(b"Fatal" not in done.stderr, "without a reader: %s", done.stderr)
    with open("/dev/full", "w") as full:
        done = ftctl.run("api", "storage", stdout=full)
    require(b"Fatal" not in done.stderr and done.returncode >= 0, "to a full disk: %d %s", done.returncode, done.stderr)
    require(done.returncode == SYSTEM, "what could not be printed ended with %d", done.returncode)
    done = subprocess.run(
        [host.ftctl, "status", "--run-directory", host.run], stdout=subprocess.PIPE, stderr=None, timeout=20,
        stdin=None, preexec_fn=lambda: (os.close(0), os.close(2)))
    require(done.returncode == DONE and done.stdout, "without standard input and error: %d", done.returncode)


def run(report, host):
    report.run("ftctl: typing errors", typos, host)
    report.run("ftctl: what is not there", what_is_not_there, host)
    report.run("ftctl: surroundings", surroundings, host)
