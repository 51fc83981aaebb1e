/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plainest way from UDP to disk: recvmmsg into a buffer, a newline behind each datagram, write. It decodes,
 * orders and checks nothing.
 *
 *   recvmmsg_file PORT FILE
 *
 * Ends on SIGTERM with all that came written.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH        1024
#define DATAGRAM     2048
#define BUFFER       (1 << 20)
#define SOCKET_BYTES (64 << 20)

static struct mmsghdr message[BATCH];
static struct iovec vector[BATCH];
static char room[BATCH][DATAGRAM];
static char buffer[BUFFER];
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	stop = number;
}

static void die(const char *what)
{
	fprintf(stderr, "recvmmsg_file: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int listen_on(const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_port = htons((uint16_t)atoi(port))};
	struct timeval tick = {.tv_usec = 100000};
	int bytes = SOCKET_BYTES;
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0 || setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0 ||
	    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick)) != 0)
		die("socket");
	if (bind(s, (struct sockaddr *)&address, sizeof(address)) != 0)
		die("bind");
	return s;
}

static void flush(int file, size_t *len)
{
	for (size_t done = 0; done < *len;) {
		ssize_t n = write(file, buffer + done, *len - done);

		if (n < 0)
			die("write");
		done += (size_t)n;
	}
	*len = 0;
}

/* what came in one call, appended to the buffer */
static size_t take(int file, int count, size_t len)
{
	for (int i = 0; i < count; i++) {
		size_t bytes = message[i].msg_len;

		if (len + bytes + 1 > BUFFER)
			flush(file, &len);
		memcpy(buffer + len, room[i], bytes);
		len += bytes;
		buffer[len++] = '\n';
	}
	return len;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	size_t len = 0;
	int s, file;

	if (argc != 3) {
		fprintf(stderr, "usage: recvmmsg_file PORT FILE\n");
		return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	s = listen_on(argv[1]);
	file = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (file < 0)
		die(argv[2]);
	for (int i = 0; i < BATCH; i++) {
		vector[i] = (struct iovec){room[i], DATAGRAM};
		message[i].msg_hdr = (struct msghdr){.msg_iov = &vector[i], .msg_iovlen = 1};
	}
	while (!stop) {
		int count = recvmmsg(s, message, BATCH, MSG_WAITFORONE, NULL);

		if (count > 0)
			len = take(file, count, len);
		else if (errno == EAGAIN && len > 0)
			flush(file, &len);
		else if (errno != EAGAIN && errno != EINTR)
			die("recvmmsg");
	}
	flush(file, &len);
	return 0;
}
