#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make lint: formatting, static analysis, shell, Python, spelling, whitespace, licences.
. "$(dirname "$0")/lib.sh"

"$ROOT/scripts/deps.sh" build lint || exit 1
cd "$ROOT" || exit 1
failed=()

# check NAME COMMAND...
check() {
	local name=$1
	shift
	if "$@"; then
		say "lint: $name: ok"
	else
		failed+=("$name")
		say "lint: $name: FAILED"
	fi
}

# tracked and new files, without what is ignored or gone
files() {
	git ls-files -z --cached --others --exclude-standard -- "$@" | while IFS= read -r -d '' file; do
		[ -f "$file" ] && printf '%s\n' "$file"
	done | sort -u
}

mapfile -t c_files < <(files '*.c' '*.h')
mapfile -t c_sources < <(files '*.c')
mapfile -t python_files < <(files '*.py')
mapfile -t shell_files < <(files '*.sh' .ci/run)
mapfile -t script_files < <(files '*.js' | grep -v '^third_party/')
mapfile -t text_files < <(files | xargs -r grep -lI '' -- | grep -v -E '^(LICENSE|tests/.*/corpus/|third_party/uplot/)')

formatting() {
	local file status=0
	for file in "${c_files[@]}"; do
		clang-format "$file" | cmp -s - "$file" && continue
		say "$file: not formatted as .clang-format says: make format"
		status=1
	done
	return $status
}

static_analysis() {
	# system headers are not read: what their macros and Check's stand for is said here.
	# varFuncNullUB: where we run NULL is a pointer, not a plain 0
	cppcheck --quiet -j"$(nproc)" --std=c11 --language=c --enable=warning,performance,portability \
		--inline-suppr --error-exitcode=1 --suppress=missingIncludeSystem \
		--suppress=varFuncNullUB \
		-D__x86_64__ -D__linux__ -D_GNU_SOURCE '-DFASTPATH_VERSION="lint"' \
		'-DSTART_TEST(name)=static void name(int _i)' -DEND_TEST= \
		'-DTAILQ_HEAD(name,type)=struct name {struct type *tqh_first, **tqh_last;}' \
		'-DTAILQ_ENTRY(type)=struct {struct type *tqe_next, **tqe_prev;}' \
		'-DLIST_HEAD(name,type)=struct name {struct type *lh_first;}' \
		'-DLIST_ENTRY(type)=struct {struct type *le_next, **le_prev;}' \
		-Ilib -Iapp/fastpath -Iapp/fastpathctl -Iapp/feedsim "${c_sources[@]}"
}

shell() {
	shellcheck -x -P SCRIPTDIR "${shell_files[@]}"
}

python_syntax() {
	local file status=0
	for file in "${python_files[@]}"; do
		/usr/bin/python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$file" || status=1
	done
	return $status
}

# the syntax only, and only where there is a node; the console's scripts are modules, whatever they are called
script_syntax() {
	local file status=0 flags
	if ! command -v node >/dev/null; then
		say "lint: no node here: scripts are not read; scripts/deps.sh console installs it"
		return 0
	fi
	for file in "${script_files[@]}"; do
		flags=()
		! grep -q -E '^(im|ex)port ' "$file" || flags=(--input-type=module)
		if ! node --check "${flags[@]}" - <"$file"; then
			say "$file: see above"
			status=1
		fi
	done
	return $status
}

# uPlot as it came
third_party() {
	scripts/npm.sh verify
}

spelling() {
	codespell --quiet-level=2 --ignore-words=scripts/words.txt "${text_files[@]}"
}

whitespace() {
	! grep -nE '[[:blank:]]+$' -- "${text_files[@]}" || return 1
	local file status=0
	for file in "${text_files[@]}"; do
		if [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then
			say "$file: no newline at its end"
			status=1
		fi
	done
	return $status
}

monitoring() {
	promtool check config monitoring/prometheus.yml >/dev/null &&
		promtool test rules monitoring/prometheus-tests.yml >/dev/null
}

licences() {
	local file status=0
	for file in "${c_files[@]}" "${script_files[@]}" app/console/console.css; do
		if [ "$(head -n 1 "$file")" != '/* SPDX-License-Identifier: Apache-2.0 */' ]; then
			say "$file:1: the first line is not the SPDX licence line"
			status=1
		fi
	done
	for file in "${python_files[@]}" "${shell_files[@]}"; do
		if ! head -n 2 "$file" | grep -qx '# SPDX-License-Identifier: Apache-2.0'; then
			say "$file:1: no SPDX licence line"
			status=1
		fi
	done
	return $status
}

check "formatting (clang-format)" formatting
check "static analysis (cppcheck)" static_analysis
check "shell (shellcheck)" shell
check "python syntax" python_syntax
check "scripts of the console (node)" script_syntax
check "third party" third_party
check "spelling (codespell)" spelling
check "whitespace" whitespace
check "monitoring (promtool)" monitoring
check "licence lines" licences

if [ ${#failed[@]} -gt 0 ]; then
	say "lint: FAILED: ${failed[*]}"
	exit 1
fi
say "lint: clean"
