#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make bench: packages, peers, build, then tests/bench/bench.py as root, or tests/bench/profile.py.
#   scripts/bench.sh [--full | --profile]
#   BENCH_ARGS="--only Kafka --rounds 3"   passed on as well, see tests/bench/bench.py --help
. "$(dirname "$0")/lib.sh"
export FASTPATH_BUILD=$BUILD

"$ROOT/scripts/deps.sh" build run test kafka bench || exit 1
"$ROOT/scripts/deps.sh" --unpack "$BUILD/bench/peers" || say "bench: rows that need these peers will say so"
cd "$ROOT" || exit 1
make --no-print-directory -j"$(nproc)" all bench-programs || exit 1

privilege=()
[ "$(id -u)" = 0 ] || privilege=(sudo "--preserve-env=FASTPATH_BUILD,KAFKA_JARS,NO_HUGE")
if [ "${1:-}" = --profile ]; then
	exec "${privilege[@]}" /usr/bin/python3 -B tests/bench/profile.py
fi
# BENCH_ARGS are words on purpose
# shellcheck disable=SC2086
exec "${privilege[@]}" /usr/bin/python3 -B tests/bench/bench.py "$@" ${BENCH_ARGS:-}
