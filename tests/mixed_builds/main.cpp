// Runs the units it was linked with, or only those named on the command line, and prints the hash of every
// result: `<unit> <what> <hash>`. Exits with 1 if an exception was not thrown, or not caught.
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "unit.hpp"

const Unit* first_unit = nullptr;

namespace {

const Unit* running = nullptr;

void print(const char* what, std::uint64_t hash) {
  std::printf("%s %s %016" PRIx64 "\n", running->name, what, hash);
}

bool is_caught_here(const Unit& unit, Invalid argument) {
  try {
    unit.call_with(argument);
  } catch (const std::invalid_argument&) {
    return true;
  }
  return false;
}

}  // namespace

int main(int count, char** names) {
  for (const Unit* unit = first_unit; unit != nullptr; unit = unit->next) {
    bool wanted = count == 1;
    for (int i = 1; i < count; ++i) wanted = wanted || std::strcmp(names[i], unit->name) == 0;
    if (!wanted) continue;
    running = unit;
    unit->rotate(&print);
    if (unit->call_with == nullptr) continue;
    for (int i = 0; i < static_cast<int>(Invalid::count); ++i) {
      const auto argument = static_cast<Invalid>(i);
      if (unit->catches(argument) && is_caught_here(*unit, argument)) continue;
      std::printf("%s does not throw std::invalid_argument for invalid argument %d\n", unit->name, i);
      return 1;
    }
  }
  return 0;
}
