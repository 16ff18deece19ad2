#!/usr/bin/env bash
# Builds, checks and runs Husk: one verb a call, see --help.
#
# Every verb may be repeated: what is there and was made from the same inputs is left as it is. Each step
# says in one line what it runs; its output shows only where it fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly CACHE=.cache
readonly STAMPS=build/.stamps
readonly LIBS=$CACHE/libs
readonly HOST_PATH=$PATH
export PATH=$PWD/node_modules/.bin:$PATH

usage() {
    cat <<'USAGE'
usage: ./build.sh VERB

  deps     install what the build needs: Debian packages, npm packages, static libraries, kernels for guests
  build    deps, then BPF objects, addon, bundles and executables (dist/husk-agent, dist/husk, dist/husk-launch)
  check    formats, lint, types and the shape of the source tree, which it does not change; deps first
  test     [FILES]: build, then all tests this machine can run, or those named
  demo     [--keep] [--json]: build, then the demonstration; `demo --help` says more
  bench    [PARTS] [--json] [--keep-as-baseline]: build, then the measurements; `bench --help` says more
  image    [--boot]: build, then the reference device image (build/image); --boot runs it on this terminal, `--boot --help` says more
  package  packages for distributions (comes later)
USAGE
}

# -- speaking ---------------------------------------------------------------------------------------------

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    readonly BOLD=$'\e[1m' PLAIN=$'\e[0m'
else
    readonly BOLD='' PLAIN=''
fi

say() {
    printf '%s==>%s %s\n' "$BOLD" "$PLAIN" "$*"
}

fail() {
    printf 'build.sh: %s\n' "$*" >&2
    exit 1
}

# Runs a command that is only worth reading where it fails.
quietly() {
    local log status=0
    log=$(mktemp "$CACHE/log.XXXXXX")
    "$@" >"$log" 2>&1 </dev/null || status=$?
    ((status == 0)) || cat "$log" >&2
    rm -f "$log"
    ((status == 0)) || fail "failed (exit $status): $*"
}

# -- doing again only what changed ------------------------------------------------------------------------

# What a step is made from: the contents of files, and words such as its command line.
hash_of() {
    local item
    for item in "$@"; do
        if [[ -f $item ]]; then sha256sum <"$item"; else printf '%s\n' "$item"; fi
    done | sha256sum | cut -c1-64
}

# stale NAME OUTPUT INPUT...: whether OUTPUT is missing or was made from something else.
stale() {
    local name=$1 output=$2
    shift 2
    STALE_HASH=$(hash_of "$@")
    [[ ! -e $output || ! -f $STAMPS/$name || $(<"$STAMPS/$name") != "$STALE_HASH" ]]
}

# After the step that `stale` asked for has succeeded.
settle() {
    mkdir -p "$STAMPS"
    printf '%s\n' "$STALE_HASH" >"$STAMPS/$1"
}

# Two builds of one checkout would write the same files.
lock_build() {
    mkdir -p "$CACHE"
    exec {BUILD_LOCK}>"$CACHE/lock"
    flock --nonblock "$BUILD_LOCK" || { say 'waiting for another build of this checkout' && flock "$BUILD_LOCK"; }
}

unlock_build() {
    exec {BUILD_LOCK}>&-
}

# -- deps -------------------------------------------------------------------------------------------------

readonly PACKAGES=(
    gcc libc6-dev make m4 python3-minimal bzip2 xz-utils dpkg-dev ca-certificates # libraries and addon
    clang-19 llvm-19 clang-format-19 bpftool                                      # BPF objects
    git iproute2 openssl tcpreplay mosquitto mosquitto-clients util-linux procps  # tests
    qemu-system-x86 busybox-static wireguard-tools                                # emulated guests
    squashfs-tools e2fsprogs                                                      # the device image
    iptables nftables ipset                                                       # rulesets to compare imports with
    xdp-tools                                                                     # a filter to be measured beside
)

