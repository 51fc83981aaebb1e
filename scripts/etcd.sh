#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real etcd on loopback, for development and tests: one node or a cluster of three.
#
#   scripts/etcd.sh start  [--nodes 1|3] [--dir D] [--host H] [--port P] [--tls D] [-- ETCD OPTIONS...]
#   scripts/etcd.sh stop   [--dir D]   kill the nodes and remove their data
#   scripts/etcd.sh status [--dir D]   each node's pid, endpoint and whether it answers
#   scripts/etcd.sh fetch              get what FASTPATH_ETCD names, and print the program's path
#
#   --nodes  1 (default) or 3
#   --dir    where pid files, logs and data go (default: a folder in $TMPDIR, the same each time)
#   --host   address to listen on (default 127.0.0.1)
#   --port   client port of the first node; the nodes take P, P+1, P+2 .. for clients and then peers
#            (default: free ports)
#   --tls    a folder with ca.pem, cert.pem and key.pem: https for clients, who need a certificate too
# start prints the endpoints, comma-separated: ETCD_ENDPOINTS=$(scripts/etcd.sh start)
#
# FASTPATH_ETCD: another program than the installed one: its path, or the name of a Debian suite (trixie), whose
# etcd-server then comes from this machine's Debian mirror once, checked by apt against Debian's keys, and stays in
# build/etcd. Exit status 3: it cannot be fetched, or does not run here.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)
PROGRAM=${FASTPATH_ETCD:-etcd}
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg

fail() {
	echo "etcd.sh: $*" >&2
	exit 1
}

usage() {
	sed -n '3,20s/^# \{0,1\}//p' "$0"
	exit "$1"
}

command=${1:-}
[ $# -gt 0 ] && shift
nodes=1
dir=${TMPDIR:-/tmp}/fastpath-etcd-$(id -u)
host=127.0.0.1
port=
tls=
extra=()
while [ $# -gt 0 ]; do
	case $1 in
	--nodes | --dir | --host | --port | --tls)
		[ $# -ge 2 ] || fail "$1 needs a value"
		declare "${1#--}=$2"
		shift 2
		;;
	--)
		shift
		extra=("$@")
		break
		;;
	-h | --help) usage 0 ;;
	*) fail "unknown option $1; see $0 --help" ;;
	esac
done
[ "$nodes" = 1 ] || [ "$nodes" = 3 ] || fail "--nodes must be 1 or 3, not $nodes"

scheme=http
probe=(curl -s --noproxy '*' --max-time 2)
if [ -n "$tls" ]; then
	scheme=https
	extra+=(--trusted-ca-file "$tls/ca.pem" --client-cert-auth --cert-file "$tls/cert.pem" --key-file "$tls/key.pem")
	probe+=(--cacert "$tls/ca.pem" --cert "$tls/cert.pem" --key "$tls/key.pem")
fi

unavailable() {
	echo "etcd.sh: $*" >&2
	exit 3
}

# the mirror that this machine takes its own release from
mirror() {
	local release
	# shellcheck disable=SC1091
	release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	# the names are apt's
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Component: main' 2>/dev/null |
		awk -v release="$release" '$1 == release {print $2; exit}'
}

# an apt of its own for the suite $1 in the folder $2: the system's lists and sources stay as they are
suite_apt() {
	local suite=$1 work=$2
	shift 2
	(cd "$work" && timeout 300 apt-get -q -o Dir::State="$work/state" -o Dir::State::status="$work/status" \
		-o Dir::Cache="$work/cache" -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::Etc::preferences=- -o Dir::Etc::preferencesparts=- -o APT::Sandbox::User=root \
		-o APT::Default-Release="$suite" -o Acquire::Languages=none "$@") >>"$work/log" 2>&1 </dev/null
}

fetch_suite() {
	local suite=$1 target=$ROOT/build/etcd/$1 uri work
	[ -x "$target/usr/bin/etcd" ] && return 0
	command -v apt-get >/dev/null || unavailable "etcd of Debian $suite: this system has no apt"
	[ -r $KEYS ] || unavailable "etcd of Debian $suite: there is no $KEYS: apt-get install debian-archive-keyring"
	uri=$(mirror)
	[ -n "$uri" ] || unavailable "etcd of Debian $suite: apt's sources name no mirror of this Debian release"
	mkdir -p "$ROOT/build/etcd"
	work=$(mktemp -d "$target.XXXXXX")
	# shellcheck disable=SC2064
	trap "rm -rf '$work'" EXIT
	mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
	: >"$work/status"
	echo "deb [signed-by=$KEYS target=Packages] $uri $suite main" >"$work/sources.list"
	echo "etcd.sh: getting etcd-server of Debian $suite" >&2
	# not signed, or not to be had, are errors here, not warnings
	if ! suite_apt "$suite" "$work" -o APT::Update::Error-Mode=any update ||
		! suite_apt "$suite" "$work" download etcd-server; then
		unavailable "etcd of Debian $suite cannot be fetched: $(grep '^[EW]:' "$work/log" | tail -n 1)"
	fi
	dpkg-deb -x "$work"/etcd-server_*.deb "$work/root"
	"$work/root/usr/bin/etcd" --version >"$work/log" 2>&1 ||
		unavailable "etcd of Debian $suite does not run here: $(tail -n 1 "$work/log")"
	rm -rf "$target"
	mv "$work/root" "$target"
}

