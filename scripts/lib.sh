# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the scripts share: progress bars, privileges, hugepages, the demo's network. Sourced, not run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${FASTPATH_BUILD:-$ROOT/build${SANITIZE:+/sanitize}}
PROGRAM=$(basename "$0" .sh)
export BUILD

say() {
	printf '%s\n' "$*"
}

fail() {
	printf '%s: %s\n' "$PROGRAM" "$*" >&2
	exit 1
}

is_tty() {
	[ -t 1 ] && [ "${TERM:-dumb}" != dumb ]
}

# ---- progress ----

# bar LABEL PERCENT SECONDS: redraws one line of a terminal
bar() {
	local width=30 full line
	full=$(($2 * width / 100))
	printf -v line '%*s' $full ''
	printf '\r\033[K%-12s [%s%*s] %3d %%  %d s' "$1" "${line// /#}" $((width - full)) '' "$2" "$3"
}

# step LABEL PERCENT COMMAND...: runs the command with a progress bar. PERCENT is a function that prints
# 0..100, called with the command's log file. The log is shown when the command fails.
step() {
	local label=$1 percent=$2 log pid status=0 p top=0 start=$SECONDS
	shift 2
	log=$(mktemp "${TMPDIR:-/tmp}/fastpath-step.XXXXXX")
	is_tty || say "$label ..."
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	# for a caller's cleanup
	# shellcheck disable=SC2034
	STEP_PID=$pid
	while kill -0 $pid 2>/dev/null; do
		if is_tty; then
			p=$($percent "$log" 2>/dev/null) || p=$top
			[[ $p =~ ^[0-9]+$ ]] && [ "$p" -gt $top ] && top=$((p > 99 ? 99 : p))
			bar "$label" $top $((SECONDS - start))
		fi
		# Ctrl-C: an installation is not cut in two, anything else is
		if [ "${STOP:-0}" != 0 ] && [ "$label" != packages ]; then
			end_process $pid
		fi
		sleep 0.2
	done
	wait $pid || status=$?
	# shellcheck disable=SC2034
	STEP_PID=
	if [ $status = 0 ]; then
		if is_tty; then
			bar "$label" 100 $((SECONDS - start))
			printf '\n'
		else
			say "$label done, $((SECONDS - start)) s"
		fi
	else
		is_tty && printf '\n'
		tail -n 40 "$log" >&2
		printf '%s: %s failed (status %s), the last lines of its output are above\n' \
			"$PROGRAM" "$label" $status >&2
	fi
	rm -f "$log"
	return $status
}

# apt reports percents on its status descriptor: download is the first half, installation the second
apt_percent() {
	awk -F: '/^dlstatus/ {d = $3} /^pmstatus/ {p = $3} END {printf "%d", (p > 0) ? 50 + p / 2 : d / 2}' \
		"${FASTPATH_APT_STATUS:-/dev/null}"
}

# BUILD_STEPS: what make will do, counted beforehand
build_percent() {
	local made
	made=$(grep -c -E '^  (CC|AR|LD) ' "$1")
	echo $((100 * made / (BUILD_STEPS > 0 ? BUILD_STEPS : 1)))
}

install_packages() {
	FASTPATH_APT_STATUS=$(mktemp "${TMPDIR:-/tmp}/fastpath-apt.XXXXXX")
	export FASTPATH_APT_STATUS
	step packages apt_percent "$ROOT/scripts/deps.sh" "$@"
	local status=$?
	rm -f "$FASTPATH_APT_STATUS"
	unset FASTPATH_APT_STATUS
	return $status
}

# build TARGET...
build() {
	BUILD_STEPS=$(make -s -n -C "$ROOT" "$@" 2>/dev/null | grep -c -E '^echo "  (CC|AR|LD) ')
	step build build_percent make -C "$ROOT" -j"$(nproc)" "$@"
}

# ---- privileges ----

# Namespaces, veths and poll-mode drivers need root: prints why not, or nothing
missing_privilege() {
	if [ "$(id -u)" != 0 ]; then
		echo "not root"
	elif ! unshare -n true 2>/dev/null; then
		echo "this system does not let root make network namespaces (a container without CAP_SYS_ADMIN?)"
	fi
}

# become_root ARGUMENT...: starts the script again through sudo unless it is root
become_root() {
	[ "$(id -u)" != 0 ] || return 0
	command -v sudo >/dev/null || fail "needs root for network namespaces and DPDK ports, and there is no sudo"
	exec sudo --preserve-env "$ROOT/scripts/$PROGRAM.sh" "$@"
}

# ---- hugepages ----

