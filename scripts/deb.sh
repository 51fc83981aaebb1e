#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make deb: the Debian package of this tree in build/deb, checked with lintian.
# The version is the tag's (v1.2.3 gives 1.2.3), else 0~git with the commit's time and hash.
. "$(dirname "$0")/lib.sh"

"$ROOT/scripts/deps.sh" build package || exit 1
cd "$ROOT" || exit 1

tag=$(git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null)
# v1.2.3-rc1 is older than v1.2.3: 1.2.3~rc1
version=${tag#v}
version=${version/-/\~}
[ -n "$version" ] || version=0~git$(TZ=UTC git log -1 --date=format-local:%Y%m%d%H%M%S --format=%cd.%h)
out=$ROOT/build/deb
rm -rf "$out"
mkdir -p "$out/fastpath-$version" || exit 1

# what is tracked or new, as it stands
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
	[ ! -e "$file" ] || printf '%s\0' "$file"
done | tar --null -T - -cf - | tar -C "$out/fastpath-$version" -xf - || fail "the tree cannot be copied to $out"

SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH FASTPATH_DEB_VERSION=$version
cd "$out/fastpath-$version" || exit 1
cat >debian/changelog <<END
fastpath ($version) bookworm; urgency=medium

  * Built from $(git -C "$ROOT" rev-parse --short HEAD).

 -- $(sed -n 's/^Maintainer: //p' debian/control)  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END
dpkg-buildpackage -b -us -uc -j"${JOBS:-$(nproc)}" >"$out/build.log" 2>&1 || {
	tail -n 40 "$out/build.log" >&2
	fail "dpkg-buildpackage failed: see the lines above, all of them are in $out/build.log"
}

cd "$out" || exit 1
# root runs it in containers; lintian warns of that
lintian --allow-root --fail-on error,warning --info ./*.changes || fail "lintian is not content: see above"
say "deb: lintian: clean ($(lintian --version))"
deb=$(ls "$out"/fastpath_*.deb)
say "deb: $deb, $(($(stat -c %s "$deb") / 1024)) KiB"
