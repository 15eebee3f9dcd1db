#!/bin/sh
# Compiles and runs the C++ in a Markdown document, so that what a reader copies works.
#
#   run_snippets.sh <document.md> <working directory> <compiler> <options>...
#
# Every ```cpp block stands below a line that names it:
#
#   <!-- snippet: NAME -->              a program, if it has an `int main`; else statements, which are put into one
#                                       with rotary.hpp included
#   <!-- snippet: NAME after OTHER -->  statements that go on where OTHER's ended
#
# and a ```text block below a line
#
#   <!-- output: NAME -->               is exactly what that program prints.
set -eu
document=$1
work=$2
shift 2

rm -rf "$work"
mkdir -p "$work"

# Cuts the document into NAME.code and NAME.expected, in order in `names`.
awk -v work="$work" -v document="$document" '
  function fail(message) { printf "%s:%d: %s\n", document, NR, message; bad = 1; exit 1 }
  function marked_name(line) { sub(/^<!-- *[a-z]+: */, "", line); sub(/ *-->.*$/, "", line); return line }

  fence && /^```[ \t]*$/ { if (target) close(target); fence = 0; target = ""; next }
  fence { if (target) print > target; next }

  /^<!-- *snippet:/ { snippet = marked_name($0); next }
  /^<!-- *output:/ { output = marked_name($0); next }
  /^```/ {
    fence = 1
    language = substr($0, 4)
    if (language ~ /^(cpp|c\+\+)/) {
      if (snippet == "") fail("a cpp block without a line `<!-- snippet: NAME -->` above it")
      words = split(snippet, word, " ")
      if (words != 1 && !(words == 3 && word[2] == "after" && word[3] in seen)) fail("cannot read `" snippet "`")
      if (word[1] in seen) fail("two snippets are named " word[1])
      seen[word[1]] = 1
      target = work "/" word[1] ".code"
      printf "" > target
      print word[1], (words == 3 ? word[3] : "") > (work "/names")
      snippet = ""
    } else if (output != "") {
      if (!(output in seen)) fail("there is no snippet " output " above its output")
      target = work "/" output ".expected"
      printf "" > target
      output = ""
    }
    if (snippet != "" || output != "") fail("a marker without its block")
    next
  }
  /[^ \t]/ && (snippet != "" || output != "") { fail("a marker without its block") }
  END { if (!bad && (fence || snippet != "" || output != "")) fail("a block or a marker is left open at the end") }
' "$document"

if [ ! -s "$work/names" ]; then
  echo "$document has no cpp blocks"
  exit 0
fi

failures=0
while read -r name other; do
  code=$work/$name.code
  if grep -q 'int main *(' "$code"; then
    cp "$code" "$work/$name.cpp"
  else
    # Statements may come with their own #include lines, which go to the top.
    if [ "$other" ]; then cat "$work/$other.code" "$code" >"$work/joined" && mv "$work/joined" "$code"; fi
    {
      echo '#include <rotary/rotary.hpp>'
      grep '^ *#include' "$code" || true
      echo 'int main() {'
      grep -v '^ *#include' "$code" || true
      echo '}'
    } >"$work/$name.cpp"
  fi

  if ! "$@" "$work/$name.cpp" -o "$work/$name" 2>"$work/$name.log"; then
    echo "FAILED $name does not compile"
    cat "$work/$name.log"
  elif ! "$work/$name" >"$work/$name.actual" 2>"$work/$name.log"; then
    echo "FAILED $name ends with an error"
    cat "$work/$name.actual" "$work/$name.log"
  elif [ -e "$work/$name.expected" ] && ! diff -u "$work/$name.expected" "$work/$name.actual"; then
    echo "FAILED $name prints something else than the document says (-: said, +: printed)"
  else
    echo "ok     $name"
    continue
  fi
  failures=$((failures + 1))
done <"$work/names"
[ "$failures" -eq 0 ]
