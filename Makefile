# Fast Path. `make help` lists the targets; everything that is built lands in build/.
#
#   SANITIZE=address,undefined   build and test with these sanitizers, in build/ of their own
#   MARCH=x86-64-v3              compile for this processor (default: what DPDK was built for)
#   V=1                          show the commands

CC       ?= cc
PKGCONF  ?= pkg-config
PREFIX   ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR  ?= $(PREFIX)/lib/systemd/system
BUILD    ?= build$(if $(SANITIZE),/sanitize)
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unversioned)

Q := $(if $(V),,@)
PACKAGES := libdpdk libmicrohttpd jansson inih libpcap libcurl rdkafka

CFLAGS   ?= -O3 -g
# fields that are put side by side as words would go through vector registers otherwise, which takes longer
OURS     := -std=c11 -D_GNU_SOURCE -DALLOW_EXPERIMENTAL_API -Wall -Wextra -Werror -Wshadow \
            -Wmissing-prototypes -Wstrict-prototypes -Wvla -fno-omit-frame-pointer -fno-tree-slp-vectorize \
            -Ilib -DFASTPATH_VERSION='"$(VERSION)"'
DEPS_CFLAGS = $(shell $(PKGCONF) --cflags $(PACKAGES) | sed 's/-I\([^ ]*\)/-isystem \1/g')
DEPS_LIBS   = $(shell $(PKGCONF) --libs $(PACKAGES))
ifneq ($(MARCH),)
OURS     += -march=$(MARCH)
DEPS_CFLAGS := $(filter-out -march=%,$(shell $(PKGCONF) --cflags $(PACKAGES) | sed 's/-I\([^ ]*\)/-isystem \1/g'))
endif
ifneq ($(SANITIZE),)
OURS     += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
LDFLAGS  += -fsanitize=$(SANITIZE)
endif

