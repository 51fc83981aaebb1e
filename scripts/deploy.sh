#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the pipeline does with a cluster.
#
#   scripts/deploy.sh kubeconfig               decodes KUBE_CONFIG (base64) to ~/.kube/config
#   scripts/deploy.sh run OVERLAY IMAGE TAG    applies k8s/overlays/OVERLAY with IMAGE:TAG, waits for the rollout, runs
#                                              the smoke test, and rolls back if one of these fails
#   scripts/deploy.sh smoke                    the smoke test alone, through kubectl port-forward
#
# The ConfigMap hft-config is the cluster's own: it is made when it is missing, and never overwritten.
. "$(dirname "$0")/lib.sh"

SPACE=hft-system
NAME=hft-fast-path
PORT=${SMOKE_PORT:-18080}
# a rollout goes node by node, and each may recover for 10 minutes
ROLLOUT=${ROLLOUT_TIMEOUT:-40m}

k() {
	kubectl -n "$SPACE" "$@"
}

kubeconfig() {
	[ -n "${KUBE_CONFIG:-}" ] || fail "KUBE_CONFIG is empty: set the repository's secret KUBE_CONFIG_STAGING or KUBE_CONFIG_PRODUCTION"
	mkdir -p ~/.kube
	(umask 077 && base64 -d <<<"$KUBE_CONFIG" >~/.kube/config) || fail "KUBE_CONFIG is not base64: cat kubeconfig | base64"
}

# render OVERLAY IMAGE TAG
render() {
	sed -E "s#(image: )\"?([a-z0-9./-]*/)?$NAME:[A-Za-z0-9_.-]+\"?\$#\1$2:$3#" <(kubectl kustomize "$ROOT/k8s/overlays/$1")
}

# without_config FILE: all documents but the ConfigMap hft-config
without_config() {
	awk 'function flush() { if (doc !~ /\nkind: ConfigMap\n/ || doc !~ /\n  name: hft-config\n/) printf "---%s", doc; doc = "\n" }
		BEGIN { doc = "\n" } /^---$/ { flush(); next } { doc = doc $0 "\n" } END { flush() }' "$1"
}

apply() {
	local work=$1
	# the overlay's namespace first, on a cluster that has none
	kubectl apply -f "$ROOT/k8s/namespace.yaml" -f "$ROOT/k8s/priorityclass.yaml" || return 1
	if k get configmap hft-config >/dev/null 2>&1; then
		without_config "$work/all.yaml" >"$work/apply.yaml"
	else
		cp "$work/all.yaml" "$work/apply.yaml"
	fi
	kubectl apply -f "$work/apply.yaml"
}

smoke() {
	local forward status=0
	# not by k: the shell between would be what is killed below
	kubectl -n "$SPACE" port-forward "svc/$NAME" "$PORT:8080" >/dev/null &
	forward=$!
	look || status=1
	kill $forward 2>/dev/null
	wait $forward 2>/dev/null
	return $status
}

look() {
	local url=http://127.0.0.1:$PORT health
	# 503 is an answer of an engine that is unhealthy: not retried, since a rollout has waited until it was ready
	health=$(curl -sS --retry 15 --retry-delay 2 --retry-connrefused --max-time 10 "$url/health/live") || return 1
	health=$(curl -sS --fail-with-body --max-time 10 "$url/health") || {
		say "smoke test: /health: $health"
		return 1
	}
	curl -sS --fail --max-time 10 "$url/metrics" | grep '^fast_path_events_total' >/dev/null || {
		say "smoke test: /metrics has no fast_path_events_total"
		return 1
	}
	say "smoke test: passed: $health"
}

# roll_back REVISION: the one that ran before; 0: there was none
roll_back() {
	say "deploy: rolling back"
	[ "$1" != 0 ] || fail "this was the first rollout: there is nothing to go back to; the pods are left as they are"
	k rollout undo "deployment/$NAME" --to-revision="$1" || fail "rollout undo failed: see the lines above"
	k rollout status "deployment/$NAME" --timeout="$ROLLOUT" || fail "the rollback has not finished: see the lines above"
	fail "the rollout failed and was rolled back to revision $1"
}

revision() {
	k get "deployment/$NAME" -o 'jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}' 2>/dev/null || printf 0
}

run() {
	local before work
	work=$(mktemp -d)
	# shellcheck disable=SC2064
	trap "rm -rf '$work'" EXIT
	render "$@" >"$work/all.yaml"
	grep -qF "image: $2:$3" "$work/all.yaml" || fail "k8s/overlays/$1 has no image $NAME to replace by $2:$3"
	before=$(revision)
	apply "$work" || fail "kubectl apply failed: see the lines above"
	# the same revision means that nothing changed
	if k rollout status "deployment/$NAME" --timeout="$ROLLOUT" && smoke; then
		say "deploy: $2:$3 runs"
		return 0
	fi
	k get pods -l app=$NAME -o wide
	k logs -l app=$NAME --tail=50 --prefix
	roll_back "${before:-0}"
}

case "${1:-}" in
kubeconfig) kubeconfig ;;
run)
	[ $# = 4 ] || fail "run wants OVERLAY IMAGE TAG"
	run "$2" "$3" "$4"
	;;
smoke) smoke ;;
-h | --help) sed -n '3,11s/^# \{0,1\}//p' "$0" ;;
*) fail "see $0 --help" ;;
esac
