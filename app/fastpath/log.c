/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <dlfcn.h>
#include <errno.h>
#include <rte_log.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_NS 10000000000ull
/* an escaped byte takes six */
#define RECORD_MAX (LOG_MESSAGE_MAX * 6 + 512)

static struct {
	enum config_log_level level;
	enum config_log_format format;
	char engine[sizeof(((struct config *)0)->engine_id)];
	_Atomic uint64_t lost;
} state = {.level = CONFIG_LOG_INFO};

/* bytes of the UTF-8 sequence at s (RFC 3629, section 4), 0 when it is none */
static size_t sequence_length(const unsigned char *s)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

/* one character of the message into out (room for 7 bytes); returns the bytes that it took */
static size_t escape(const unsigned char *s, bool json, char *out, size_t *written)
{
	size_t len = sequence_length(s);

	if (len == 0) {
		*written = (size_t)sprintf(out, "\xef\xbf\xbd");
		return 1;
	}
	if (json && (*s == '"' || *s == '\\'))
		*written = (size_t)sprintf(out, "\\%c", *s);
	else if (*s == '\n' || *s == '\t')
		*written = (size_t)sprintf(out, *s == '\n' ? "\\n" : "\\t");
	else if (*s < 0x20 || *s == 0x7f)
		*written = (size_t)sprintf(out, json ? "\\u%04x" : "\\x%02x", *s);
	else
		*written = (size_t)sprintf(out, "%.*s", (int)len, (const char *)s);
	return len;
}

static size_t put_message(char *out, const char *message, bool json)
{
	const unsigned char *s = (const unsigned char *)message;
	const unsigned char *end = s + strnlen(message, LOG_MESSAGE_MAX);
	bool cut = *end != '\0';
	size_t n = 0, written;

	while (s < end) {
		s += escape(s, json, out + n, &written);
		n += written;
	}
	if (cut)
		n += (size_t)sprintf(out + n, "...");
	return n;
}

static const char *level_name(enum config_log_level level)
{
	switch (level) {
	case CONFIG_LOG_ERROR:
		return "error";
	case CONFIG_LOG_WARNING:
		return "warning";
	case CONFIG_LOG_INFO:
		return "info";
	case CONFIG_LOG_DEBUG:
		break;
	}
	return "debug";
}

/* RFC 3339, UTC */
static void put_time(char out[64])
{
	struct timespec now;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(out, 64, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, 64 - n, ".%06ldZ", now.tv_nsec / 1000);
}

/* a short write splits the line, but a pipe takes PIPE_BUF bytes at once */
static void put_record(const char *record, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDERR_FILENO, record, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			atomic_fetch_add_explicit(&state.lost, 1, memory_order_relaxed);
			return;
		}
		record += n;
		len -= (size_t)n;
	}
}

static void emit(enum config_log_level level, const char *message)
{
	bool json = state.format == CONFIG_LOG_JSON;
	char record[RECORD_MAX], now[64];
	size_t n;

	if (level > state.level)
		return;
	put_time(now);
	if (json)
		n = (size_t)sprintf(
		    record, "{\"time\":\"%s\",\"level\":\"%s\",\"engine\":\"%s\",\"message\":\"",
		    now, level_name(level), state.engine);
	else
		n = (size_t)sprintf(record, "%s %-7s ", now, level_name(level));
	n += put_message(record + n, message, json);
	n += (size_t)sprintf(record + n, json ? "\"}\n" : "\n");
	put_record(record, n);
}

static void emit_format(enum config_log_level level, const char *fmt, va_list ap)
{
	char message[LOG_MESSAGE_MAX + 2];

	if (level > state.level)
		return;
	vsnprintf(message, sizeof(message), fmt, ap);
	emit(level, message);
}

void log_init(const struct config *c)
{
	state.level = c->log_level;
	state.format = c->log_format;
	/* letters, digits, '.', '_' and '-' only: needs no escapes */
	memcpy(state.engine, c->engine_id, sizeof(state.engine));
}

#define LOG_FUNCTION(name, level)            \
	void name(const char *fmt, ...)      \
	{                                    \
		va_list ap;                  \
                                             \
		va_start(ap, fmt);           \
		emit_format(level, fmt, ap); \
		va_end(ap);                  \
	}
