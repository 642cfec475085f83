# Precompiled headers. Two thirds of the time of a typical unit went to reading the same headers of libraries again.
#
# Three sets, each compiled once in a build:
#   headers_of_libraries   the standard library, Abseil and JSON: every deeprack_library and deeprack_program
#   headers_of_grpc        these and gRPC: what names GRPC_HEADERS
#   headers_of_tests       these without gRPC, and GoogleTest: every deeprack_test
# A set holds headers of installed packages only. A header of deeprack in a set would make each change of that header compile
# everything again.
#
# A unit that forgets an #include still compiles where a set brings the header. The tsan and fuzz presets build without
# precompiled headers, so that CI finds the missing #include.

set(library_headers
    <algorithm> <array> <atomic> <bit> <chrono> <cmath> <condition_variable> <cstdint> <cstdio> <cstring> <filesystem> <fstream>
    <functional> <limits> <map> <memory> <mutex> <optional> <random> <set> <span> <string> <string_view> <thread> <utility>
    <variant> <vector>
    <absl/container/flat_hash_map.h> <absl/status/status.h> <absl/status/statusor.h> <absl/strings/str_cat.h>
    <absl/strings/str_format.h> <absl/strings/str_join.h> <absl/strings/str_split.h> <absl/time/time.h> <nlohmann/json.hpp>)
set(library_targets absl::flat_hash_map absl::status absl::statusor absl::strings absl::str_format absl::time
    nlohmann_json::nlohmann_json)

function(deeprack_precompile name headers targets)
  file(WRITE ${CMAKE_BINARY_DIR}/${name}.cc.new "// The precompiled headers need a target, and a target needs a source.\n")
  file(COPY_FILE ${CMAKE_BINARY_DIR}/${name}.cc.new ${CMAKE_BINARY_DIR}/${name}.cc ONLY_IF_DIFFERENT)
  add_library(${name} OBJECT EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/${name}.cc)
  target_link_libraries(${name} PRIVATE deeprack_flags ${targets})
  target_precompile_headers(${name} PRIVATE ${headers})
endfunction()

if(DEEPRACK_PRECOMPILED_HEADERS)
  # A precompiled header fits units with -fPIC or units with -fPIE. Programs take -fPIC, as libraries do.
  set(CMAKE_CXX_COMPILE_OPTIONS_PIE ${CMAKE_CXX_COMPILE_OPTIONS_PIC})
  deeprack_precompile(headers_of_libraries "${library_headers}" "${library_targets}")
  deeprack_precompile(headers_of_grpc "${library_headers};<grpcpp/grpcpp.h>" "${library_targets};gRPC::grpc++;protobuf::libprotobuf")
  if(DEEPRACK_TESTS)
    deeprack_precompile(headers_of_tests "${library_headers};<gmock/gmock.h>;<gtest/gtest.h>"
                        "${library_targets};GTest::gtest;GTest::gmock")
  endif()
endif()

function(deeprack_use_headers target set)
  if(DEEPRACK_PRECOMPILED_HEADERS)
    target_precompile_headers(${target} REUSE_FROM ${set})
    # ccache looks for the precompiled header in the output of the preprocessor.
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fpch-preprocess>)
  endif()
endfunction()
