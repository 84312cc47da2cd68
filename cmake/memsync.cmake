# What every module's CMakeLists.txt is written with:
#   memsync_library(NAME SOURCES ... LINK ...)      a static library memsync_NAME, with our warnings
#   memsync_test(NAME SOURCES ... LINK ... [LABELS ...] [SERIAL])   a GoogleTest program, one ctest per TEST
#   memsync_lab_test(NAME KERNEL ... TESTS ... [OPTIONS ...])       GoogleTest programs in a QEMU guest, one ctest for all
#   memsync_benchmark(NAME SOURCES ... LINK ...)    a Google Benchmark program
#   memsync_fuzzer(NAME SOURCES ... LINK ...)       a libFuzzer program, with the preset `fuzz` only

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(GTest REQUIRED CONFIG)
find_package(Python3 REQUIRED COMPONENTS Interpreter)
include(GoogleTest)
find_package(nlohmann_json 3.11 REQUIRED CONFIG)
find_package(fmt 9 REQUIRED CONFIG)
find_package(spdlog REQUIRED CONFIG)
find_package(CLI11 REQUIRED CONFIG)
find_package(yaml-cpp REQUIRED CONFIG)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto>=3)
pkg_check_modules(SSL REQUIRED IMPORTED_TARGET libssl>=3)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.85)
if(MEMSYNC_BENCHMARKS)
  find_package(benchmark REQUIRED CONFIG)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(memsync_options INTERFACE)
target_compile_options(memsync_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
  # g++ 12 sees overlaps in std::string that are not there (GCC bug 105329).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>)
target_include_directories(memsync_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
target_link_libraries(memsync_options INTERFACE Threads::Threads)
if(MEMSYNC_SANITIZE)
  target_compile_options(memsync_options INTERFACE
    -fsanitize=${MEMSYNC_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(memsync_options INTERFACE -fsanitize=${MEMSYNC_SANITIZE})
endif()
if(MEMSYNC_FUZZ)
  target_compile_options(memsync_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

function(memsync_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(memsync_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(memsync_${name} PUBLIC memsync_options ${ARG_LINK})
endfunction()

function(memsync_test name)
  cmake_parse_arguments(ARG "SERIAL" "" "SOURCES;LINK;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE memsync_options ${ARG_LINK} GTest::gtest GTest::gmock GTest::gtest_main)
  set(properties TIMEOUT 300)
  if(ARG_LABELS)
    list(APPEND properties LABELS "${ARG_LABELS}")
  endif()
  if(ARG_SERIAL)
    list(APPEND properties RUN_SERIAL TRUE)
  endif()
  # PRE_TEST lists the tests when ctest runs, so a sanitized binary need not start while building.
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 PROPERTIES ${properties})
endfunction()

# TESTS: "TARGET FILTER", each once more under that kernel. OPTIONS are of scripts/vm/run.
function(memsync_lab_test name)
  cmake_parse_arguments(ARG "" "KERNEL" "TESTS;OPTIONS" ${ARGN})
  set(script "failed=0")
  set(files "")
  foreach(test ${ARG_TESTS})
    separate_arguments(words UNIX_COMMAND "${test}")
    list(POP_FRONT words target)
    list(JOIN words ":" filter)
    list(APPEND files --with $<TARGET_FILE:${target}>)
    string(APPEND script
           "$<SEMICOLON> $<TARGET_FILE:${target}> --gtest_color=no --gtest_brief=1 --gtest_filter='${filter}' || failed=1")
  endforeach()
  add_test(NAME lab.${name}
           COMMAND ${PROJECT_SOURCE_DIR}/scripts/vm/run --kernel ${ARG_KERNEL} --clock real --timeout 600
                   ${ARG_OPTIONS} ${files} -- busybox sh -c "${script}$<SEMICOLON> exit $failed")
  # 69: QEMU or the kernel's package is missing; the test's output says what to do.
  set_tests_properties(lab.${name} PROPERTIES LABELS lab TIMEOUT 660 SKIP_RETURN_CODE 69 RUN_SERIAL TRUE)
endfunction()

function(memsync_benchmark name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  if(MEMSYNC_BENCHMARKS AND NOT MEMSYNC_SANITIZE)
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE memsync_options ${ARG_LINK} benchmark::benchmark benchmark::benchmark_main)
  endif()
endfunction()

add_custom_target(fuzzers)  # all of them, and nothing else
function(memsync_fuzzer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  if(MEMSYNC_FUZZ)
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE memsync_options ${ARG_LINK})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_dependencies(fuzzers ${name})
  endif()
endfunction()
