# shellcheck shell=bash
# What the scripts share: steps with elapsed time, packages, Docker, paths. Sourced, never run.

set -Eeuo pipefail
# A command that fails without a word of its own must not end a script in silence.
trap 'printf " !     %s stopped: \`%s\` failed (line %s)\n" "$0" "$BASH_COMMAND" "$LINENO" >&2' ERR

SLIPWAY_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
SLIPWAY_DATA="${SLIPWAY_DATA:-/var/lib/slipway}"
SLIPWAY_RUN="${SLIPWAY_RUN:-/run/slipway}"
# What the scripts themselves started, so that only that is stopped again.
SLIPWAY_STATE="${SLIPWAY_STATE:-/var/lib/slipway-scripts}"
export SLIPWAY_ROOT SLIPWAY_DATA SLIPWAY_RUN SLIPWAY_STATE

if [ -t 1 ]; then bold=$'\e[1m'; dim=$'\e[2m'; red=$'\e[31m'; plain=$'\e[0m'; else bold=''; dim=''; red=''; plain=''; fi

_begun=$SECONDS

# step TEXT: opens a step; prints when it came, counted from the start of the script.
step() { printf '%s-----> %s%s %s(%ss)%s\n' "$bold" "$1" "$plain" "$dim" "$((SECONDS - _begun))" "$plain"; }

headline() { printf '%s%s%s\n' "$bold" "$1" "$plain"; }

detail() { printf '       %s\n' "$1"; }

