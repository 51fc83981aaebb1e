/* SPDX-License-Identifier: Apache-2.0 */
#include "control/console.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* path, type, name of the symbol, file; the Makefile builds this file anew when one of them changes */
#define FILES(X)                                                                            \
	X("/", "text/html; charset=utf-8", index_html, "app/console/index.html")            \
	X("/console/console.css", "text/css; charset=utf-8", console_css,                   \
	  "app/console/console.css")                                                        \
	X("/console/icon.svg", "image/svg+xml", icon_svg, "app/console/icon.svg")           \
	X("/console/theme.js", JAVASCRIPT, theme_js, "app/console/theme.js")                \
	X("/console/main.js", JAVASCRIPT, main_js, "app/console/main.js")                   \
	X("/console/engine.js", JAVASCRIPT, engine_js, "app/console/engine.js")             \
	X("/console/dom.js", JAVASCRIPT, dom_js, "app/console/dom.js")                      \
	X("/console/format.js", JAVASCRIPT, format_js, "app/console/format.js")             \
	X("/console/state.js", JAVASCRIPT, state_js, "app/console/state.js")                \
	X("/console/tiles.js", JAVASCRIPT, tiles_js, "app/console/tiles.js")                \
	X("/console/charts.js", JAVASCRIPT, charts_js, "app/console/charts.js")             \
	X("/console/tables.js", JAVASCRIPT, tables_js, "app/console/tables.js")             \
	X("/console/keys.js", JAVASCRIPT, keys_js, "app/console/keys.js")                   \
	X("/console/uplot.js", JAVASCRIPT, uplot_js, "third_party/uplot/uPlot.iife.min.js") \
	X("/console/uplot.css", "text/css; charset=utf-8", uplot_css,                       \
	  "third_party/uplot/uPlot.min.css")                                                \
	X("/console/uplot.LICENSE", "text/plain; charset=utf-8", uplot_licence,             \
	  "third_party/uplot/LICENSE")

#define JAVASCRIPT "text/javascript; charset=utf-8"

#define X(path, type, symbol, file)                                      \
	extern const char console_##symbol[], console_##symbol##_end[];  \
	__asm__(".pushsection .rodata\n"                                 \
	        ".global console_" #symbol ", console_" #symbol "_end\n" \
	        "console_" #symbol ": .incbin \"" file "\"\n"            \
	        "console_" #symbol "_end: .byte 0\n"                     \
	        ".popsection\n");
FILES(X)
#undef X

static const struct file {
	const char *path, *type, *start, *end;
} file_table[] = {
#define X(path, type, symbol, file) {path, type, console_##symbol, console_##symbol##_end},
    FILES(X)
#undef X
};

/* Nothing from elsewhere, no inline script or style, no string that becomes script, in nobody's frame. */
#define POLICY                                                                              \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "         \
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " \
	"require-trusted-types-for 'script'; trusted-types 'none'"

/* FNV-1a: tells versions of a file apart, no more */
static void entity_tag(const struct file *file, char tag[24])
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (const char *c = file->start; c < file->end; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3ull;
	snprintf(tag, 24, "\"%016" PRIx64 "\"", hash);
}

/* RFC 9110, 13.1.2, of a list of tags that are quoted and hold no quotes */
static bool client_has(const struct http_request *r, const char *tag)
{
	const char *given = http_request_header(r, "If-None-Match");

	return given && (strcmp(given, "*") == 0 || strstr(given, tag) != NULL);
}

static void answer_file(struct http_request *r, const struct file *file)
{
	char tag[24];

	entity_tag(file, tag);
	const struct http_header header[] = {
	    {"ETag", tag},
	    {"Cache-Control", "no-cache"}, /* ask whether it still holds: programs are upgraded */
	    {"Content-Security-Policy", POLICY},
	    {"X-Content-Type-Options", "nosniff"},
	    {"X-Frame-Options", "DENY"},
	    {"Referrer-Policy", "no-referrer"},
	    {"Cross-Origin-Opener-Policy", "same-origin"},
	    {"Cross-Origin-Resource-Policy", "same-origin"},
	};
	uint32_t count = sizeof(header) / sizeof(header[0]);

	if (client_has(r, tag))
		http_answer_static(r, 304, file->type, NULL, 0, header, count);
	else
		http_answer_static(r, 200, file->type, file->start,
		                   (size_t)(file->end - file->start), header, count);
}

bool console_answer_file(struct http_request *r, const char *path)
{
	for (size_t i = 0; i < sizeof(file_table) / sizeof(file_table[0]); i++)
		if (strcmp(path, file_table[i].path) == 0) {
			answer_file(r, &file_table[i]);
			return true;
		}
	return false;
}
