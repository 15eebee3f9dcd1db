// TokenRecord: how one head of a token is stored in a page, as floating-point numbers or as scaled 8-bit integers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "page_pool.hpp"
#include "paged_head.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// A number of one scalar in another, rounded once.
template <class To, class From>
To rounded_to(const From& x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (std::is_same_v<From, float>) {
    return static_cast<To>(x);
  } else {
    return static_cast<To>(converted<From, float>(x));  // exact from 16 bits to float
  }
}

/// The features of a head as numbers of type `Stored`.
template <class Stored>
struct TokenRecord {
  static constexpr bool kScaled = false;
  static constexpr Index kFirstFeature = 0;  // bytes before the features

  static Index bytes(Index width) { return checked_product(width, sizeof(Stored)); }

  /// Writes the `width` features of a head, `stride` elements apart.
  template <class From>
  static void write(const From* from, Index stride, Index width, char* record) {
    auto* const to = reinterpret_cast<Stored*>(record);
    for (Index f = 0; f < width; ++f) to[f] = rounded_to<Stored>(from[f * stride]);
  }

  template <class T>
  static void read(const char* records, const TokenSteps& steps, Index count, T* to, Index to_stride) {
    read_tokens<Stored, T>(records, steps, count, to, to_stride);
  }
};

/// The features of a head as 8-bit integers behind their scale, a float: feature f is scale · q_f.
///
/// The scale is the largest size of a feature divided by 127, and q_f = round(x_f / scale), so that a feature is at most half
/// a scale off. A head with a number that is not finite has the scale NaN, and all of its features are read as NaN. A head
/// whose largest feature is below 1.5e-36, with a scale that would be subnormal, is stored as zeros.
template <>
struct TokenRecord<std::int8_t> {
  static constexpr bool kScaled = true;
  static constexpr Index kFirstFeature = sizeof(float);

  static Index bytes(Index width) {
    constexpr Index kScale = sizeof(float);  // records are whole numbers of these
    return checked_sum(width, 2 * kScale - 1) / kScale * kScale;
  }

  template <class From>
  static void write(const From* from, Index stride, Index width, char* record) {
    const auto feature = [&](Index f) { return rounded_to<float>(from[f * stride]); };
    float largest = 0;
    bool finite = true;
    for (Index f = 0; f < width; ++f) {
      const float size = std::fabs(feature(f));
      finite = finite && finite_bits(static_cast<double>(size));
      largest = std::max(largest, size);
    }
    auto* const to = reinterpret_cast<std::int8_t*>(record + kFirstFeature);
    // At most this, so that 127 times the scale is finite.
    const float largest_scale = std::nextafter(std::numeric_limits<float>::max() / 127, 0.0f);
    float scale = std::min(largest / 127, largest_scale);
    // A quotient with a subnormal scale has no accuracy.
    if (!finite || scale < std::numeric_limits<float>::min()) {
      scale = finite ? 0 : std::numeric_limits<float>::quiet_NaN();
      std::fill_n(to, width, std::int8_t{0});
    } else {
      for (Index f = 0; f < width; ++f)
        to[f] = static_cast<std::int8_t>(std::clamp(std::nearbyint(feature(f) / scale), -127.0f, 127.0f));
    }
    std::memcpy(record, &scale, sizeof scale);
  }

  template <class T>
  static void read(const char* records, const TokenSteps& steps, Index count, T* to, Index to_stride) {
    constexpr Index kBlock = 16;  // a constant, so that -O2 of GCC 12 vectorises the loop
    for (Index n = 0; n < count; ++n, records += steps.token, to += to_stride) {
      float scale;
      std::memcpy(&scale, records, sizeof scale);
      const auto* const q = reinterpret_cast<const std::int8_t*>(records + kFirstFeature);
      Index f = 0;
      for (; f + kBlock <= steps.width; f += kBlock)
        for (Index i = 0; i < kBlock; ++i) to[f + i] = static_cast<T>(scale * static_cast<float>(q[f + i]));
      for (; f < steps.width; ++f) to[f] = static_cast<T>(scale * static_cast<float>(q[f]));
    }
  }
};

/// Tokens of a page as [count, heads, width].
template <class Element, class Memory>
StridedView<Element> page_view(Memory& memory, const PageSlots& slots, Index heads, Index width) {
  constexpr Index kSize = sizeof(Element);
  auto* const record = memory.at(slots.page, 0, slots.slot);
  return StridedView<Element>(
      reinterpret_cast<Element*>(record + TokenRecord<std::remove_const_t<Element>>::kFirstFeature),
      {slots.count, heads, width}, {memory.record_bytes() / kSize, memory.head_bytes() / kSize, Index{1}});
}
/// Their scales, [count, heads]; no elements where features have no scale.
template <class Stored>
StridedView<const float> scale_view(const PageMemory& memory, const PageSlots& slots, Index heads) {
  if constexpr (!TokenRecord<Stored>::kScaled) {
    return StridedView<const float>(nullptr, {0, 0});
  } else {
    constexpr Index kSize = sizeof(float);
    return StridedView<const float>(reinterpret_cast<const float*>(memory.at(slots.page, 0, slots.slot)),
                                    {slots.count, heads},
                                    {memory.record_bytes() / kSize, memory.head_bytes() / kSize});
  }
}

/// Copies tokens [count, heads, width] into the records of a page.
template <class Stored, class From>
void write_records(const StridedView<const From>& x, PageMemory& memory, const PageSlots& to) {
  for (Index head = 0; head < x.extent(1); ++head)
    for (Index n = 0; n < to.count; ++n)
      TokenRecord<Stored>::write(x.data + n * x.stride(0) + head * x.stride(1), x.stride(2), x.extent(2),
                                 memory.at(to.page, head, to.slot + n));
}

/// The memory of all pages, to be read in T.
template <class Stored, class T>
PagedTokens<T> paged_tokens(const PageMemory& memory, Index page_tokens, Index width) {
  return {memory.at(0),
          memory.page_bytes(),
          memory.head_bytes(),
          page_tokens,
          {memory.record_bytes(), static_cast<Index>(sizeof(Stored)), width},
          &TokenRecord<Stored>::template read<T>,
          std::is_same_v<Stored, T>};
}

}  // namespace rotary::inline ROTARY_ABI::detail
