# deeprack's commands. `make` alone lists them. Each command first installs the Debian packages of deploy/debian/packages.txt that
# are missing.
SHELL := /bin/bash
JOBS ?= $(shell nproc)
PROGRAMS := deeprack deeprack-coordinator deeprack-worker
CTEST := ctest -j $(JOBS) --output-on-failure --no-tests=error
PYTEST := build/venv/bin/python -m pytest
SOURCES = $(shell git ls-files '*.h' '*.cc' '*.cu' '*.cuh')

# OpenMPI in the tests: no warnings about missing hardware, and no copies between processes, which containers forbid.
export OMPI_MCA_btl_vader_single_copy_mechanism := none
export OMPI_MCA_btl_base_warn_component_unused := 0

.PHONY: help packages build demo serve build-tests test test-clients build-asan-ci test-asan-ci test-asan build-tsan test-tsan simulate fuzz bench bench-slice gpu-check gpu-programs format lint clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

packages:
	@deploy/debian/install-packages

build/build.ninja: | packages
	@cmake --preset release >build.log 2>&1 || { cat build.log; exit 1; }; rm -f build.log

build: packages build/build.ninja  ## the three programs, in build/bin
	@cmake --build --preset release -j $(JOBS) --target $(PROGRAMS)

demo: build  ## a coordinator and two ranks answer three questions on this machine
	@build/bin/deeprack demo

serve: build  ## the demo model on http://127.0.0.1:8000 until Ctrl-C
	@build/bin/deeprack serve

build/venv/ready: tests/requirements.txt | packages
	@python3 -m venv build/venv
	@build/venv/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

build-tests: packages build/build.ninja build/venv/ready
	@cmake --build --preset release -j $(JOBS)

test: build-tests  ## all tests: ctest, then pytest
	@$(CTEST) --test-dir build
	@$(PYTEST) tests -q -ra --durations=5

test-clients: build build/venv/ready  ## the clients of docs/API.md, unmodified, against models whose answers are known (2 GB of Python packages)
	@$(PYTEST) tests/clients -q
	@tests/clients/run-clients

test-asan: packages  ## all C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer (CI runs test-asan-ci)
	@cmake --preset asan >/dev/null
	@cmake --build --preset asan -j $(JOBS)
	@$(CTEST) --test-dir build/asan -LE '^part$$'

# The tests that name the sanitizer in SANITIZERS (tests/**/CMakeLists.txt). cmake/Targets.cmake gives the reasons for the choice.
build-asan-ci: packages
	@cmake --preset asan >/dev/null
	@cmake --build --preset asan -j $(JOBS) --target sanitized_tests

test-asan-ci: build-asan-ci  ## the C++ tests that CI runs under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(CTEST) --test-dir build/asan -L '^sanitized$$'

build-tsan: packages
	@cmake --preset tsan >/dev/null
	@cmake --build --preset tsan -j $(JOBS) --target sanitized_tests

test-tsan: build-tsan  ## the C++ tests of threads that share memory, under ThreadSanitizer
	@TSAN_OPTIONS=second_deadlock_stack=1 $(CTEST) --test-dir build/tsan -L '^sanitized$$'

# SEEDS from FIRST on. A seed that fails is printed, and runs again with SEEDS=1 FIRST=seed.
SEEDS ?= 100000
FIRST ?= 1

simulate: packages build/build.ninja  ## whole runs of the scheduler and of the cluster from seeds: SEEDS=1000000 FIRST=1
	@cmake --build --preset release -j $(JOBS) --target simulate
	@build/tests/simulate $(SEEDS) $(FIRST)

# FUZZ_SECONDS for each program of tests/fuzz. An input that fails is left in build/fuzz/found.
FUZZ_SECONDS ?= 60

fuzz: packages  ## libFuzzer on the programs of tests/fuzz, FUZZ_SECONDS=60 each
	@deploy/debian/install-packages clang libclang-rt-14-dev
	@cmake --preset fuzz >/dev/null
	@cmake --build --preset fuzz -j $(JOBS) --target fuzzers
	@for f in $$(ls build/fuzz/fuzzers); do mkdir -p build/fuzz/found build/fuzz/corpus/$$f; \
	  build/fuzz/fuzzers/$$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 \
	    -artifact_prefix=build/fuzz/found/$$f- build/fuzz/corpus/$$f tests/fuzz/corpus/$${f%_fuzz} || exit 1; done

bench: packages build/build.ninja  ## times each kernel, and prints the least time that memory and arithmetic allow
	@cmake --build --preset release -j $(JOBS) --target kernels_bench
	@build/bin/kernels_bench

# The R1 slice of docs/PERFORMANCE.md. F8_E4M3 is a folder; all other types are GGUF files.
TYPE ?= Q4_K
SLICE = build/r1_slice/$(TYPE)$(if $(filter F8_E4M3,$(TYPE)),,.gguf)

bench-slice: packages build/build.ninja build/venv/ready  ## times one engine on a few layers of R1's sizes with random weights (TYPE=Q4_K; writes 2 to 4 GB)
	@cmake --build --preset release -j $(JOBS) --target engine_bench
	@mkdir -p build/r1_slice
	@[ -e $(SLICE) ] || { rm -rf $(SLICE).part && \
	  build/venv/bin/python bench/r1_slice/make_slice.py $(SLICE).part --type $(TYPE) && mv $(SLICE).part $(SLICE); }
	@build/bin/engine_bench $(SLICE) --operations

gpu-check:  ## checks and times every kernel on a GPU (compiles if nvcc is installed; else copy build/gpu there)
	@if [ ! -x build/gpu/full_rank_bench ] || command -v nvcc >/dev/null; then $(MAKE) --no-print-directory gpu-programs; fi
	@tests/gpu/gpu-check build/gpu

gpu-programs: packages build/build.ninja
	@cmake --build --preset release -j $(JOBS) --target gpu_kernels_test gpu_kernels_bench sm90_kernels_gpu_test sm90_kernels_bench full_rank_bench \
	  gpu_engine_test

format:  ## clang-format over every source
	@deploy/debian/install-packages clang-format
	@clang-format -i $(SOURCES)

lint: packages build/build.ninja  ## clang-tidy over every source
	@deploy/debian/install-packages clang-tidy
	@cmake --build build --target proto
	@git ls-files '*.cc' | xargs -P $(JOBS) -n 4 clang-tidy -p build --quiet

clean:
	rm -rf build
