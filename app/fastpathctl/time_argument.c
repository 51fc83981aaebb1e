/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "time_argument.h"

/* ".123" at *p as nanoseconds, if it is there; *p moves behind it */
static bool fraction(const char **p, uint32_t *ns)
{
	uint32_t unit = 100000000;

	*ns = 0;
	if (**p != '.')
		return true;
	if (!isdigit((unsigned char)(*p)[1]))
		return false;
	for ((*p)++; isdigit((unsigned char)**p); (*p)++, unit /= 10) {
		if (unit == 0)
			return false;
		*ns += (uint32_t)(**p - '0') * unit;
	}
	return true;
}

/* exactly n digits at *p */
static bool digits(const char **p, int n, int *value)
{
	*value = 0;
	for (int i = 0; i < n; i++, (*p)++) {
		if (!isdigit((unsigned char)**p))
			return false;
		*value = *value * 10 + (**p - '0');
	}
	return true;
}

static bool literal(const char **p, const char *either)
{
	if (!**p || !strchr(either, **p))
		return false;
	(*p)++;
	return true;
}

/* Z, or +09:00, as seconds to take away */
static bool zone(const char **p, long *seconds)
{
	int sign = **p == '-' ? -1 : 1, hours, minutes;

	*seconds = 0;
	if (**p == 'Z' || **p == 'z') {
		(*p)++;
		return true;
	}
	if (!literal(p, "+-") || !digits(p, 2, &hours) || !literal(p, ":") ||
	    !digits(p, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*seconds = sign * (hours * 3600L + minutes * 60L);
	return true;
}

static bool calendar(const char **p, struct tm *tm)
{
	struct tm again;
	time_t t;

	memset(tm, 0, sizeof(*tm));
	if (!digits(p, 4, &tm->tm_year) || !literal(p, "-") || !digits(p, 2, &tm->tm_mon) ||
	    !literal(p, "-") || !digits(p, 2, &tm->tm_mday) || !literal(p, "Tt ") ||
	    !digits(p, 2, &tm->tm_hour) || !literal(p, ":") || !digits(p, 2, &tm->tm_min) ||
	    !literal(p, ":") || !digits(p, 2, &tm->tm_sec))
		return false;
	tm->tm_year -= 1900;
	tm->tm_mon--;
	/* timegm moves 31 February into March: then it was no date */
	again = *tm;
	t = timegm(&again);
	gmtime_r(&t, &again);
	return again.tm_mon == tm->tm_mon && again.tm_mday == tm->tm_mday &&
	       again.tm_hour == tm->tm_hour && again.tm_min == tm->tm_min &&
	       again.tm_sec == tm->tm_sec;
}

bool time_argument(const char *text, uint64_t *ns)
{
	const char *p = text;
	long long seconds;
	uint32_t rest;
	struct tm tm;
	long offset;
	char *end;

	if (strlen(text) > 10 && text[4] == '-') {
		if (!calendar(&p, &tm) || !fraction(&p, &rest) || !zone(&p, &offset))
			return false;
		seconds = (long long)timegm(&tm) - offset;
	} else {
		if (!isdigit((unsigned char)*p))
			return false;
		seconds = strtoll(text, &end, 10);
		p = end;
		if (!fraction(&p, &rest))
			return false;
	}
	if (*p || seconds < 0 || (uint64_t)seconds >= UINT64_MAX / 1000000000u)
		return false;
	*ns = (uint64_t)seconds * 1000000000u + rest;
	return true;
}
