#!/bin/sh
# Compiles and runs the examples in the doc comments of the headers: every block
#
#   /// @code
#   ///   statements, complete in themselves
#   /// @endcode
#
# becomes a function of one program. Errors of the compiler name the line of the header.
#
#   run_doc_examples.sh <include/rotary> <working directory> <compiler> <options>...
#
# attention/ring.hpp needs MPI: its examples are left out, unless the first argument is that header. Then they run between
# MPI_Init and MPI_Finalize.
set -eu
include_dir=$1
work=$2
shift 2

rm -rf "$work"
mkdir -p "$work"
begin= end=
case $include_dir in
  */ring.hpp)
    echo "$include_dir" >"$work/headers"
    begin='MPI_Init(nullptr, nullptr);'
    end='MPI_Finalize();'
    ;;
  *) find "$include_dir" -name '*.hpp' ! -path '*/attention/ring.hpp' | LC_ALL=C sort >"$work/headers" ;;
esac
xargs awk -v begin="$begin" -v end="$end" '
  /^ *\/\/\/ @code/ {
    inside = 1
    ++count
    printf "static void example_%d() {\n#line %d \"%s\"\n", count, FNR + 1, FILENAME
    next
  }
  /^ *\/\/\/ @endcode/ { inside = 0; print "}"; next }
  inside { sub(/^ *\/\/\/ ?/, ""); print }
  END {
    print "int main() {\n" begin
    for (i = 1; i <= count; ++i) printf "  example_%d();\n", i
    print end "}"
  }
' <"$work/headers" >"$work/functions"

# The includes an example shows go to the top. Headers that rotary.hpp leaves out and nothing else is needed for come
# with it.
{
  for header in rotary attention presets operators/onnx operators/ggml operators/flash_attention; do
    echo "#include <rotary/$header.hpp>"
  done
  grep '^ *#include' "$work/functions" | LC_ALL=C sort -u || true
  sed '/^ *#include/s/.*//' "$work/functions"
} >"$work/doc_examples.cpp"

count=$(grep -c '^static void example_' "$work/functions") || { echo "no doc comment has an example"; exit 1; }
"$@" "$work/doc_examples.cpp" -o "$work/doc_examples"
"$work/doc_examples"
echo "$count examples compiled and run"
