#!/usr/bin/env bash
# Runs all tests; the exit code is 0 only if everything passed.
#
#   tests/run.sh              with clang++ -O0, which compiles in half the time of g++; what depends on the compiler, with both
#   tests/run.sh --gcc        with g++ -O0 instead
#   tests/run.sh --sanitize   also with clang++, under the address and undefined behaviour sanitizers
#   tests/run.sh --thread-sanitizer  only the tests with threads, with clang++ under the thread sanitizer
#   tests/run.sh --fuzz       only the fuzz targets of tests/fuzz, each for a minute, with clang++ under the sanitizers
#   tests/run.sh --memory-sanitizer  the library's own tests, with clang++ under the memory sanitizer
#   tests/run.sh --coverage   the tests with clang++; prints which lines of include/rotary they run, and fails if they
#                             leave out a line that has no reason next to it
#   tests/run.sh --neon       also for AArch64, by a cross compiler, under qemu
#   tests/run.sh --all        all of these but --gcc, coverage and the memory sanitizer; also g++ -O2, other compilers and
#                             instruction sets, assertions off, and the benchmarks built; for AArch64 on Debian only, which
#                             has the libraries for every processor
#
# On Debian and Ubuntu it installs what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. .ci/install_missing.sh

all=
sanitize=
neon=
threads=
fuzz=
memory=
coverage=
gcc=
only=()    # tests to build and run, all if empty
matching=  # a regular expression of the tests to run, all if empty
case "${1-}" in
  '') ;;
  --gcc) gcc=yes ;;
  --sanitize) sanitize=yes ;;
  --thread-sanitizer) threads=yes ;;
  --fuzz) fuzz=yes ;;
  --memory-sanitizer) memory=yes ;;
  --coverage) coverage=yes ;;
  --neon) neon=yes ;;
  --all)
    all=yes sanitize=yes threads=yes fuzz=yes
    if on_debian; then neon=yes; fi
    ;;
  *)
    echo "usage: tests/run.sh [--gcc | --sanitize | --thread-sanitizer | --memory-sanitizer | --coverage | --fuzz | --neon | --all]" >&2
    exit 2
    ;;
esac

can_sanitize() { clang++ -fsanitize=address,undefined -x c++ -o /dev/null - <<<'int main() {}'; }
can_find_uninitialised() { clang++ -fsanitize=memory -x c++ -o /dev/null - <<<'int main() {}'; }
can_build_googletest() { [[ -e /usr/src/googletest/googletest/src/gtest-all.cc ]]; }
can_profile() { clang++ -fprofile-instr-generate -x c++ -o /dev/null - <<<'int main() {}'; }
can_find_races() { clang++ -fsanitize=thread -x c++ -o /dev/null - <<<'int main() {}'; }
can_fuzz() { clang++ -fsanitize=fuzzer -x c++ -o /dev/null - <<<'extern "C" int LLVMFuzzerTestOneInput() { return 0; }'; }
can_link_arm64() { aarch64-linux-gnu-g++ -x c++ -o /dev/null - -lgtest -lmpfr -lgmp <<<'int main() {}'; }

install_missing g++ clang=clang++ ${sanitize:+libclang-rt-dev=can_sanitize} \
  ${threads:+libclang-rt-dev=can_find_races} ${fuzz:+libclang-rt-dev=can_fuzz} \
  ${memory:+libclang-rt-dev=can_find_uninitialised googletest=can_build_googletest} \
  ${coverage:+libclang-rt-dev=can_profile llvm=llvm-cov python3} cmake ninja-build=can_build 'ccache?' \
  libeigen3-dev=eigen3/Eigen/Core libgtest-dev=gtest/gtest.h nlohmann-json3-dev=nlohmann/json.hpp \
  libcli11-dev=CLI/CLI.hpp libmpfr-dev=mpfr.h libgmp-dev=gmp.h 'qemu-user=qemu-x86_64?' 'libopenmpi-dev=mpi/mpi.h?' 'openmpi-bin=mpirun?' ${all:+libbenchmark-dev=benchmark/benchmark.h} \
  ${neon:+g++-aarch64-linux-gnu=aarch64-linux-gnu-g++ qemu-user=qemu-aarch64 libgtest-dev:arm64=can_link_arm64
    libmpfr-dev:arm64=can_link_arm64 libgmp-dev:arm64=can_link_arm64}

jobs=$(getconf _NPROCESSORS_ONLN)
keep_going=(-k)
if command -v ninja >/dev/null 2>&1; then
  export CMAKE_GENERATOR="${CMAKE_GENERATOR:-Ninja}"
  keep_going=(-k 0)
fi
summary=()
failed=

