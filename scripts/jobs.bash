# shellcheck shell=bash
# Jobs that run side by side. Each writes to a log of its own, .cache/setup/JOB.log, and only what a
# reader needs is shown: a line when a job begins something, and why one failed.

logs=.cache/setup
declare -A running=()
began=false
exec 3>&1

say() { echo "setup: $*" >&3; }
die() {
    echo "setup: $*" >&2
    exit 1
}

# start JOB FUNCTION [ARGUMENT...]
start() {
    mkdir -p $logs
    ( exec >"$logs/$1.log" 2>&1; "${@:2}" ) &
    running[$1]=$!
    began=true
}

# step WORDS...: what this job does from now on; it is what has failed if the job does.
step() { echo "== $*"; }

# Waits for all jobs, and ends the script if one failed.
finish() {
    local job failed=()
    for job in "${!running[@]}"; do
        wait "${running[$job]}" || failed+=("$job")
    done
    running=()
    for job in "${failed[@]}"; do
        explain "$logs/$job.log" >&2
    done
    [[ ! ${failed[*]} ]] || exit 1
}

# explain LOG: what failed, its last words, and what to do; a few lines.
explain() {
    echo "setup: failed: $(sed -n 's/^== //p' "$1" | tail -n1)"
    grep -vE "$noise" "$1" | tail -n4 | cut -c1-150 | sed 's/^/    /'
    echo "setup: $(remedy "$1"), and run this again; all of it: $1"
}

noise='^== |^Looking in |^ *$|^(hint|note|DEPRECATION|N): |^WARNING: (Location|Retrying)|^ *\[?notice'

# remedy LOG: of the table's first row that the log matches.
remedy() {
    local row
    for ((row = 0; row < ${#remedies[@]}; row += 2)); do
        grep -qiE "${remedies[row]}" "$1" && break
    done
    echo "${remedies[row + 1]}"
}

unreachable='Connection ?(Error|Refused|broken|failed)|connection to .* failed|Failed to establish|NewConnection|NameResolution'
unreachable+='|Temporary failure|Could not (resolve|connect)|timed? ?out|unreachable|Proxy ?Error|SSL ?Error|certificate'
index="the index that pip uses (see: python3 -m pip config list)"
remedies=(
    'No space left|Disk quota|enough free space' "make room on the disk"
    'DO NOT MATCH THE HASHES' "a file is not the one that is pinned: have the one who runs $index mend it"
    'Could not get lock|Unable to (acquire|lock)' "wait until the other apt or dpkg has ended"
    'dpkg was interrupted|unmet dependencies|fix-broken' "mend Debian's packages (dpkg --configure -a; apt-get -f install)"
    '(Failed|Unable) to fetch|Temporary failure resolving|Could not resolve' "see that Debian's archive (/etc/apt) can be reached"
    "No packages found|Unable to locate|Can't (find|select)|no installation candidate" "let apt know a Debian archive (/etc/apt), and run apt-get update as root"
    "$unreachable" "see that $index can be reached"
    'from versions: none' "see that $index can be reached, and has this"
    'No matching distribution' "the pinned release is not to be had for this Python and machine: take Python 3.11 to 3.14, or see that $index has it"
    'Permission denied|Read-only' "let this user write here"
    '' "look into the log"
)
