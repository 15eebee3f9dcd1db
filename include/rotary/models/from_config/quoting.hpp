// Quotes from a file in messages.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "../../core/config.hpp"

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

}  // namespace rotary::inline ROTARY_ABI::detail
