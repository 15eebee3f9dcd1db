// For the one file of a program that holds the instantiations of `rotary/attention/compiled.hpp`. Those of
// `rotary/apply/compiled.hpp` are in another file.
#pragma once

/// Makes `attention/compiled.hpp` define its instantiations in this file.
#define ROTARY_COMPILE_ATTENTION
#ifndef ROTARY_COMPILED
/// Declares instantiations that another file of the program defines; all files of the program define it.
#define ROTARY_COMPILED
#endif
#include "compiled.hpp"
