#!/bin/sh
# Checks what the README promises under "Quick start": the first two sh blocks are one line each, they run scripts that
# exist, and what runs for every change is the second.
#
#   check_quick_start.sh <source directory>
set -eu
cd "$1"

commands=$(awk '
  /^## /{ inside = ($0 == "## Quick start"); next }
  !inside { next }
  fence && /^```/ { fence = 0; if (lines != 1) { print "block " blocks " has " lines " lines" > "/dev/stderr"; exit 1 }; next }
  fence { ++lines; print; next }
  /^```sh/ && blocks < 2 { fence = 1; ++blocks; lines = 0 }
  END { if (blocks < 2) { print "found " blocks + 0 " sh blocks, there must be two" > "/dev/stderr"; exit 1 } }
' README.md)

# The scripts are the words that end in .sh.
main_job=$(printf '%s\n' "$commands" | sed -n '1p' | grep -o '[^ ]*\.sh')
all_tests=$(printf '%s\n' "$commands" | sed -n '2p' | grep -o '[^ ]*\.sh')
for script in "$main_job" "$all_tests"; do
  [ -x "$script" ] || { echo "$script is not an executable file"; exit 1; }
done
grep -q "${all_tests#./}" .ci/run || { echo ".ci/run does not run $all_tests"; exit 1; }
