#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make demo: the main job on real input. A feed handler in a network namespace of its own sends multicast;
# the appliance takes it from a DPDK port, journals it and shows what it does.
#   DEMO_SECONDS=N   end after N seconds (default: at Ctrl-C)
#   DEMO_RATE=N      events per second of both feeds together (20000)
#   NO_HUGE=1        as on a machine without hugepages
. "$(dirname "$0")/lib.sh"

JOURNAL=$ROOT/var/demo-journal
URL=http://127.0.0.1:8080
RATE=${DEMO_RATE:-20000}
KEYS=500
declare -A port=([ticks]=9000 [orders]=9001) group=([ticks]=239.1.1.1 [orders]=239.1.1.2)
declare -A codec=([ticks]=keyed [orders]=json) sender=() sent=()
FEEDS=(ticks orders)
ENGINE=
STOP=0

[[ ${DEMO_SECONDS:-0} =~ ^[0-9]+$ ]] || fail "DEMO_SECONDS is '${DEMO_SECONDS}': a number of seconds is wanted"
[[ $RATE =~ ^[1-9][0-9]*$ ]] || fail "DEMO_RATE is '$RATE': a number of events per second is wanted"

cleanup() {
	local pid
	trap - EXIT
	trap '' INT TERM
	for pid in ${STEP_PID:-} "${sender[@]}" $ENGINE; do
		end_process "$pid"
	done
	rm -f "$STATE"/*.pid
	network_down
}

stop_early() {
	[ $STOP = 0 ] || exit 130
}

write_config() {
	cat >"$STATE/demo.ini" <<-INI
		[engine]
		id = demo
		[eal]
		no-pci =
		$([ "$HUGE" = 1 ] || echo "no-huge =")
		[dataplane]
		enable = 1
		[port nic0]
		device = net_af_packet0,iface=fp0,framecnt=65536
		address = 10.99.0.1/24
		[feed ticks]
		port = nic0
		codec = keyed
		line_a = 239.1.1.1:9000
		[feed orders]
		port = nic0
		codec = json
		line_a = 239.1.1.2:9001
		[journal]
		dir = $JOURNAL
		[http]
		listen = 127.0.0.1:8080
	INI
}

start_engine() {
	# only what an earlier demo wrote: a journal names itself
	[ ! -e "$JOURNAL" ] || [ -e "$JOURNAL/journal.json" ] || rmdir "$JOURNAL" 2>/dev/null ||
		fail "$JOURNAL holds something that is not a journal: move it away"
	rm -rf "$JOURNAL"
	write_config
	# what the caller has set for another appliance must not reach this one; the documented switches do
	own_session engine env -u HTTP_LISTEN -u JOURNAL_DIR -u ENGINE_ID -u FAST_PATH_CONFIG -u HTTP_TOKEN_FILE \
		FAST_PATH_ENABLE=1 FAST_PATH_METRICS=1 "$BUILD/fastpath" --config "$STATE/demo.ini"
	ENGINE=$STARTED
	step boot boot_percent wait_ready || {
		stop_early
		say "the engine's log, $STATE/engine.log:" >&2
		tail -n 20 "$STATE/engine.log" >&2
		exit 1
	}
}

wait_ready() {
	local i
	for ((i = 0; i < 600; i++)); do
		kill -0 "$ENGINE" 2>/dev/null || return 1
		curl -fsS -o /dev/null --max-time 2 $URL/health/ready 2>/dev/null && return 0
		sleep 0.1
	done
	return 1
}

# what answers already: the process, its HTTP port, live; ready is the step's end
boot_percent() {
	local percent=20
	curl -s -o /dev/null --max-time 1 $URL/health/live && percent=60
	curl -fs -o /dev/null --max-time 1 $URL/health/live && percent=80
	echo $percent
}

start_feeds() {
	local feed
	for feed in "${FEEDS[@]}"; do
		own_session "feed-$feed" ip netns exec $FEED_NS "$BUILD/feedsim" --group "${group[$feed]}" \
			--port "${port[$feed]}" --interface-address $FEED_ADDRESS --codec "${codec[$feed]}" \
			--framing raw --keys $KEYS --rate $((RATE / ${#FEEDS[@]}))
		sender[$feed]=$STARTED
	done
}

stats() {
	curl -fsS --max-time 5 $URL/stats
}

FIGURES='def us: . * 10 | round / 10; "events      \(.fast_path_count) journaled, \(.events_per_second) a second",
"latency us  p50 \(.fast_path_process_p50_us | us)  p99 \(.fast_path_process_p99_us | us)  p99.9 \(.fast_path_process_p999_us | us)   (receive burst to journal memory, last 10 s)",
"lost        dropped \(.fast_path_drops_total)   filtered \(.fast_path_filtered_total)",
"disk        journal lag \(.persistence_queue_lag) events, sync p99 \(.persistence_queue_sync_p99_us | us) us"'
ONE_LINE='def us: . * 10 | round / 10; "\(.fast_path_count) journaled, \(.events_per_second)/s, p50 \(.fast_path_process_p50_us | us) us, p99 \(.fast_path_process_p99_us | us) us, p99.9 \(.fast_path_process_p999_us | us) us, dropped \(.fast_path_drops_total), filtered \(.fast_path_filtered_total), journal lag \(.persistence_queue_lag)"'

# live figures until the time is over, Ctrl-C, or something ends by itself
watch_figures() {
	local start=$SECONDS drawn=0 now text feed elapsed last=-5
	while [ $STOP = 0 ]; do
		elapsed=$((SECONDS - start))
		[ "${DEMO_SECONDS:-0}" = 0 ] || [ $elapsed -lt "$DEMO_SECONDS" ] || break
		kill -0 "$ENGINE" 2>/dev/null || {
			tail -n 20 "$STATE/engine.log" >&2
			fail "the engine ended by itself, see $STATE/engine.log"
		}
		for feed in "${FEEDS[@]}"; do
			kill -0 "${sender[$feed]}" 2>/dev/null || {
				tail -n 5 "$STATE/feed-$feed.log" >&2
				fail "the feed $feed ended by itself, see $STATE/feed-$feed.log"
			}
		done
		if now=$(stats); then
			if is_tty; then
				text=$(jq -r "$FIGURES" <<<"$now")
				[ $drawn = 0 ] || printf '\033[%dA' $drawn
				printf '\033[Ktime        %d s%s\n' $elapsed "${DEMO_SECONDS:+ of $DEMO_SECONDS}"
				printf '%s\n' "$text" | sed $'s/^/\033[K/'
				drawn=$((1 + $(wc -l <<<"$text")))
			elif [ $((elapsed - last)) -ge 5 ]; then
				last=$elapsed
				printf '%3d s: %s\n' $elapsed "$(jq -r "$ONE_LINE" <<<"$now")"
			fi
		fi
		sleep 0.5 &
		wait $!
	done
}

# Stops the senders first and waits until nothing moves, so that the counts can be compared
come_to_rest() {
	local feed i before="" now quiet=0
	for feed in "${FEEDS[@]}"; do
		kill -TERM "${sender[$feed]}" 2>/dev/null
	done
	for feed in "${FEEDS[@]}"; do
		wait "${sender[$feed]}"
		sent[$feed]=$(jq -r .sent "$STATE/feed-$feed.out" 2>/dev/null)
		[[ ${sent[$feed]:-} =~ ^[0-9]+$ ]] ||
			fail "the feed $feed left no summary: $(tail -n 3 "$STATE/feed-$feed.log")"
	done
	sender=()
	for ((i = 0; i < 300; i++)); do
		now=$(stats | jq -c '[.fast_path_count, .fast_path_drops_total, .fast_path_filtered_total, .persistence_queue_lag]')
		if [ "$now" = "$before" ] && [ "${now##*,}" = "0]" ]; then
			quiet=$((quiet + 1))
			[ $quiet -lt 5 ] || return 0
		else
			quiet=0
		fi
		before=$now
		sleep 0.1
	done
	say "the engine did not come to rest within 30 s: $now"
	return 1
}

stop_engine() {
	local status=0
	kill -TERM "$ENGINE"
	wait "$ENGINE" || status=$?
	ENGINE=
	[ $status = 0 ] || {
		tail -n 20 "$STATE/engine.log" >&2
		fail "the engine ended with status $status, see $STATE/engine.log"
	}
}

# a wrong sum is said, and spoils the exit status
DIFFERENT=0
compare() {
	if [ "$2" != "$3" ]; then
		say "  DIFFERENT: $1: $2 and $3"
		DIFFERENT=1
	fi
}

summary() {
	local final=$1 feed count all=0 sum=0
	say ""
	say "What was sent, and what came of it"
	for feed in "${FEEDS[@]}"; do
		count=$("$BUILD/fastpathctl" journal cat --feed "$feed" "$JOURNAL" | wc -l)
		say "  feed $feed: sent ${sent[$feed]}, in the journal $count"
		compare "feed $feed, sent and journaled" "${sent[$feed]}" "$count"
		sum=$((sum + sent[$feed]))
		all=$((all + count))
	done
	count=$("$BUILD/fastpathctl" journal cat --feed http "$JOURNAL" | wc -l)
	say "  POST /events: in the journal $count"
	all=$((all + count))
	jq -r '"law of frames:   seen \(.frames_seen_total) = decoded \(.frames_decoded_total) + to host \(.frames_to_host_total) + filtered \(.frames_filtered_total) + dropped \(.frames_dropped_total)",
		"law of messages: \(.messages_total) = journaled \(.journaled_total) + filtered \(.messages_filtered_total) + dropped \(.messages_dropped_total)",
		(to_entries[] | select((.key | startswith("reason_")) and .value > 0) | "  of which \(.key | ltrimstr("reason_")): \(.value)")' <<<"$final"
	compare "frames seen, and their sum" "$(jq .frames_seen_total <<<"$final")" \
		"$(jq '.frames_decoded_total + .frames_to_host_total + .frames_filtered_total + .frames_dropped_total' <<<"$final")"
	compare "messages, and their sum" "$(jq .messages_total <<<"$final")" \
		"$(jq '.journaled_total + .messages_filtered_total + .messages_dropped_total' <<<"$final")"
	# the veths' own chatter may be seen: it is no UDP and no IP
	compare "filtered but not meant to be, and none" 0 \
		"$(jq '.fast_path_filtered_total - .reason_not_ip - .reason_not_udp' <<<"$final")"
	compare "journaled by /stats and in the journal" "$(jq .fast_path_count <<<"$final")" "$all"
	compare "frames sent and frames decoded" "$sum" "$(jq .frames_decoded_total <<<"$final")"
	compare "dropped, and none" "$(jq .fast_path_drops_total <<<"$final")" 0
	if [ $DIFFERENT != 0 ]; then
		say "demo: FAILED, see what is different above; logs and results are in $STATE"
		return 1
	fi
	say "demo: every event that was sent is in the journal once; dropped 0"
}

become_root "$@"
take_lock
trap cleanup EXIT
trap 'STOP=1' INT TERM
install_packages build run || exit 1
stop_early
build all || { stop_early; exit 1; }
stop_early
why=$(missing_privilege)
[ -z "$why" ] || fail "cannot make the feed handler's network: $why"
remove_leftovers
prepare_hugepages
network_up
start_engine
stop_early
start_feeds
say "two feeds of $KEYS keys send $RATE events a second by multicast; in another terminal:"
say "  curl http://localhost:8080/health"
say "  curl http://localhost:8080/stats"
say "  curl \"http://localhost:8080/events?key=BTC\" -X POST -H \"Content-Type: application/json\" -d '{\"price\": 50000}'"
say "  curl http://localhost:8080/metrics | promtool check metrics"
[ "${DEMO_SECONDS:-0}" != 0 ] || say "Ctrl-C ends it with a summary"
watch_figures
# from here on a second Ctrl-C gives up
trap 'exit 130' INT TERM
say "stopping the feed"
come_to_rest || DIFFERENT=1
final=$(stats) || fail "the engine no longer answers /stats, see $STATE/engine.log"
printf '%s\n' "$final" >"$STATE/final-stats.json"
stop_engine
summary "$final"
