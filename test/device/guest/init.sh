#!/bin/busybox sh
# What a guest runs first: file systems, modules, then commands (commands.sh) until there are no more.

export PATH=/usr/sbin:/bin HOME=/ TERM=dumb
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t securityfs securityfs /sys/kernel/security
hostname husk-guest
while read -r module; do
    insmod "/modules/$module.ko" || echo "init: insmod $module failed"
done </modules/order

case " $(cat /proc/cmdline) " in
*' husk.shell '*)
    # A shell of its own session, so that Ctrl-C works in it.
    setsid -c sh -i </dev/ttyS0 >/dev/ttyS0 2>&1
    poweroff -f
    ;;
esac

sh /commands.sh
poweroff -f
