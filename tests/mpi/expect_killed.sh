#!/bin/sh
# Runs a job of which one rank is killed, and checks that it ends within 30 s, unsuccessfully, with a message about it.
#
#   expect_killed.sh <mpirun> <options> <program>...
set -u
begin=$(date +%s)
output=$(timeout 60 "$@" 2>&1)
code=$?
seconds=$(($(date +%s) - begin))
printf '%s\n-- ended after %d s with code %d\n' "$output" "$seconds" "$code"
[ "$code" -ne 0 ] || { echo "the job did not fail"; exit 1; }
[ "$seconds" -le 30 ] || { echo "the job did not end within 30 s"; exit 1; }
case $output in
  *signal\ 9*) ;;
  *) echo "no message names the signal"; exit 1 ;;
esac
