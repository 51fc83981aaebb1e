#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tools that check k8s/ and .github/workflows, none of which Debian has: into build/tools, from PyPI and the Go proxy.
#
#   scripts/kubernetes.sh tool schemas     the Kubernetes schemas (kubernetes-validate): prints a folder for PYTHONPATH
#   scripts/kubernetes.sh tool kustomize   prints the command: kustomize, or a kubectl that is new enough
#   scripts/kubernetes.sh tool actionlint  prints the command
#   scripts/kubernetes.sh check            every manifest and workflow: what the tests of k8s/ check too
#
# Exit status 3: it cannot be had here, and standard error says why.
. "$(dirname "$0")/lib.sh"

TOOLS=$ROOT/build/tools
VALIDATE=kubernetes-validate==1.34.1
KUSTOMIZE=sigs.k8s.io/kustomize/kustomize/v5@v5.8.1
ACTIONLINT=github.com/rhysd/actionlint/cmd/actionlint@v1.7.7

unable() {
	printf 'kubernetes: %s\n' "$*" >&2
	exit 3
}

schemas() {
	local folder=$TOOLS/${VALIDATE//[^a-z0-9.]/-}
	if [ ! -e "$folder/complete" ]; then
		/usr/bin/python3 -m pip --version >/dev/null 2>&1 ||
			unable "no Kubernetes schemas: they come by pip, which is not here (apt-get install python3-pip)"
		rm -rf "$folder"
		/usr/bin/python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --retries 1 --timeout 20 --target "$folder" \
			"$VALIDATE" </dev/null >&2 || unable "no Kubernetes schemas: $VALIDATE could not be had from PyPI"
		touch "$folder/complete"
	fi
	printf '%s\n' "$folder"
}

# go_tool NAME MODULE
go_tool() {
	local path=$TOOLS/bin/$1
	if [ ! -x "$path" ]; then
		command -v go >/dev/null || unable "no $1: it is built by go, which is not here (go 1.21 or later)"
		GOBIN=$TOOLS/bin GOFLAGS=-mod=mod timeout 600 go install "$2" </dev/null >&2 ||
			unable "no $1: $2 could not be had from the Go proxy"
	fi
	printf '%s\n' "$path"
}

# components, which Debian's 1.20 does not know, came with 1.21
kubectl_kustomizes() {
	local minor
	minor=$(kubectl version --client -o json 2>/dev/null | sed -n 's/.*"minor": "\([0-9]*\).*/\1/p' | head -n 1)
	[ "${minor:-0}" -ge 27 ]
}

kustomize() {
	if [ -x "$TOOLS/bin/kustomize" ]; then
		printf '%s build\n' "$TOOLS/bin/kustomize"
	elif command -v kubectl >/dev/null && kubectl_kustomizes; then
		printf 'kubectl kustomize\n'
	else
		local path
		path=$(go_tool kustomize "$KUSTOMIZE") || exit $?
		printf '%s build\n' "$path"
	fi
}

# two that ask at a time shall not both make it
if [ "${1:-}" = tool ]; then
	mkdir -p "$TOOLS"
	exec 9>"$TOOLS/lock"
	flock 9
fi

case "${1:-} ${2:-}" in
"tool schemas") schemas ;;
"tool kustomize") kustomize ;;
"tool actionlint") go_tool actionlint "$ACTIONLINT" ;;
"check ")
	cd "$ROOT/tests/system" || exit 1
	exec /usr/bin/python3 -B -m pytest -q -rs test_kubernetes.py
	;;
"-h " | "--help ") sed -n '3,10s/^# \{0,1\}//p' "$0" ;;
*) fail "see $0 --help" ;;
esac