sources   = $(sort $(wildcard $(addsuffix /*.c,$(1))))
objects   = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

LIB_SRC   := $(call sources,$(wildcard lib/*))
APPS      := fastpath fastpathctl feedsim
APP_DIRS_fastpath    := app/fastpath app/fastpath/dataplane app/fastpath/control
APP_DIRS_fastpathctl := app/fastpathctl
APP_DIRS_feedsim     := app/feedsim
# doctor reads the engine's configuration
APP_EXTRA_fastpathctl := $(wildcard app/fastpath/config*.c)
UNIT_SRC  := $(call sources,tests/unit)
UNIT_BIN  := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRC))
LIB       := $(BUILD)/libfastpath.a
PROGRAMS  := $(addprefix $(BUILD)/,$(APPS))

# what the benchmarks measure us against, and loops that show a limit: one file each
BENCH_BIN := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(call sources,tests/bench))

.DEFAULT_GOAL := all
.SECONDARY:
.PHONY: all help deps demo run test check-unit check-system soak bench bench-full bench-profile bench-programs lint format fuzz image vendor install install-programs deb clean

all: $(PROGRAMS) ## build the three programs: fastpath, fastpathctl, feedsim

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(DEPS_CFLAGS) $(OURS) $(CFLAGS_$(<D)) -MMD -MP -c -o $@ $<

CFLAGS_app/fastpath           := -Iapp/fastpath
CFLAGS_app/fastpath/dataplane := -Iapp/fastpath
CFLAGS_app/fastpath/control   := -Iapp/fastpath
CFLAGS_app/fastpathctl        := -Iapp/fastpathctl -Iapp/fastpath
CFLAGS_app/feedsim            := -Iapp/feedsim

# the console's files are part of it
$(BUILD)/obj/app/fastpath/control/console.o: $(wildcard app/console/* third_party/uplot/*)

$(LIB): $(call objects,$(LIB_SRC))
	$(if $(V),,@echo "  AR      $@")
	$(Q)rm -f $@ && $(AR) rcs $@ $^

define program
$(BUILD)/$(1): $(call objects,$(call sources,$(APP_DIRS_$(1))) $(APP_EXTRA_$(1))) $(LIB)
	$$(if $$(V),,@echo "  LD      $$@")
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(DEPS_LIBS) -lpthread -lm
endef
$(foreach app,$(APPS),$(eval $(call program,$(app))))

# a unit test is one file; it may include app files' headers, and names app sources it needs below
UNIT_EXTRA_test_config := $(wildcard app/fastpath/config*.c)
UNIT_EXTRA_test_journal_cat := app/fastpathctl/json_line.c app/fastpathctl/time_argument.c
UNIT_EXTRA_test_journal_commands := $(wildcard app/fastpathctl/cmd_journal*.c) $(addprefix app/fastpathctl/,command.c journal_table.c json_line.c time_argument.c)
UNIT_EXTRA_test_lock := app/fastpath/lock.c
UNIT_EXTRA_test_log := app/fastpath/log.c
UNIT_EXTRA_test_clock := app/fastpath/clock.c
UNIT_EXTRA_test_dataplane := app/fastpath/clock.c $(addprefix app/fastpath/dataplane/,worker.c ingress.c keytable.c)
UNIT_EXTRA_test_http_control := app/fastpath/clock.c app/fastpath/log.c $(addprefix app/fastpath/control/,loop.c http_routes.c http_events.c \
                                http_answer.c idempotency.c stats.c metrics_page.c process.c health.c drain.c \
                                console.c console_json.c history.c)
UNIT_EXTRA_test_history := $(addprefix app/fastpath/control/,history.c http_answer.c health.c)
UNIT_EXTRA_test_rx := app/fastpath/clock.c app/fastpath/dataplane/rx.c
UNIT_EXTRA_test_health := app/fastpath/control/health.c
UNIT_EXTRA_test_http_idempotency := app/fastpath/control/idempotency.c
UNIT_EXTRA_test_http_process := app/fastpath/control/process.c
$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) $(DEPS_LIBS) $(shell $(PKGCONF) --libs check) -lpthread -lm
CFLAGS_tests/unit := -Iapp/fastpath -Itests/unit
$(foreach t,$(UNIT_BIN),$(eval $(t): $(call objects,$(UNIT_EXTRA_$(notdir $(t))))))

# a benchmark program may include app files' headers, and names app sources it needs: BENCH_EXTRA_NAME
CFLAGS_tests/bench := -Iapp/fastpath
$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(LIB)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) $(DEPS_LIBS) -lpthread -lm
$(foreach b,$(BENCH_BIN),$(eval $(b): $(call objects,$(BENCH_EXTRA_$(notdir $(b))))))

bench-programs: $(BENCH_BIN)

deps: ## install the packages that building, testing and running need
	$(Q)scripts/deps.sh

demo: ## the main job, from a fresh machine: DEMO_SECONDS=N ends it with a summary
	$(Q)scripts/demo.sh

run: ## the appliance alone, with config/dev.ini on a veth that it makes
	$(Q)scripts/run.sh

test: ## install packages, build, then unit and system tests
	$(Q)scripts/test.sh

soak: ## the tests with full counts and rounds
	$(Q)SOAK=1 scripts/test.sh

bench: ## measure it side by side with its peers, in under 15 minutes
	$(Q)scripts/bench.sh

bench-full: ## the same with all rows and full sizes, without a limit
	$(Q)scripts/bench.sh --full

bench-profile: all ## where the time of an event goes, by function
	$(Q)scripts/bench.sh --profile

lint: ## formatting, static analysis, shell, spelling
	$(Q)scripts/lint.sh

format: ## rewrite the sources as .clang-format says
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h')

fuzz: ## run every fuzz target for FUZZ_SECONDS (60) each
	$(Q)scripts/fuzz.sh

vendor: ## refresh third_party/ from npm and verify it; the build needs nothing from there
	$(Q)scripts/npm.sh vendor

image: ## the container image hft-fast-path:latest, with Docker or without
	$(Q)scripts/image.sh

check-unit: $(UNIT_BIN) ## build and run the unit tests only
	$(Q)scripts/unit.sh $(UNIT_BIN)

# the unit names /usr/local; a configuration that is there is left alone
SHARE  := $(DESTDIR)$(PREFIX)/share
install-programs: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin

install: install-programs ## install programs, manual, configuration and unit files: DESTDIR, PREFIX, SYSCONFDIR, UNITDIR
	install -d $(SHARE)/fastpath $(SHARE)/doc/fastpath $(SHARE)/man/man1 $(SHARE)/man/man8 \
		$(SHARE)/bash-completion/completions $(DESTDIR)$(UNITDIR) $(DESTDIR)$(PREFIX)/lib/sysusers.d \
		$(DESTDIR)$(SYSCONFDIR)/fastpath $(DESTDIR)$(SYSCONFDIR)/default
	install -m 0644 config/fastpath.ini hugepages.conf config/90-fastpath-vfio.rules $(SHARE)/fastpath
	install -m 0644 docs/*.md $(SHARE)/doc/fastpath
	install -m 0644 man/*.1 $(SHARE)/man/man1
	install -m 0644 man/*.8 $(SHARE)/man/man8
	install -m 0644 completions/fastpath.bash $(SHARE)/bash-completion/completions/fastpath
	ln -sf fastpath $(SHARE)/bash-completion/completions/fastpathctl
	ln -sf fastpath $(SHARE)/bash-completion/completions/feedsim
	sed 's,/usr/local/,$(PREFIX)/,g; s,/etc/,$(SYSCONFDIR)/,g' config/fastpath.service >$(DESTDIR)$(UNITDIR)/fastpath.service
	chmod 0644 $(DESTDIR)$(UNITDIR)/fastpath.service
	install -m 0644 config/fastpath.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/fastpath.conf
	[ -e $(DESTDIR)$(SYSCONFDIR)/fastpath/fastpath.ini ] || \
		install -m 0644 config/fastpath.ini $(DESTDIR)$(SYSCONFDIR)/fastpath
	[ -e $(DESTDIR)$(SYSCONFDIR)/default/fastpath ] || \
		install -m 0644 config/fastpath.default $(DESTDIR)$(SYSCONFDIR)/default/fastpath

deb: ## build the Debian package in build/deb, and check it with lintian
	$(Q)scripts/deb.sh

clean: ## remove build/
	rm -rf build

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
