"""Definitions of virtual machines that are wrong, hostile or impossible."""

from .host import Error, require, request_key

DOMAIN = """<domain type='qemu'>
  <name>%(name)s</name>%(uuid)s
  <memory unit='MiB'>%(memory)s</memory>
  <vcpu>%(cpus)s</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>%(devices)s</devices>
</domain>"""
DISK = "<disk type='volume' device='disk'><source pool='ftvs' volume='%s'/><target dev='vda' bus='virtio'/></disk>"
LAUGHS = "<!DOCTYPE d [<!ENTITY a0 'ha'>" + "".join(
    "<!ENTITY a%d '%s'>" % (n, "&a%d;" % (n - 1) * 10) for n in range(1, 10)) + "]>"


def domain(name="bad-vm", memory="64", cpus="1", devices="", uuid=""):
    return DOMAIN % {
        "name": name, "memory": memory, "cpus": cpus, "devices": devices or DISK % "no-such-volume",
        "uuid": "\n  <uuid>%s</uuid>" % uuid if uuid else ""}


def refused(host, definition, *kinds, says=""):
    error = host.refusal(
        "vm", "vm.define", kinds or ("badDefinition",), definition=definition, requestKey=request_key())
    require(says.lower() in error.message.lower(), "%.60r is refused without a word of %r: %s", definition, says, error.message)
    require(not host.has_machine("bad-vm"), "a definition that was refused is there")


def entities(host):
    refused(host, LAUGHS + domain(name="&a9;"), says="document type")
    refused(host, "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" + domain(name="&x;"), says="document type")
    refused(host, "<!DOCTYPE d SYSTEM 'http://127.0.0.1/x.dtd'>" + domain(), says="document type")
    refused(host, domain(name="&undefined;"))
    for reference in ("&#0;", "&#x110000;", "&#xD800;", "&#" + "9" * 400 + ";", "&#x;", "&amp", "&"):
        refused(host, domain(name="vm" + reference))
    refused(host, domain(devices="<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='/etc/passwd'/>"))


def structure(host):
    for text in (
        "", " ", "x", "<", "<domain", "<domain>", "</domain>", "<a/>", domain()[:-3], domain() + domain(), domain() + "x",
        "<domain type='qemu'/>", "<domain type='xen'>" + domain()[21:], "<!-- -- -->" + domain(), "<?xml version='9'?>",
        "<?xml version='1.0' encoding='UTF-16'?>" + domain(), "<![CDATA[" + domain(), "<d a='1' a='2'/>", "<d a=1/>",
        "<a:d/>", "<d xmlns:xml='x'/>", "\ufffe" + domain(), domain().replace("<vcpu>", "<vcpu\0>"), domain(name="a\0b"),
        domain(name="a\x01b"), domain(name="a\ud7ffb"), "<d>" * 50_000 + "</d>" * 50_000, "<d " + "a" * 500_000 + "='1'/>",
        "<d " + " ".join("a%d='1'" % n for n in range(50_000)) + "/>", domain().replace("domain", "Domain"),
    ):
        refused(host, text)
    refused(host, domain(devices="<!--" + "x" * (10 << 20) + "-->"), "badDefinition", "limitExceeded", "invalidParams", says="1 MiB")


def devices(host):
    for device in (
        "<hostdev mode='subsystem' type='pci'/>", "<disk type='file'><source file='/etc/shadow'/><target dev='vda'/></disk>",
        "<disk type='volume' device='lun'><source pool='ftvs' volume='x'/><target dev='sda' bus='scsi'/></disk>",
        "<graphics type='vnc' keymap='../../etc/passwd'><listen type='socket'/></graphics>",
        "<graphics type='vnc'><listen type='socket' socket='/run/ftvs/vm.sock'/></graphics>",
        DISK % "../../etc/passwd", DISK % "a,readonly=off,file=/etc/shadow", DISK % "", DISK % "x" * 1000,
        (DISK % "a") + (DISK % "a"), "<disk type='volume'/>", "<interface type='bridge'><source bridge='br0'/></interface>",
        "<graphics type='vnc'/>", "<filesystem/>", "<serial type='file'/>",
        "".join((DISK % ("v%d" % n)).replace("vda", "vd" + chr(97 + n)) for n in range(20)),
        "<interface type='user'><mac address='zz:zz'/></interface>", "<serial type='pty'/>" * 2,
    ):
        refused(host, domain(devices=device))
    for extra in (
        "<os><kernel>/etc/shadow,x=y</kernel></os>", "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'/>",
        "<launchSecurity/>", "<on_crash>coredump-restart</on_crash>", "<currentMemory>1</currentMemory>",
        "<metadata><ftvs:vm xmlns:ftvs='urn:ftvs:domain:1'><ftvs:protection level='best'/></ftvs:vm></metadata>",
        "<metadata><ftvs:vm xmlns:ftvs='urn:ftvs:domain:1'><ftvs:forward protocol='tcp' host='x' guest='70000'/></ftvs:vm></metadata>",
    ):
        refused(host, domain().replace("<devices>", extra + "<devices>"))


