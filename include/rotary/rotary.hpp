// rotary: rotary position embeddings for Eigen tensors. Includes all of it in the order of the mathematics, except attention,
// models and operators, which take long to compile: attention.hpp, presets.hpp, from_config.hpp and the headers of operators/.
#pragma once

// clang-format off

// core, tensor: the foundations
#include "core/config.hpp"                    // version and macros
#include "core/error.hpp"                     // how a wrong shape or value is reported
#include "core/pairing.hpp"                   // which two features form a pair; directions
#include "core/head_layout.hpp"               // which features of a head rotate
#include "core/double_double.hpp"             // real numbers of 106 bits
#include "tensor/strided_view.hpp"            // pointer, extents, strides: any tensor at all
#include "tensor/tensor.hpp"                  // Eigen's tensors and matrices as such views
#include "tensor/parallel.hpp"                // whose threads share the work
#include "rotate_half.hpp"                    // (a, b) → (−b, a)
#include "broadcat.hpp"                       // broadcast, then concatenate

// positions: where tokens are
#include "positions/fixed_position.hpp"       // exact whole and fractional numbers
#include "positions/axis_positions.hpp"       // coordinates of tokens along one axis
#include "positions.hpp"                      // offsets, lists, grids
#include "positions/position_ids.hpp"         // packed, padded, sliced and stretched sequences
#include "positions/dual_chunk_positions.hpp" // distances that are limited beyond a chunk
#include "positions/token_positions.hpp"      // tokens with several coordinates, patches in merge blocks
#include "positions/mrope_positions.hpp"      // text, images and videos of a prompt

// frequencies: how far a pair rotates from one position to the next
#include "frequencies.hpp"                    // lang, pixel, constant, custom
#include "frequencies/mrope_axes.hpp"         // which coordinate rotates which pair
#include "frequencies/linear.hpp"             // longer contexts: positions divided by a factor
#include "frequencies/length_interpolated.hpp" // by a factor that follows the length
#include "frequencies/ntk.hpp"                // longer contexts: a larger theta
#include "frequencies/yarn.hpp"               // fast pairs unchanged, slow ones interpolated
#include "frequencies/ntk_by_parts.hpp"       // the predecessor of YaRN
#include "frequencies/resonance.hpp"          // wavelengths are whole numbers
#include "frequencies/grok.hpp"               // YaRN as in Grok-1
#include "frequencies/longrope.hpp"           // a divisor for every pair
#include "frequencies/llama3.hpp"             // interpolated by wavelength
#include "frequencies/proportional.hpp"       // slow pairs do not rotate
#include "frequencies/fope.hpp"               // pairs that rotate less than once do not rotate
#include "frequencies/vision.hpp"             // images and video, model by model
#include "frequencies/mixed.hpp"              // learned directions for every head
#include "frequencies/gradients/frequency_gradients.hpp" // gradients of theta, factors, divisors
#include "frequencies/gradients/ntk_gradients.hpp"       // gradients of NTK-aware scaling
#include "frequencies/gradients/yarn_gradients.hpp"      // gradients of the parameters of YaRN
#include "frequencies/embedding_options.hpp"  // the arguments of rotary-embedding-torch

// phases and rows: positions × frequencies, and their cosines and sines
#include "phases/phases.hpp"                  // exact phases: integer multiples of 2^-64 or 2^-128 of a turn
#include "phases/angles.hpp"                  // tensors of angles, in radians
#include "cos_sin_table.hpp"                  // rows of cosines and sines
#include "tables/row_cache.hpp"               // rows that are computed once
#include "tables/row_source.hpp"              // rows of any positions
#include "tables/reference_float32.hpp"       // the float32 cosines of other systems, errors included
#include "axial_frequencies.hpp"              // grids: images and video

// apply: rows × tensors
#include "apply/rotate_options.hpp"           // direction and scale of a call
#include "apply/rotate_sequence.hpp"          // rows of any positions × tensors
#include "apply/apply_table.hpp"              // rows of a table × tensor
#include "apply/scaled_rows.hpp"              // rows times a tensor of scales
#include "apply/rotation_gradients.hpp"       // gradients of angles, magnitudes and scales
#include "apply_rotary_emb.hpp"               // angles or a table × tensor
#include "apply/apply_gradients.hpp"          // the gradients of apply_rotary_emb
#include "apply/learned_rotations.hpp"        // angles that a network computes
#include "apply/pairing_conversion.hpp"       // weights of one pairing for the other

// what users construct
#include "rotary_embedding.hpp"               // RotaryEmbedding: all of it for sequences
#include "xpos.hpp"                           // XPos: scores that decay with distance
#include "polar_embedding.hpp"                // PolarEmbedding: features are lengths, positions angles
#include "key_cache.hpp"                      // rotated keys while decoding: append, shift, drop, fork
#include "key_cache/key_value_cache.hpp"      // keys and values of many sequences, in shared pages
#include "labml.hpp"                          // labml's module
// clang-format on