# Reserves HUGE_PAGES pages of 2 MiB (512) when it can, mounts hugetlbfs when it is not, sets HUGE to 1 or
# 0, and says in one line what was done, or why not.
# shellcheck disable=SC2034
prepare_hugepages() {
	local base=/sys/kernel/mm/hugepages/hugepages-2048kB want=${HUGE_PAGES:-512} free total mounted=""
	HUGE=0
	if [ "${NO_HUGE:-0}" = 1 ]; then
		say "hugepages: not used, NO_HUGE=1"
		return
	fi
	if [ ! -r $base/free_hugepages ]; then
		say "hugepages: none, this kernel has no 2 MiB pages; going on with --no-huge"
		return
	fi
	free=$(<$base/free_hugepages)
	total=$(<$base/nr_hugepages)
	if [ "$free" -lt "$want" ]; then
		echo $((total + want - free)) 2>/dev/null >$base/nr_hugepages
		free=$(<$base/free_hugepages)
	fi
	if [ "$free" -lt $((want / 2)) ]; then
		say "hugepages: $free of $want pages of 2 MiB free, and no more could be reserved (memory" \
			"fragmented, or no permission); going on with --no-huge"
		return
	fi
	if ! awk '$3 == "hugetlbfs" {found = 1} END {exit !found}' /proc/mounts; then
		if ! { mkdir -p /dev/hugepages && mount -t hugetlbfs hugetlbfs /dev/hugepages; } 2>/dev/null; then
			say "hugepages: $free pages free, but hugetlbfs cannot be mounted on /dev/hugepages" \
				"(no permission); going on with --no-huge"
			return
		fi
		mounted=", hugetlbfs mounted on /dev/hugepages"
	fi
	HUGE=1
	say "hugepages: $free pages of 2 MiB free$mounted"
}

# ---- the network of demo and run: fp0 here, feed0 in the namespace fastpath-feed ----

FEED_NS=fastpath-feed
FEED_ADDRESS=10.99.0.2
STATE=$ROOT/var/state

# One demo or run at a time; the lock goes with the process, and names its holder
take_lock() {
	mkdir -p "$STATE"
	exec 9>>"$STATE/lock"
	flock -n 9 || fail "process $(tail -n 1 "$STATE/lock") runs a demo or an appliance here: stop it first"
	echo $$ >"$STATE/lock"
}

# What a killed demo or run left behind: its processes (pid and start time are noted) and its network
remove_leftovers() {
	local file pid start
	for file in "$STATE"/*.pid; do
		[ -e "$file" ] || continue
		read -r pid start <"$file" || true
		if [ -n "${pid:-}" ] && [ "$(start_time "$pid")" = "${start:-none}" ]; then
			say "$PROGRAM: ending process $pid of an earlier run"
			end_process "$pid"
		fi
		rm -f "$file"
	done
	network_down
}

start_time() {
	# the command's name may hold spaces and brackets: count from the last bracket
	sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}

note_process() {
	echo "$2 $(start_time "$2")" >"$STATE/$1.pid"
}

# SIGTERM, and SIGKILL after ten seconds
end_process() {
	local i
	kill -TERM "$1" 2>/dev/null || return 0
	for ((i = 0; i < 100; i++)); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.1
	done
	kill -KILL "$1" 2>/dev/null
}

network_up() {
	if [ -e /sys/class/net/fp0 ]; then
		fail "there is an interface fp0 that this script did not make: remove it (ip link del fp0)"
	fi
	ip netns add $FEED_NS || fail "cannot make the network namespace $FEED_NS"
	ip link add fp0 type veth peer name feed0 netns $FEED_NS || fail "cannot make the veth pair fp0, feed0"
	ip link set fp0 alias "$FEED_NS"
	# no router solicitations and MLD reports among the events
	echo 1 >/proc/sys/net/ipv6/conf/fp0/disable_ipv6 2>/dev/null
	ip netns exec $FEED_NS sysctl -q -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 \
		2>/dev/null
	ip -n $FEED_NS address add $FEED_ADDRESS/24 dev feed0
	ip -n $FEED_NS link set lo up
	ip -n $FEED_NS link set feed0 up
	# a veth leaves UDP checksums unfinished otherwise
	ip netns exec $FEED_NS ethtool -K feed0 tx off >/dev/null || fail "ethtool cannot switch feed0's tx offload off"
	ip -n $FEED_NS route add 224.0.0.0/4 dev feed0
	ip link set fp0 up || fail "cannot bring fp0 up"
}

network_down() {
	if [ "$(cat /sys/class/net/fp0/ifalias 2>/dev/null)" = "$FEED_NS" ]; then
		ip link del fp0
	fi
	if [ -e "/run/netns/$FEED_NS" ]; then
		ip netns del $FEED_NS
	fi
}

# own_session NAME COMMAND...: starts a process that Ctrl-C does not reach, that ends when we are gone, and
# whose output is NAME.log, its results NAME.out; its pid is in STARTED
own_session() {
	local name=$1
	shift
	setsid setpriv --pdeathsig TERM "$@" >"$STATE/$name.out" 2>"$STATE/$name.log" </dev/null 9>&- &
	STARTED=$!
	note_process "$name" $STARTED
}
