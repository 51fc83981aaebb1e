/* SPDX-License-Identifier: Apache-2.0 */
/* Any file, and any variables: the bytes behind a line "%%" are NAME=value lines. */
/* fuzz-sources: app/fastpath/config.c app/fastpath/config_check.c app/fastpath/config_ini.c */
/* fuzz-sources: app/fastpath/config_keys.c app/fastpath/config_lcores.c app/fastpath/config_reference.c */
/* fuzz-sources: app/fastpath/config_eal.c */
#include <stdlib.h>
#include <string.h>

#include "config.h"

#define VARIABLES_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config c;

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* what the rest of the engine relies on */
static void check(void)
{
	require(c.port_count <= CONFIG_PORTS_MAX && c.feed_count <= CONFIG_FEEDS_MAX);
	require(c.rx_lcore_count >= 1 && c.rx_lcore_count <= CONFIG_LCORES_MAX);
	require(c.worker_lcore_count >= 1 && c.worker_lcore_count <= CONFIG_LCORES_MAX);
	require(c.ring_size >= 64 && (c.ring_size & (c.ring_size - 1)) == 0);
	for (uint32_t i = 0; i < c.feed_count; i++) {
		require(c.feed[i].port < c.port_count);
		require(c.feed[i].udp_port != 0 && c.feed[i].vlan <= 4094);
		require((c.feed[i].codec == CONFIG_CODEC_FIXED) == (c.feed[i].key_len > 0));
	}
	for (uint32_t i = 0; i < c.port_count; i++)
		require(c.port[i].mtu >= 68 && c.port[i].rx_queues >= 1 &&
		        (!c.enable || c.port[i].device[0] != '\0'));
	for (uint32_t i = 0; i < c.owned_key_count; i++)
		require(c.owned_keys[i][0] != '\0' && strlen(c.owned_keys[i]) <= EVENT_KEY_MAX);
	require(c.engine_id[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[CONFIG_ERROR_MAX], list[1024];
	char *environ_[VARIABLES_MAX + 1] = {NULL};
	struct config_lcore lcore[CONFIG_LCORES_MAX * 4];
	uint32_t count, variables = 0;
	char *copy = malloc(size + 1);
	const char *split = memmem(data, size, "\n%%\n", 4);
	size_t len = split == NULL ? size : (size_t)(split - (const char *)data);
	char *save = NULL;

	memcpy(copy, data, size);
	copy[size] = '\0';
	if (split != NULL)
		for (char *s = strtok_r(copy + len + 4, "\n", &save);
		     s != NULL && variables < VARIABLES_MAX; s = strtok_r(NULL, "\n", &save))
			/* the fuzzer shall not open files of this machine */
			if (strncmp(s, "HTTP_TOKEN_FILE", 15) != 0)
				environ_[variables++] = s;
	/* exactly as long as it is, so that a read beyond it shows */
	char *text = malloc(len);
	memcpy(text, data, len);
	if (config_load_text(&c, "f.ini", text, len, environ_, err) == 0) {
		check();
		if (config_lcores(&c, lcore, &count, list, sizeof(list), err) == 0)
			require(count >= 2);
		config_free(&c);
	} else {
		require(err[0] != '\0' && strchr(err, '\n') == NULL);
	}
	free(text);
	free(copy);
	return 0;
}