# test_with <title> <preset of CMakePresets.json> <further options of cmake>...
# A test that does not build counts as failed; the others run all the same.
test_with() {
  local title=$1 preset=$2
  build=build/tests/$((${#summary[@]} / 2 + 1))-$2
  shift 2
  printf '\n== %s (%s)\n' "$title" "$build"
  SECONDS=0
  mkdir -p "$build"
  rm -rf "$build/tests/profiles"
  if ! cmake --preset "$preset" -B "$build" "$@" >"$build/configure.log" 2>&1; then
    cat "$build/configure.log"
    failed=yes
    summary+=("$title" "not configured")
    return
  fi
  cmake --build "$build" --parallel "$jobs" ${only[@]+--target "${only[@]}"} -- "${keep_going[@]}" || failed=yes
  echo "-- built in $SECONDS s"
  ctest --test-dir "$build" --parallel "$jobs" ${only[@]+-R "^($(IFS='|' && echo "${only[*]}"))\$"} ${matching:+-R "$matching"} --output-on-failure --no-tests=error | tee "$build/ctest.log" || failed=yes
  summary+=("$title, $SECONDS s" "$(grep 'tests passed' "$build/ctest.log" || echo "no tests ran")")
}

# Looks for new inputs, for as many seconds with each target. Those that are stored are where it starts; new ones go to the
# build folder, and those that break a promise to its folder `findings`.
fuzz_for() {
  local seconds=$1 build=build/tests/fuzz target name
  printf '\n== fuzz targets, %s s each (%s)\n' "$seconds" "$build"
  mkdir -p "$build/findings"
  if ! cmake --preset fuzz -B "$build" >"$build/configure.log" 2>&1; then
    cat "$build/configure.log"
    failed=yes
    summary+=("fuzz targets" "not configured")
    return
  fi
  if ! cmake --build "$build" --parallel "$jobs" --target fuzzers; then
    failed=yes
    summary+=("fuzz targets" "not built")
    return
  fi
  # A call may use little memory, and little time: sizes that are merely named cost nothing. One target for each processor
  # at a time.
  printf '%s\n' tests/fuzz/*_fuzz.cpp | xargs -P "$jobs" -I{} bash -c '
    build=$1 seconds=$2 name=$(basename "$3" _fuzz.cpp)
    mkdir -p "$build/corpus/$name"
    "$build/tests/fuzz/${name}_fuzz" -max_total_time="$seconds" -timeout=20 -malloc_limit_mb=256 -rss_limit_mb=2048 \
      -artifact_prefix="$build/findings/$name-" -print_final_stats=1 "$build/corpus/$name" "tests/fuzz/corpus/$name" \
      >"$build/$name.log" 2>&1
    echo $? >"$build/$name.status"' bash "$build" "$seconds" {}
  for target in tests/fuzz/*_fuzz.cpp; do
    name=$(basename "$target" _fuzz.cpp)
    if [[ $(cat "$build/$name.status") == 0 ]]; then
      summary+=("fuzz target $name" "$(sed -n 's/^stat::number_of_executed_units: *\(.*\)/no finding in \1 inputs/p' "$build/$name.log")")
    else
      printf -- '-- %s\n' "$name"
      tail -n 60 "$build/$name.log"
      failed=yes
      summary+=("fuzz target $name" "a finding: see $build/findings and $build/$name.log")
    fi
  done
}

if [[ $threads ]]; then
  only=(concurrency_test)
  test_with 'clang++, thread sanitizer' tsan
  only=()
fi
if [[ $memory ]]; then
  matching='_test$'  # no snippets and corpora, which are read from folders
  test_with 'clang++, memory sanitizer' msan
  matching=
fi
if [[ $coverage ]]; then
  mapfile -t only < <(cd tests && printf '%s\n' */*_test.cpp | sed 's,.*/,,; s/\.cpp$//; /^train_resume_test$/d; /^generate_test$/d')
  test_with 'clang++, line coverage' coverage
  python3 tests/coverage.py "$build" || failed=yes
  only=()
fi
# Compiling takes most of the time, and least with -O0. Kernels and attention are compiled with -O2, once.
if [[ $gcc ]]; then
  test_with 'g++ -O0, assertions on' release -DCMAKE_CXX_COMPILER=g++ -DCMAKE_CXX_FLAGS_RELEASE=-O0
elif [[ $all || ! "$threads$memory$coverage$fuzz" ]]; then
  test_with 'clang++ -O0, assertions on' clang -DCMAKE_CXX_FLAGS_RELEASE=-O0
fi
if [[ $sanitize ]]; then
  test_with 'clang++, address and undefined behaviour sanitizers' asan
fi
if [[ $fuzz ]]; then
  fuzz_for 60
fi
if [[ $neon ]]; then
  test_with 'g++, for AArch64, under qemu' neon
fi
if [[ $all ]]; then
  test_with 'g++ -O2, assertions on' release -DCMAKE_CXX_COMPILER=g++ -DROTARY_TEST_ALL_FLAGS=ON
  test_with 'g++, address and undefined behaviour sanitizers' release -DCMAKE_CXX_COMPILER=g++ \
    -DCMAKE_CXX_FLAGS_RELEASE='-O1 -g1' -DROTARY_SANITIZE=address,undefined
  test_with 'clang++, optimised, assertions on' clang
  test_with 'g++, for this processor, and the benchmarks' release -DCMAKE_CXX_COMPILER=g++ \
    -DCMAKE_CXX_FLAGS=-march=native -DROTARY_BUILD_BENCHMARKS=ON
  test_with 'g++, plain loops instead of vector extensions' scalar -DCMAKE_CXX_COMPILER=g++
  test_with 'g++, assertions off' release -DCMAKE_CXX_COMPILER=g++ -DCMAKE_CXX_FLAGS_RELEASE='-O3 -DNDEBUG'
fi

printf '\n== summary\n'
printf '%s\n%s\n' "${summary[@]}"
[[ ! $failed ]]
