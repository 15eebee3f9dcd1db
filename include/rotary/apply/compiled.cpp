// The instantiations of rotary/apply/compiled.hpp: a source of the CMake target rotary::compiled.
#include "compile.hpp"
