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

sources := $(wildcard $(VPATH)/src/*.cpp $(VPATH)/src/*/*.cpp)
OBJS := $(patsubst $(VPATH)/%.cpp,%.o,$(sources))

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
	-DFMT_HEADER_ONLY -I$(VPATH)/src $(server_cppflags) -MMD -MP

# Loops over the values of a column become vector instructions, which GCC 12 does only from here on.
src/core/batch_decoder.o: override CXXFLAGS += -O3

$(OBJS): %.o: $(VPATH)/%.cpp $(VPATH)/pg_stream.mk
	@$(MKDIR_P) $(dir $@)
	$(compile_cxx) -c -o $@ $<

pg_stream$(DLSUFFIX): $(VPATH)/src/pg_stream.map $(VPATH)/pg_stream.mk

-include $(OBJS:.o=.d)
