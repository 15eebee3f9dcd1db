#!/usr/bin/env bash
# What the library costs a compilation, in seconds and in bytes of machine code: including it, and attention, the first tensor
# that is rotated, each further type of tensor, and a rotation where `rotary::compiled` has the instantiations.
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
write attention <<<'#include <rotary/rotary.hpp>
#include <rotary/attention.hpp>'
one='
#include <rotary/rotary.hpp>
void one(const rotary::RotaryEmbedding<float>& r, rotary::Tensor<float, 4>& x) { r.rotate_in_place(x); }'
write one <<<"$one"
write compiled <<<"#define ROTARY_COMPILED
$one"
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
  for file in eigen rotary attention one compiled type scalar; do seconds "$file" >>"$scratch/$file.times"; done
done
# Bytes of machine code and constants in an object file: those of all its sections that are loaded and not written.
text() { size "$scratch/$1.o" | awk 'NR == 2 { print $1 }'; }
median() { sort -n "$scratch/$1.times" | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'; }

"$compiler" --version | awk -v n="$repetitions" 'NR == 1 { print $0 ", -O2, medians of " n ":\n" }'
if [[ -f include/rotary/apply/compiled.hpp ]]; then compiled=$(median compiled) compiled_text=$(text compiled); fi
awk -v eigen="$(median eigen)" -v rotary="$(median rotary)" -v attention="$(median attention)" -v one="$(median one)" -v type="$(median type)" \
  -v scalar="$(median scalar)" -v compiled="${compiled:-}" -v eigen_text="$(text eigen)" -v rotary_text="$(text rotary)" \
  -v attention_text="$(text attention)" -v one_text="$(text one)" -v type_text="$(text type)" -v scalar_text="$(text scalar)" \
  -v compiled_text="${compiled_text:-0}" '
  function line(what, over, seconds, bytes, goal, goal_bytes) {
    printf "| %s | %s | %.2f s | %.1f KB | %s | %s |\n", what, over, seconds, bytes / 1000,
      goal ? "≤ " goal " s" (goal_bytes ? ", ≤ " goal_bytes " KB" : "") : "–",
      !goal ? "" : seconds <= goal && (!goal_bytes || bytes <= 1000 * goal_bytes) ? "ok" : "above"
  }
  BEGIN {
    print "| what | over | costs | code | goal | |\n|---|---|---|---|---|---|"
    line("Eigen'"'"'s Tensor header", "nothing", eigen, eigen_text, 0)
    line("rotary/rotary.hpp", "Eigen'"'"'s Tensor header", rotary - eigen, rotary_text - eigen_text, 0.5)
    line("rotary/attention.hpp", "rotary/rotary.hpp", attention - rotary, attention_text - rotary_text, 0)
    line("a rank-4 row-major float tensor rotated", "rotary/rotary.hpp", one - rotary, one_text - rotary_text, 3, 60)
    if (compiled) line("the same with rotary::compiled", "rotary/rotary.hpp", compiled - rotary, compiled_text - rotary_text, 0.5, 10)
    line("also a rank-3 column-major float tensor", "that", type - one, type_text - one_text, 0.15)
    line("also a rank-4 bfloat16 tensor", "the rank-4 float tensor", scalar - one, scalar_text - one_text, 0)
  }'
