# deeprack_library(NAME SOURCES a.cc ... DEPS target ...)    a static library of one folder
# deeprack_program(NAME SOURCES main.cc DEPS target ...)     a program in build/bin
# deeprack_test(NAME SOURCES a_test.cc ... DEPS target ... [PROCESSES N] [TIMEOUT s] [ALONE]
#               [SANITIZED filter])
#     a GoogleTest program; PROCESSES runs it under mpirun with so many ranks; ALONE, and all with PROCESSES: with no
#     other test beside it, because it looks at the clock or starts programs; SANITIZED: of which only these run in
#     instrumented builds, where all would take too long

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

function(deeprack_test name)
  if(NOT DEEPRACK_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "ALONE" "PROCESSES;TIMEOUT;SANITIZED" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE deeprack_flags ${ARG_DEPS} source_tree GTest::gtest GTest::gmock)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(DEEPRACK_SANITIZE)
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * 5")  # instrumented code is slow
  endif()
  if(ARG_PROCESSES)
    add_test(NAME ${name} COMMAND mpirun --allow-run-as-root --oversubscribe --bind-to none
             -n ${ARG_PROCESSES} $<TARGET_FILE:${name}>)
    set(ARG_ALONE TRUE)
  else()
    set(filter)
    if(DEEPRACK_SANITIZE AND ARG_SANITIZED)
      set(filter "--gtest_filter=${ARG_SANITIZED}")
    endif()
    add_test(NAME ${name} COMMAND ${name} ${filter})
  endif()
  # Those that may take longest begin first.
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} COST ${ARG_TIMEOUT} RUN_SERIAL ${ARG_ALONE})
endfunction()
