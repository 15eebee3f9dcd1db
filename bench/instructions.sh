#!/usr/bin/env bash
# Instructions of one call on one head of one token, as MQA and head-by-head callers make it, counted by callgrind.
#
#   bench/instructions.sh     CXX chooses the compiler
#
# Built with -O2 and without -march. Where valgrind lacks AVX-512, the counts are those of the AVX2 kernels.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. .ci/install_missing.sh
compiler=${CXX:-g++}
install_missing g++="$compiler" libeigen3-dev=eigen3/Eigen/Core valgrind

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/one_head.cpp" <<'END'
#include <cstdlib>
#include <cstring>
#include <rotary/rotary_embedding.hpp>

namespace {

void in_place(const rotary::RotaryEmbedding<float>& r, float* head) {
  r.rotate_in_place(rotary::StridedView<float>(head, {1, 128}), 1000);
}
void token_in_place(const rotary::RotaryEmbedding<float>& r, float* head) {
  r.rotate_token_in_place(rotary::StridedView<float>(head, {1, 128}), 1000);
}

}  // namespace

int main(int, char** arguments) {
  const rotary::RotaryEmbedding<float> half({.dim = 128, .pairing = rotary::Pairing::half}), interleaved({.dim = 128});
  const auto& r = std::strcmp(arguments[1], "half") == 0 ? half : interleaved;
  const auto call = std::strcmp(arguments[2], "rotate_in_place") == 0 ? in_place : token_in_place;
  float head[128] = {1};
  for (int n = std::atoi(arguments[3]); n > 0; --n) call(r, head);
  return head[0] == 12345.0f;
}
END
"$compiler" -std=c++20 -O2 -Iinclude -isystem "${EIGEN3_INCLUDE_DIR:-/usr/include/eigen3}" -o "$scratch/one_head" \
  "$scratch/one_head.cpp"

# The instructions of a whole run with so many calls.
instructions() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$scratch/one_head" "$@" 2>&1 |
    awk '/Collected/ { print $NF }'
}
printf '%s, -O2: instructions of one call on one head of 128 features\n\n' "$("$compiler" --version | head -n 1)"
printf '| pairing | call | instructions | goal | |\n|---|---|---|---|---|\n'
for pairing in interleaved half; do
  for call in rotate_in_place rotate_token_in_place; do
    few=$(instructions "$pairing" "$call" 100) many=$(instructions "$pairing" "$call" 1100)
    count=$(((many - few) / 1000))
    printf '| %s | %s | %d | ≤ 300 | %s |\n' "$pairing" "$call" "$count" "$( ((count <= 300)) && echo ok || echo above)"
  done
done
