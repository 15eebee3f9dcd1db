#!/usr/bin/env bash
# The whole experiment: trains with rotary positions and with others, evaluates at longer sequences than in training, and
# writes tables and pictures.
#
#   experiment.sh <train_transformer> <text> <folder> [<epochs of all> [<epochs of rotary and none>]]
#
# All kinds of positions train for 8 epochs, and then `rotary` and `none` go on to 32: hours. A run that was stopped goes on
# from its checkpoint when this is started again. Into the folder go one folder for each run, `results.md` and, where gnuplot
# is installed, `curves.svg` and `lengths.svg`.
set -euo pipefail
train=$(realpath "$1") text=$(realpath "$2") folder=$3 short=${4:-8} long=${5:-32}
lengths=(512 1024 2048 4096)
mkdir -p "$folder"
cd "$folder"

# train_to <epochs> <kind>...: each kind in a process with one thread, two at a time; then copies of their folders.
train_to() {
  local epochs=$1
  shift
  printf '%s\n' "$@" | xargs -P 2 -I{} bash -ec '
    train=$1 text=$2 epochs=$3 kind=$4
    [[ -e $kind.$epochs/done ]] && exit
    options=(--text "$text" --positions "$kind" --seed 1)
    if [[ -e $kind/checkpoint.safetensors ]]; then options=(--resume); fi
    "$train" "${options[@]}" --epochs "$epochs" --threads 1 --out "$kind" >>"$kind.log" 2>&1
    rm -rf "$kind.$epochs"
    cp -r "$kind" "$kind.$epochs"
    touch "$kind.$epochs/done"' bash "$train" "$text" "$epochs" {}
}

# loss <folder of a run> <options of --evaluate>...
loss() {
  local run=$1
  shift
  "$train" --evaluate --out "$run" "$@" | sed -n 's/.*validation loss \([0-9.]*\) at .*/\1/p'
}

train_to "$short" rotary none xpos sinusoidal
if ((long > short)); then train_to "$long" rotary none; fi

{
  echo "| positions | epochs | validation loss |"
  echo "| --- | ---: | ---: |"
  runs=({rotary,xpos,sinusoidal,none}."$short")
  if ((long > short)); then runs+=({rotary,none}."$long"); fi
  for run in "${runs[@]}"; do echo "| \`${run%.*}\` | ${run#*.} | $(loss "$run") |"; done
  echo
  printf '| tokens |' && printf ' %s |' "${lengths[@]}" && echo
  echo "| --- | ---: | ---: | ---: | ---: |"
} >results.md

# A row for each way to read longer sequences; the same numbers, a column for each way, in lengths.dat.
row() {
  local title=$1 losses=() length
  shift
  for length in "${lengths[@]}"; do losses+=("$(loss "$@" --seq-len "$length")"); done
  printf '| %s |' "$title" >>results.md
  printf ' %s |' "${losses[@]}" >>results.md
  echo >>results.md
  printf '"%s"\n' "${title//\`/}" >>lengths.dat
  paste <(printf '%s\n' "${lengths[@]}") <(printf '%s\n' "${losses[@]}") >>lengths.dat
  printf '\n\n' >>lengths.dat
}
rm -f lengths.dat
row '`rotary`' "rotary.$short"
for rescale in interpolate ntk yarn; do row "\`rotary\`, \`--rescale $rescale\`" "rotary.$short" --rescale "$rescale"; done
for kind in xpos sinusoidal none; do row "\`$kind\`" "$kind.$short"; done
cat results.md

if ! command -v gnuplot >/dev/null; then exit; fi
gnuplot <<END
set terminal svg size 900,420 font 'sans-serif,13' background 'white'
set grid
set key outside right
set linetype 5 linecolor rgb '#a05000'
set ylabel 'validation loss (nats)'
set output 'curves.svg'
set datafile separator ','
set xlabel 'step'
plot for [kind in 'rotary xpos sinusoidal none'] kind.'/loss.csv' using 1:4 skip 1 with lines linewidth 1.5 title kind
set output 'lengths.svg'
set datafile separator whitespace
set xlabel 'tokens of a sequence'
set logscale x 2
set xrange [${lengths[0]}:${lengths[-1]}]
plot for [i = 0:6] 'lengths.dat' index i using 1:2 with linespoints linewidth 1.5 pointtype 7 pointsize 0.4 title columnheader(1)
END
