#!/usr/bin/env bash
# libvirtd.sh DIR: a libvirtd of its own, that keeps all its files in DIR and listens on
# DIR/run/libvirt/libvirt-sock. Runs as the first process of namespaces of its own (mount, PID,
# network), so that it neither sees nor changes what a libvirtd of this machine has, and whatever
# it started ends with it.
set -euo pipefail
cd "$1"

mkdir -p run/libvirt lib/libvirt log/libvirt/qemu cache etc
cat >etc/libvirtd.conf <<END
auth_unix_rw = "none"
END

# Guests run as this user; their files keep their owners; affinity is set thread by thread.
cat >etc/qemu.conf <<END
user = "root"
group = "root"
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = []
END

# Debian's libvirtd wants this user to be there even where qemu.conf names another one.
cp /etc/passwd /etc/group .
echo 'libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin' >>passwd
echo 'libvirt-qemu:x:64055:' >>group

mount --bind passwd /etc/passwd
mount --bind group /etc/group
mount --bind etc /etc/libvirt
mount --bind cache /var/cache
mount --bind log /var/log
mount --bind lib /var/lib
mount --bind run /run

# Not exec: the first process of the namespace has to reap what the others leave behind.
libvirtd &
wait
