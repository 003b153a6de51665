#!/bin/bash
# ssh.sh: another host administered over a real ssh server; run inside the sandboxed systemd with FTVS installed.
set -u
failed=0
check() { # NAME PATTERN COMMAND...: the command's output holds the pattern
    local name=$1 pattern=$2 output; shift 2
    output=$("$@" 2>&1)
    if grep -qE -- "$pattern" <<<"$output"; then echo "ok - $name"
    else echo "not ok - $name: no '$pattern' in:"; sed 's/^/    /' <<<"$output"; failed=1; fi
}

mkdir -p /run/sshd /root/.ssh && chmod 700 /root/.ssh
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519 <<<y >/dev/null
cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
ssh-keygen -q -t ed25519 -N '' -f /run/sshd/host_key <<<y >/dev/null
printf 'HostKey /run/sshd/host_key\nListenAddress 127.0.0.1\nPermitRootLogin yes\nPidFile none\nUsePAM no\n' >/run/sshd/config
/usr/sbin/sshd -D -e -f /run/sshd/config 2>/run/sshd/log & server=$!
trap 'kill "$server"' EXIT
for _ in {1..100}; do ssh-keyscan 127.0.0.1 2>/dev/null | grep -q ed25519 && break; sleep 0.1; done

check "a host whose key is not known is not trusted" 'verification failed' ftctl --host root@127.0.0.1 status
ssh-keyscan 127.0.0.1 2>/dev/null >/root/.ssh/known_hosts
check "the state of a host is seen over ssh" 'cpu duplex, io duplex' ftctl --host root@127.0.0.1 status
check "a volume is created over ssh" 'remote' ftctl --host root@127.0.0.1 volume create remote --size 1M
check "it is there for who looks on the host itself" 'remote' ftctl volume list
check "JSON comes over ssh" '"volume"' ftctl volume list --host root@127.0.0.1 -o json
work=$(mktemp -d /var/tmp/ftvs-ssh.XXXXXX)
trap 'kill "$server"; rm -rf "$work"' EXIT
remote="ftctl --host root@127.0.0.1"
qemu-img create -q -f raw "$work/disk.raw" 64M && printf 'from far away' | dd of="$work/disk.raw" bs=1M seek=5 conv=notrunc status=none
qemu-img convert -O qcow2 "$work/disk.raw" "$work/disk.qcow2"
check "a disk image goes in over ssh, compared afterwards" 'far: 64 MiB' $remote volume import far "$work/disk.qcow2"
check "it comes back over ssh" 'back.vmdk' $remote volume export far "$work/back.vmdk" --format vmdk
check "what came back is what went in" 'identical' qemu-img compare -f raw -F vmdk "$work/disk.raw" "$work/back.vmdk"
check "a volume is backed up over ssh" 'everything, because it is the first' $remote volume backup create far "$work/backup"
check "then only what changed" 'what changed since' $remote volume backup create far "$work/backup"
check "and restored over ssh" 'near is as far was' $remote volume backup restore "$work/backup" far --as near
check "with the same content" 'back2.raw' $remote volume export near "$work/back2.raw" --format raw
check "to the byte" 'identical' qemu-img compare -f raw -F raw "$work/disk.raw" "$work/back2.raw"

check "a host that does not answer is told of" 'Try: ssh' ftctl --host root@127.0.0.2 status
check "nobody's tunnel is left" '^0$' sh -c 'ls -d /tmp/ftctl-* 2>/dev/null | wc -l'
exit "$failed"