# die WHAT [NEXT]: ends the script with what failed and what to do.
die() {
    printf '%s !     %s%s\n' "$red" "$1" "$plain" >&2
    [ $# -lt 2 ] || printf ' !       → %s\n' "$2" >&2
    exit 1
}

# on_terminal: whether a line of standard output can be drawn again.
on_terminal() { [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; }

# measure_terminal: sets `columns` to those of standard output, 80 where it does not say.
measure_terminal() {
    local size
    { size="$(stty size <&3 2>/dev/null || true)"; } 3>&1
    columns="${size#* }"
    [ "${columns:-0}" -gt 0 ] || columns=80
}

# bar WIDTH TEXT PERCENT SECONDS: how far a step is, as one line of at most WIDTH columns; the same as `slipway boot` draws.
bar() {
    local text="       $2" tail room full line tip='>'
    printf -v tail '%3d%%  %ds' "$3" "$4"
    room=$(($1 - ${#text} - ${#tail} - 6))
    [ "$room" -le 40 ] || room=40
    if [ "$room" -lt 10 ]; then
        line="$text  $tail"
    else
        full=$(($3 * room / 100))
        [ "$full" -lt "$room" ] || tip=''
        printf -v line '%*s' "$full" ''
        printf -v line '%s  [%s%-*s]  %s' "$text" "${line// /=}" "$((room - full))" "$tip" "$tail"
    fi
    printf '%s' "${line:0:$1}"
}

# apt_progress LOG: reads what `apt-get -o APT::Status-Fd=1` writes. How far it is, is shown: a bar on a terminal, else a line
# each ten seconds; its words go to LOG.
apt_progress() {
    local log="$1" line what begun=$SECONDS said=$SECONDS columns
    measure_terminal
    while IFS= read -r line; do
        if ! [[ "$line" =~ ^(dlstatus|pmstatus):([^:]*|[^:]*:[^:]*):([0-9]+)\.[0-9]+: ]]; then
            printf '%s\n' "$line" >>"$log"
            continue
        fi
        what='installing packages'
        [ "${BASH_REMATCH[1]}" = pmstatus ] || what='fetching packages'
        if on_terminal; then
            printf '\r\e[K%s' "$(bar "$((columns - 1))" "$what" "${BASH_REMATCH[3]}" "$((SECONDS - begun))")"
        elif [ $((SECONDS - said)) -ge 10 ]; then
            said=$SECONDS
            detail "$what: ${BASH_REMATCH[3]}% after $((SECONDS - begun)) s"
        fi
    done
    ! on_terminal || printf '\r\e[K'
}

# as_root COMMAND …: runs it as root, by sudo where that is needed.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi
}

need_root() {
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null 2>&1 || die "this needs root or sudo" "run it as root: su -c scripts/up"
}

# need_packages NAME …: installs what is missing, from the distribution's packages.
need_packages() {
    local missing=() name
    for name in "$@"; do
        dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    detail "installing: ${missing[*]}"
    local log
    log="$(mktemp)"
    if ! as_root apt-get update >"$log" 2>&1 ||
        ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o APT::Status-Fd=1 "${missing[@]}" 2>&1 |
        apt_progress "$log"; then
        tail -n 20 "$log" >&2
        die "could not install ${missing[*]}" "apt-get update && apt-get install ${missing[*]}"
    fi
    rm -f "$log"
}

# need_postgres: PostgreSQL's server programs. The package must not make a cluster of its own: nothing would use it.
need_postgres() {
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null && return 0
    as_root mkdir -p /etc/postgresql-common/createcluster.d
    printf 'create_main_cluster = false\n' | as_root tee /etc/postgresql-common/createcluster.d/slipway.conf >/dev/null
    need_packages postgresql
}

docker_answers() { as_root docker info >/dev/null 2>&1 || as_root curl -sf --unix-socket /var/run/docker.sock http://localhost/_ping >/dev/null 2>&1; }

# need_docker: a running Docker Engine; started here only where nothing else runs it.
need_docker() {
    if docker_answers; then return 0; fi
    command -v dockerd >/dev/null 2>&1 || need_packages docker.io iptables
    if docker_answers; then return 0; fi
    as_root mkdir -p "$SLIPWAY_STATE"
    if [ -d /run/systemd/system ]; then
        detail "starting Docker (systemd)"
        as_root systemctl start docker
        as_root touch "$SLIPWAY_STATE/docker.systemd"
    else
        detail "starting Docker"
        need_cgroups
        as_root sh -c "setsid nohup dockerd >'$SLIPWAY_STATE/dockerd.log' 2>&1 </dev/null & echo \$! >'$SLIPWAY_STATE/docker.pid'"
    fi
    local i
    for ((i = 0; i < 300; i++)); do
        docker_answers && return 0
        sleep 0.1
    done
    as_root tail -n 10 "$SLIPWAY_STATE/dockerd.log" >&2 2>/dev/null || true
    die "Docker did not answer within 30 s" "look into $SLIPWAY_STATE/dockerd.log"
}

# need_cgroups: where no init has mounted the control groups (a bare root file system), Docker can not start.
need_cgroups() {
    mountpoint -q /sys/fs/cgroup && return 0
    as_root mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null || detail "control groups are not mounted; Docker may not start"
}

# stop_docker: stops the Docker that need_docker started, and no other.
stop_docker() {
    if [ -e "$SLIPWAY_STATE/docker.systemd" ]; then
        as_root systemctl stop docker docker.socket
        as_root rm -f "$SLIPWAY_STATE/docker.systemd"
    elif [ -e "$SLIPWAY_STATE/docker.pid" ]; then
        stop_pid "$(as_root cat "$SLIPWAY_STATE/docker.pid")" dockerd
        as_root rm -f "$SLIPWAY_STATE/docker.pid"
    fi
}

# stop_pid PID NAME: TERM, and waits until the process is gone; only if it is still the one that was started.
stop_pid() {
    local pid="$1" name="$2" i
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$name" ] || return 0
    as_root kill -TERM "$pid" 2>/dev/null || return 0
    for ((i = 0; i < 900; i++)); do
        [ -e "/proc/$pid" ] || return 0
        sleep 0.1
    done
    die "$name (process $pid) did not end within 90 s" "kill -KILL $pid"
}

# build PROFILE: the binary, with progress all the way.
build() {
    local profile="$1" total log
    # On a terminal cargo draws its own bar; where it would not, its crates are counted.
    if [ -t 2 ] && [ "${TERM:-dumb}" != dumb ] && [ -z "${CI:-}" ]; then
        cargo build --profile "$profile" --locked -p slipway --manifest-path "$SLIPWAY_ROOT/Cargo.toml"
        return
    fi
    total="$(cargo tree --locked -p slipway -e normal,build --prefix none --manifest-path "$SLIPWAY_ROOT/Cargo.toml" 2>/dev/null |
        sed 's/ (.*//' | sort -u | wc -l || true)"
    log="$(mktemp)"
    cargo build --profile "$profile" --locked -p slipway --manifest-path "$SLIPWAY_ROOT/Cargo.toml" >"$log" 2>&1 &
    local pid=$! begun=$SECONDS said=$SECONDS
    while kill -0 "$pid" 2>/dev/null; do
        if [ $((SECONDS - said)) -ge 10 ]; then
            said=$SECONDS
            detail "compiling: $(grep -c '^ *Compiling' "$log" || true) of $total crates after $((SECONDS - begun)) s"
        fi
        sleep 1
    done
    if ! wait "$pid"; then
        tail -n 40 "$log" >&2
        die "the build failed" "cargo build --release -p slipway"
    fi
    rm -f "$log"
}