is_installed() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# Installing mosquitto would start it, and at each boot again; our tests start their own, on their own ports.
apt_install_without_starting() {
    local policy=/usr/sbin/policy-rc.d own=no status=0
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\n# Made by build.sh for the length of one apt-get install; may be removed.\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        own=yes
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" || status=$?
    [[ $own == no ]] || rm -f "$policy"
    if [[ " $* " == *' mosquitto '* && -d /run/systemd/system ]]; then
        systemctl disable mosquitto.service || true # not there to be disabled: as wanted
    fi
    return "$status"
}

install_packages() {
    local package missing=()
    for package in "${PACKAGES[@]}"; do
        is_installed "$package" || missing+=("$package")
    done
    PATH=$HOST_PATH command -v npm >/dev/null || missing+=(nodejs npm)
    ((${#missing[@]})) || return 0
    ((EUID == 0)) || fail "as root, please: apt-get install ${missing[*]}"
    say "apt-get install ${missing[*]}"
    quietly apt-get update
    quietly apt_install_without_starting "${missing[@]}"
}

install_node_modules() {
    local stamp=node_modules/.husk-lock hash
    hash=$(hash_of package-lock.json .npmrc)
    [[ ! -f $stamp || $(<"$stamp") != "$hash" ]] || return 0
    say 'npm ci'
    # With the machine's own node: npm ci removes the one in node_modules first.
    PATH=$HOST_PATH quietly npm ci
    printf '%s\n' "$hash" >"$stamp"
}

# node 24 comes with node_modules on x64; elsewhere the machine must have one.
check_node() {
    local version
    version=$(node -p 'process.versions.node')
    ((${version%%.*} >= 24)) || fail "node $version is too old: 24.21 or later is needed in PATH on $(uname -m)"
}

deps() {
    mkdir -p "$CACHE"
    install_packages
    install_node_modules
    check_node
    [[ -d $LIBS ]] || say 'native/build-libs.sh: libbpf, libelf and zlib'
    native/build-libs.sh "$CACHE"
    guest_kernels
}

# Debian's kernels for emulated guests. One that cannot be had is told of and fails nothing: its tests are skipped.
guest_kernels() {
    [[ $(uname -m) == x86_64 ]] || return 0
    [[ -f $CACHE/kernels/checked ]] || say 'node test/device/fetch-kernels.ts: kernels for emulated guests'
    node test/device/fetch-kernels.ts
}

# -- build ------------------------------------------------------------------------------------------------

# bpf_object SOURCE OUTPUT [FLAG...]
bpf_object() {
    local source=$1 output=$2
    shift 2
    local multiarch headers command
    multiarch=$(gcc -print-multiarch)
    mapfile -t headers < <(find bpf -name '*.h' | sort)
    command=(clang-19 -O2 -g -target bpf -mcpu=v3 -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter -Ibpf -Ibpf/include
        -isystem "$LIBS/include" -isystem "$LIBS/uapi" -isystem "/usr/include/$multiarch" "$@" -c "$source")
    stale "${output//\//_}" "$output" "$source" "${headers[@]}" "$LIBS/VERSIONS" "${command[*]}" || return 0
    say "clang-19 -target bpf ${*:+$* }$source"
    mkdir -p "$(dirname "$output")"
    quietly "${command[@]}" -o "$output.new"
    # Takes the debugging information, leaves the BTF.
    quietly llvm-strip-19 -g "$output.new"
    mv "$output.new" "$output"
    settle "${output//\//_}"
}

bpf_objects() {
    local source
    for source in bpf/*.bpf.c bpf/abi/layout.bpf.c; do
        [[ ! -f $source ]] || bpf_object "$source" "build/bpf/$(basename "${source%.c}").o"
    done
    # The same guards for kernels that take them in another way: bpf/include/guard.h.
    for source in bpf/guard_*.bpf.c; do
        bpf_object "$source" "build/bpf/$(basename "${source%.bpf.c}")_b.bpf.o" -DHUSK_TIER_B
    done
    for source in test/native/bpf/*.bpf.c test/bench/bpf/*.bpf.c; do
        bpf_object "$source" "build/test-bpf/$(basename "${source%.c}").o"
    done
}

layout() {
    stale layout bpf/abi/layout.gen.ts build/bpf/layout.bpf.o bpf/abi/gen-layout.ts bpf/abi/layout.gen.ts || return 0
    say 'node bpf/abi/gen-layout.ts'
    quietly node bpf/abi/gen-layout.ts build/bpf/layout.bpf.o
    # The output is an input: a change by hand is undone.
    stale layout bpf/abi/layout.gen.ts build/bpf/layout.bpf.o bpf/abi/gen-layout.ts bpf/abi/layout.gen.ts || true
    settle layout
}

# The JSON Schema of policies, for editors. Its generator writes to stdout: agent/policy/ touches no files.
policy_schema() {
    local output=agent/policy/policy.schema.gen.json sources
    mapfile -t sources < <(find agent/policy agent/contract -name '*.ts' | sort)
    stale schema "$output" "${sources[@]}" "$output" package-lock.json || return 0
    say "node agent/policy/gen-schema.ts -> $output"
    node agent/policy/gen-schema.ts >build/policy.schema.new
    mv build/policy.schema.new "$output"
    stale schema "$output" "${sources[@]}" "$output" package-lock.json || true
    settle schema
}

# Templates of policies, which the operator's program carries.
policy_templates() {
    local output=fleet/policy/templates.gen.json
    stale templates "$output" firmware-integration/shields/templates/*.yaml fleet/policy/gen-templates.ts "$output" || return 0
    say "node fleet/policy/gen-templates.ts $output"
    quietly node fleet/policy/gen-templates.ts "$output"
    stale templates "$output" firmware-integration/shields/templates/*.yaml fleet/policy/gen-templates.ts "$output" || true
    settle templates
}

# The program that canaries run (native/witness/): static, a few hundred bytes, part of the addon.
witness() {
    local output=build/native/witness command
    command=(gcc -std=gnu11 -Os -Wall -Wextra -Werror -static -nostdlib -ffreestanding -fno-stack-protector -fno-pie -no-pie
        -fno-asynchronous-unwind-tables -Wl,-z,noseparate-code,-z,noexecstack,--build-id=none -s native/witness/witness.c)
    stale witness "$output" native/witness/witness.c "${command[*]}" || return 0
    say "gcc native/witness/witness.c -> $output"
    mkdir -p build/native
    quietly "${command[@]}" -o "$output.new"
    mv "$output.new" "$output"
    settle witness
}

# What starts services held to their policy in tier C (native/launch/): static, and beside the agent on a device.
launcher() {
    local output=dist/husk-launch command
    command=(gcc -std=gnu11 -Os -Wall -Wextra -Wshadow -Werror -static -ffunction-sections -fdata-sections
        -fstack-protector-strong -D_FORTIFY_SOURCE=2 -Wl,--gc-sections,-z,noexecstack -s native/launch/*.c)
    stale launcher "$output" native/launch/*.[ch] "${command[*]}" || return 0
    say "gcc -static native/launch/*.c -> $output"
    mkdir -p dist
    quietly "${command[@]}" -o "$output.new"
    mv "$output.new" "$output"
    settle launcher
}

# What stands in for a daemon when the shield library is tried: runs in any guest, so it needs no library.
stand_in() {
    local output=build/shields/stubd sources=(firmware-integration/shields/simulate/*.c) command
    command=(gcc -std=gnu11 -Os -Wall -Wextra -Wno-unused-parameter -Wshadow -Werror -static -s
        -ffunction-sections -Wl,--gc-sections "${sources[@]}")
    stale stand_in "$output" "${sources[@]}" firmware-integration/shields/simulate/*.h "${command[*]}" || return 0
    say "gcc -static ${sources[0]%/*}/*.c -> $output"
    mkdir -p "$(dirname "$output")"
    quietly "${command[@]}" -o "$output"
    settle stand_in
}

addon() {
    local output=build/native/husk.node command
    command=(gcc -std=gnu11 -Os -Wall -Wextra -Wshadow -Werror -fPIC -fvisibility=hidden
        -ffunction-sections -fdata-sections -fstack-protector-strong -D_FORTIFY_SOURCE=2 -DNAPI_VERSION=8
        -Inode_modules/node-api-headers/include -isystem "$LIBS/uapi" -isystem "$LIBS/include"
        -shared -pthread -Wl,--gc-sections -Wl,--exclude-libs,ALL -Wl,-z,relro,-z,now -s
        native/*.c native/witness/witness_image.S "$LIBS"/lib/{libbpf,libelf,libz}.a)
    stale addon "$output" native/*.c native/*.h native/witness/witness_image.S build/native/witness "$LIBS/VERSIONS" "$LIBS/SCRIPT" "${command[*]}" || return 0
    say "gcc native/*.c -> $output"
    mkdir -p build/native
    quietly "${command[@]}" -o "$output.new"
    mv "$output.new" "$output"
    settle addon
}

# bundle ENTRY OUTPUT: one CommonJS file, as node wants it inside an executable.
bundle() {
    local entry=$1 output=$2 sources seconds
    mapfile -t sources < <(find agent bpf native fleet \( -name '*.ts' -o -name '*.json' \) | sort)
    stale "${output//\//_}" "$output" "${sources[@]}" package-lock.json "$entry" || return 0
    say "esbuild $entry -> $output"
    # Where import.meta is not there, the sources look for what is (native/load.ts). The time of the sources
    # is the first floor under a device's clock (agent/os/build-info.ts).
    seconds=$(git log -1 --format=%ct 2>/dev/null || date +%s)
    quietly esbuild "$entry" --bundle --platform=node --target=node24 --format=cjs --legal-comments=none \
        --define:HUSK_BUILD_SECONDS="$seconds" \
        --log-override:empty-import-meta=silent --log-level=warning --outfile="$output.new"
    mv "$output.new" "$output"
    settle "${output//\//_}"
}

# executable NAME INPUT...
executable() {
    local name=$1
    shift
    stale "$name" "dist/$name" "$@" native/package-executables.ts package-lock.json || return 0
    say "node native/package-executables.ts $name -> dist/$name"
    mkdir -p dist
    quietly node native/package-executables.ts "$name"
    settle "$name"
}

build() {
    lock_build
    deps
    mkdir -p build
    bpf_objects
    layout
    policy_schema
    policy_templates
    witness
    launcher
    stand_in
    addon
    bundle agent/main.ts build/husk-agent.cjs
    bundle fleet/main.ts build/husk.cjs
    executable husk-agent build/husk-agent.cjs build/native/husk.node build/bpf/*.bpf.o
    executable husk build/husk.cjs
    unlock_build
}

# -- image ------------------------------------------------------------------------------------------------

# The reference device: firmware-integration/image. Its programs are those of this machine, which has to be x86-64.
image() {
    local name sources kernels=() versions=()
    [[ $(uname -m) == x86_64 ]] || fail 'the reference image is made on x86-64'
    for name in 6.12 6.1 5.10; do
        [[ -f $CACHE/kernels/$name/VERSION ]] || continue
        kernels+=(--kernel "$name=$CACHE/kernels/$name")
        versions+=("$CACHE/kernels/$name/VERSION")
    done
    ((${#kernels[@]})) || fail 'no kernel of Debian is in the cache: ./build.sh deps says why'
    lock_build
    mapfile -t sources < <(find firmware-integration/image -type f | sort)
    if stale image build/image/manifest.json dist/husk-agent "${sources[@]}" "${versions[@]}" /usr/bin/busybox; then
        say 'node firmware-integration/image/mkimage.ts -> build/image'
        node firmware-integration/image/mkimage.ts --agent dist/husk-agent "${kernels[@]}" --out build/image
        settle image
    fi
    unlock_build
}

# -- check and test ---------------------------------------------------------------------------------------

# run_tap RESULTS FILE...: one line a file as it ends, and what failed once all have; all of it is in RESULTS.
# tap's own reporters redraw, and off a terminal now and then lose their last words.
run_tap() {
    local results=$1 status=0
    shift
    tap --reporter=tap "$@" </dev/null | tee "$results" |
        awk '/^(not )?ok / { sub(/ \{$/, ""); print "  " $0; fflush() }' || status=$?
    ((status == 0)) || show_failures "$results"
    return "$status"
}

# The lines `not ok` of TAP at every depth, each with the block that explains it.
show_failures() {
    awk '
        /^ *not ok / && !/# (SKIP|TODO)/ { print; failed = 1; next }
        failed && /^ *---$/ { explained = 1 }
        explained { print }
        explained && /^ *\.\.\.$/ { explained = 0 }
        !explained { failed = 0 }
    ' "$1"
}

check() {
    local sources
    deps
    mkdir -p build
    say 'biome check .'
    biome check .
    say 'tsc -p .'
    tsc -p .
    mapfile -t sources < <(find bpf firmware-integration native test \( -name '*.c' -o -name '*.h' \) | sort)
    say 'clang-format-19 --dry-run -Werror'
    clang-format-19 --dry-run -Werror "${sources[@]}"
    say 'tap test/tidy.test.ts'
    run_tap build/tidy-results test/tidy.test.ts
}

# "N passed, N failed, N skipped", by tap's own closing count: `# { total: 3, pass: 2, fail: 1 }`, where what is
# zero is left out.
count_tests() {
    awk '
        /^# \{ total: / { line = $0 }
        function count(name) {
            return match(line, "[ {]" name ": [0-9]+") ? substr(line, RSTART + length(name) + 3, RLENGTH - length(name) - 3) + 0 : 0
        }
        END { printf "%d passed, %d failed, %d skipped\n", count("pass"), count("fail"), count("skip") + count("todo") }
    ' "$1"
}

# Leaves the counts in build/test-counts.
test_all() {
    local status=0
    rm -f build/test-counts build/test-results
    build
    # Where there is none, its tests say so.
    [[ ! -f $CACHE/kernels/6.12/VERSION ]] || image
    say "tap ${*:-(test/**/*.test.ts)}"
    run_tap build/test-results "$@" || status=$?
    touch build/test-results
    count_tests build/test-results >build/test-counts
    say "tests: $(<build/test-counts)"
    ((status == 0)) || fail 'tests failed'
    [[ $(<build/test-counts) != '0 passed'* ]] || fail 'no test ran'
}

# -- verbs ------------------------------------------------------------------------------------------------

main() {
    local verb=${1:---help}
    shift || true
    case $verb in
    test | demo | bench | image | -h | --help) ;;
    *) (($# == 0)) || fail "$verb takes no arguments" ;;
    esac
    case $verb in
    # No `build && ...` here: bash would not stop at the first failure inside.
    deps)
        lock_build
        deps
        unlock_build
        ;;
    build) build ;;
    check) check ;;
    test) test_all "$@" ;;
    demo)
        build
        exec node test/demo/demo.ts "$@"
        ;;
    bench)
        # Help needs no build, and figures as JSON are to be alone on stdout.
        case " $* " in
        *' --help '* | *' -h '*) ;;
        *' --json '*) build >&2 ;;
        *) build ;;
        esac
        exec node test/bench/run.ts "$@"
        ;;
    image)
        case ${1:-} in
        '' | --boot) ;;
        *) usage >&2 && exit 2 ;;
        esac
        build
        image
        [[ ${1:-} != --boot ]] || exec node firmware-integration/image/boot.ts "${@:2}"
        ;;
    package)
        echo "build.sh: '$verb' comes later; there is nothing to run yet." >&2
        exit 2
        ;;
    -h | --help) usage ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
}

main "$@"
