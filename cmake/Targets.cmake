# deeprack_library(NAME SOURCES a.cc ... DEPS target ...)    a static library of one folder
# deeprack_program(NAME SOURCES main.cc DEPS target ...)    a program in build/bin
#
# deeprack_test(NAME SOURCES a_test.cc ... DEPS target ... [PROCESSES n ...] [MPI] [ALONE] [TIMEOUT s]
#               [SANITIZERS address thread] [SANITIZED_FILTER filter] [THREAD_FILTER filter] [SEPARATE_SOURCES])
#     A GoogleTest program in build/tests, and the ctest NAME that runs the program.
#     PROCESSES          mpirun starts the program with n ranks. Each further n is one more ctest, NAME_n.
#     MPI                The test starts programs that use OpenMPI. PROCESSES implies MPI and ALONE.
#     ALONE              ctest runs no other test at the same time: the test measures time or starts programs.
#     TIMEOUT            Seconds until ctest ends the test; 120 by default. Builds with sanitizers take five times that.
#     SANITIZERS         The sanitizers under which CI runs the test; see below.
#     SANITIZED_FILTER   The cases that CI runs under sanitizers, where all cases would take too long.
#     THREAD_FILTER      The same for ThreadSanitizer, in place of SANITIZED_FILTER.
#     SEPARATE_SOURCES   The sources have equal names in unnamed namespaces, and are never compiled together; see below.
#
# deeprack_test_run(NAME PROGRAM [ARGS a ...] [PROCESSES n] [MPI] [ALONE] [TIMEOUT s])
#     One more ctest, NAME, of the test program PROGRAM, with the arguments ARGS.
#
# Sanitizers. `make test-asan` builds and runs every test, for a developer. CI has no time for that: `make test-asan-ci` and
# `make test-tsan` build and run the tests that name the build's sanitizer in SANITIZERS. The choice:
#   address   what reads bytes from outside (files, HTTP, gRPC), what counts references or pages (scheduler, KV blocks), the CPU
#             kernels with small shapes, the engine, and one golden for each path through the decoder.
#   thread    what shares memory between threads of deeprack. gRPC and OpenMPI are built without ThreadSanitizer, so a test
#             that goes through one of them reports races that are none, and stays out.
# A test that names the build's sanitizer has the ctest label "sanitized", and the target `sanitized_tests` builds all of these
# tests.
# To save CI's time, builds with sanitizers compile up to eight sources of a target as one (CMAKE_UNITY_BUILD in
# CMakePresets.json). The kernels are excepted: one source has the same names for several instruction sets.

function(deeprack_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(${name} STATIC ${ARG_SOURCES})
    target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE deeprack_flags)
    target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${ARG_DEPS})
    target_include_directories(${name} INTERFACE ${CMAKE_SOURCE_DIR})
  endif()
endfunction()

function(deeprack_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE deeprack_flags ${ARG_DEPS})
endfunction()

add_custom_target(sanitized_tests)

# Gives `program` and its ctest `test` to CI's run under sanitizers, if SANITIZERS (the arguments) names one of this build's.
function(deeprack_sanitize_in_ci test program)
  string(REPLACE "," ";" built_with "${DEEPRACK_SANITIZE}")
  foreach(sanitizer ${ARGN})
    if(sanitizer IN_LIST built_with)
      set_property(TEST ${test} APPEND PROPERTY LABELS sanitized)
      add_dependencies(sanitized_tests ${program})
    endif()
  endforeach()
endfunction()

function(deeprack_test_run name program)
  cmake_parse_arguments(ARG "ALONE;MPI" "PROCESSES;TIMEOUT" "ARGS" ${ARGN})
  set(launch)
  if(ARG_PROCESSES)
    set(launch mpirun --allow-run-as-root --oversubscribe --bind-to none -n ${ARG_PROCESSES})
    set(ARG_ALONE TRUE)
    set(ARG_MPI TRUE)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(DEEPRACK_SANITIZE)
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * 5")
  endif()
  add_test(NAME ${name} COMMAND ${launch} $<TARGET_FILE:${program}> ${ARG_ARGS})
  # ctest starts the tests with the longest timeout first.
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} COST ${ARG_TIMEOUT} RUN_SERIAL "${ARG_ALONE}")
  if(ARG_MPI AND DEEPRACK_SANITIZE MATCHES address)
    # OpenMPI leaves memory behind in plug-ins that it unloads. No suppression can name an unloaded plug-in.
    set_tests_properties(${name} PROPERTIES ENVIRONMENT ASAN_OPTIONS=detect_leaks=0)
  endif()
endfunction()

function(deeprack_test name)
  if(NOT DEEPRACK_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "ALONE;MPI;SEPARATE_SOURCES" "TIMEOUT;SANITIZED_FILTER;THREAD_FILTER" "SOURCES;DEPS;PROCESSES;SANITIZERS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE deeprack_flags ${ARG_DEPS} source_tree GTest::gtest GTest::gmock)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(ARG_SEPARATE_SOURCES)
    set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
  endif()

  set(options TIMEOUT ${ARG_TIMEOUT})
  foreach(option ALONE MPI)
    if(ARG_${option})
      list(APPEND options ${option})
    endif()
  endforeach()
  list(POP_FRONT ARG_PROCESSES processes)
  deeprack_test_run(${name} ${name} ${options} PROCESSES ${processes})
  foreach(processes ${ARG_PROCESSES})
    deeprack_test_run(${name}_${processes} ${name} ${options} PROCESSES ${processes})
  endforeach()

  set(sanitized ${name})
  if(DEEPRACK_SANITIZE MATCHES thread AND ARG_THREAD_FILTER)
    set(ARG_SANITIZED_FILTER ${ARG_THREAD_FILTER})
  endif()
  if(DEEPRACK_SANITIZE AND ARG_SANITIZED_FILTER)
    # By hand, every case runs once: label "part" keeps this ctest out.
    set(sanitized ${name}_part)
    deeprack_test_run(${sanitized} ${name} ${options} ARGS --gtest_filter=${ARG_SANITIZED_FILTER})
    set_property(TEST ${sanitized} APPEND PROPERTY LABELS part)
  endif()
  deeprack_sanitize_in_ci(${sanitized} ${name} ${ARG_SANITIZERS})
endfunction()
