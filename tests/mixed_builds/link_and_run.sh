#!/bin/sh
# Links units that were compiled with different flags into one program, in both orders, and runs it.
#
#   link_and_run.sh <compiler> <folder of the objects> <unit>...
#
# The first unit is the plain one. Every unit must print its hashes, and throw and catch its exceptions. On an older
# processor, by qemu, all units must run that were not compiled for a newer one (`native`, `avx2`), with the results
# that they have in a program of their own.
set -eu

compiler=$1 folder=$2
shift 2
plain=$1
cd "$folder"
emulator=
if [ "$(uname -m)" = x86_64 ] && command -v qemu-x86_64 >/dev/null; then emulator='qemu-x86_64 -cpu Westmere'; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# link <program> <unit>...: in this order.
link() {
  program=$work/$1
  shift
  objects=
  for unit in "$@"; do objects="$objects $unit.o"; done
  "$compiler" $objects main.o -o "$program"
}

# run <output> <command>...
run() {
  output=$work/$1
  shift
  "$@" >"$output" 2>&1 && return
  status=$?
  echo "exit code $status from: $* (132 is SIGILL, 134 is abort)"
  cat "$output"
  exit 1
}

# compare <output> <expected> <unit>: each hash of the unit must be the expected one.
compare() {
  grep "^$3 " "$work/$1" | cut -d' ' -f2- >"$work/found"
  [ -s "$work/found" ] || { echo "$3 printed nothing"; exit 1; }
  if grep -vxFf "$work/$2" "$work/found"; then
    echo "these hashes of $3 differ from the expected ones:"
    cat "$work/$2"
    exit 1
  fi
}

link alone "$plain"
run alone.txt "$work/alone"
cut -d' ' -f2- "$work/alone.txt" >"$work/expected"

reversed=
portable=
for unit in "$@"; do
  reversed="$unit $reversed"
  case $unit in
    *native* | *avx2*) ;;
    *) portable="$portable $unit" ;;
  esac
done

if [ "$emulator" ]; then
  for unit in $portable; do
    link "$unit.alone" "$unit"
    run "$unit.emulated" $emulator "$work/$unit.alone"
    cut -d' ' -f2- "$work/$unit.emulated" >"$work/$unit.expected"
  done
fi

for order in "$*" "$reversed"; do
  link together $order
  run together.txt "$work/together"
  for unit in $order; do compare together.txt expected "$unit"; done
  if [ "$emulator" ]; then
    run together.emulated $emulator "$work/together" $portable
    for unit in $portable; do compare together.emulated "$unit.expected" "$unit"; done
  fi
done
[ "$emulator" ] || echo "not run for an older processor: that takes qemu-x86_64"
