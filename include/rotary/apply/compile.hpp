// For the one file of a program that holds the instantiations of `rotary/compiled.hpp`.
#pragma once

#define ROTARY_COMPILE
#include "compiled.hpp"