LOG_FUNCTION(log_error, CONFIG_LOG_ERROR)
LOG_FUNCTION(log_warning, CONFIG_LOG_WARNING)
LOG_FUNCTION(log_info, CONFIG_LOG_INFO)
LOG_FUNCTION(log_debug, CONFIG_LOG_DEBUG)

void log_line(int level, const char *line)
{
	emit(level <= 3   ? CONFIG_LOG_ERROR
	     : level == 4 ? CONFIG_LOG_WARNING
	     : level <= 6 ? CONFIG_LOG_INFO
	                  : CONFIG_LOG_DEBUG,
	     line);
}

void log_limited(struct log_limit *s, uint64_t now_ns, enum config_log_level level, const char *fmt,
                 ...)
{
	uint64_t interval = s->interval_ns != 0 ? s->interval_ns : INTERVAL_NS;
	char message[LOG_MESSAGE_MAX + 2];
	va_list ap;
	int n;

	if (s->started && now_ns - s->last_ns < interval) {
		s->suppressed++;
		return;
	}
	va_start(ap, fmt);
	n = vsnprintf(message, LOG_MESSAGE_MAX - 64, fmt, ap);
	va_end(ap);
	if (n > LOG_MESSAGE_MAX - 65)
		n = LOG_MESSAGE_MAX - 65;
	if (s->suppressed > 0 && n >= 0)
		snprintf(message + n, 64, " (%lu more like this suppressed)", s->suppressed);
	s->started = true;
	s->last_ns = now_ns;
	s->suppressed = 0;
	emit(level, message);
}

uint64_t log_lost(void)
{
	return atomic_load_explicit(&state.lost, memory_order_relaxed);
}

/* EAL's stream: what has come of the line at hand. stdio's lock of the stream guards it */
static struct {
	char line[LOG_MESSAGE_MAX + 2];
	size_t len;
} eal;

/* DPDK counts from 1, syslog from 0; its information is our detail */
static int eal_level(void)
{
	int level = rte_log_cur_msg_loglevel();

	return level <= (int)RTE_LOG_ERR       ? CONFIG_LOG_ERROR
	       : level == (int)RTE_LOG_WARNING ? CONFIG_LOG_WARNING
	       : level == (int)RTE_LOG_NOTICE  ? CONFIG_LOG_INFO
	                                       : CONFIG_LOG_DEBUG;
}

static ssize_t take_eal(void *cookie, const char *text, size_t len)
{
	(void)cookie;
	for (size_t i = 0; i < len; i++) {
		if (text[i] != '\n') {
			if (eal.len < sizeof(eal.line) - 1)
				eal.line[eal.len++] = text[i];
			continue;
		}
		eal.line[eal.len] = '\0';
		if (eal.len > 0)
			log_line(eal_level(), eal.line);
		eal.len = 0;
	}
	return (ssize_t)len;
}

int log_capture_eal(void)
{
	FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = take_eal});

	if (stream == NULL)
		return errno != 0 ? -errno : -ENOMEM;
	return rte_openlog_stream(stream) < 0 ? -EINVAL : 0;
}

/* libbpf's levels are 0 warn, 1 info, 2 debug; what it warns of at an ordinary start is of interest to few */
static int print_bpf(int level, const char *fmt, va_list ap)
{
	char message[LOG_MESSAGE_MAX];

	vsnprintf(message, sizeof(message), fmt, ap);
	message[strcspn(message, "\n")] = '\0';
	emit(level == 0 ? CONFIG_LOG_INFO : CONFIG_LOG_DEBUG, message);
	return 0;
}

static void set_print(const char *library, const char *function)
{
	/* only when a driver has loaded it: nothing here links to it */
	void *handle = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
	void *(*set)(int (*print)(int level, const char *fmt, va_list ap));

	if (handle == NULL)
		return;
	*(void **)&set = dlsym(handle, function);
	if (set != NULL)
		set(print_bpf);
	dlclose(handle);
}

void log_capture_bpf(void)
{
	set_print("libbpf.so.1", "libbpf_set_print");
	set_print("libxdp.so.1", "libxdp_set_print");
}
