// For the one file of a program that holds the instantiations of `rotary/apply/compiled.hpp`.
#pragma once

/// Makes `apply/compiled.hpp` define its instantiations in this file.
#define ROTARY_COMPILE
#include "compiled.hpp"
