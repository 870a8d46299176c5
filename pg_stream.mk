# The PGXS part of the build. The top-level Makefile runs it inside build/pgNN with VPATH pointing at the source tree.
#
# It promises an object per source file beside nothing of another server version, dependency tracking of our own
# headers, and a library whose only visible symbols are those that src/pg_stream.map names.

ifndef VPATH
$(error pg_stream.mk is run by the top-level Makefile; run make there)
endif

MODULE_big = pg_stream
EXTENSION = pg_stream
DATA = $(patsubst $(VPATH)/%,%,$(wildcard $(VPATH)/sql/pg_stream--*.sql))

# src/jit is a library of its own, pg_stream_jit, which only a backend that compiles opens: nobody else loads LLVM. Without
# LLVM it is not built, and every expression is interpreted.
jit_sources := $(if $(JIT_LLVM_CONFIG),$(wildcard $(VPATH)/src/jit/*.cpp))
sources := $(filter-out $(wildcard $(VPATH)/src/jit/*.cpp),$(wildcard $(VPATH)/src/*.cpp $(VPATH)/src/*/*.cpp))
OBJS := $(patsubst $(VPATH)/%.cpp,%.o,$(sources))
jit_objs := $(patsubst $(VPATH)/%.cpp,%.o,$(jit_sources))
jit_library := $(if $(jit_sources),pg_stream_jit.so)
llvm_version := $(if $(JIT_LLVM_CONFIG),$(shell $(JIT_LLVM_CONFIG) --version))
# What was compiled for another LLVM, or for none, is compiled again.
$(shell [ "$$(cat llvm_version 2>/dev/null)" = '$(llvm_version) ' ] || echo '$(llvm_version) ' > llvm_version)

# libstdc++ is named here because PGXS links with the C compiler. The version script keeps everything local but the
# entry points: a backend may load other C++ libraries (the server's own LLVM among them), and must not mix symbols.
SHLIB_LINK = -lstdc++ -Wl,--version-script=$(VPATH)/src/pg_stream.map

PGXS := $(shell '$(PG_CONFIG)' --pgxs)
ifeq (,$(wildcard $(PGXS)))
$(error $(PGXS) not found: install the server's development files (Debian: postgresql-server-dev-NN, elsewhere postgresqlNN-devel))
endif

# No bitcode: the server's JIT could inline nothing of a C++ library, and clang is not asked for. PGXS reads this while it is included.
override with_llvm := no

include $(PGXS)

ifeq (,$(wildcard $(includedir_server)/postgres.h))
$(error $(includedir_server)/postgres.h not found: install the server's development files (Debian: postgresql-server-dev-NN))
endif
ifeq (,$(shell command -v $(firstword $(CXX)) 2>/dev/null))
$(error $(firstword $(CXX)) not found: install a C++17 compiler (Debian: g++), or set CXX)
endif
ifeq (,$(shell command -v $(firstword $(CC)) 2>/dev/null))
$(error $(firstword $(CC)) not found: install a C compiler (Debian: gcc), or set CC)
endif
ifneq (,$(shell grep -lE 'include [<"]fmt/' $(VPATH)/src/*.cpp $(VPATH)/src/*/*.[ch]pp 2>/dev/null))
ifneq (0,$(shell echo '\#include <fmt/format.h>' | $(CXX) -std=c++17 -DFMT_HEADER_ONLY -x c++ -fsyntax-only - >/dev/null 2>&1; echo $$?))
$(error fmt/format.h not found: install the fmt library (Debian: libfmt-dev))
endif
endif

# The server's headers are system headers here: their warnings are not ours to mend.
server_cppflags = $(patsubst -I$(includedir_server),-isystem $(includedir_server),$(patsubst -I$(includedir_internal),-isystem $(includedir_internal),$(CPPFLAGS)))

compile_cxx = $(CXX) $(CXXFLAGS) -std=c++17 -fPIC -Wall -Wextra $(if $(filter-out 0 no,$(WERROR)),-Werror) \
	-DFMT_HEADER_ONLY -DPGSTREAM_LLVM_VERSION='"$(llvm_version)"' -I$(VPATH)/src $(server_cppflags) -MMD -MP

# Loops over the values of a column become vector instructions, which GCC 12 does only from here on.
src/core/batch_decoder.o: override CXXFLAGS += -O3

$(OBJS): %.o: $(VPATH)/%.cpp $(VPATH)/pg_stream.mk
	@$(MKDIR_P) $(dir $@)
	$(compile_cxx) -c -o $@ $<

src/pg/native_row.o src/pg/code_key.o $(jit_objs): llvm_version

pg_stream$(DLSUFFIX): $(VPATH)/src/pg_stream.map $(VPATH)/pg_stream.mk

ifeq (,$(jit_library))
all: without-jit
.PHONY: without-jit
without-jit:
	@echo "note: no LLVM 15 or later with its headers was found (Debian 12: llvm-19-dev; or name its llvm-config in JIT_LLVM_CONFIG):" \
	    "pg_stream_jit is not built, expressions are interpreted"
else
# No server headers here, and LLVM's only here.
$(jit_objs): %.o: $(VPATH)/%.cpp $(VPATH)/pg_stream.mk
	@$(MKDIR_P) $(dir $@)
	$(CXX) $(CXXFLAGS) -std=c++17 -fPIC -Wall -Wextra $(if $(filter-out 0 no,$(WERROR)),-Werror) -I$(VPATH)/src \
	    -isystem $(shell $(JIT_LLVM_CONFIG) --includedir) -MMD -MP -c -o $@ $<

$(jit_library): $(jit_objs) src/core/program.o $(VPATH)/src/jit/pg_stream_jit.map
	$(CXX) $(CXXFLAGS) -shared -o $@ $(jit_objs) src/core/program.o -Wl,--version-script=$(VPATH)/src/jit/pg_stream_jit.map \
	    -Wl,--as-needed $(shell $(JIT_LLVM_CONFIG) --ldflags) $(shell $(JIT_LLVM_CONFIG) --libs)

all: $(jit_library)

install: install-jit
uninstall: uninstall-jit
.PHONY: install-jit uninstall-jit
install-jit: $(jit_library)
	$(MKDIR_P) '$(DESTDIR)$(pkglibdir)'
	$(INSTALL_SHLIB) $(jit_library) '$(DESTDIR)$(pkglibdir)/$(jit_library)'
uninstall-jit:
	rm -f '$(DESTDIR)$(pkglibdir)/$(jit_library)'
endif

-include $(OBJS:.o=.d) $(jit_objs:.o=.d)
