#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make fuzz: every tests/fuzz/fuzz_*.c under libFuzzer, AddressSanitizer and UBSan.
#   FUZZ_SECONDS=60              for each target
#   scripts/fuzz.sh [TARGET...]  only these: fuzz_classify ...
# Seeds: tests/fuzz/corpus/TARGET without fuzz_. What libFuzzer learns goes to build/fuzz/corpus.
. "$(dirname "$0")/lib.sh"

"$ROOT/scripts/deps.sh" build lint || exit 1
cd "$ROOT" || exit 1
out=$ROOT/build/fuzz
seconds=${FUZZ_SECONDS:-60}

targets=("$@")
if [ ${#targets[@]} = 0 ]; then
	for file in tests/fuzz/fuzz_*.c; do
		[ -e "$file" ] && targets+=("$(basename "$file" .c)")
	done
fi
[ ${#targets[@]} -gt 0 ] || fail "no targets: tests/fuzz has no fuzz_*.c"

mkdir -p "$out"
sanitize=address,undefined
say "fuzz: building lib with clang"
# a build directory of its own: libFuzzer wants everything instrumented
make --no-print-directory -j"$(nproc)" BUILD=build/fuzz CC=clang CFLAGS="-O1 -g -march=native" \
	SANITIZE=fuzzer-no-link,$sanitize build/fuzz/libfastpath.a || fail "lib does not build with clang"

packages=$(sed -n 's/^PACKAGES := //p' Makefile)
# shellcheck disable=SC2086
cflags=$(pkg-config --cflags $packages | sed 's/-I\([^ ]*\)/-isystem \1/g')
# shellcheck disable=SC2086
libs=$(pkg-config --libs $packages)

build_target() {
	local extra=()
	# a target names the app sources that it needs: /* fuzz-sources: app/fastpath/config.c */
	mapfile -t extra < <(sed -n 's,^/\* fuzz-sources: \(.*\) \*/$,\1,p' "tests/fuzz/$1.c" | tr ' ' '\n' | grep .)
	# flags are words on purpose
	# shellcheck disable=SC2086
	clang -O1 -g -march=native $cflags -std=c11 -D_GNU_SOURCE -DALLOW_EXPERIMENTAL_API \
		-DFASTPATH_VERSION='"fuzz"' -Ilib -Iapp/fastpath -fsanitize=fuzzer,$sanitize \
		-fno-sanitize-recover=all -o "$out/$1" "tests/fuzz/$1.c" "${extra[@]}" build/fuzz/libfastpath.a \
		$libs -lpthread -lm
}

FUZZ_SCRATCH=$(mktemp -d /dev/shm/fastpath-fuzz.XXXXXX) || fail "no folder in /dev/shm"
export FUZZ_SCRATCH
trap 'rm -rf "$FUZZ_SCRATCH"' EXIT

failed=()
for target in "${targets[@]}"; do
	[ -e "tests/fuzz/$target.c" ] || fail "no target tests/fuzz/$target.c"
	build_target "$target" || fail "$target does not build"
	corpus=$out/corpus/$target
	seeds=tests/fuzz/corpus/${target#fuzz_}
	mkdir -p "$corpus" "$out/crashes"
	inputs=("$corpus")
	[ -d "$seeds" ] && inputs+=("$seeds")
	say "== $target, $seconds s"
	if ! "$out/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 \
		-artifact_prefix="$out/crashes/$target-" "${inputs[@]}" </dev/null >"$out/$target.log" 2>&1; then
		failed+=("$target")
		tail -n 40 "$out/$target.log"
		say "fuzz: $target FAILED; reproduce: build/fuzz/$target $(sed -n 's/.*Test unit written to //p' \
			"$out/$target.log" | tail -n 1)"
	else
		grep -E 'stat::number_of_executed_units|stat::average_exec_per_sec' "$out/$target.log"
	fi
done

if [ ${#failed[@]} -gt 0 ]; then
	say "fuzz: FAILED: ${failed[*]}"
	exit 1
fi
say "fuzz: ${#targets[@]} targets, $seconds s each, no crash"
