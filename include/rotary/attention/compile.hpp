// For the one file of a program that holds the instantiations of `rotary/attention/compiled.hpp`. Those of
// `rotary/apply/compiled.hpp` are in another file.
#pragma once

#define ROTARY_COMPILE_ATTENTION
#ifndef ROTARY_COMPILED
#define ROTARY_COMPILED
#endif
#include "compiled.hpp"
