#!/usr/bin/env bash
# Compares the machine code of the kernels in two commits: a commit that only renames or rewords must not change it.
#
#   tests/support/compare_object_code.sh COMMIT          COMMIT against the files of the work tree
#   tests/support/compare_object_code.sh COMMIT COMMIT
#
# Compiles rotary/apply/compiled.cpp, which holds the instantiations of all four scalars, with `$CXX -O2`. Compared are
# the instructions, their relocations and the numeric constants. Addresses are left out. Every symbol is replaced by a
# number, in order of first appearance, so that a renamed function is equal only if each of its callers follows. The text
# of messages and the line numbers of assertions may differ.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [[ $# -lt 1 || $# -gt 2 ]]; then
  sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
read -ra compiler <<<"${CXX:-g++}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# export_headers <folder> <commit or nothing>: the work tree is what git would add, committed or not.
export_headers() {
  mkdir "$scratch/$1"
  if [[ $2 ]]; then
    git archive "$2" include | tar -x -C "$scratch/$1"
  else
    cp -R include "$scratch/$1"
  fi
}

# listing <folder>: the disassembly and the constants, without names and addresses.
listing() {
  local source
  source=$(cd "$scratch/$1" && find include -name compiled.cpp -not -path '*/attention/*')
  if [[ ! $source ]]; then
    echo "$1 commit: there is no compiled.cpp" >&2
    exit 2
  fi
  # The same relative path for both, as it may end up in a message.
  (cd "$scratch/$1" && "${compiler[@]}" -std=c++20 -O2 -Iinclude -isystem "${EIGEN3_INCLUDE_DIR:-/usr/include/eigen3}" \
    -c -o kernels.o "$source")
  {
    objdump -dr --no-show-raw-insn --no-addresses "$scratch/$1/kernels.o"
    objdump -h "$scratch/$1/kernels.o" | awk '$2 ~ /^\.rodata\.cst|^\.rodata$/ { print $2 }' | sort -u |
      while read -r section; do objdump -s -j "$section" "$scratch/$1/kernels.o"; done
  } | awk '
    /file format/ { next }
    /^Disassembly of section/ { next }
    {
      # A string literal is at an offset that depends on the text of those before it.
      gsub(/\.rodata(\.[A-Za-z0-9_$.]+)?\.str[0-9.]*[+-]0x[0-9a-f]+/, "string")
      line = ""
      while (match($0, /[.A-Za-z_$][.A-Za-z0-9_$]*_Z[A-Za-z0-9_$.]+|_Z[A-Za-z0-9_$.]+/)) {
        name = substr($0, RSTART, RLENGTH)
        if (!(name in number)) number[name] = ++count
        line = line substr($0, 1, RSTART - 1) "symbol" number[name]
        $0 = substr($0, RSTART + RLENGTH)
      }
      print line $0
    }' >"$scratch/$1.txt"
}

export_headers first "$1"
export_headers second "${2-}"
listing first
listing second
if cmp -s "$scratch/first.txt" "$scratch/second.txt"; then
  echo "identical: $(wc -l <"$scratch/first.txt") lines of instructions and constants"
else
  diff -U 3 "$scratch/first.txt" "$scratch/second.txt" | head -n 60 || true
  echo "the machine code differs" >&2
  exit 1
fi
