#!/usr/bin/env bash
# What the library costs a compilation: including it, and each further type of tensor that is rotated.
#
#   bench/compile_cost.sh [REPETITIONS]     medians of 5, or of so many; CXX chooses the compiler
#
# Files are compiled in turn, round by round, with -O2 and without a compiler cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. .ci/install_missing.sh
compiler=${CXX:-g++} repetitions=${1:-5}
install_missing g++="$compiler" libeigen3-dev=eigen3/Eigen/Core

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
eigen=${EIGEN3_INCLUDE_DIR:-/usr/include/eigen3}

write() { cat >"$scratch/$1.cpp"; }
write eigen <<'END'
#if __has_include(<unsupported/Eigen/Tensor>)
#include <unsupported/Eigen/Tensor>
#else
#include <unsupported/Eigen/CXX11/Tensor>
#endif
END
write rotary <<<'#include <rotary/rotary.hpp>'
one='
#include <rotary/rotary.hpp>
void one(const rotary::RotaryEmbedding<float>& r, rotary::Tensor<float, 4>& x) { r.rotate_in_place(x); }'
write one <<<"$one"
write type <<<"$one
void two(const rotary::RotaryEmbedding<float>& r, Eigen::Tensor<float, 3>& x) { r.rotate_in_place(x); }"
write scalar <<<"$one
void two(const rotary::RotaryEmbedding<float>& r, rotary::Tensor<Eigen::bfloat16, 4>& x) { r.rotate_in_place(x); }"

# The seconds that the processor gives to compiling a file, so that other programs disturb less.
seconds() {
  local TIMEFORMAT='%U %S'
  { time "$compiler" -std=c++20 -O2 -Iinclude -isystem "$eigen" -c -o "$scratch/$1.o" "$scratch/$1.cpp"; } 2>&1 >/dev/null |
    awk '{ print $1 + $2 }'
}
for ((n = 1; n <= repetitions; ++n)); do
  echo "-- round $n of $repetitions" >&2
  for file in eigen rotary one type scalar; do seconds "$file" >>"$scratch/$file.times"; done
done
median() { sort -n "$scratch/$1.times" | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'; }

"$compiler" --version | awk -v n="$repetitions" 'NR == 1 { print $0 ", -O2, medians of " n ":\n" }'
awk -v eigen="$(median eigen)" -v rotary="$(median rotary)" -v one="$(median one)" -v type="$(median type)" \
  -v scalar="$(median scalar)" '
  function line(what, over, seconds, goal) {
    printf "| %s | %s | %.2f s | %s | %s |\n", what, over, seconds, goal ? "≤ " goal " s" : "–",
      !goal ? "" : seconds <= goal ? "ok" : "above"
  }
  BEGIN {
    print "| what | over | costs | goal | |\n|---|---|---|---|---|"
    line("Eigen'"'"'s Tensor header", "nothing", eigen, 0)
    line("rotary/rotary.hpp", "Eigen'"'"'s Tensor header", rotary - eigen, 0.5)
    line("a rank-4 row-major float tensor rotated", "rotary/rotary.hpp", one - rotary, 0)
    line("also a rank-3 column-major float tensor", "that", type - one, 0.15)
    line("also a rank-4 bfloat16 tensor", "the rank-4 float tensor", scalar - one, 0)
  }'
