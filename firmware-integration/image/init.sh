#!/bin/busybox sh
# From the kernel to a slot's root file system: modules, the slot's squashfs, what may change laid over it.
#
#   husk.slot=a|b       the slot to boot; the other one is taken where it cannot be mounted
#   husk.overlay=none   as if the data partition were not there: for a device whose own changes keep it from booting
#
#   /dev/vda2, vda3     slots a and b: squashfs, never written while the device runs
#   /dev/vda4           ext4: slot-a/ and slot-b/, each laid over its slot; state/ is /var/lib in both
#
# A data partition that cannot be mounted never keeps a device from booting: memory takes its place, and the console says so.

export PATH=/bin
say() {
    echo "husk-init: $*" >/dev/console
}

# The value of a word of the kernel's command line.
word() {
    for one in $(cat /proc/cmdline); do
        case $one in "$1="*) echo "${one#*=}" ;; esac
    done
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/image /run/modules /slot /data /root

while read -r module; do
    insmod "/modules/$module.ko" || say "insmod $module failed"
done </modules/order
# Not needed to boot; services may insert them.
for module in /modules/later/*.ko; do [ ! -e "$module" ] || mv "$module" /run/modules/; done

partition_of() {
    case $1 in a) echo /dev/vda2 ;; b) echo /dev/vda3 ;; esac
}

slot=$(word husk.slot)
case $slot in a | b) ;; *) slot=a ;; esac
if ! mount -t squashfs -o ro "$(partition_of "$slot")" /slot; then
    other=$([ "$slot" = a ] && echo b || echo a)
    say "slot $slot cannot be mounted: slot $other is booted in its place"
    slot=$other
    if ! mount -t squashfs -o ro "$(partition_of "$slot")" /slot; then
        say 'no slot can be mounted: a shell, to repair by hand'
        exec setsid -c sh -i </dev/console >/dev/console 2>&1
    fi
fi

# in_memory WHY: what may change is kept in memory until the next boot.
in_memory() {
    say "no data partition ($1): changes are kept in memory and are gone with the next boot"
    mount -t tmpfs -o mode=755 tmpfs /data
    echo "memory: $1" >/run/image/overlay
}

lay_over() {
    mkdir -p "/data/slot-$slot/upper" "/data/slot-$slot/work" /data/state &&
        mount -t overlay -o "lowerdir=/slot,upperdir=/data/slot-$slot/upper,workdir=/data/slot-$slot/work" overlay /root
}

echo disk >/run/image/overlay
if [ "$(word husk.overlay)" = none ]; then
    in_memory 'husk.overlay=none'
elif ! mount -t ext4 /dev/vda4 /data; then
    in_memory '/dev/vda4 cannot be mounted'
fi
if ! lay_over; then
    umount /data
    in_memory 'nothing can be laid over the slot from it'
    lay_over || say 'nothing can be laid over the slot at all'
fi
echo "$slot" >/run/image/slot

mount --move /slot /root/rom
mount --move /data /root/data
# What the firmware says of itself is read from the slot, whatever was laid over it.
mount --bind /root/rom/usr/lib/husk /root/usr/lib/husk
mount --bind /root/data/state /root/var/lib
for folder in proc sys dev run; do mount --move "/$folder" "/root/$folder"; done
exec switch_root /root /sbin/init
