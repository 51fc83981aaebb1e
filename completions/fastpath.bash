# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2207
# bash completion of fastpath, fastpathctl and feedsim; installed under each of these names

# _fastpath_words WORD...: offers these
_fastpath_words() {
	COMPREPLY=($(compgen -W "$*" -- "${COMP_WORDS[COMP_CWORD]}"))
}

# _fastpath_value OPTION: offers what may follow the option; fails when it takes no value
_fastpath_value() {
	local current=${COMP_WORDS[COMP_CWORD]}
	case $1 in
	--config | --config-file | --ca-file | --cert-file | --key-file | --password-file | --token-file | --symbols | --pcap | --replay)
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -f -- "$current"))
		;;
	--memlog-dir | --proc | --sys)
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -d -- "$current"))
		;;
	--codec) _fastpath_words keyed json fixed ;;
	--framing) _fastpath_words raw ;;
	--interface)
		COMPREPLY=($(cd /sys/class/net && compgen -G "$current*"))
		;;
	--url | --timeout | --count | --endpoints | --user | --engine | --bootstrap | --topic | --from-seq | --to-seq | --since | \
		--until | --key | --feed | --shard | --limit | --group | --port | --line | --interface-address | --ttl | \
		--vlan | --rate | --duration | --keys | --key-prefix | --size | --loss | --seed | --speed | --loop)
		COMPREPLY=()
		;;
	*) return 1 ;;
	esac
}

_fastpath() {
	_fastpath_value "${COMP_WORDS[COMP_CWORD - 1]}" && return
	_fastpath_words --config --check-config --version --help --help-markdown
}

_feedsim() {
	_fastpath_value "${COMP_WORDS[COMP_CWORD - 1]}" && return
	_fastpath_words --group --port --line --interface-address --interface --ttl --vlan --rate --count --duration \
		--keys --key-prefix --size --framing --codec --loss --seed --pcap --replay --speed --loop --progress --help \
		--version
}

_fastpathctl_journal() {
	case ${COMP_WORDS[2]:-} in
	ls | stat) echo --json ;;
	cat) echo --from-seq --since --until --key --feed --shard --limit --follow --help ;;
	repair) echo --memlog-dir ;;
	esac
}

# _fastpathctl_options COMMAND
_fastpathctl_options() {
	local etcd="--endpoints --ca-file --cert-file --key-file --user --password-file --help"
	case $1 in
	journal) _fastpathctl_journal ;;
	replay)
		echo --topic --bootstrap --config-file --from-seq --to-seq --since --until --key --shard --help
		;;
	status) echo --url --json --help ;;
	top) echo --url --count --help ;;
	drain) echo --url --timeout --token-file --help ;;
	engines) echo "$etcd" --json ;;
	assignments) echo "$etcd" --engine --json ;;
	assign) echo "$etcd" --symbols --dry-run ;;
	move) echo "$etcd" --force ;;
	doctor) echo --config --json --proc --sys --help ;;
	esac
}

_fastpathctl() {
	local current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}
	if [ "$COMP_CWORD" = 1 ]; then
		_fastpath_words journal replay status top drain engines assignments assign move doctor --help --version
		return
	fi
	if [ "$command" = journal ] && [ "$COMP_CWORD" = 2 ]; then
		_fastpath_words ls verify cat stat repair --help
		return
	fi
	_fastpath_value "${COMP_WORDS[COMP_CWORD - 1]}" && return
	case $command/$current in
	*/-*) _fastpath_words "$(_fastpathctl_options "$command")" ;;
	journal/* | replay/*)
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -d -- "$current"))
		;;
	esac
}

complete -F _fastpath fastpath
complete -F _fastpathctl fastpathctl
complete -F _feedsim feedsim
