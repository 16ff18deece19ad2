#!/usr/bin/env bash
# Builds libbpf, libelf and zlib as static, position-independent libraries for the addon.
#
# Debian's own .a files are not PIC and do not link into a shared object, and bookworm's libbpf is older
# than the calls we use (TCX, netfilter links). So all three are built from Debian's sources: zlib and
# elfutils from source packages, libbpf from the kernel's tree in linux-source-6.12.
#
# Sources come through a private apt root below the cache: the machine's sources and /etc stay as they are.
# Addresses and keys are the machine's own, as `apt-get indextargets` names them.
#
# Usage: native/build-libs.sh CACHE
# After:  CACHE/libs -> CACHE/libs-<hash of this script and the source versions>, which holds
#           include/  libbpf's, libelf's and zlib's headers
#           uapi/     linux/bpf.h and btf.h of the same tree; Debian 12's own (6.1) lack TCX
#           lib/      libbpf.a libelf.a libz.a
#           VERSIONS  what was built from what
# A tree that stands is used as it is, without network; a new one is built beside and moved in whole.
set -euo pipefail

readonly LIBBPF_MINOR_MIN=5
readonly CFLAGS_PIC='-Os -fPIC -ffunction-sections -fdata-sections'
CACHE=$(mkdir -p "$1" && cd "$1" && pwd)
SCRIPT_HASH=$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-16)
JOBS=$(nproc)
readonly CACHE SCRIPT_HASH JOBS

fail() {
    echo "build-libs: $*" >&2
    exit 1
}

# Where this machine gets a release from.
address_of() {
    local release=$1
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 2>/dev/null |
        awk -v release="$release" '$2 == release && $3 == "main" { print $1; exit }'
}

private_apt() {
    local command=$1
    shift
    "$command" -qq \
        -o Dir::Etc::sourcelist="$WORK/apt/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State="$WORK/apt/state" -o Dir::State::status=/var/lib/dpkg/status \
        -o Dir::State::lists="$WORK/apt/lists" -o Dir::Cache="$WORK/apt/cache" \
        -o APT::Sandbox::User=root "$@"
}

make_private_apt() {
    local main security signed='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
    main=$(address_of bookworm)
    security=$(address_of bookworm-security)
    [[ -n $main && -n $security ]] ||
        fail "apt knows no bookworm main and bookworm-security main; run apt-get update on a Debian 12 machine"
    mkdir -p "$WORK/apt"/{state,lists/partial,cache/archives/partial}
    # zlib and elfutils from bookworm alone: sources of its updates are not always there to be had.
    printf 'deb-src %s %s bookworm main\ndeb %s %s bookworm-security main\n' \
        "$signed" "$main" "$signed" "$security" >"$WORK/apt/sources.list"
    private_apt apt-get update
}

version_of_source() {
    private_apt apt-cache showsrc "$1" | awk '/^Version:/ { print $2 }' | sort -V | tail -n 1
}

version_of_kernel() {
    private_apt apt-cache policy linux-source-6.12 | awk '/Candidate:/ { print $2 }'
}

fetch_source() {
    local name=$1 version=$2
    (cd "$WORK" && private_apt apt-get source --download-only "$name=$version")
    mkdir "$WORK/$name"
    tar -xf "$(find "$WORK" -maxdepth 1 -name "${name}_*.orig.tar.*" ! -name '*.asc')" \
        -C "$WORK/$name" --strip-components=1
}

fetch_kernel() {
    (cd "$WORK" && private_apt apt-get download linux-source-6.12)
    dpkg-deb --fsys-tarfile "$WORK"/linux-source-6.12_*.deb |
        tar -xO ./usr/src/linux-source-6.12.tar.xz |
        tar -xJ -C "$WORK" --wildcards \
            'linux-source-6.12/tools/lib/bpf' 'linux-source-6.12/tools/include' \
            'linux-source-6.12/tools/scripts' 'linux-source-6.12/tools/build' \
            'linux-source-6.12/tools/arch/x86/include' 'linux-source-6.12/scripts/bpf_doc.py' \
            'linux-source-6.12/include/uapi/linux/bpf.h'
    rm "$WORK"/linux-source-6.12_*.deb
}

