#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real Apache Kafka broker for development and tests: one KRaft node on loopback, data in a folder.
#
#   scripts/kafka.sh start     make the data folder when it is new, start, wait until it answers, print the address
#   scripts/kafka.sh run       the same in the foreground; ends with it
#   scripts/kafka.sh prepare   only make the data folder, so that `run` starts at once
#   scripts/kafka.sh stop      end it; --kill: as a crash does
#   scripts/kafka.sh status    whether it answers; exit status 0 or 1
#   scripts/kafka.sh fetch     only get the jars
#   scripts/kafka.sh jars      print the class path
#
#   --dir DIR        data, log and pid (var/kafka)
#   --address A      where it listens (127.0.0.1)
#   --port P         plain text (a free one)
#   --tls            a SASL_SSL listener too (SASL PLAIN, user fastpath, password fastpath-secret; CA in DIR/ca.pem)
#   --acl            authorisation is on: who comes through the plain listener is a super user, over TLS nobody is
#   --auto-create    topics appear when they are asked for
#   --set KEY=VALUE  one more line of the broker's configuration
#
# Jars come from Maven Central once and stay in build/kafka (KAFKA_JARS: another folder). Exit status 3: they
# cannot be fetched.
set -uo pipefail

KAFKA_VERSION=3.9.1
MAVEN_PLUGIN=org.apache.maven.plugins:maven-dependency-plugin:2.8
ROOT=$(cd "$(dirname "$0")/.." && pwd)
JARS=${KAFKA_JARS:-$ROOT/build/kafka/$KAFKA_VERSION}
DIR=$ROOT/var/kafka
ADDRESS=127.0.0.1
PORT=
TLS=0
ACL=0
AUTO_CREATE=false
KILL=0
READY_SECONDS=${KAFKA_READY_SECONDS:-90}
EXTRA=()

fail() {
	echo "kafka: $*" >&2
	exit 1
}

usage() {
	sed -n '3,23s/^# \{0,1\}//p' "$0"
}

# free_port [TAKEN...]: a port that nobody listens on now, and none of these
free_port() {
	local port
	for _ in $(seq 100); do
		port=$((20000 + RANDOM % 12000))
		[[ " $* " == *" $port "* ]] && continue
		[ -n "$(ss -H -l -t -n "sport = :$port")" ] || break
	done
	echo "$port"
}

jars_present() {
	compgen -G "$JARS/kafka_2.13-$KAFKA_VERSION.jar" >/dev/null && [ -e "$JARS/complete" ]
}

# why mvn failed: its first error, without what Maven says of itself
maven_error() {
	local line
	line=$(sed -n 's/^.*\[ERROR\] *//p' "$1" | head -n 1)
	line=${line:-$(tail -n 1 "$1")}
	line=${line:-mvn has not ended within 600 s}
	echo "${line%% -> \[Help*}"
}

