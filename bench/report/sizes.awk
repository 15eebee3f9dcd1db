# For the picture: bytes of the tensor, then GB/s of the rotation in place, x *= a, out of place and memcpy.
function number(line) {
  sub(/^[^:]*: /, "", line)
  sub(/,$/, "", line)
  return line + 0
}
/^      "name": "sweep/ {
  n = split($0, parts, "/")
  place = parts[n - 1]
  size = parts[n]
  bytes = (size + 0) * (size ~ /MiB/ ? 1048576 : 1024)
  if (!(bytes in seen)) order[++count] = bytes
  seen[bytes] = 1
}
/^      "name":/ && !/sweep/ { place = "" }
/^      "GB\/s":/ { if (place) rate[bytes, place] = number($0) }
/^      "baseline_GB\/s":/ { if (place) baseline[bytes, place] = number($0) }
END {
  for (n = 1; n <= count; ++n) {
    b = order[n]
    print b, rate[b, "in_place"], baseline[b, "in_place"], rate[b, "out_of_place"], baseline[b, "out_of_place"]
  }
}
