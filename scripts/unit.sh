#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs Check programs one after the other and passes their output through.
#   scripts/unit.sh [PROGRAM...]   default: all of build/unit
. "$(dirname "$0")/lib.sh"

programs=("$@")
if [ ${#programs[@]} = 0 ]; then
	for file in "$BUILD"/unit/test_*; do
		[ -x "$file" ] && programs+=("$file")
	done
fi
[ ${#programs[@]} -gt 0 ] || fail "no test programs in $BUILD/unit: run 'make check-unit'"

# its own exit status, 1: two tests want to see it
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1:exitcode=99}
cd "$ROOT" || exit 1

failed=()
checks=0
output=$(mktemp "${TMPDIR:-/tmp}/fastpath-unit.XXXXXX")
trap 'rm -f "$output"' EXIT
for program in "${programs[@]}"; do
	say "== $(basename "$program")"
	# a program that hangs is a failure; Check's own limit is per test
	timeout "${UNIT_TIMEOUT:-300}" "$program" </dev/null 2>&1 | tee "$output"
	status=${PIPESTATUS[0]}
	n=$(sed -n 's/^[0-9]*%: Checks: \([0-9]*\), .*/\1/p' "$output" | awk '{s += $1} END {print s + 0}')
	checks=$((checks + n))
	if [ "$status" != 0 ]; then
		failed+=("$(basename "$program") (status $status)")
	elif [ "$n" = 0 ]; then
		failed+=("$(basename "$program") (ran no check)")
	fi
done

if [ ${#failed[@]} -gt 0 ]; then
	say "unit tests: ${#failed[@]} of ${#programs[@]} programs failed: ${failed[*]}"
	exit 1
fi
say "unit tests: ${#programs[@]} programs, $checks checks, all passed"
