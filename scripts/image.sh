#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make image: builds hft-fast-path:latest from the Dockerfile, with Docker where an engine answers, else with buildah.
#
#   scripts/image.sh                 build it, print its size
#   scripts/image.sh --tag NAME:TAG  under another name
#   scripts/image.sh --rootfs DIR    build it and unpack it: DIR/rootfs, and DIR/config.json with what it says of
#                                    entry point, variables, health check and volumes
#
# Without Docker the base debian:bookworm-slim is made with debootstrap when it cannot be pulled, from the archive
# that this machine's apt uses. Images then are in build/containers.
# IMAGE_ENGINE=docker|buildah chooses. Exit status 3: neither can be had here.
. "$(dirname "$0")/lib.sh"

BASE=debian:bookworm-slim
LIMIT=250000000
STORE=$ROOT/build/containers
TAG=hft-fast-path:latest
ROOTFS=

unable() {
	printf 'image: %s\n' "$*" >&2
	exit 3
}

while [ $# -gt 0 ]; do
	case $1 in
	--tag | --rootfs)
		[ $# -ge 2 ] || fail "$1 wants a value"
		;;&
	--tag) TAG=$2 && shift 2 ;;
	--rootfs) ROOTFS=$(realpath -m "$2") && shift 2 ;;
	-h | --help)
		sed -n '3,13s/^# \{0,1\}//p' "$0"
		exit 0
		;;
	*) fail "unknown option $1; see $0 --help" ;;
	esac
done

choose_engine() {
	ENGINE=${IMAGE_ENGINE:-}
	if [ -z "$ENGINE" ]; then
		ENGINE=buildah
		if docker info >/dev/null 2>&1; then
			ENGINE=docker
		fi
	fi
}

build_arguments() {
	local version revision
	version=$(git -c safe.directory="$ROOT" -C "$ROOT" describe --tags --always --dirty 2>/dev/null || echo unversioned)
	revision=$(git -c safe.directory="$ROOT" -C "$ROOT" rev-parse HEAD 2>/dev/null || true)
	ARGUMENTS=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision")
}

# ---- Docker ----

with_docker() {
	docker build "${ARGUMENTS[@]}" -t "$TAG" "$ROOT" || fail "docker build failed: see the lines above"
}

measure_docker() {
	SIZE=$(docker image inspect --format '{{.Size}}' "$TAG")
	ID=$(docker image inspect --format '{{.Id}}' "$TAG")
}

unpack_docker() {
	local container
	container=$(docker create "$TAG") || return 1
	docker export "$container" | tar -x -C "$1"
	docker rm "$container" >/dev/null
	docker image inspect --format '{{json .Config}}' "$TAG" >"$2"
}

# ---- buildah ----

b() {
	"${BUILDAH[@]}" "$@"
}

# overlay copies nothing, and vfs works everywhere: on an overlay too, as in a container
choose_driver() {
	local driver=vfs
	mkdir -p "$STORE/probe/"{lower,upper,work,merged}
	# in a mount namespace of its own: nothing stays mounted
	# shellcheck disable=SC2016
	if unshare -m sh -c 'cd "$1" && mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged' \
		- "$STORE/probe" 2>/dev/null; then
		driver=overlay
	fi
	rm -rf "$STORE/probe"
	BUILDAH=(buildah --storage-driver "$driver" --root "$STORE/$driver" --runroot "$STORE/run")
}

# URI SUITE COMPONENTS of every Debian archive for this release that this machine's apt uses
archives() {
	# apt's own placeholders
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(ORIGIN)|$(CODENAME)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)' \
		"Created-By: Packages" 2>/dev/null |
		awk -F'|' '$1 == "Debian" && $2 ~ /^bookworm/ {
			key = $3 " " $4
			if (!(key in seen)) {order[++n] = key; seen[key] = ""}
			if (index(seen[key] " ", " " $5 " ") == 0) seen[key] = seen[key] " " $5
		} END {for (i = 1; i <= n; i++) print order[i] seen[order[i]]}'
}

