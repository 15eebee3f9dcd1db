// Quotes from a file in messages.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include "../../core/double_double.hpp"
#include "../../core/error.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The longest name of a file that messages repeat, in bytes.
inline constexpr std::size_t kMaxName = 100;

inline bool is_control(char letter) { return static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f; }

/// `text` cut off at `most` bytes, without control characters, which could break a line.
inline std::string shortened(std::string_view text, std::size_t most = kMaxName) {
  std::string result(text.substr(0, most));
  std::replace_if(result.begin(), result.end(), is_control, '?');
  return text.size() <= most ? result : result + "...";
}

/// A number with all its digits if it is whole, as files have it: 1000000, not 1e+06.
inline std::string number_text(double value) {
  const bool whole = std::fabs(value) < 0x1p53 && is_equal(value, std::floor(value));
  return whole ? std::to_string(static_cast<long long>(value)) : to_text(value);
}

}  // namespace rotary::inline ROTARY_ABI::detail
