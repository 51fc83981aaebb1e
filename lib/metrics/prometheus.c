/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/prometheus.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(struct prometheus *p, size_t more)
{
	if (p->failed)
		return false;
	if (p->len + more + 1 <= p->size)
		return true;
	size_t size = p->size ? p->size : 4096;

	while (size < p->len + more + 1)
		size *= 2;
	char *text = realloc(p->text, size);

	if (!text) {
		p->failed = true;
		return false;
	}
	p->text = text;
	p->size = size;
	return true;
}

static void put(struct prometheus *p, const char *s, size_t len)
{
	if (!reserve(p, len))
		return;
	memcpy(p->text + p->len, s, len);
	p->len += len;
}

static void puts_(struct prometheus *p, const char *s)
{
	put(p, s, strlen(s));
}

/* length of the well-formed UTF-8 sequence at s (RFC 3629), 0 when there is none */
static size_t utf8_sequence(const unsigned char *s)
{
	static const unsigned char lowest[5] = {0, 0, 0xc2, 0xe0, 0xf0};
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (len == 1)
		return 1;
	if (s[0] < lowest[2] || s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* overlong forms, surrogates, beyond U+10FFFF */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

static void put_escaped(struct prometheus *p, const char *s, bool quotes)
{
	while (*s) {
		size_t len = utf8_sequence((const unsigned char *)s);

		if (*s == '\n')
			puts_(p, "\\n");
		else if (*s == '\\')
			puts_(p, "\\\\");
		else if (*s == '"' && quotes)
			puts_(p, "\\\"");
		else if (len)
			put(p, s, len);
		else
			puts_(p, "\xef\xbf\xbd");
		s += len ? len : 1;
	}
}

void prometheus_family(struct prometheus *p, const char *name, const char *type, const char *help)
{
	puts_(p, "# HELP ");
	puts_(p, name);
	puts_(p, " ");
	put_escaped(p, help, false);
	puts_(p, "\n# TYPE ");
	puts_(p, name);
	puts_(p, " ");
	puts_(p, type);
	puts_(p, "\n");
}

static void put_series(struct prometheus *p, const char *name,
                       const struct prometheus_label *labels)
{
	const char *separator = "{";

	puts_(p, name);
	if (!labels || !labels->name)
		return;
	for (; labels->name; labels++) {
		puts_(p, separator);
		puts_(p, labels->name);
		puts_(p, "=\"");
		put_escaped(p, labels->value, true);
		puts_(p, "\"");
		separator = ",";
	}
	puts_(p, "}");
}

static void put_u64(struct prometheus *p, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), " %" PRIu64 "\n", value);
	puts_(p, text);
}

static void put_double(struct prometheus *p, double value)
{
	char text[48];

	if (isnan(value))
		snprintf(text, sizeof(text), " NaN\n");
	else if (isinf(value))
		snprintf(text, sizeof(text), " %cInf\n", value < 0 ? '-' : '+');
	else
		snprintf(text, sizeof(text), " %.15g\n", value);
	puts_(p, text);
}

void prometheus_u64(struct prometheus *p, const char *name, uint64_t value,
                    const struct prometheus_label *labels)
{
	put_series(p, name, labels);
	put_u64(p, value);
}

void prometheus_double(struct prometheus *p, const char *name, double value,
                       const struct prometheus_label *labels)
{
	put_series(p, name, labels);
	put_double(p, value);
}

void prometheus_histogram_us(struct prometheus *p, const char *name,
                             const struct histogram_snapshot *s, const uint64_t *bounds_us,
                             size_t bound_count)
{
	char line[256];

	for (size_t i = 0; i < bound_count; i++) {
		snprintf(line, sizeof(line), "%s_bucket{le=\"%" PRIu64 "\"}", name, bounds_us[i]);
		puts_(p, line);
		put_u64(p, histogram_count_below(s, bounds_us[i] * 1000));
	}
	snprintf(line, sizeof(line), "%s_bucket{le=\"+Inf\"}", name);
	puts_(p, line);
	put_u64(p, s->total);
	snprintf(line, sizeof(line), "%s_sum", name);
	puts_(p, line);
	put_double(p, (double)s->sum / 1000.0);
	snprintf(line, sizeof(line), "%s_count", name);
	puts_(p, line);
	put_u64(p, s->total);
}

char *prometheus_finish(struct prometheus *p, size_t *len)
{
	char *text = NULL;

	if (reserve(p, 0)) {
		text = p->text;
		text[p->len] = '\0';
		*len = p->len;
	} else {
		free(p->text);
		*len = 0;
	}
	*p = (struct prometheus){0};
	return text;
}
