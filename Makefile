# pg_stream: the entry point of every build and test.
#
#   make [PG_CONFIG=...]                 build the library (build/pgNN, one directory per server version)
#   make install [PG_CONFIG=...]         install it into that server
#   make installcheck [PG_CONFIG=...]    run the suites against a running server that preloads it
#   make unit                            build and run the unit tests of src/core and src/jit, without a server
#   make check-rooms                     check the architecture's rules on the sources
#   make demo                            (root, Debian 12) set everything up and tell the story
#   make test                            (root, Debian 12) set everything up and run every test on 15 and 18
#   make bench                           measure (bench/run)
#   make clean | distclean               remove build products | also the PostgreSQL 18 chroot
#
# It promises that two server versions can be built from one tree, that a missing tool is named together with the
# package that has it, and that a server older than the minimum is refused. The rules that need PGXS are in
# pg_stream.mk, which runs inside the build directory. WERROR=1 turns warnings into errors.

PG_CONFIG ?= pg_config
WERROR ?=
# Of LLVM 15 or newer, the newest there is with its headers; empty: without native code.
JIT_LLVM_CONFIG ?= $(shell for c in $(foreach v,22 21 20 19 18 17 16 15,llvm-config-$(v) /usr/lib/llvm-$(v)/bin/llvm-config) llvm-config; do \
    v=$$($$c --version 2>/dev/null) && [ "$${v%%.*}" -ge 15 ] && [ -e "$$($$c --includedir)/llvm-c/Core.h" ] && { command -v $$c; break; }; done)
JOBS ?= $(shell nproc 2>/dev/null || echo 1)

.DEFAULT_GOAL := all
PGXS_GOALS := all install uninstall

# A pg_config given by a relative path must keep its meaning inside the build directory.
pg_config_path := $(shell command -v '$(PG_CONFIG)' 2>/dev/null)
override PG_CONFIG := $(if $(findstring /,$(PG_CONFIG)),$(abspath $(PG_CONFIG)),$(PG_CONFIG))

ifneq (,$(filter $(PGXS_GOALS) installcheck,$(or $(MAKECMDGOALS),all)))

ifeq (,$(pg_config_path))
$(error $(PG_CONFIG) not found: install the server's development package (Debian: postgresql-server-dev-NN, elsewhere postgresqlNN-devel), or set PG_CONFIG=/path/to/pg_config)
endif

# "PostgreSQL 15.20 (Debian ...)", "PostgreSQL 19beta1": the number, then its two parts. A pre-release counts as .0.
pg_version := $(shell '$(PG_CONFIG)' --version | sed -E 's/^PostgreSQL ([0-9]+)(\.([0-9]+))?.*/\1 \3/')
pg_major := $(firstword $(pg_version))
pg_minor := $(or $(word 2,$(pg_version)),0)

# Before these releases a bitmap scan may skip fetching rows that a stream table masks ("skip fetch", disabled in
# all of them), and in-place catalog updates could be lost.
minimum_15 := 13
minimum_16 := 9
minimum_17 := 5
minimum_18 := 0

ifeq (,$(minimum_$(pg_major)))
$(error pg_stream supports PostgreSQL 15, 16, 17 and 18; $(PG_CONFIG) is of version $(pg_major).$(pg_minor))
endif
ifneq (yes,$(shell test $(pg_minor) -ge $(minimum_$(pg_major)) && echo yes))
$(error pg_stream needs PostgreSQL $(pg_major).$(minimum_$(pg_major)) or a later $(pg_major); $(PG_CONFIG) is of version $(pg_major).$(pg_minor). Update the server packages)
endif

BUILD_DIR := build/pg$(pg_major)

.PHONY: $(PGXS_GOALS)
$(PGXS_GOALS):
	@mkdir -p $(BUILD_DIR)
	+@$(MAKE) --no-print-directory -C $(BUILD_DIR) -f ../../pg_stream.mk VPATH=../.. PG_CONFIG='$(PG_CONFIG)' \
	    WERROR='$(WERROR)' JIT_LLVM_CONFIG='$(JIT_LLVM_CONFIG)' $@

endif

.PHONY: installcheck unit check-rooms demo test bench clean distclean help

installcheck:
	@PG_CONFIG='$(PG_CONFIG)' bash test/suites

UNIT_DIR ?= build/unit

unit:
	@command -v cmake >/dev/null || { echo "error: cmake not found: install the package cmake" >&2; exit 1; }
	cmake -S . -B $(UNIT_DIR) -DPGSTREAM_SANITIZE=ON $(if $(WERROR),-DPGSTREAM_WERROR=ON) -DLLVM_CONFIG='$(JIT_LLVM_CONFIG)'
	cmake --build $(UNIT_DIR) -j $(JOBS)
	ctest --test-dir $(UNIT_DIR) --output-on-failure

check-rooms:
	@bash test/check/rooms

demo:
	@bash demo/run

test:
	@bash test/run

bench:
	@bash bench/run

clean:
	rm -rf build/pg1* build/unit build/results

# --one-file-system: should anything be mounted below, it is left alone.
distclean:
	rm -rf --one-file-system build

help:
	@sed -n '/^#   make/s/^# //p' Makefile