build_zlib() {
    cd "$WORK/zlib"
    CFLAGS=$CFLAGS_PIC ./configure --static --prefix="$OUT"
    make -j"$JOBS" libz.a
    install -D -m 644 -t "$OUT/lib" libz.a
    install -D -m 644 -t "$OUT/include" zlib.h zconf.h
}

build_libelf() {
    cd "$WORK/elfutils"
    CFLAGS="$CFLAGS_PIC -Wno-error" CPPFLAGS="-I$OUT/include" LDFLAGS="-L$OUT/lib" ./configure \
        --disable-debuginfod --disable-libdebuginfod --disable-nls \
        --without-bzlib --without-lzma --without-zstd
    make -C lib -j"$JOBS"
    make -C libelf -j"$JOBS" libelf.a
    install -D -m 644 -t "$OUT/lib" libelf/libelf.a
    install -D -m 644 -t "$OUT/include" libelf/libelf.h libelf/gelf.h libelf/nlist.h libelf/elf.h
}

build_libbpf() {
    local source=$WORK/linux-source-6.12/tools/lib/bpf minor
    minor=$(awk '$2 == "LIBBPF_MINOR_VERSION" { print $3 }' "$source/libbpf_version.h")
    ((minor >= LIBBPF_MINOR_MIN)) || fail "libbpf 1.$minor in linux-source-6.12 is older than 1.$LIBBPF_MINOR_MIN"
    # `make install` fails in libbpf.pc where OUTPUT is set; the archive and the headers are all we need.
    mkdir -p "$WORK/libbpf"
    make -C "$source" -j"$JOBS" OUTPUT="$WORK/libbpf/" \
        EXTRA_CFLAGS="$CFLAGS_PIC -I$OUT/include" "$WORK/libbpf/libbpf.a"
    make -C "$source" OUTPUT="$WORK/libbpf/" DESTDIR="$OUT" prefix= install_headers
    install -D -m 644 -t "$OUT/lib" "$WORK/libbpf/libbpf.a"
    # These alone: the rest of the tree's user headers are for building the kernel's tools, and clash with
    # the machine's own.
    install -D -m 644 -t "$OUT/uapi/linux" \
        "$WORK/linux-source-6.12/tools/include/uapi/linux/"{bpf,bpf_common,btf}.h
}

if [[ -f $CACHE/libs/SCRIPT && $(<"$CACHE/libs/SCRIPT") == "$SCRIPT_HASH" ]]; then
    exit 0
fi

WORK=$(mktemp -d "$CACHE/libs-work.XXXXXX")
readonly WORK LOG=$CACHE/libs.log OUT=$WORK/out

clean_up() {
    local status=$?
    rm -rf "$WORK"
    if ((status != 0)); then
        tail -n 30 "$LOG" >&2
        echo "build-libs: failed; the whole log is $LOG" >&2
    fi
}
trap clean_up EXIT
mkdir -p "$OUT"

step() {
    echo "  $*"
    # A subshell of its own with -e in force: `step || …` would switch -e off inside the function.
    (set -euo pipefail; "$@") >>"$LOG" 2>&1
}

: >"$LOG"
step make_private_apt
zlib_version=$(version_of_source zlib)
elfutils_version=$(version_of_source elfutils)
kernel_version=$(version_of_kernel)
versions="zlib $zlib_version
elfutils $elfutils_version
linux-source-6.12 $kernel_version"
name=libs-$(printf '%s\n%s\n' "$SCRIPT_HASH" "$versions" | sha256sum | cut -c1-16)
if [[ ! -d $CACHE/$name ]]; then
    step fetch_source zlib "$zlib_version"
    step fetch_source elfutils "$elfutils_version"
    step fetch_kernel
    step build_zlib
    step build_libelf
    step build_libbpf
    printf '%s\n' "$versions" >"$OUT/VERSIONS"
    printf '%s\n' "$SCRIPT_HASH" >"$OUT/SCRIPT"
    mv -T "$OUT" "$CACHE/$name"
fi
ln -sfn "$name" "$CACHE/libs.new"
mv -T "$CACHE/libs.new" "$CACHE/libs"
find "$CACHE" -maxdepth 1 -type d -name 'libs-*' ! -name "$name" ! -path "$WORK" -exec rm -rf {} +