# as the official slim images are: without documentation, translations and what apt keeps
make_slim() {
	local root=$1 path
	mkdir -p "$root/etc/dpkg/dpkg.cfg.d"
	for path in doc info linda lintian locale man groff; do
		echo "path-exclude /usr/share/$path/*"
		rm -rf "${root:?}/usr/share/$path"/*
	done >"$root/etc/dpkg/dpkg.cfg.d/docker"
	echo 'path-include /usr/share/doc/*/copyright' >>"$root/etc/dpkg/dpkg.cfg.d/docker"
	cat >"$root/etc/apt/apt.conf.d/docker-clean" <<-'APT'
		Dir::Cache::pkgcache "";
		Dir::Cache::srcpkgcache "";
		DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb || true"; };
	APT
	rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
		"$root"/var/log/*.log "$root"/var/log/apt/*
}

commit_base() {
	local container
	container=$(b from scratch) &&
		b add -q "$container" "$1" / >/dev/null &&
		b config --cmd bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container" &&
		b commit -q --rm "$container" "$BASE" >/dev/null
}

bootstrap_base() {
	local root=$STORE/debootstrap mirror
	command -v debootstrap >/dev/null || unable "$BASE cannot be pulled, and there is no debootstrap: run scripts/deps.sh container"
	mirror=$(archives | awk '$2 == "bookworm" {print $1; exit}')
	[ -n "$mirror" ] || unable "$BASE cannot be pulled, and this machine's apt knows no archive of Debian bookworm"
	say "image: making $BASE with debootstrap"
	rm -rf "$root"
	debootstrap --variant=minbase --merged-usr bookworm "$root" "$mirror" >"$STORE/debootstrap.log" 2>&1 || {
		tail -n 5 "$STORE/debootstrap.log" >&2
		unable "debootstrap failed: see the lines above and $STORE/debootstrap.log"
	}
	make_slim "$root"
	archives | sed 's/^/deb /' >"$root/etc/apt/sources.list"
	apt-config dump | grep -E '^Acquire::(Check-Valid-Until|Check-Date|https?::Proxy) ' >"$root/etc/apt/apt.conf.d/host"
	commit_base "$root" || fail "buildah cannot make an image of $root"
	rm -rf "$root"
}

has_base() {
	b inspect --type image "$BASE" >/dev/null 2>&1
}

with_buildah() {
	local sum stamp
	{ command -v buildah && command -v jq; } >/dev/null || "$ROOT/scripts/deps.sh" container run ||
		unable "no Docker engine answers, and buildah cannot be installed"
	mkdir -p "$STORE"
	exec 8>>"$STORE/lock"
	flock 8
	choose_driver
	sum=$(context_sum)
	stamp=$STORE/stamp-${TAG//[^a-zA-Z0-9.]/_}
	if [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ] && b inspect --type image "$TAG" >/dev/null 2>&1; then
		say "image: nothing has changed"
		return
	fi
	if ! has_base && ! timeout 300 "${BUILDAH[@]}" pull -q "$BASE" >"$STORE/pull.log" 2>&1; then
		say "image: $BASE cannot be pulled, see $STORE/pull.log"
		bootstrap_base
	fi
	b bud --isolation chroot --format docker --layers --pull-never "${ARGUMENTS[@]}" -t "$TAG" "$ROOT" ||
		fail "buildah failed: see the lines above"
	echo "$sum" >"$stamp"
}

# what the image is made of: with nothing new in it even a build from cached layers is a minute of copying
context_sum() {
	local paths
	mapfile -t paths < <(sed -n 's/^!//p' "$ROOT/.dockerignore" | grep -v '^\.git$')
	(cd "$ROOT" && find "${paths[@]}" Dockerfile .dockerignore -type f -print0 | sort -z | xargs -0 sha256sum &&
		echo "${ARGUMENTS[@]}") | sha256sum
}

measure_buildah() {
	local inspected
	inspected=$(b inspect --type image "$TAG")
	ID=$(jq -r .FromImageID <<<"$inspected")
	# layers are not compressed in there
	SIZE=$(jq -r .Manifest <<<"$inspected" | jq '[.layers[].size] | add')
}

unpack_buildah() {
	local container mounted
	container=$(b from --pull-never "$TAG") && mounted=$(b mount "$container") || return 1
	cp -a "$mounted/." "$1"
	b rm "$container" >/dev/null
	b inspect --type image "$TAG" | jq .Docker.config >"$2"
}

# ---- what is wanted ----

unpack() {
	local fresh=$ROOTFS.new
	if [ "$(cat "$ROOTFS/id" 2>/dev/null)" = "$ID" ]; then
		return
	fi
	rm -rf "$fresh"
	mkdir -p "$fresh/rootfs"
	"unpack_$ENGINE" "$fresh/rootfs" "$fresh/config.json" || fail "$TAG cannot be unpacked"
	echo "$ID" >"$fresh/id"
	rm -rf "$ROOTFS"
	mv "$fresh" "$ROOTFS"
}

choose_engine
[ "$ENGINE" = docker ] || become_root "$@"
build_arguments
start=$SECONDS
"with_$ENGINE"
"measure_$ENGINE"
[ -z "$ROOTFS" ] || unpack
say "image: $TAG, $((SIZE / 1000000)) MB, built with $ENGINE in $((SECONDS - start)) s"
[ "$SIZE" -le $LIMIT ] || fail "$TAG has $((SIZE / 1000000)) MB, more than $((LIMIT / 1000000)) MB: see what 'dpkg-query -W -f=\"\${Installed-Size} \${Package}\\n\"' lists inside"
