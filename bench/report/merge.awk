# Several files of Google Benchmark's JSON made one: the context of the first, the benchmarks of all.
FNR == 1 { inside = 0 }
/^  "benchmarks": \[/ {
  inside = 1
  if (!started) print
  started = 1
  next
}
!inside {
  if (!started) print
  next
}
/^  \]/ { inside = 0; next }
inside {
  # Entries are joined by commas, also from file to file.
  if ($0 ~ /^    \{/ && any) print ","
  line = $0
  if (line ~ /^    \}/) sub(/,$/, "", line)
  if (line ~ /^    \}/) any = 1
  print line
}
END { print "  ]\n}" }
