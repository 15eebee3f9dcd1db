// One translation unit of a mixed build: plain functions around the library. MIXED_UNIT is its name, MIXED_SCALARS
// the list of scalars it rotates, float, double, half and bfloat16, or some of these to compile faster.
#include "unit.hpp"

#include <cstring>
#include <stdexcept>
#include <type_traits>

#include <rotary/apply_rotary_emb.hpp>
#include <rotary/rotary_embedding.hpp>

namespace {

using Eigen::bfloat16;
using Eigen::half;

// Hand-written, since a function of the standard library could come from another unit.
struct Hash {
  std::uint64_t value = 14695981039346656037u;
  void add(const void* data, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i)
      value = (value ^ static_cast<const unsigned char*>(data)[i]) * 1099511628211u;
  }
};

/// Any numbers between −2 and 2, exact in every scalar.
template <class X>
void fill(X* x, int count) {
  std::uint32_t state = 12345;
  for (int i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;
    const auto number = static_cast<std::conditional_t<std::is_same_v<X, double>, double, float>>(
        static_cast<int>(state >> 25) - 64);
    x[i] = rotary::kernels::narrowed<X>(number / 32);  // Eigen's conversion would be shared
  }
}

// Not templates: their code depends on the type of the rows alone.
rotary::RotaryEmbedding<float> make_embedding() { return rotary::RotaryEmbedding<float>({.dim = 38}); }
rotary::RotaryEmbedding<float> make_custom() {
  return rotary::RotaryEmbedding<float>(
      {.custom_freqs = {1, 0.5, 0.25, 0.01}, .cache_if_possible = false, .pairing = rotary::Pairing::half});
}
/// Its rows are longer than the scratch memory on the stack.
rotary::RotaryEmbedding<float> make_wide() {
  return rotary::RotaryEmbedding<float>({.dim = 4100, .cache_if_possible = false});
}

struct Embeddings {
  rotary::RotaryEmbedding<float> plain = make_embedding(), custom = make_custom(), wide = make_wide();
  rotary::CosSinTable<float> table = plain.table(rotary::Positions::consecutive(5, 1000));
};

template <class X>
void rotate(const Embeddings& embeddings, const char* what, Report report) {
  constexpr int kHeads = 3, kTokens = 5, kHeadDim = 43, kWide = 4104;
  static X x[kHeads * kTokens * kHeadDim], out[kHeads * kTokens * kHeadDim], wide[kWide];
  fill(x, kHeads * kTokens * kHeadDim);
  fill(wide, kWide);
  const rotary::StridedView<X> view(x, {kHeads, kTokens, kHeadDim}), other(out, {kHeads, kTokens, kHeadDim});
  const rotary::StridedView<X> row(wide, {1, kWide});
  Hash hash;
  embeddings.plain.rotate_into(view, other, {.offset = 7});
  hash.add(out, sizeof out);
  embeddings.plain.rotate_in_place(view, {.offset = 3});
  embeddings.custom.rotate_in_place(view, {.offset = 70000});
  rotary::apply_rotary_emb_in_place(embeddings.table, view);
  hash.add(x, sizeof x);
  embeddings.wide.rotate_in_place(row, {.offset = 11});
  hash.add(wide, sizeof wide);
  report(what, hash.value);
}

void rotate_all(Report report) {
  const Embeddings embeddings;
#define ROTATE(X) rotate<X>(embeddings, #X, report);
  MIXED_SCALARS
#undef ROTATE
}

/// A number that the compiler cannot know.
double number_of(std::uint64_t bits) {
  volatile std::uint64_t hidden = bits;
  const std::uint64_t copy = hidden;
  double number;
  std::memcpy(&number, &copy, sizeof number);
  return number;
}
constexpr std::uint64_t kInfinity = 0x7ff0000000000000u, kNan = 0x7ff8000000000000u;

#if ROTARY_EXCEPTIONS
void call_with(Invalid argument) {
  float x[8] = {};
  const rotary::StridedView<float> view(x, {1, 8});
  switch (argument) {
    case Invalid::odd_dim:
      rotary::RotaryEmbedding<float>({.dim = 7});
      return;
    case Invalid::infinite_factor:
      rotary::RotaryEmbedding<float>({.dim = 8, .interpolate_factor = number_of(kInfinity)});
      return;
    case Invalid::nan_position:
      make_custom().rotate_in_place(view, {.offset = number_of(kNan)});
      return;
    case Invalid::infinite_scale:
      make_custom().rotate_in_place(view, {.scale = number_of(kInfinity)});
      return;
    case Invalid::count:
      return;
  }
}

bool catches(Invalid argument) {
  try {
    call_with(argument);
  } catch (const std::invalid_argument&) {
    return true;
  }
  return false;
}
#endif

#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)
Unit unit {
  TEXT(MIXED_UNIT), &rotate_all,
#if ROTARY_EXCEPTIONS
      &call_with, &catches,
#else
      nullptr, nullptr,
#endif
      nullptr
};
[[maybe_unused]] const bool added = (unit.next = first_unit, first_unit = &unit, true);

}  // namespace
