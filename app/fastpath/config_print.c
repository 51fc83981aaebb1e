/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys for people. */
#include <string.h>

#include "config_internal.h"

static bool named(const struct config_key_info *k)
{
	return strcmp(k->section, "port") == 0 || strcmp(k->section, "feed") == 0;
}

static const char *key_name(const struct config_key_info *k)
{
	return k->flags & CONFIG_KEY_ANY ? "OPTION" : k->key;
}

void config_print_help(FILE *out)
{
	const char *section = "";

	for (uint32_t i = 0; i < config_key_count; i++) {
		const struct config_key_info *k = &config_keys[i];

		if (strcmp(section, k->section) != 0)
			fprintf(out, "[%s%s]\n", k->section, named(k) ? " NAME" : "");
		section = k->section;
		fprintf(out, "  %-22s %s", key_name(k), k->sentence);
		if (k->fallback[0] != '\0')
			fprintf(out, " Default: %s.", k->fallback);
		if (k->variable[0] != '\0')
			fprintf(out, " Variable: %s.", k->variable);
		fputc('\n', out);
	}
}

/* a vertical bar would end a table's cell */
static void print_cell(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		fprintf(out, *text == '|' ? "\\|" : "%c", *text);
}

void config_print_markdown(FILE *out)
{
	const char *section = "";

	for (uint32_t i = 0; i < config_key_count; i++) {
		const struct config_key_info *k = &config_keys[i];
		char allowed[256];

		if (strcmp(section, k->section) != 0)
			fprintf(out,
			        "%s### [%s%s]\n\n| key | variable | default | value | meaning |\n"
			        "| --- | --- | --- | --- | --- |\n",
			        i == 0 ? "" : "\n", k->section, named(k) ? " NAME" : "");
		section = k->section;
		config_key_allowed(k, allowed, sizeof(allowed));
		if (strcmp(allowed, "taken") == 0)
			strcpy(allowed, "none");
		fprintf(out, "| `%s` | %s%s%s | %s%s%s | ", key_name(k), k->variable[0] ? "`" : "",
		        k->variable, k->variable[0] ? "`" : "", k->fallback[0] ? "`" : "",
		        k->fallback, k->fallback[0] ? "`" : "");
		print_cell(out, allowed);
		fputs(" | ", out);
		print_cell(out, k->sentence);
		fputs(" |\n", out);
	}
}
