#!/usr/bin/env bash
# The main job in one command: builds the first example and the trainer, runs both, and prints what they print.
# On Debian and Ubuntu it installs what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. .ci/install_missing.sh

install_missing g++ cmake ninja-build=can_build libeigen3-dev=eigen3/Eigen/Core \
  nlohmann-json3-dev=nlohmann/json.hpp libcli11-dev=CLI/CLI.hpp 'gnuplot-nox=gnuplot?'

build=build/quick_start
if command -v ninja >/dev/null 2>&1; then export CMAKE_GENERATOR="${CMAKE_GENERATOR:-Ninja}"; fi

echo "-- building in $build"
mkdir -p "$build"
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DROTARY_WERROR=OFF -DROTARY_BUILD_TESTS=OFF \
  -DROTARY_BUILD_BENCHMARKS=OFF >"$build/configure.log" 2>&1 || { cat "$build/configure.log" >&2; exit 1; }
cmake --build "$build" --parallel "$(getconf _NPROCESSORS_ONLN)" --target 01_hello train_transformer

echo "-- examples/01_hello.cpp"
"$build/examples/01_hello"

echo "-- examples/train_transformer"
"$build/examples/train_transformer/train_transformer" --demo --out "$build/demo"
