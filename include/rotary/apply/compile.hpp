// For the one file of a program that holds the instantiations of `rotary/apply/compiled.hpp`.
#pragma once

#define ROTARY_COMPILE
#include "compiled.hpp"
