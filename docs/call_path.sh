#!/usr/bin/env bash
# Prints the functions between a call and the multiplication, as the table of ARCHITECTURE.md: where a debugger stops
# at the multiplication of a debug build, outermost first. On x86-64 with a fused multiply-add.
#
#   docs/call_path.sh          one token, its row cached
#   docs/call_path.sh prefill  16 tokens of 8 heads
#   docs/call_path.sh --write  writes the first into ARCHITECTURE.md
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. .ci/install_missing.sh
install_missing g++ gdb libeigen3-dev=eigen3/Eigen/Core

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tokens=1
if [[ ${1-} == prefill ]]; then tokens=16; fi
cat >"$work/call.cpp" <<END
#include <rotary/rotary.hpp>
int main() {
  const rotary::RotaryEmbedding<float> rotary_emb({.dim = 64});
  rotary::Tensor<float, 4> q(1, 8, $tokens, 64);
  q.setConstant(1);
  rotary_emb.rotate_in_place(q, 5);  // computes the rows
  rotary_emb.rotate_in_place(q, 5);
}
END
g++ -std=c++20 -O0 -g -Iinclude -isystem /usr/include/eigen3 "$work/call.cpp" -o "$work/call"
line=$(grep -n vfmaddsub231ps include/rotary/kernels/simd.hpp | cut -d: -f1)
gdb -q -batch -ex 'set pagination off' -ex 'set print frame-arguments none' -ex 'set print address off' -ex 'set width 0' \
  -ex 'break call.cpp:7' -ex run -ex "break simd.hpp:$line" -ex continue -ex backtrace "$work/call" >"$work/log" 2>&1

# Lambdas, and the loops that unroll them, belong to the function that contains them.
print_path() {
  sed -n 's/^#[0-9]* *//p' "$work/log" | awk '
  / at call\.cpp/ || /^main/ { next }
  {
    file = $0
    sub(/.* at /, "", file)
    sub(/:[0-9]+$/, "", file)
    sub(/.*include\/rotary\//, "", file)
    while (file ~ /[a-z_]+\/\.\.\//) sub(/[a-z_]+\/\.\.\//, "", file)
    name = $0
    if (name ~ /lambda/ || name ~ /^_Z/ || name ~ /unrolled/) next
    while (name ~ /<[^<>]*>/) gsub(/<[^<>]*>/, "", name)
    sub(/\(.*/, "", name)
    gsub(/rotary::v[0-9_A-Za-z]*::|kernels::|detail::| /, "", name)
    if (name == last && file == last_file) next
    last = name
    last_file = file
    names[++count] = name
    files[count] = file
    if (!(file in seen)) { seen[file] = 1; ++file_count }
  }
  END {
    if (count < 3) { print "the debugger did not stop at the multiplication" > "/dev/stderr"; exit 1 }
    print "| | function | file |\n|---:|---|---|"
    for (i = count; i > 0; --i) printf "| %d | `%s` | `%s` |\n", count - i + 1, names[i], files[i]
    printf "\n%d functions in %d files.\n", count, file_count
  }'
}

if [[ ${1-} == --write ]]; then
  print_path >"$work/path"
  sed -i -e '/^<!-- call path:/,/^<!-- end of call path/{/^<!--/!d}' -e "/^<!-- call path:/r $work/path" ARCHITECTURE.md
else
  print_path
fi
