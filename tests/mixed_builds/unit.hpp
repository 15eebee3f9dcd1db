// What the translation units of a mixed build offer to main.cpp. Nothing here depends on compiler flags, and
// nothing is an inline function or a template: no unit can replace another's code through this header.
#pragma once

#include <cstdint>

/// Receives the name and the hash of one result.
using Report = void (*)(const char* what, std::uint64_t hash);

/// Arguments that the library must reject. Infinity and NaN too, whatever -ffast-math takes them to be.
enum class Invalid { odd_dim, infinite_factor, nan_position, infinite_scale, count };

struct Unit {
  const char* name;
  void (*rotate)(Report report);
  /// Passes an invalid argument to the library. Null where exceptions are off, as that would abort.
  void (*call_with)(Invalid argument);
  /// Whether the unit catches that exception itself. Null where exceptions are off.
  bool (*catches)(Invalid argument);
  const Unit* next;
};

/// The units linked into this program, each added by a static initialiser of its own.
extern const Unit* first_unit;
