#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian package in a clean system made by debootstrap, and looks at it there.
#
#   scripts/check-deb.sh DEB
#
# The base system is made once, in build/deb-base, from the mirror that this machine's apt uses.
# Exit status 77: this machine cannot do it, with the reason.
. "$(dirname "$0")/lib.sh"

skip() {
	say "check-deb: skipped: $*"
	exit 77
}

if [ $# != 1 ] || [ ! -r "$1" ]; then
	fail "wants the package: scripts/check-deb.sh build/deb/fastpath_VERSION_ARCH.deb"
fi
deb=$(realpath "$1")
[ -z "$(missing_privilege)" ] || skip "$(missing_privilege)"
command -v debootstrap >/dev/null || skip "no debootstrap: scripts/deps.sh package installs it"

suite=bookworm
base=$ROOT/build/deb-base
target=$ROOT/build/deb-root
# site, release and component of the archives of this suite; the words are apt's own variables
# shellcheck disable=SC2016
mapfile -t archives < <(apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
	2>/dev/null | awk -v s=$suite '$3 == "main" && index($2, s) == 1' | sort -u)
mirror=
for archive in "${archives[@]}"; do
	read -r site release _ <<<"$archive"
	[ "$release" != $suite ] || mirror=$site
done
[ -n "$mirror" ] || skip "this machine's apt knows no archive of $suite"

if [ ! -e "$base/etc/debian_version" ]; then
	rm -rf "$base" "$base.new"
	step "base system" true debootstrap --variant=minbase $suite "$base.new" "$mirror" ||
		skip "debootstrap cannot make a base system from this machine's mirror"
	mv "$base.new" "$base"
fi

cleanup() {
	mountpoint -q "$target/proc" && umount "$target/proc"
	mountpoint -q "$target/sys" && umount "$target/sys"
	mountpoint -q "$target/dev/shm" && umount "$target/dev/shm"
	rm -rf --one-file-system "$target"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
cleanup
cp -a "$base" "$target" || fail "$base cannot be copied to $target: is the disk full?"
: >"$target/etc/apt/sources.list"
for archive in "${archives[@]}"; do
	echo "deb $archive" >>"$target/etc/apt/sources.list"
done
apt-config dump | grep -E '^Acquire::https?::Proxy' >"$target/etc/apt/apt.conf.d/80proxy"
cp /etc/resolv.conf "$target/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$target/usr/sbin/policy-rc.d"
chmod 755 "$target/usr/sbin/policy-rc.d"
cp "$deb" "$target/root/fastpath.deb"
mount -t proc proc "$target/proc" || fail "cannot mount proc in $target"
mount --bind -o ro /sys "$target/sys" || fail "cannot mount sys in $target"
mount -t tmpfs tmpfs "$target/dev/shm" || fail "cannot mount a tmpfs in $target"

inside() {
	chroot "$target" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" "$@"
}

inside apt-get -q update >"$target/root/log" 2>&1 || {
	cat "$target/root/log"
	skip "the mirror cannot be reached"
}
# systemd is not among what the package depends on: a container runs without it
inside apt-get -q -y --no-install-recommends install systemd /root/fastpath.deb >"$target/root/log" 2>&1 || {
	tail -n 30 "$target/root/log"
	fail "the package cannot be installed in a clean $suite: see above"
}

failed=0
# expect WHAT COMMAND...: runs it; shows its last line, or everything when it fails
expect() {
	local what=$1 output status=0
	shift
	output=$("$@" 2>&1) || status=$?
	if [ $status = 0 ]; then
		say "check-deb: $what: ok${output:+: $(tail -n 1 <<<"$output")}"
	else
		say "check-deb: $what: FAILED (status $status): $output"
		failed=1
	fi
}

# the unit is clean when nothing is said of it
verify() {
	local output
	output=$(inside systemd-analyze --man=no verify /lib/systemd/system/fastpath.service 2>&1) || {
		echo "$output"
		return 1
	}
	if grep fastpath <<<"$output"; then
		return 1
	fi
}

# in a network namespace of its own: drivers are there, a port opens, and it ends cleanly
engine() {
	cat >"$target/root/fastpath.ini" <<-END
		[dataplane]
		enable = 1
		[eal]
		lcores = 0@0,1@0
		no-huge =
		[port lo]
		device = net_af_packet0,iface=lo
		address = 127.0.0.2/8
		[feed f]
		port = lo
		line_a = 239.1.1.1:9000
		[journal]
		dir = /var/lib/fastpath/journal
		memory_mb = 8
		segment_mb = 8
		[http]
		listen = 127.0.0.1:0
	END
	mkdir -p "$target/var/lib/fastpath"
	# shellcheck disable=SC2016
	unshare -n sh -c 'ip link set lo up; exec chroot "$0" /usr/bin/fastpath --config /root/fastpath.ini' \
		"$target" >"$target/root/log" 2>&1 &
	local pid=$! i status=0
	for ((i = 0; i < 300; i++)); do
		grep -q 'http://' "$target/root/log" && break
		kill -0 $pid 2>/dev/null || break
		sleep 0.1
	done
	kill -TERM $pid 2>/dev/null
	wait $pid || status=$?
	cat "$target/root/log"
	return $status
}

expect "fastpath --version" inside fastpath --version
expect "fastpathctl --version" inside fastpathctl --version
expect "feedsim --version" inside feedsim --version
expect "default configuration" inside fastpath --config /etc/fastpath/fastpath.ini --check-config
expect "user" inside getent passwd fastpath
expect "systemd-analyze verify" verify
expect "missing libraries" inside sh -c '! ldd /usr/bin/fastpath /usr/bin/fastpathctl /usr/bin/feedsim | grep "not found"'
expect "an engine on a port" engine
expect "removal" inside apt-get -q -y purge fastpath
[ $failed = 0 ] || exit 1
say "check-deb: all passed"
