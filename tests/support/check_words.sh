#!/usr/bin/env bash
# Checks the words of comments, identifiers and documents, and the form of comments:
#
#   - none of the home-made terms of words.txt,
#   - no doc comment that begins with "The same": an editor shows it alone,
#   - no picture, banner or list that a formatter has reflowed.
#
#   check_words.sh FOLDER [WORDS]     FOLDER holds include/, tests/, README.md, ..., as many as there are
#
# To see it fail, run it on the headers of an old commit:
#
#   mkdir /tmp/old && git archive 93f35d3 include | tar -x -C /tmp/old && tests/support/check_words.sh /tmp/old
set -euo pipefail
export LC_ALL=C
folder=$1
words=${2:-$(dirname "${BASH_SOURCE[0]}")/../words.txt}
words=$(realpath "$words")
cd "$folder"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The files to read: text that people write. Recorded data and the list of words itself are not.
roots=()
for root in include tests bench examples docs README.md ARCHITECTURE.md CONTRIBUTING.md SECURITY.md; do
  if [[ -e $root ]]; then roots+=("$root"); fi
done
if [[ ${#roots[@]} -eq 0 ]]; then
  echo "check_words.sh: $folder holds neither sources nor documents" >&2
  exit 2
fi
find "${roots[@]}" -type f \( -name '*.hpp' -o -name '*.cpp' -o -name '*.md' -o -name '*.sh' -o -name '*.cmake' \
  -o -name '*.txt' -o -name '*.awk' -o -name '*.gp' \) ! -name words.txt ! -name check_words.sh \
  ! -path 'tests/golden/*' ! -path 'tests/configs/*' ! -path 'tests/fuzz/corpus/*' -print0 | sort -z >"$scratch/files"

# The top section of the changelog alone: what has been released stays as it was.
if [[ -f CHANGELOG.md ]]; then
  awk '/^## / && ++sections == 2 { exit } { print }' CHANGELOG.md >"$scratch/CHANGELOG.md"
  printf '%s\0' "$scratch/CHANGELOG.md" >>"$scratch/files"
fi

# words.txt as expressions for grep, and the advice of each on the same line of another file.
sed -E '/^(#|$)/d' "$words" >"$scratch/entries"
if grep -vnE '.  =>  .' "$scratch/entries"; then
  echo "$words: a line has no '  =>  '" >&2
  exit 2
fi
sed -E 's/  =>  .*//; s/</(^|[^A-Za-z])/g; s/>/($|[^A-Za-z])/g' "$scratch/entries" >"$scratch/expressions"
sed -E 's/.*  =>  //' "$scratch/entries" >"$scratch/advice"

# One pass over the files for all words. Only then, what is wrong with each line that was found.
xargs -0 grep -nHE -f "$scratch/expressions" <"$scratch/files" >"$scratch/found" || true
paste -d '\n' "$scratch/expressions" "$scratch/advice" | while IFS= read -r expression && IFS= read -r advice; do
  sed -E 's/^[^:]*:[0-9]+://' "$scratch/found" | { grep -nE -e "$expression" || true; } |
    while IFS=: read -r number text; do
      place=$(sed -n "${number}p" "$scratch/found" | cut -d: -f1,2)
      printf '%s: %s\n    say: %s\n' "${place#"$scratch"/}" "${text#"${text%%[! ]*}"}" "$advice"
    done
done >"$scratch/problems"

# The form of comments, in one pass.
xargs -0 awk '
  function problem(what) { printf "%s:%d: %s\n    %s\n", FILENAME, FNR, $0, what }
  FNR == 1 { doc = 0; is_formula = 0; code = 0; previous = "" }
  {
    is_doc = /^[ \t]*\/\/\/([^<]|$)/
    if ((is_doc && !doc && /^[ \t]*\/\/\/ +The same/) || /\/\/\/< +[Tt]he same/)
      problem("a doc comment must make sense alone: repeat what is the same")
    doc = is_doc

    # The title of a banner is on the same line as its dashes, and all of it.
    if (/^[ \t]*(\/\/|#)[ \t]*[-=][-=][-=][-=][-=]+[ \t]*$/) problem("dashes without their title: a reflowed banner")
    if (previous ~ /^[ \t]*\/\/ -----+ [^ ]/ && /^[ \t]*\/\/ [a-z]/) problem("the rest of a title: a reflowed banner")

    # A line of a picture shows one pairing, after its indent.
    if (FILENAME ~ /pairing\.hpp$/ && /^ *\/\/\/.*[^ ].*[^A-Za-z:]Pairing::/)
      problem("Pairing:: within a line of the picture: a reflowed picture")

    # Formulas are indented after `///`. A line that begins with an operator continues the line above it, which must
    # then have been as long as lines get.
    formula = /^[ \t]*\/\/\/    +[^ ]/
    if (is_formula && formula && length(previous) > 95 && /^[ \t]*\/\/\/ +[-+·×*\/)]/)
      problem("the rest of a formula: a reflowed picture")
    is_formula = formula

    # Code has a statement on each line.
    if (/@code/) code = 1
    if (/@endcode/) code = 0
    if (code && /^[ \t]*\/\/\/ +[A-Za-z_:]+[.(].*\); [a-z_]+\.[a-z_]+\(.*;/)
      problem("two statements on a line: reflowed code")

    # A default value, then its comment, on lines of their own.
    if (/^[ \t]*(\{\}|[-0-9.a-zA-Z_:]+);[ \t]+\/\/\/?</) problem("a comment on a field was pushed off: put it above the field")
    if (/^[ \t]*\/\/\/?<.*$/ && previous !~ /\/\/\/?</) problem("a comment on a field was pushed off: put it above the field")
    previous = $0
  }' <"$scratch/files" >>"$scratch/problems"

if [[ -s $scratch/problems ]]; then
  cat "$scratch/problems"
  printf '%d problems; the words are in %s\n' "$(grep -c '^[^ ]' "$scratch/problems")" "${words##*/}" >&2
  exit 1
fi
echo "$(tr -cd '\0' <"$scratch/files" | wc -c) files are worded and laid out as they should be"
