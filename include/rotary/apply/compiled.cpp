// The instantiations of rotary/compiled.hpp: the source of the CMake target rotary::compiled.
#include "compile.hpp"