def numbers(host):
    for cpus in ("0", "-1", "65", "1000000000", "9" * 400, "1.5", "", "one", "0x2", "²", "٣"):
        refused(host, domain(cpus=cpus), says="vcpu")
    for memory in ("0", "-64", "9223372036854775807", "18446744073709551616", "9" * 400, "4194305", "1e3", "", "\n", "much"):
        refused(host, domain(memory=memory), says="memory")
    refused(host, domain().replace("'MiB'", "'parsec'"), says="unit")


def names(host):
    for name in ("", ".", "..", "a/b", "../../etc", "a\nb", "-a", " ", "a b", "x" * 64, "x" * 1000, "ü", "a;b", "$(id)", "%s%n"):
        refused(host, domain(name=name), says="name")
        parameters = {} if name else {"timeoutSeconds": 1}
        for method in ("vm.show", "vm.undefine", "vm.kill", "vm.shutdown"):
            extra = parameters if method == "vm.shutdown" else {}
            host.refusal("vm", method, ("invalidParams",), name=name, **extra)
    for uuid in ("0" * 32, "x" * 36, "1234", "-" * 36):
        refused(host, domain(uuid=uuid), says="UUID")


def no_disk(host):
    """A machine without disks, and one whose volume is not there: definable, for a volume may come later; start says so."""
    for devices in ("<serial type='pty'/>", DISK % "no-such-volume", "<emulator>/bin/sh</emulator>"):
        host.call("vm", "vm.define", definition=domain(devices=devices), requestKey=request_key())
        try:
            host.call("vm", "vm.start", name="bad-vm")
            require("serial" in devices, "a machine started with %s", devices)
            host.call("vm", "vm.kill", name="bad-vm")
        except Error as error:
            require(error.kind in ("storageUnavailable", "engineFailed", "badDefinition"), "start: %s %s", error.kind, error.message)
            require("no-such" not in devices or "no-such-volume" in error.message, "start names no volume: %s", error.message)
        host.wait_for("the machine to be undefined", 10, lambda: host.call("vm", "vm.undefine", name="bad-vm"))


def twice(host):
    """A second machine of the same name replaces the first one's definition; of the same UUID, it is refused."""
    uuid = "216e94a7-1d15-4330-ac1e-5f3a32695ca1"
    key = request_key()
    first = host.call("vm", "vm.define", definition=domain(uuid=uuid), requestKey=key)
    require(host.call("vm", "vm.define", definition=domain(uuid=uuid), requestKey=key) == first, "a repeat differs")
    host.refusal("vm", "vm.define", ("requestKeyReused",), definition=domain(name="bad-other"), requestKey=key)
    host.refusal("vm", "vm.define", ("vmExists",), definition=domain(name="bad-other", uuid=uuid), requestKey=request_key())
    for old in ("1-abcdefgh", "0-abcdefgh"):
        host.refusal("vm", "vm.define", ("requestKeyExpired",), definition=domain(), requestKey=old)
    host.call("vm", "vm.define", definition=domain(uuid=uuid, cpus="2"), requestKey=request_key())
    require([vm["name"] for vm in host.call("vm", "vm.list")["vms"]].count("bad-vm") == 1, "two machines of one name")
    require(host.call("vm", "vm.undefine", name="bad-vm") is not None, "undefine")


def wrong_states(host):
    host.call("vm", "vm.define", definition=domain(), requestKey=request_key())
    host.refusal("vm", "vm.writeConsole", ("wrongState",), name="bad-vm", data="eA==", requestKey=request_key())
    host.refusal("vm", "vm.writeConsole", ("invalidParams",), name="bad-vm", data="no base64", requestKey=request_key())
    host.refusal("vm", "vm.start", ("invalidParams", "noModuleInService"), name="bad-vm", module="io0")
    host.call("vm", "vm.shutdown", name="bad-vm", timeoutSeconds=0)
    host.call("vm", "vm.kill", name="bad-vm")
    host.call("vm", "vm.undefine", name="bad-vm")
    for method in ("vm.show", "vm.start", "vm.kill", "vm.shutdown"):
        host.refusal("vm", method, ("noSuchVM",), name="bad-vm")


def run(report, host):
    failures = ("vmStartFailed", "vmFailed")
    report.run("definitions with entities", entities, host)
    report.run("definitions that are no XML, or too much of it", structure, host)
    report.run("definitions with devices and elements that are not supported", devices, host)
    report.run("definitions with impossible numbers", numbers, host)
    report.run("definitions with impossible names", names, host)
    report.run("a machine without a disk, or without its volume", no_disk, host, alerts=failures)
    report.run("a machine defined twice, expired and reused request keys", twice, host)
    report.run("a machine in the wrong state", wrong_states, host)
