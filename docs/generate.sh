#!/bin/sh
# Compiles and runs a program that writes files of docs/, and compares them with those that are there. With
# ROTARY_WRITE_DOCS in the environment the files are rewritten.
#
#   generate.sh <program.cpp> <folder of the files> <working directory> <compiler> <options>...
set -eu
source=$1
folder=$2
work=$3
shift 3

rm -rf "$work"
mkdir -p "$work/made"
"$@" "$source" -o "$work/program"
"$work/program" "$folder" "$work/made"

failures=0
for file in "$work"/made/*; do
  name=$(basename "$file")
  if [ "${ROTARY_WRITE_DOCS-}" ]; then cp "$file" "$folder/$name"; fi
  if ! cmp -s "$file" "$folder/$name"; then
    diff -u "$folder/$name" "$file" | head -n 20 || true
    echo "$folder/$name is not up to date: run this test with ROTARY_WRITE_DOCS=1"
    failures=1
  fi
done
exit $failures
