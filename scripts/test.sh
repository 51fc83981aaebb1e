#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make test: packages, build, unit tests, system tests.
#   SOAK=1                       full counts and rounds, and the tests of etcd with a later etcd too
#   FASTPATH_ETCD=trixie         the etcd that tests use (scripts/etcd.sh --help)
#   SANITIZE=address,undefined   the same tests on sanitized programs
#   NO_HUGE=1                    as on a machine without hugepages
#   PYTEST_ARGS="-k events"      passed on to pytest
. "$(dirname "$0")/lib.sh"
export FASTPATH_BUILD=$BUILD

"$ROOT/scripts/deps.sh" build run test kafka container console || exit 1
cd "$ROOT" || exit 1

say "== build"
make --no-print-directory -j"$(nproc)" all || exit 1

say "== unit tests"
status=0
make --no-print-directory -j"$(nproc)" check-unit || status=1

say "== system tests"
privilege=()
if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then
	privilege=(sudo -n "--preserve-env=SOAK,SANITIZE,NO_HUGE,FASTPATH_BUILD,REQUIRE_KAFKA,KAFKA_JARS,FASTPATH_ETCD")
fi
# These mostly wait, so two of their files run at a time. All others keep both processors of a small machine
# busy, and run one after the other.
beside=()
for name in bench console deploy doctor drain etcd feedsim guide kafka kafka_faults kafka_takeover kubernetes monitoring \
	package start_errors versions; do
	beside+=("tests/system/test_$name.py")
done

# status 5: PYTEST_ARGS left nothing to run
system_tests() {
	local ended=0
	# PYTEST_ARGS are words on purpose
	# shellcheck disable=SC2086
	"${privilege[@]}" /usr/bin/python3 -B -m pytest -c tests/system/pytest.ini "$@" ${PYTEST_ARGS:-} </dev/null ||
		ended=$?
	[ $ended = 0 ] || { [ $ended = 5 ] && [ -n "${PYTEST_ARGS:-}" ]; }
}
say "-- two files at a time"
system_tests -n 2 --dist loadfile "${beside[@]}" || status=1
say "-- one at a time"
system_tests tests/system "${beside[@]/#/--ignore=}" || status=1

# Debian 12 has etcd 3.4; the other one that we promise to work with is in a later suite
if [ "${SOAK:-0}" = 1 ] && [ -z "${FASTPATH_ETCD:-}" ]; then
	say "== system tests with etcd 3.5"
	export FASTPATH_ETCD=trixie
	system_tests tests/system/test_etcd.py || status=1
fi

if [ $status = 0 ]; then
	say "test: all passed"
else
	say "test: FAILED, see above"
fi
exit $status
