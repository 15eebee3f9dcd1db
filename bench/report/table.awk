# The table of ratios, as Markdown, from the JSON of Google Benchmark (one or more files).
#
#   awk -f table.awk FILE...              a line for each promise: its worst case decides
#   awk -v every=1 -f table.awk FILE...   a line for each benchmark
#
# With -v only=REGEX or -v without=REGEX: of the benchmarks whose names match, or do not.

function text(line) {
  sub(/^[^:]*: "/, "", line)
  sub(/",?$/, "", line)
  return line
}
function number(line) {
  sub(/^[^:]*: /, "", line)
  sub(/,$/, "", line)
  return line + 0
}
function shown(value) { return value >= 9.995 ? sprintf("%.1f", value) : sprintf("%.2f", value) }
function finish(    parts, count_of_parts, unit, is_worse) {
  if (name == "" || ratio == 0 || (only && name !~ only) || (without && name ~ without)) return
  count_of_parts = split(label, parts, / \| /)
  unit = count_of_parts > 2 ? parts[3] : "× the time"
  goal = least ? "≥ " least : most ? "≤ " most " " unit : "–"
  below = (least && ratio < least) || (most && ratio > most)
  verdict = least || most ? (below ? "below" : "ok") : ""
  if (every) {
    printf "| %s | %s | %s | %s | %.1f | %.1f | %s |\n", name, parts[2], goal, shown(ratio), rate, baseline, verdict
    return
  }
  row = parts[1] SUBSEP parts[2] SUBSEP goal
  if (!(row in count)) {
    order[++rows] = row
    worst[row] = best[row] = ratio
    worst_name[row] = name
  }
  ++count[row]
  is_worse = most ? ratio > worst[row] : ratio < worst[row]
  if (is_worse) {
    worst[row] = ratio
    worst_name[row] = name
  }
  if (most ? ratio < best[row] : ratio > best[row]) best[row] = ratio
  if (below) ++missed[row]
  promised[row] = least || most
}
BEGIN {
  if (every) {
    print "| benchmark | baseline | goal | measured | GB/s | baseline GB/s | |"
    print "|---|---|---|---|---|---|---|"
  }
}
/^    \{/ { name = label = ""; ratio = least = most = rate = baseline = 0 }
/^      "name":/ { name = text($0) }
/^      "label":/ { label = text($0) }
/^      "ratio":/ { ratio = number($0) }
/^      "at_least":/ { least = number($0) }
/^      "at_most":/ { most = number($0) }
/^      "GB\/s":/ { rate = number($0) }
/^      "baseline_GB\/s":/ { baseline = number($0) }
/^    \}/ { finish(); name = "" }
END {
  if (every || !rows) exit
  print "| what | baseline | goal | measured: worst … best | of | | worst case |"
  print "|---|---|---|---|---|---|---|"
  for (n = 1; n <= rows; ++n) {
    row = order[n]
    split(row, parts, SUBSEP)
    verdict = !promised[row] ? "" : missed[row] ? missed[row] " below" : "ok"
    range = count[row] > 1 ? shown(worst[row]) " … " shown(best[row]) : shown(worst[row])
    printf "| %s | %s | %s | %s | %d | %s | %s |\n", parts[1], parts[2], parts[3], range, count[row], verdict, \
      worst_name[row]
  }
}
