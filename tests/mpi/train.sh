#!/bin/sh
# The trainer in one process and on several ranks: the same losses, also after a rank was killed and the run resumed with
# another number of ranks.
#
#   train.sh <train_transformer> <working directory> <mpirun> <its option for the number of ranks> <options of mpirun>...
set -eu
trainer=$1 work=$2 mpirun=$3 count=$4
shift 4

rm -rf "$work"
mkdir -p "$work"
cd "$work"
options="--digits 3 --batch 16 --layers 2 --d-model 32 --heads 4 --d-ff 64 --dropout 0.1 --validate-every 5 --threads 1 --seed 7"

fail() { echo "$*"; exit 1; }

# expect_same_losses <folder> <folder>: training and validation losses of all steps, columns 3 and 4, differ by at most 1e-5.
expect_same_losses() {
  awk -F, -v files="$1 $2" '
    NR == FNR { line[FNR] = $0; lines = FNR; next }
    {
      split(line[FNR], one, ",")
      if (one[1] != $1) { print "step " $1 " against " one[1]; bad = 1; exit }
      for (i = 3; i <= 4; ++i) {
        if (one[i] == $i) continue
        difference = one[i] - $i
        if (difference < 0) difference = -difference
        if (difference > largest) largest = difference
      }
    }
    END {
      if (bad) exit 1
      if (FNR != lines) { print "other numbers of steps in " files ": " lines " and " FNR; exit 1 }
      printf "%s: %d lines, largest difference %g\n", files, lines, largest
      exit largest > 1e-5
    }' "$1/loss.csv" "$2/loss.csv" || fail "the losses of $1 and $2 are not the same"
}

"$trainer" $options --steps 15 --out one >one.log
for ranks in 2 4; do
  "$mpirun" "$count" $ranks "$@" "$trainer" $options --steps 15 --out ranks_$ranks >ranks_$ranks.log 2>&1 ||
    { cat ranks_$ranks.log; fail "$ranks ranks failed"; }
  expect_same_losses one ranks_$ranks
done

"$mpirun" "$count" 2 "$@" "$trainer" $options --threads 2 --steps 15 --out threads >threads.log 2>&1 ||
  { cat threads.log; fail "2 ranks of 2 threads failed"; }
expect_same_losses one threads

# One rank is killed, when there are some checkpoints: one after every step.
"$mpirun" "$count" 2 "$@" "$trainer" $options --steps 1000000 --checkpoint-every 1 --out killed >killed.log 2>&1 &
job=$!
waited=0
until [ -e killed/loss.csv ] && [ "$(wc -l <killed/loss.csv)" -gt 8 ]; do
  sleep 0.1
  waited=$((waited + 1))
  [ $waited -lt 1200 ] || { cat killed.log; kill $job; fail "no steps in 120 s"; }
done
rank=
for status in /proc/[0-9]*/status; do
  if grep -qs "^PPid:[[:space:]]*$job\$" "$status"; then rank=${status#/proc/} rank=${rank%/status}; fi
done
[ -n "$rank" ] || { kill $job; fail "mpirun has no processes"; }
begin=$(date +%s)
kill -9 "$rank"
code=0
wait $job || code=$?
seconds=$(($(date +%s) - begin))
echo "killed rank: the job ended after $seconds s with code $code"
[ $code -ne 0 ] && [ $seconds -le 30 ] || fail "it must fail within 30 s"
grep -q "signal 9" killed.log || { cat killed.log; fail "no message names the signal"; }

# Resumed by other numbers of ranks, up to a step that one process reaches as well.
steps=$(($(wc -l <killed/loss.csv) + 4))
"$trainer" $options --steps $steps --out all >all.log
cp -r killed killed_one
"$mpirun" "$count" 4 "$@" "$trainer" --resume --steps $steps --threads 1 --out killed >resumed.log 2>&1 ||
  { cat resumed.log; fail "4 ranks did not resume"; }
expect_same_losses all killed
"$trainer" --resume --steps $steps --threads 1 --out killed_one >resumed_one.log
expect_same_losses all killed_one

# More ranks than parts of a batch: one message, and the job ends.
if timeout 60 "$mpirun" "$count" 4 "$@" "$trainer" $options --batch 2 --steps 1 --out few >few.log 2>&1; then
  fail "a batch of 2 sequences on 4 ranks must be refused"
fi
grep -q "too few for 4 ranks" few.log || { cat few.log; fail "wanted a message about the ranks"; }
[ ! -e few ] || fail "a refused run wrote something"
