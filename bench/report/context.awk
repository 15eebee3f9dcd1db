# The machine and the build: one line from the context of Google Benchmark's JSON.
function text(line) {
  sub(/^[^:]*: "/, "", line)
  sub(/",?$/, "", line)
  return line
}
/^    "processor":/ { processor = text($0) }
/^    "compiler":/ { compiler = text($0) }
/^    "flags":/ { flags = text($0) }
/^    "eigen":/ { eigen = text($0) }
/^    "instruction_set":/ { set = text($0) }
/"benchmarks": \[/ { exit }
END { printf "%s; %s, %s; Eigen %s; instruction set in use: %s.\n", processor, compiler, flags, eigen, set }
