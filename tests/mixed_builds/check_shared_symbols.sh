#!/bin/sh
# Checks that units compiled with different flags share no code: the linker keeps one copy of a weak symbol, for all.
#
#   check_shared_symbols.sh <list of exceptions> <object>...
#
# The list has one extended regular expression per line, for a whole demangled symbol, below a comment with the reason.
set -eu

exceptions=$1
shift
for object in "$@"; do
  nm -C --defined-only "$object" | sed -nE 's/^[0-9a-f]* [WVu] //p' | sort -u
done | sort | uniq -d >"$1.shared"
grep -vE '^(#|$)' "$exceptions" >"$1.exceptions"
if grep -vxEf "$1.exceptions" "$1.shared"; then
  echo "These symbols are defined in several units. Keep them out of the code that a call runs (use a type of namespace"
  echo "rotary::ROTARY_ABI), or add them to $exceptions with the reason why any copy is right for all units."
  exit 1
fi
