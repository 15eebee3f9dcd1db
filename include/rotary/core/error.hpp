// Errors: a wrong shape or value is reported in one sentence that names what was found and what was wanted.
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
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
// not covered: the process ends
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

/// One part of a message: a text or a number. One type for both, so that messages of any length share
/// compiled code.
struct MessagePart {
  enum class Kind { text, integer, unsigned_integer, real } kind;
  union {
    long long integer;
    unsigned long long unsigned_integer;
    double real;
  };
  std::string_view text;

  MessagePart(std::string_view part) : kind(Kind::text), integer(0), text(part) {}
  template <class Part>
  requires(std::is_convertible_v<const Part&, std::string_view>) MessagePart(const Part& part)
      : MessagePart(std::string_view(part)) {}
  template <std::signed_integral I>
  MessagePart(I number) : kind(Kind::integer), integer(number) {}
  template <std::unsigned_integral I>
  MessagePart(I number) : kind(Kind::unsigned_integer), unsigned_integer(number) {}
  MessagePart(double number) : kind(Kind::real), real(number) {}
};

/// Characters of a message, cut off at the capacity. Not std::string, whose functions are inline: translation
/// units with different flags would share them.
template <std::size_t kCapacity>
struct Text {
  char characters[kCapacity] = {};  // the last stays zero
  std::size_t size = 0;

  void add(std::string_view part) {
    const std::size_t count = part.size() < kCapacity - 1 - size ? part.size() : kCapacity - 1 - size;
    std::memcpy(characters + size, part.data(), count);
    size += count;
  }
  template <class Number>
  void add(const char* format, Number number) {
    char digits[32];
    std::snprintf(digits, sizeof digits, format, number);
    add(digits);
  }
  operator std::string_view() const { return {characters, size}; }
};

/// Throws std::invalid_argument; without exceptions calls the handler and aborts.
[[noreturn]] ROTARY_COLD inline void fail_with(const MessagePart* parts, std::size_t count) {
  Text<2048> message;
  message.add("rotary: ");
  for (const MessagePart* part = parts; part != parts + count; ++part) {
    switch (part->kind) {
      case MessagePart::Kind::text:
        message.add(part->text);
        break;
      case MessagePart::Kind::integer:
        message.add("%lld", part->integer);
        break;
      case MessagePart::Kind::unsigned_integer:
        message.add("%llu", part->unsigned_integer);
        break;
      case MessagePart::Kind::real:
        message.add("%g", part->real);
        break;
    }
  }
#if ROTARY_EXCEPTIONS
  throw std::invalid_argument(message.characters);
#else
  const ErrorHandler handler = rotary_shared::error_handler.load();   // not covered: the process ends
  (handler != nullptr ? handler : &print_error)(message.characters);  // not covered: the process ends
  std::abort();                                                       // not covered: the process ends
#endif
}

/// Throws the concatenation of `parts`: `fail("rotary_dim is ", 7, ", it must be even")`. They are passed by
/// value, so that texts of any length share compiled code.
template <class... Parts>
[[noreturn]] ROTARY_COLD void fail(Parts... parts) {
  const MessagePart all[] = {MessagePart(parts)...};
  fail_with(all, sizeof...(Parts));
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

/// Product of two sizes; throws instead of wrapping around.
inline Index checked_product(Index a, Index b) {
  Index product = 0;
  if (!multiplied(a, b, product)) fail("sizes ", a, " and ", b, " multiply to more than fits");
  return product;
}

/// a · b as the size of a list of `Element`. Throws if the list would have more bytes than there are
/// addresses, so that the standard library does not throw std::length_error.
template <class Element>
std::size_t checked_elements(Index a, Index b = 1) {
  const Index count = checked_product(a, b);
  checked_product(count, static_cast<Index>(sizeof(Element)));
  return static_cast<std::size_t>(count);
}

/// Sum of two sizes; throws instead of wrapping around.
inline Index checked_sum(Index a, Index b) {
  if ((b > 0 && a > PTRDIFF_MAX - b) || (b < 0 && a < PTRDIFF_MIN - b))
    fail("sizes ", a, " and ", b, " add up to more than fits");
  return a + b;
}

}  // namespace detail

/// Sets the function that receives the message of an error when exceptions are off, before `std::abort`; null
/// restores the default, which prints to stderr. Returns the previous handler. Safe from any thread.
///
/// @code
///   const auto previous = rotary::set_error_handler([](const char* message) { std::puts(message); });
///   rotary::set_error_handler(previous);
/// @endcode
inline ErrorHandler set_error_handler(ErrorHandler handler) {
  const ErrorHandler previous = rotary_shared::error_handler.exchange(handler);
  return previous != nullptr ? previous : &detail::print_error;
}

}  // namespace rotary::inline ROTARY_ABI
