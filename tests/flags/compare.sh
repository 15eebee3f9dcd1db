#!/bin/sh
# compare.sh <hashes.cpp> <output> <reference or ''> <linked with it or ''> <launcher or ''> <compiler> <flags>...
# Compiles, links and runs hashes.cpp, and fails if a hash differs from the reference.
set -eu
source=$1 output=$2 reference=$3 linked=$4 launcher=$5 compiler=$6
shift 6
mkdir -p "$(dirname "$output")"
$launcher "$compiler" "$@" -c "$source" -o "$output.o"
"$compiler" "$@" "$output.o" $linked -o "$output.program"
"$output.program" >"$output"
if [ -n "$reference" ]; then
  diff -u "$reference" "$output"
else
  test "$(wc -l <"$output")" -ge 40
fi