# sets PROGRAM to the program's path
find_program() {
	case $PROGRAM in
	etcd)
		PROGRAM=$(command -v etcd) || unavailable "there is no etcd: apt-get install etcd-server (scripts/deps.sh test)"
		;;
	*/*)
		[ -x "$PROGRAM" ] || unavailable "FASTPATH_ETCD: there is no program $PROGRAM"
		;;
	*[!a-z0-9-]*) fail "FASTPATH_ETCD wants a path, or the name of a Debian suite, not '$PROGRAM'" ;;
	*)
		fetch_suite "$PROGRAM"
		PROGRAM=$ROOT/build/etcd/$PROGRAM/usr/bin/etcd
		;;
	esac
}

pid_of() {
	local pid
	pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 1
	# a pid may have been given to somebody else since
	[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = etcd ] && echo "$pid"
}

answers() {
	"${probe[@]}" "$1/health" 2>/dev/null | grep -q '"true"'
}

# prints $1 ports that nobody listens on
free_ports() {
	/usr/bin/python3 - "$1" "$host" <<'PYTHON'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in sockets:
    s.bind((sys.argv[2], 0))
print(*[s.getsockname()[1] for s in sockets])
PYTHON
}

start_node() {
	local name=$1 client=$2 peer=$3 cluster=$4
	# a node is as old as its data: started again, it goes on where it was
	setsid "$PROGRAM" --name "$name" --data-dir "$dir/$name" --logger zap --log-outputs stderr \
		--listen-client-urls "$scheme://$host:$client" --advertise-client-urls "$scheme://$host:$client" \
		--listen-peer-urls "http://$host:$peer" --initial-advertise-peer-urls "http://$host:$peer" \
		--initial-cluster "$cluster" --initial-cluster-token "$dir" --initial-cluster-state new \
		"${extra[@]}" >>"$dir/$name.log" 2>&1 </dev/null &
	echo $! >"$dir/$name.pid"
}

start() {
	local ports cluster='' endpoints='' n client peer
	find_program
	mkdir -p "$dir"
	for ((n = 1; n <= 3; n++)); do
		pid_of "n$n" >/dev/null && fail "it runs already in $dir: $0 stop --dir $dir"
	done
	if [ -n "$port" ]; then
		read -ra ports <<<"$(seq -s ' ' "$port" $((port + 2 * nodes - 1)))"
	else
		read -ra ports <<<"$(free_ports $((2 * nodes)))"
	fi
	for ((n = 1; n <= nodes; n++)); do
		cluster+="${cluster:+,}n$n=http://$host:${ports[nodes + n - 1]}"
		endpoints+="${endpoints:+,}$scheme://$host:${ports[n - 1]}"
	done
	for ((n = 1; n <= nodes; n++)); do
		client=${ports[n - 1]} peer=${ports[nodes + n - 1]}
		start_node "n$n" "$client" "$peer" "$cluster"
		echo "$scheme://$host:$client" >"$dir/n$n.endpoint"
	done
	for ((n = 1; n <= nodes; n++)); do
		local deadline=$((SECONDS + 30))
		until answers "$(cat "$dir/n$n.endpoint")"; do
			# not pid_of: on a busy machine it may not have become etcd yet
			if ! kill -0 "$(cat "$dir/n$n.pid")" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
				tail -n 5 "$dir/n$n.log" >&2
				stop
				fail "node n$n does not answer; its last lines are above"
			fi
			sleep 0.05
		done
	done
	echo "$endpoints"
}

stop() {
	local file pid
	for file in "$dir"/n?.pid; do
		[ -e "$file" ] || continue
		if pid=$(pid_of "$(basename "$file" .pid)"); then
			kill -9 "$pid" 2>/dev/null || true
			while [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = etcd ] && [ "$(ps -o stat= "$pid" | cut -c1)" != Z ]; do
				sleep 0.02
			done
		fi
	done
	rm -rf "$dir"/n[123] "$dir"/n?.pid "$dir"/n?.log "$dir"/n?.endpoint
	rmdir "$dir" 2>/dev/null || true
}

status() {
	local file name pid endpoint found=0 bad=0
	for file in "$dir"/n?.pid; do
		[ -e "$file" ] || continue
		name=$(basename "$file" .pid) endpoint=$(cat "$dir/$(basename "$file" .pid).endpoint")
		found=1
		if ! pid=$(pid_of "$name"); then
			echo "$name $endpoint not running"
			bad=1
		elif answers "$endpoint"; then
			echo "$name $endpoint pid $pid, healthy"
		else
			echo "$name $endpoint pid $pid, does not answer"
			bad=1
		fi
	done
	[ $found = 1 ] || fail "nothing was started in $dir"
	return $bad
}

case $command in
start) start ;;
stop) stop ;;
status) status ;;
fetch)
	find_program
	echo "$PROGRAM"
	;;
-h | --help) usage 0 ;;
*) usage 2 >&2 ;;
esac
