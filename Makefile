# SPDX-License-Identifier: BSD-3-Clause
# openais. `make help` lists the targets. Everything built lands below build/.

SAN    ?=
comma  := ,
B      := build/$(if $(SAN),$(subst $(comma),-,$(SAN)),plain)
VERSION := 4.0.0
# Of the SA Forum's libraries: B.01 programs of openais 1.1 know them as .so.3.
SA_VERSION := 3.0.0

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
LIBDIR ?= $(PREFIX)/lib

OPT      := $(if $(SAN),-O1 -fno-omit-frame-pointer,-O2)
WARN     := -Wall -Wextra -Wconversion -Wshadow -Wmissing-prototypes \
            -Wstrict-prototypes -Wpointer-arith -Wwrite-strings
CFLAGS   ?= -g $(OPT)
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -I. -Iapi -fPIC -fvisibility=hidden \
            -DOPENAIS_VERSION='"$(VERSION)"' \
            $(WARN) $(CFLAGS) $(if $(SAN),-fsanitize=$(SAN) \
            -fno-sanitize-recover=all $(if $(filter thread,$(SAN)),-Wno-tsan)) \
            $(if $(FUZZ),-fsanitize=fuzzer-no-link)
LDLIBS_DAEMON := -lconfuse -lcrypto -lurcu-qsbr -lurcu-common -lpthread
# V=1 shows the commands; QUIET=1 not even what is built.
V     ?=
QUIET ?=
Q     := $(if $(V),,@)
say    = $(if $(V)$(QUIET),,@echo '  $(1)' $(@:build/%=%))
build  = $(MAKE) --no-print-directory -s -j$(shell nproc) QUIET=1
LDFLAGS_ALL = $(LDFLAGS) $(if $(SAN),-fsanitize=$(SAN))

# --- what is built ----------------------------------------------------------

obj = $(patsubst %.c,$(B)/%.o,$(wildcard $(1)))
major = $(word 1,$(subst ., ,$(1)))

