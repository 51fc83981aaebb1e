#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The one list of Debian packages, and their installation.
#
#   scripts/deps.sh [GROUP...]        install these groups: build run test kafka console lint bench container
#                                     image image-build package (default: the first six)
#   scripts/deps.sh --list [GROUP...] print their packages
#   scripts/deps.sh --unpack DIR      only unpack the group peers there: its services exclude each other, and
#                                     none of them may take the place of what this machine logs or serves with
#
# Asks apt nothing when everything is there. FASTPATH_APT_STATUS=FILE: apt's progress goes there.
set -euo pipefail

declare -A packages=(
	[build]="build-essential pkgconf git ca-certificates libdpdk-dev dpdk-dev libmicrohttpd-dev
		libjansson-dev libinih-dev libpcap-dev libcurl4-openssl-dev
		librdkafka-dev"
	# prometheus is here for promtool
	[run]="dpdk iproute2 ethtool procps kmod curl jq prometheus"
	[test]="check python3-pytest python3-pytest-xdist python3-pytest-timeout python3-scapy
		etcd-server etcd-client python3-requests python3-psutil python3-yaml tcpdump strace e2fsprogs wrk"
	# a real broker, from Maven Central, and a client to look at it
	[kafka]="maven openjdk-17-jre-headless kcat openssl"
	# a browser to test the console with; its driver comes from npm
	[console]="chromium fonts-liberation nodejs npm"
	# clang with its runtime is what the fuzz targets are built with
	[lint]="clang libclang-rt-14-dev clang-format cppcheck shellcheck codespell prometheus"
	# what `make deb` and the tests of the package need
	[package]="debhelper lintian debootstrap mandoc man-db systemd bash-completion"
	# the libraries are those of the unpacked peers
	[bench]="fio wrk python3-matplotlib linux-perf valgrind ethtool libestr0 libfastjson4 liblognorm5
		libivykis0 libnet1 libpcre3 libjson-c5 libwrap0 libdbi1 librdkafka1"
	# the image's runtime stage: what the programs link, curl for the probes, and the DPDK drivers that are
	# listed in docs/container.md. EAL loads every driver it finds: none is here that nobody needs
	[image]="ca-certificates curl libbsd0 libcurl4 libinih1 libjansson4 libmicrohttpd12 libpcap0.8 librdkafka1
		librte-pdump23 librte-rcu23 librte-mempool-ring23 librte-bus-pci23 librte-bus-vdev23
		librte-net-af-packet23 librte-net-af-xdp23 librte-net-mlx5-23 librte-net-ixgbe23 librte-net-i40e23
		librte-net-iavf23 librte-net-ice23 librte-net-ena23 librte-net-virtio23 librte-net-vmxnet3-23"
	# what its build stage needs beside the group build: dpdk-dumpcap
	[image-build]="dpdk"
	# builds and runs an image where there is no Docker engine, and checks what is written about it
	[container]="buildah crun debootstrap docker-compose python3-jsonschema"
	[peers]="nginx rsyslog rsyslog-kafka syslog-ng-core syslog-ng-mod-rdkafka"
)
all=(build run test kafka console lint)

fail() {
	echo "deps: $*" >&2
	exit 1
}

list=0
unpack=
groups=()
while [ $# -gt 0 ]; do
	argument=$1
	shift
	case $argument in
	--list) list=1 ;;
	--unpack)
		[ $# -gt 0 ] || fail "--unpack wants a folder"
		unpack=$1
		groups=(peers)
		shift
		;;
	-h | --help)
		sed -n '3,12s/^# \{0,1\}//p' "$0"
		exit 0
		;;
	*)
		if [ -z "${packages[$argument]:-}" ] || [ "$argument" = peers ]; then
			fail "no group named '$argument'; there are: ${all[*]} bench container image image-build package"
		fi
		groups+=("$argument")
		;;
	esac
done
[ ${#groups[@]} -gt 0 ] || groups=("${all[@]}")

wanted=()
for group in "${groups[@]}"; do
	# the lists are words on purpose
	# shellcheck disable=SC2206
	wanted+=(${packages[$group]})
done
if [ $list = 1 ]; then
	printf '%s\n' "${wanted[@]}"
	exit 0
fi

command -v dpkg-query >/dev/null ||
	fail "this system has no dpkg: install the equivalents of 'scripts/deps.sh --list' yourself"

unpack_peers() {
	local work deb
	[ ! -e "$unpack/complete" ] || return 0
	work=$(mktemp -d)
	chmod 755 "$work"
	(cd "$work" && apt-get -q download "${wanted[@]}") >&2 || {
		rm -rf "$work"
		fail "'apt-get download' failed: see the lines above; wanted ${wanted[*]}; try 'apt-get update'"
	}
	mkdir -p "$unpack"
	for deb in "$work"/*.deb; do
		dpkg-deb -x "$deb" "$unpack"
	done
	rm -rf "$work"
	touch "$unpack/complete"
	echo "deps: unpacked ${#wanted[@]} packages in $unpack"
}

if [ -n "$unpack" ]; then
	unpack_peers
	exit 0
fi

# is_there PACKAGE: installed, or provided by one that is, as npm is by other makers' nodejs
is_there() {
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" != installed ] || return 0
	[ "$1" = npm ] && dpkg-query -W -f='${db:Status-Status} ${Provides}\n' nodejs 2>/dev/null | grep -q '^installed .*\<npm\>'
}

missing=()
for package in "${wanted[@]}"; do
	is_there "$package" || missing+=("$package")
done
if [ ${#missing[@]} = 0 ]; then
	echo "deps: all ${#wanted[@]} packages are installed (${groups[*]})"
	exit 0
fi

sudo=()
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null ||
		fail "needs root to install: ${missing[*]}; there is no sudo, run this as root"
	sudo=(sudo)
fi

# a package that brings a service must not start it: this is a build machine. 101: action forbidden
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap '"${sudo[@]}" rm -f $policy' EXIT
	trap 'exit 130' INT TERM
	printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee $policy >/dev/null
	"${sudo[@]}" chmod 755 $policy
fi

apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y
	-o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0)
# sudo closes descriptors above 2, so only root can be given one
if [ -n "${FASTPATH_APT_STATUS:-}" ] && [ ${#sudo[@]} = 0 ]; then
	exec 7>"$FASTPATH_APT_STATUS"
	status_fd=(-o APT::Status-Fd=7)
else
	status_fd=()
fi

can_install() {
	apt-get -s -q --no-install-recommends install "${missing[@]}" >/dev/null 2>&1
}

echo "deps: installing ${missing[*]}"
updated=0
update() {
	updated=1
	"${apt[@]}" update </dev/null || fail "'apt-get update' failed: see the lines above; are the" \
		"sources in /etc/apt reachable?"
}
install() {
	"${apt[@]}" "${status_fd[@]}" --no-install-recommends install "${missing[@]}" </dev/null
}
can_install || update
if ! install; then
	# the lists may be older than the archive
	[ $updated = 0 ] || fail "'apt-get install' failed: see the lines above; wanted ${missing[*]}"
	update
	install || fail "'apt-get install' failed: see the lines above; wanted ${missing[*]}"
fi
echo "deps: installed ${#missing[@]} packages"
