// rotary: rotary position embeddings for Eigen tensors. Includes all of it, in the order of the mathematics.
#pragma once

// clang-format off
#include "config.hpp"                        // version and macros
#include "error.hpp"                         // how a wrong shape or value is reported
#include "pairing.hpp"                       // which two features form a pair; directions
#include "head_layout.hpp"                   // which features of a head rotate
#include "strided_view.hpp"                  // pointer, extents, strides: any tensor at all
#include "tensor.hpp"                        // Eigen's tensors and matrices as such views
#include "parallel.hpp"                      // whose threads share the work
#include "rotate_half.hpp"                   // (a, b) → (−b, a)
#include "broadcat.hpp"                      // broadcast, then concatenate
#include "fixed_position.hpp"                // exact whole and fractional numbers
#include "axis_positions.hpp"                // coordinates of tokens along one axis
#include "positions.hpp"                     // where tokens are: offsets, lists, grids
#include "position_ids.hpp"                  // packed, padded, sliced and stretched sequences
#include "dual_chunk_positions.hpp"          // distances cut short beyond a chunk
#include "token_positions.hpp"               // tokens with several coordinates, patches in merge blocks
#include "mrope_positions.hpp"               // text, images and videos of a prompt
#include "double_double.hpp"                 // reals of 106 bits
#include "frequencies.hpp"                   // how fast: lang, pixel, constant, custom
#include "mrope.hpp"                         // which coordinate turns which pair
#include "variants/ntk.hpp"                  // longer contexts: a larger theta
#include "variants/yarn.hpp"                 // fast pairs stay, slow ones are interpolated
#include "variants/ntk_by_parts.hpp"         // its forerunner
#include "variants/grok.hpp"                 // its relatives
#include "variants/longrope.hpp"             // a divisor for every pair
#include "variants/llama3.hpp"               // interpolated by wavelength
#include "variants/proportional.hpp"         // slow pairs stand still
#include "variants/fope.hpp"                 // so do those of less than a turn
#include "variants/vision.hpp"               // images and video, model by model
#include "variants/mixed.hpp"                // learned directions for every head
#include "variants/frequency_gradients.hpp"  // gradients of theta, factors, divisors
#include "variants/yarn_gradients.hpp"       // and of what YaRN and its relatives have
#include "phases.hpp"                        // positions × frequencies, in exact integer turns
#include "angles.hpp"                        // the same as tensors of angles
#include "cos_sin_table.hpp"                 // phases → rows of cosines and sines
#include "row_cache.hpp"                     // rows that are computed once
#include "row_source.hpp"                    // rows of any positions
#include "variants/reference_float32.hpp"    // others' float cosines, errors included
#include "axial_frequencies.hpp"             // grids: images and video
#include "embedding_options.hpp"             // the arguments of rotary-embedding-torch
#include "rotate_options.hpp"                // what a call says
#include "rotate_sequence.hpp"               // rows of any positions × tensors
#include "apply_table.hpp"                   // rows of a table × tensor
#include "scaled_rows.hpp"                   // rows times a tensor of scales
#include "rotation_gradients.hpp"            // what a rotation leaves to differentiate
#include "apply_rotary_emb.hpp"              // angles or a table × tensor
#include "apply_gradients.hpp"               // its gradients
#include "learned_rotations.hpp"             // angles that come out of a network
#include "rotary_embedding.hpp"              // RotaryEmbedding: all of it for sequences
#include "xpos.hpp"                          // XPos: scores that decay with distance
#include "key_cache.hpp"                     // rotated keys while decoding: append, shift, drop, fork
#include "polar_embedding.hpp"               // PolarEmbedding: features are lengths, positions angles
#include "pairing_conversion.hpp"            // weights of one pairing for the other
#include "rotary_positional_embeddings.hpp"  // labml's module
#include "attention.hpp"                     // labml's attention
// clang-format on
