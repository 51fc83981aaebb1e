#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make run: the appliance alone, in the foreground, with config/dev.ini on a veth that this script makes.
#   FAST_PATH_ENABLE=1 FAST_PATH_METRICS=1 make run   with its port open and /metrics served
. "$(dirname "$0")/lib.sh"

# reached through a trap
# shellcheck disable=SC2317
cleanup() {
	trap - EXIT
	network_down
}

become_root "$@"
take_lock
trap cleanup EXIT
install_packages build run || exit 1
build all || exit 1
why=$(missing_privilege)
[ -z "$why" ] || fail "cannot make the veth: $why"
remove_leftovers
prepare_hugepages
network_up

options=()
if [ "$HUGE" != 1 ]; then
	options=(--no-huge --)
fi
if [ "${FAST_PATH_ENABLE:-0}" = 1 ]; then
	say "send events from another terminal:"
	say "  ip netns exec $FEED_NS build/feedsim --group 239.1.1.1 --port 9000 --interface-address $FEED_ADDRESS --rate 1000 --count 10000"
else
	say "FAST_PATH_ENABLE is not 1: the port stays closed, events come over HTTP only"
fi
say "  curl \"http://localhost:8080/events?key=BTC\" -X POST -d '{\"price\": 50000}'"
say "Ctrl-C stops the appliance"
# Ctrl-C is the engine's to handle: the shell waits for its clean end
trap '' INT
trap 'kill -TERM $engine 2>/dev/null' TERM
"$BUILD/fastpath" "${options[@]}" --config config/dev.ini 9>&- &
engine=$!
status=0
wait $engine
status=$?
while kill -0 $engine 2>/dev/null; do
	wait $engine
	status=$?
done
exit $status
