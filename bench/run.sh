#!/usr/bin/env bash
# Builds and runs all benchmarks, and prints two tables of ratios: the goals of the interface, against loops written by
# hand and against our own plainest call, and then all other promises of speed.
#
#   bench/run.sh                  everything, some minutes
#   bench/run.sh --quick          shorter rounds and smaller tensors, within a minute
#   bench/run.sh --smoke          each benchmark once: does it run, and is its answer right?
#   bench/run.sh --json FILE      what was measured, as JSON of Google Benchmark, also to FILE
#   bench/run.sh --filter REGEX   only the benchmarks whose names match
#
# Release with -O2 and without -march, as a user's program may be built. CXX chooses the compiler. Results stay in
# build/bench-<compiler>/results. On Debian and Ubuntu what is missing is installed.
set -euo pipefail
started_in=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. .ci/install_missing.sh

flags=() json= smoke=
while [[ $# -gt 0 ]]; do
  case $1 in
    --quick) flags+=(--quick) ;;
    --smoke) flags+=(--smoke) smoke=yes ;;
    --json) json=${2:?--json needs a file} && shift ;;
    --filter) flags+=("--benchmark_filter=${2:?--filter needs a regular expression}") && shift ;;
    *)
      sed -n '2,/^set/s/^# \{0,1\}//p' "bench/run.sh" >&2
      exit 2
      ;;
  esac
  shift
done
if [[ $json && $json != /* ]]; then json=$started_in/$json; fi

compiler=${CXX:-g++}
install_missing g++="$compiler" cmake ninja-build=can_build 'ccache?' libeigen3-dev=eigen3/Eigen/Core \
  libbenchmark-dev=benchmark/benchmark.h 'gnuplot-nox=gnuplot?' 'libopenmpi-dev=mpi/mpi.h?' 'openmpi-bin=mpirun?'
if command -v ninja >/dev/null 2>&1; then export CMAKE_GENERATOR="${CMAKE_GENERATOR:-Ninja}"; fi

build=${ROTARY_BENCH_BUILD:-build/bench-$(basename "$compiler")}
results=$build/results
echo "-- building in $build"
mkdir -p "$results"
rm -f "$results"/*
if ! cmake -S . -B "$build" -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_CXX_FLAGS_RELEASE=-O2 -DROTARY_BUILD_TESTS=OFF -DROTARY_BUILD_EXAMPLES=OFF \
  -DROTARY_BUILD_BENCHMARKS=ON >"$build/configure.log" 2>&1; then
  cat "$build/configure.log" >&2
  exit 1
fi
cmake --build "$build" --parallel "$(getconf _NPROCESSORS_ONLN)"

# For ring_bench. Open MPI refuses to run as root, and more ranks than processors, unless these are set.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1

SECONDS=0 failed=
programs=(bench/*_bench.cpp)
measured=()
for n in "${!programs[@]}"; do
  name=$(basename "${programs[n]}" .cpp)
  printf '\n[%d/%d] %s, after %d s\n' $((n + 1)) ${#programs[@]} "$name" "$SECONDS"
  file=$results/$name.json
  launcher=()
  if [[ $name == ring_bench ]]; then
    if [[ ! -x $build/bench/$name ]]; then echo "needs MPI, left out" && continue; fi
    launcher=(mpirun -n 2)
  fi
  "${launcher[@]}" "$build/bench/$name" "${flags[@]}" --benchmark_out="$file" --benchmark_out_format=json || failed=yes
  if grep -q '"ratio"' "$file" 2>/dev/null; then measured+=("$file"); fi
done

if [[ ${#measured[@]} -eq 0 ]]; then
  echo "bench/run.sh: nothing was measured" >&2
  exit 1
fi
awk -f bench/report/merge.awk "${measured[@]}" >"$results/all.json"
if [[ $json ]]; then cp "$results/all.json" "$json"; fi
if [[ $smoke ]]; then
  printf '\n-- every benchmark ran once in %d s; times of so short a run mean nothing\n' "$SECONDS"
  [[ ! $failed ]]
  exit
fi

{
  awk -f bench/report/context.awk "$results/all.json"
  for rows in -vonly=^hand/ -vwithout=^hand/; do
    echo
    awk "$rows" -f bench/report/table.awk "$results/all.json"
  done
} >"$results/table.md"
awk -v every=1 -f bench/report/table.awk "$results/all.json" >"$results/every.md"
echo
cat "$results/table.md"
printf '\n-- measured in %d s; a line for each benchmark: %s\n' "$SECONDS" "$results/every.md"

awk -f bench/report/sizes.awk "$results/all.json" >"$results/sizes.txt"
if [[ ! -s $results/sizes.txt ]]; then
  :
elif command -v gnuplot >/dev/null 2>&1; then
  gnuplot -e "data='$results/sizes.txt'; picture='$results/sizes.svg'" bench/report/sizes.gp
  echo "-- bytes per second against size: $results/sizes.svg"
else
  echo "-- no picture, since gnuplot is missing; its numbers are in $results/sizes.txt"
fi
[[ ! $failed ]]
