#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What comes from npm, pinned with checksums by third_party/npm/package-lock.json.
#
#   scripts/npm.sh fetch    the packages, in build/npm/node_modules: for the tests of the console
#   scripts/npm.sh vendor   uPlot from there to third_party/uplot, which the build uses: it asks npm for nothing
#   scripts/npm.sh verify   third_party/uplot is what its checksums say and, when it was fetched, what npm gave
. "$(dirname "$0")/lib.sh"

NPM=$ROOT/build/npm
UPLOT=$ROOT/third_party/uplot
FILES=(dist/uPlot.iife.min.js dist/uPlot.min.css LICENSE)

fetch() {
	local list=(package.json package-lock.json .npmrc) file
	command -v npm >/dev/null || fail "there is no npm: run scripts/deps.sh console"
	mkdir -p "$NPM"
	if [ -e "$NPM/complete" ]; then
		for file in "${list[@]}"; do
			cmp -s "$ROOT/third_party/npm/$file" "$NPM/$file" || rm -f "$NPM/complete"
		done
	fi
	[ ! -e "$NPM/complete" ] || return 0
	cp "${list[@]/#/$ROOT/third_party/npm/}" "$NPM/"
	(cd "$NPM" && npm ci --fetch-retries=1 --fetch-timeout=60000 </dev/null >&2) || fail "'npm ci' failed in $NPM: see the lines above"
	touch "$NPM/complete"
}

vendor() {
	local file
	fetch
	for file in "${FILES[@]}"; do
		cp "$NPM/node_modules/uplot/$file" "$UPLOT/"
	done
	sed -n 's/^  "version": "\(.*\)",$/\1/p' "$NPM/node_modules/uplot/package.json" >"$UPLOT/VERSION"
	(cd "$UPLOT" && sha256sum "${FILES[@]##*/}" VERSION >SHA256SUMS)
	verify
}

verify() {
	local file
	(cd "$UPLOT" && sha256sum --quiet -c SHA256SUMS) || fail "third_party/uplot is not what its SHA256SUMS say"
	grep -q "\"uplot\": \"$(<"$UPLOT/VERSION")\"" "$ROOT/third_party/npm/package.json" ||
		fail "third_party/uplot is not of the version that third_party/npm/package.json names: make vendor"
	[ -e "$NPM/complete" ] || return 0
	for file in "${FILES[@]}"; do
		cmp "$NPM/node_modules/uplot/$file" "$UPLOT/${file##*/}" || fail "${file##*/} is not npm's: make vendor"
	done
}

case ${1:-} in
fetch | vendor | verify) "$1" ;;
*)
	sed -n '3,7s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
