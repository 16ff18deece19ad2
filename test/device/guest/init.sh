#!/bin/busybox sh
# What a guest runs first: file systems, modules, then commands from the second serial line until it is closed.
#
# Host to guest, a line:   ID COMMAND...
# Guest to host, lines:    husk-ready
#                          husk-out ID TEXT      what the command writes, both streams
#                          husk-end ID STATUS
# Kernel messages go to the first serial line, so they never come between.

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

exec </dev/ttyS1 >/dev/ttyS1
stty raw -echo
echo husk-ready
while read -r id command; do
    { sh -c "$command" </dev/null 2>&1; echo "$?" >/run/status; } | sed "s/^/husk-out $id /"
    # Output without a newline at its end must not swallow this line; empty lines say nothing.
    printf '\nhusk-end %s %s\n' "$id" "$(cat /run/status)"
done
poweroff -f
