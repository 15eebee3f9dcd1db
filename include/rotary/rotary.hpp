// rotary: rotary position embeddings for Eigen tensors. Includes all of it, in the order of the mathematics.
#pragma once

// clang-format off
#include "config.hpp"                        // version and macros
#include "error.hpp"                         // how a wrong shape or value is reported
#include "pairing.hpp"                       // which two features form a pair; forwards, back, transposed
#include "strided_view.hpp"                  // pointer, extents, strides: any tensor at all
#include "tensor.hpp"                        // Eigen's tensors and matrices as such views
#include "parallel.hpp"                      // whose threads share the work
#include "rotate_half.hpp"                   // (a, b) → (−b, a)
#include "broadcat.hpp"                      // broadcast, then concatenate
#include "positions.hpp"                     // what is turned: offsets, lists, grids
#include "double_double.hpp"                 // reals of 106 bits
#include "frequencies.hpp"                   // how fast: lang, pixel, constant, custom
#include "phases.hpp"                        // positions × frequencies, in exact integer turns
#include "angles.hpp"                        // the same as tensors of angles
#include "cos_sin_table.hpp"                 // phases → rows of cosines and sines
#include "axial_frequencies.hpp"             // grids: images and video
#include "rotate_sequence.hpp"               // rows of a sequence × tensor
#include "rotation_gradients.hpp"            // what a rotation leaves to differentiate
#include "apply_rotary_emb.hpp"              // angles or a table × tensor
#include "apply_gradients.hpp"               // its gradients
#include "learned_rotations.hpp"             // angles that come out of a network
#include "rotary_embedding.hpp"              // RotaryEmbedding: all of it for sequences
#include "xpos.hpp"                          // XPos: scores that decay with distance
#include "rotary_positional_embeddings.hpp"  // labml's module
#include "attention.hpp"                     // labml's attention
// clang-format on
