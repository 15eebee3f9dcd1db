// The instantiations of rotary/attention/compiled.hpp: a source of the CMake target rotary::compiled.
#include "compile.hpp"
