// How a wrong shape or value is reported: one sentence with what was found and what was wanted.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "config.hpp"

namespace rotary {

/// Receives the message of an error in programs built without exceptions, before `std::abort`.
using ErrorHandler = void (*)(const char* message);

}  // namespace rotary

namespace rotary_shared {

/// The handler that the user has set, or null. Outside the inline namespace, so that one handler serves units
/// that were compiled with different flags; a variable, since a function's code would depend on these.
inline constinit std::atomic<rotary::ErrorHandler> error_handler{nullptr};

}  // namespace rotary_shared

namespace rotary::inline ROTARY_ABI {

namespace detail {

inline void print_error(const char* message) { std::fprintf(stderr, "%s\n", message); }

template <class Part>
std::string to_text(const Part& part) {
  if constexpr (std::is_floating_point_v<Part>) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", static_cast<double>(part));
    return text;
  } else if constexpr (std::is_arithmetic_v<Part>) {
    return std::to_string(part);
  } else {
    return std::string(std::string_view(part));
  }
}

/// Throws std::invalid_argument; without exceptions tells the handler and aborts.
[[noreturn]] ROTARY_COLD inline void fail_with(const std::string& message) {
#if ROTARY_EXCEPTIONS
  throw std::invalid_argument(message);
#else
  const ErrorHandler handler = rotary_shared::error_handler.load();
  (handler != nullptr ? handler : &print_error)(message.c_str());
  std::abort();
#endif
}

/// Fails with the parts put together: `fail("rotary_dim is ", 7, ", it must be even")`. They come by value,
/// so that sentences of any length share what is compiled.
template <class... Parts>
[[noreturn]] ROTARY_COLD void fail(Parts... parts) {
  std::string message = "rotary: ";
  ((message += to_text(parts)), ...);
  fail_with(message);
}

/// product = a · b, unless that does not fit.
inline bool multiplied(Index a, Index b, Index& product) {
#if defined(__GNUC__)
  return !__builtin_mul_overflow(a, b, &product);
#else
  const auto magnitude = [](Index v) { return v < 0 ? std::size_t(0) - std::size_t(v) : std::size_t(v); };
  if (a != 0 && magnitude(b) > magnitude(PTRDIFF_MAX) / magnitude(a)) return false;
  product = a * b;
  return true;
#endif
}

/// Product of two sizes; fails instead of wrapping around.
inline Index checked_product(Index a, Index b) {
  Index product = 0;
  if (!multiplied(a, b, product)) fail("sizes ", a, " and ", b, " multiply to more than fits");
  return product;
}

/// Sum of two sizes; fails instead of wrapping around.
inline Index checked_sum(Index a, Index b) {
  if ((b > 0 && a > PTRDIFF_MAX - b) || (b < 0 && a < PTRDIFF_MIN - b))
    fail("sizes ", a, " and ", b, " add up to more than fits");
  return a + b;
}

}  // namespace detail

/// Sets the function that receives the message of an error when exceptions are off, before `std::abort`; null
/// restores the default, which prints to stderr. Returns the previous handler. Safe from any thread.
inline ErrorHandler set_error_handler(ErrorHandler handler) {
  const ErrorHandler previous = rotary_shared::error_handler.exchange(handler);
  return previous != nullptr ? previous : &detail::print_error;
}

}  // namespace rotary::inline ROTARY_ABI