fetch() {
	jars_present && return 0
	command -v mvn >/dev/null || fail "there is no mvn: run scripts/deps.sh kafka"
	local work
	mkdir -p "$JARS"
	work=$(mktemp -d "$JARS.XXXXXX")
	cat >"$work/pom.xml" <<-XML
		<project xmlns="http://maven.apache.org/POM/4.0.0">
		  <modelVersion>4.0.0</modelVersion>
		  <groupId>fastpath</groupId><artifactId>broker</artifactId><version>1</version>
		  <dependencies>
		    <dependency>
		      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
		      <version>$KAFKA_VERSION</version>
		    </dependency>
		    <dependency>
		      <groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId>
		      <version>1.7.36</version>
		    </dependency>
		  </dependencies>
		</project>
	XML
	echo "kafka: getting Apache Kafka $KAFKA_VERSION from Maven Central" >&2
	# by its full name: an error then says which host did not answer
	if ! timeout 600 mvn -q -B -f "$work/pom.xml" "$MAVEN_PLUGIN:copy-dependencies" \
		-DoutputDirectory="$work/jars" -DincludeScope=runtime >"$work/log" 2>&1; then
		echo "kafka: the jars cannot be fetched from Maven Central: $(maven_error "$work/log");" \
			"make it reachable, or name a folder that has them with KAFKA_JARS" >&2
		rm -rf "$work"
		exit 3
	fi
	mv "$work"/jars/*.jar "$JARS/"
	touch "$JARS/complete"
	rm -rf "$work"
}

# the system's own Java 17 before any other
java_program() {
	local java=/usr/lib/jvm/java-17-openjdk-amd64/bin/java
	[ -x $java ] || java=$(command -v java) || fail "there is no Java: run scripts/deps.sh kafka"
	echo "$java"
}

# a CA and a broker certificate, as PEM, which the broker reads without a key store
make_certificates() {
	local d=$DIR/tls
	[ -e "$d/broker.pem" ] && return 0
	mkdir -p "$d"
	{
		openssl req -x509 -newkey rsa:2048 -nodes -keyout "$d/ca.key" -out "$DIR/ca.pem" -days 3650 \
			-subj "/CN=fastpath test CA" &&
			openssl req -newkey rsa:2048 -nodes -keyout "$d/broker.key" -out "$d/broker.csr" \
				-subj "/CN=broker" &&
			openssl x509 -req -in "$d/broker.csr" -CA "$DIR/ca.pem" -CAkey "$d/ca.key" -CAcreateserial \
				-days 3650 -out "$d/broker.crt" \
				-extfile <(printf 'subjectAltName=IP:%s,IP:127.0.0.1,DNS:localhost' "$ADDRESS") &&
			openssl pkcs8 -topk8 -nocrypt -in "$d/broker.key" -out "$d/broker.p8"
	} 2>"$d/log" || fail "openssl cannot make the certificates: $(tail -n 1 "$d/log")"
	cat "$d/broker.p8" "$d/broker.crt" >"$d/broker.pem"
}

write_config() {
	local listeners=PLAINTEXT://$ADDRESS:$PORT advertised=PLAINTEXT://$ADDRESS:$PORT controller tls_port
	controller=$(free_port "$PORT")
	if [ $TLS = 1 ]; then
		tls_port=$(free_port "$PORT" "$controller")
		listeners+=,SASL_SSL://$ADDRESS:$tls_port
		advertised+=,SASL_SSL://$ADDRESS:$tls_port
		echo "$ADDRESS:$tls_port" >"$DIR/tls-address"
		make_certificates
	fi
	{
		cat <<-PROPERTIES
			process.roles=broker,controller
			node.id=1
			controller.quorum.voters=1@127.0.0.1:$controller
			controller.listener.names=CONTROLLER
			listeners=$listeners,CONTROLLER://127.0.0.1:$controller
			advertised.listeners=$advertised
			listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
			log.dirs=$DIR/data
			auto.create.topics.enable=$AUTO_CREATE
			num.partitions=1
			offsets.topic.num.partitions=1
			offsets.topic.replication.factor=1
			transaction.state.log.num.partitions=1
			transaction.state.log.replication.factor=1
			transaction.state.log.min.isr=1
			transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
			group.initial.rebalance.delay.ms=0
			broker.session.timeout.ms=4000
			broker.heartbeat.interval.ms=1000
			num.network.threads=2
			num.io.threads=2
			log.cleaner.dedupe.buffer.size=4194304
		PROPERTIES
		if [ $TLS = 1 ]; then
			cat <<-PROPERTIES
				sasl.enabled.mechanisms=PLAIN
				listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_fastpath="fastpath-secret";
				ssl.keystore.type=PEM
				ssl.keystore.location=$DIR/tls/broker.pem
				ssl.client.auth=none
			PROPERTIES
		fi
		if [ $ACL = 1 ]; then
			cat <<-PROPERTIES
				authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
				super.users=User:ANONYMOUS
				allow.everyone.if.no.acl.found=false
			PROPERTIES
		fi
		[ ${#EXTRA[@]} = 0 ] || printf '%s\n' "${EXTRA[@]}"
	} >"$DIR/server.properties"
	cat >"$DIR/log4j.properties" <<-PROPERTIES
		log4j.rootLogger=WARN, stderr
		log4j.appender.stderr=org.apache.log4j.ConsoleAppender
		log4j.appender.stderr.target=System.err
		log4j.appender.stderr.layout=org.apache.log4j.PatternLayout
		log4j.appender.stderr.layout.ConversionPattern=[%d] %p %m (%c)%n
	PROPERTIES
	echo "$ADDRESS:$PORT" >"$DIR/address"
}

java_command() {
	JAVA=("$(java_program)" "-Xmx${KAFKA_HEAP:-512m}" "-Xms128m" -XX:+UseSerialGC -Xshare:auto
		-XX:-UsePerfData -Djava.awt.headless=true
		"-Dlog4j.configuration=file:$DIR/log4j.properties" "-Dkafka.logs.dir=$DIR" -cp "$JARS/*")
}

prepare() {
	fetch
	java_command
	[ -e "$DIR/prepared" ] && return 0
	mkdir -p "$DIR"
	[ -n "$PORT" ] || PORT=$(free_port)
	write_config
	# 22 characters of base64 make a cluster id
	"${JAVA[@]}" kafka.tools.StorageTool format -t "$(head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | cut -c1-22)" \
		-c "$DIR/server.properties" >"$DIR/format.log" 2>&1 ||
		fail "the data folder cannot be formatted: $(tail -n 1 "$DIR/format.log")"
	touch "$DIR/prepared"
}

answers() {
	[ -e "$DIR/address" ] && kcat -L -b "$(<"$DIR/address")" -m 2 2>/dev/null | grep -q 'broker 1 at'
}

holder() {
	local pid
	pid=$(cat "$DIR/pid" 2>/dev/null) || return 1
	[ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -F "$DIR/server.properties" || return 1
	echo "$pid"
}

wait_ready() {
	local deadline=$((SECONDS + READY_SECONDS))
	until answers; do
		holder >/dev/null || fail "the broker ended: $(tail -n 3 "$DIR/log")"
		[ $SECONDS -lt $deadline ] || fail "the broker does not answer after $READY_SECONDS s: see $DIR/log"
		sleep 0.2
	done
}

start() {
	command -v kcat >/dev/null || fail "there is no kcat: run scripts/deps.sh kafka"
	if ! holder >/dev/null; then
		prepare
		setsid "${JAVA[@]}" kafka.Kafka "$DIR/server.properties" >>"$DIR/log" 2>&1 </dev/null &
		echo $! >"$DIR/pid"
	fi
	wait_ready
	cat "$DIR/address"
}

stop() {
	local pid
	pid=$(holder) || return 0
	if [ $KILL = 1 ]; then
		kill -KILL "$pid"
	else
		kill -TERM "$pid"
	fi
	for _ in $(seq 300); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -0 "$pid" 2>/dev/null && fail "process $pid does not end"
	rm -f "$DIR/pid"
}

[ $# -gt 0 ] || {
	usage >&2
	exit 2
}
ACTION=$1
shift
while [ $# -gt 0 ]; do
	case $1 in
	--dir | --address | --port | --set) [ $# -gt 1 ] || fail "$1 wants a value" ;;
	esac
	case $1 in
	--dir) DIR=$(realpath -m "$2") && shift ;;
	--address) ADDRESS=$2 && shift ;;
	--port) PORT=$2 && shift ;;
	--set) EXTRA+=("$2") && shift ;;
	--tls) TLS=1 ;;
	--acl) ACL=1 ;;
	--auto-create) AUTO_CREATE=true ;;
	--kill) KILL=1 ;;
	*) fail "unknown option $1; see $0 --help" ;;
	esac
	shift
done

case $ACTION in
start) start ;;
prepare) prepare ;;
run)
	prepare
	echo $$ >"$DIR/pid"
	exec "${JAVA[@]}" kafka.Kafka "$DIR/server.properties" >>"$DIR/log" 2>&1 </dev/null
	;;
stop) stop ;;
status)
	if answers; then
		echo "kafka: answers at $(<"$DIR/address")"
	else
		echo "kafka: nobody answers"
		exit 1
	fi
	;;
fetch) fetch ;;
jars)
	fetch
	echo "$JARS/*"
	;;
-h | --help) usage ;;
*) fail "unknown action '$ACTION'; see $0 --help" ;;
esac