CORE     := $(call obj,daemon/totem/*.c daemon/group/*.c daemon/service/*.c)
DAEMON   := $(call obj,daemon/*/*.c config/*.c ipc/*.c)
# Of what the client libraries share.
CLIENT   := $(call obj,api/*.c ipc/*.c)
# A client library: its folder below api/, name and version. The folder has the
# version script (<name>.map) and what pkg-config reads (<name>.pc.in).
LIBRARIES := evs:libevs:$(VERSION) clm:libSaClm:$(SA_VERSION) \
            ckpt:libSaCkpt:$(SA_VERSION)
SIM      := $(call obj,test/sim/*.c)
UNITS    := $(patsubst test/unit/%.c,$(B)/unit/%,$(wildcard test/unit/test_*.c))
FUZZERS  := $(patsubst test/fuzz/%.c,$(B)/fuzz/%,$(wildcard test/fuzz/fuzz_*.c))
PROGRAMS := $(B)/aisexec $(B)/keygen $(B)/testclm \
            $(foreach l,$(LIBRARIES),$(addprefix $(B)/$(word 2,$(subst \
            :, ,$(l))),.so .a)) \
            $(B)/testevs $(B)/evscheck $(B)/evscompare $(B)/evsbench \
            $(B)/testckpt $(B)/ckptbench $(B)/ckptbenchth \
            $(B)/ckptprobe $(B)/wallclock.so \
            $(B)/ipcbench $(B)/hostile $(B)/localattack $(B)/attack $(B)/sim

all: $(PROGRAMS) ## build the daemon, the libraries and the programs

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC  )
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/aisexec: $(B)/daemon/main.o $(DAEMON)
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LDLIBS_DAEMON)

$(B)/keygen: $(call obj,keys/*.c)
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcrypto

# FOLDER, NAME, VERSION. A versions.c holds the older forms of
# functions: static libraries have no versions of symbols, so it is left out of
# them.
define library
$(B)/$(2).a: $(filter-out %/versions.o,$(call obj,api/$(1)/*.c)) $(CLIENT)
	$$(call say,AR  )
	$$(Q)rm -f $$@
	$$(Q)$$(AR) rcs $$@ $$^

$(B)/$(2).so.$(3): $(call obj,api/$(1)/*.c) $(CLIENT) api/$(1)/$(2).map
	$$(call say,LINK)
	$$(Q)$$(CC) $$(LDFLAGS_ALL) -shared -Wl,-soname,$(2).so.$(call major,$(3)) \
	    -Wl,--version-script=api/$(1)/$(2).map -o $$@ $$(filter %.o,$$^) \
	    -lpthread

$(B)/$(2).so: $(B)/$(2).so.$(3)
	$$(Q)ln -sf $(2).so.$(3) $(B)/$(2).so.$(call major,$(3))
	$$(Q)ln -sf $(2).so.$(call major,$(3)) $$@
endef
one_library = $(call library,$(word 1,$(1)),$(word 2,$(1)),$(word 3,$(1)))
$(foreach l,$(LIBRARIES),$(eval $(call one_library,$(subst :, ,$(l)))))

# The programs are linked like a user's: against the shared library alone.
$(B)/testevs $(B)/evscheck: $(B)/%: $(B)/test/%.o $(B)/libevs.so
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -L$(B) -levs -lpthread \
	    -Wl,-rpath,'$$ORIGIN'

$(B)/testclm: $(B)/test/testclm.o $(B)/libSaClm.so
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -L$(B) -lSaClm -lpthread \
	    -Wl,-rpath,'$$ORIGIN'

$(B)/testckpt $(B)/ckptprobe: $(B)/%: $(B)/test/%.o $(B)/libSaCkpt.so
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -L$(B) -lSaCkpt -lpthread \
	    -Wl,-rpath,'$$ORIGIN'

# Preloaded: not linked with a sanitizer, whose place is the program's.
$(B)/wallclock.so: test/wallclock.c
	$(call say,LINK)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE $(WARN) -O2 -fPIC -shared -o $@ $< -ldl

# Its attackers speak to the daemon past the library.
$(B)/hostile: $(call obj,test/hostile*.c) $(B)/libevs.a $(B)/libSaCkpt.a
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lpthread

# Attackers of the network: they need nothing of ours.
$(B)/attack: $(call obj,test/attack*.c)
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^

$(B)/localattack: $(B)/test/localattack.o $(B)/libevs.a $(B)/libSaCkpt.a
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lpthread

$(B)/evscompare: $(call obj,test/evscompare*.c)
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^

$(B)/evsbench: $(B)/perf/evsbench.o $(B)/libevs.so
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -L$(B) -levs -lpthread \
	    -Wl,-rpath,'$$ORIGIN'

CKPTBENCH := $(addprefix $(B)/perf/ckptbench_,common.o run.o tasks.o)
$(B)/ckptbench $(B)/ckptbenchth: $(B)/%: $(B)/perf/%.o $(CKPTBENCH) \
    $(B)/libSaCkpt.so
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) -L$(B) -lSaCkpt \
	    -lpthread -Wl,-rpath,'$$ORIGIN'

# libqb, a peer to compare with, is measured too if it is installed.
LIBQB    := $(shell pkg-config --libs libqb 2>/dev/null)
IPCBENCH := $(addprefix $(B)/perf/ipcbench,.o _report.o _tools.o _limits.o \
            _evs.o _deliver.o $(if $(LIBQB),_qb.o,_noqb.o))
$(B)/ipcbench: $(IPCBENCH) $(call obj,ipc/ring.c ipc/segment.c) $(B)/libevs.so
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) -L$(B) -levs -lpthread \
	    $(LIBQB) -Wl,-rpath,'$$ORIGIN'

$(B)/sim: $(SIM) $(CORE) $(call obj,daemon/base/check.c)
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^

# The checkers of the simulator have a unit test of their own.
$(B)/unit/test_sim_check: $(call obj,test/sim/check.c test/sim/trace.c)

# The library beside libevs, as in a program that is linked with both; some of
# its allocations are refused.
$(B)/unit/test_clm $(B)/unit/test_clm_track: $(B)/libSaClm.a
$(B)/unit/test_clm: private LDFLAGS += -Wl,--wrap=malloc -Wl,--wrap=calloc

$(B)/unit/test_ckpt $(B)/unit/test_ckpt_rules $(B)/unit/test_ckpt_threads \
    $(B)/unit/test_ckpt_direct $(B)/unit/test_ckpt_arena: \
    $(B)/libSaCkpt.a
$(B)/unit/test_ckpt: private LDFLAGS += -Wl,--wrap=malloc -Wl,--wrap=calloc \
    -Wl,--wrap=ring_push
$(B)/unit/test_order: $(B)/libSaCkpt.a $(B)/libSaClm.a
# It loads that too.
$(B)/unit/test_ckpt_rules: | $(B)/libSaCkpt.so

# The group layer is theirs: test/unit/fake_order.h, and the fuzzer's own.
OWN_GROUPS := -Wl,--wrap=group_put -Wl,--wrap=group_flush \
    -Wl,--wrap=group_abandon
$(addprefix $(B)/unit/test_,ckpt ckpt_direct ckpt_rules ckpt_threads evs_a01 \
    evs_old flow order query server server_hostile threads): \
    private LDFLAGS += $(OWN_GROUPS)
$(B)/fuzz/fuzz_ring: private LDFLAGS += $(OWN_GROUPS)

# What it publishes is counted.
$(B)/unit/test_ckpt_service: private LDFLAGS += -Wl,--wrap=ckpt_section_change

# Their allocations are counted.
$(B)/unit/test_replica $(B)/unit/test_replica_told \
    $(B)/unit/test_replica_hostile: private LDFLAGS += \
    $(addprefix -Wl$(comma)--wrap=,malloc calloc realloc free)

# Blocks that are taken and given up are counted.
$(B)/unit/test_ckpt_bounds: private LDFLAGS += $(addprefix -Wl$(comma)--wrap=,\
    ckpt_memory_get ckpt_memory_retire ckpt_memory_retire_tree ckpt_memory_free)

# Its allocations are refused, one after the other.
$(B)/unit/test_init_failure: private LDFLAGS += $(addprefix -Wl$(comma)--wrap=,\
    malloc calloc realloc aligned_alloc strdup free)

# It can be a kernel that does not know an option.
$(B)/unit/test_server_hostile: private LDFLAGS += -Wl,--wrap=setsockopt

# Their copies, allocations and system calls are counted.
$(B)/unit/test_counts_ckpt: $(B)/libSaCkpt.a
$(B)/unit/test_counts $(B)/unit/test_counts_ckpt: private LDFLAGS += \
    $(addprefix -Wl$(comma)--wrap=,\
    memcpy memmove EVP_EncryptUpdate EVP_DecryptUpdate \
    malloc calloc realloc aligned_alloc free pthread_setname_np \
    read write send recv sendmsg recvmsg sendmmsg recvmmsg poll ppoll \
    epoll_wait epoll_pwait2 mmap getrusage)

$(B)/unit/%: $(B)/test/unit/%.o $(DAEMON) $(B)/libevs.a
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LDLIBS_DAEMON) -lcunit

# They make large tables for each input, see test/fuzz/lazy.h.
$(B)/fuzz/fuzz_ckpt $(B)/fuzz/fuzz_ring: private LDFLAGS += \
    -Wl,--wrap=calloc -Wl,--wrap=free

# Each fuzzer reads inputs from files; with FUZZ=1 (clang) it is a libFuzzer.
$(B)/fuzz/%: $(B)/test/fuzz/%.o $(DAEMON) $(if $(FUZZ),,$(B)/test/fuzz/run.o)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) $(if $(FUZZ),-fsanitize=fuzzer) -o $@ $^ \
	    $(LDLIBS_DAEMON)

.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)

# --- what is run ------------------------------------------------------------

check: deps ## install what is missing, build, run everything that tests
	@echo 'Building ...'
	@$(build) all units fuzzers
	@B=$(B) SAN=$(SAN) test/check.sh

units: $(UNITS)
fuzzers: $(FUZZERS)

test: all units ## unit tests alone
	@B=$(B) SAN=$(SAN) test/check.sh unit

SEED ?=
N ?= 2000
SEED_BASE ?=
sim: $(B)/sim ## simulator: SEED=n replays one, SEED_BASE=n N=m runs m
	@$(B)/sim $(if $(SEED),--seed $(SEED),--count $(N) \
	    $(if $(SEED_BASE),--seed-base $(SEED_BASE)))

ALL ?=
mutants: deps ## break the core by hand; ALL=1: a sample of all small changes; ALL=whole
	@EXTRA=python3 test/deps.sh
	@$(build) $(B)/sim units fuzzers
	@B=$(B) ALL=$(ALL) test/mutants.py

cluster: deps ## tests with real daemons in network namespaces
	@$(build) all
	@B=$(B) SAN=$(SAN) test/check.sh cluster

FULL ?=
model: deps ## check the models of doc/model with spin; FULL=1: longer
	@B=$(B) FULL=$(FULL) test/model.sh

NODES ?= 3
soak: deps ## daemons under load and random faults: MINUTES=n NODES=k SEED=n
	@$(build) all
	@B=$(B) SAN=$(SAN) MINUTES=$(MINUTES) NODES=$(NODES) SEED=$(SEED) \
	    test/soak.sh

MINUTES ?= 1
hostile: deps ## hostile clients beside honest ones: MINUTES=n SEED=n
	@$(build) all
	@B=$(B) SAN=$(SAN) MINUTES=$(MINUTES) SEED=$(SEED) test/hostile.sh

PARTS ?=
attack: deps ## attacks from the network, without the key: PARTS='relay icmp'
	@$(build) all
	@B=$(B) SAN=$(SAN) test/attack.sh $(PARTS)

fuzz: ## fuzz every parser for MINUTES=n each (clang)
	@test/fuzz/fuzz.sh $(MINUTES)

perf: all ## benchmarks, three nodes, beside their limits
	@B=$(B) perf/run.sh

ipcperf: all ## benchmark of clients and daemon on one machine, beside limits
	@B=$(B) perf/ipc.sh

ckptperf: all ## benchmark of checkpoints, beside openais 2005 and limits
	@B=$(B) perf/ckpt.sh

demo: deps ## three nodes agree, lose one, take it back
	@echo 'Building ...'
	@$(build) all
	@B=$(B) test/demo.sh

deps: ## install the Debian packages that are missing, saying which
	@test/deps.sh

tidy: ## include directions, purity of the core, format, longest files
	@$(build) all
	@B=$(B) test/tidy.sh

format: ## clang-format the tree
	git ls-files '*.c' '*.h' | xargs clang-format -i

install: all ## into PREFIX (default /usr/local), honours DESTDIR
	@DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) LIBDIR=$(LIBDIR) \
	    SYSCONFDIR=$(SYSCONFDIR) VERSION=$(VERSION) B=$(B) \
	    LIBRARIES='$(LIBRARIES)' test/install.sh

clean: ## remove everything built
	rm -rf build

help: ## this list
	@grep -E '^[a-z]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 10

.PHONY: all check units fuzzers test sim mutants cluster hostile attack fuzz perf ipcperf \
        ckptperf demo deps tidy format install clean help
