#!/bin/sh
# Runs an example and compares what it prints with what the end of its source says:
#
#   // prints:
#   //   a line
#   //   another
#
#   check_example_output.sh <source.cpp> <program>
set -eu
source=$1
program=$2

awk -v source="$source" '
  function fail(message) { printf "%s:%d: %s\n", source, NR, message >"/dev/stderr"; bad = 1; exit 1 }
  /^\/\/ prints:$/ { if (inside) fail("a second `// prints:`"); inside = 1; next }
  inside {
    if (!sub(/^\/\/   /, "")) fail("below `// prints:` every line must begin with `//` and three spaces")
    print
    ++count
  }
  END { if (!bad && !count) fail("the source must end with `// prints:` and the lines that it prints") }
' "$source" >"$program.expected"

if ! "$program" >"$program.actual"; then
  echo "FAILED $program ends with an error, having printed"
  cat "$program.actual"
  exit 1
fi
if ! diff -u "$program.expected" "$program.actual"; then
  echo "FAILED $source says something else (-) than the program prints (+)"
  exit 1
fi
