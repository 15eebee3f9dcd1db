// ScoreFunction: what a caller does to the scores of attention before they become probabilities.
#pragma once

#include "../tensor/tensor.hpp"

namespace rotary::inline ROTARY_ABI {

/// What a `ScoreFunction` is given: scores of consecutive queries of one head with consecutive keys, or their gradient.
template <RowScalar T>
struct ScoreBlock {
  /// The matrix that `scores` is a part of.
  using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  Index sequence;                                      ///< the index in the batch, plus `first_sequence`
  Index head;                                          ///< the index of the head of queries
  Index first_query, first_key;                        ///< the query of row 0 and the key of column 0
  Eigen::Map<Matrix, 0, Eigen::OuterStride<>> scores;  ///< [queries, keys]: the scores, or their gradient
};

/// A function of the scores of attention: a bias by distance (ALiBi, T5), learned or not, or another score altogether. It is
/// given to `attend` by AttentionOptions::score_function, and to a module by `set_score_function`.
///
/// Attention computes scores in blocks. `apply` is called once for each block, after `scale` and `soft_cap` and before keys
/// are hidden, and from several threads if the call has a device. Scores of hidden keys may be among them; they are ignored.
///
/// @code
///   struct Alibi : rotary::ScoreFunction<float> {   // scores decrease with the distance, faster in the first heads
///     void apply(const rotary::ScoreBlock<float>& block) const override {
///       const float slope = std::exp2(-static_cast<float>(block.head + 1));
///       auto scores = block.scores;
///       for (rotary::Index i = 0; i < scores.rows(); ++i)
///         for (rotary::Index j = 0; j < scores.cols(); ++j)
///           scores(i, j) -= slope * static_cast<float>(block.first_query + i - block.first_key - j);
///     }
///   };
///   rotary::Tensor<float, 3> q(7, 4, 8), k(7, 4, 8), v(7, 4, 8), out(7, 4, 8);   // [seq, heads, d]
///   q.setRandom(), k.setRandom(), v.setRandom();
///   const Alibi alibi;
///   rotary::attend(q, k, v, out, {.causal = true, .score_function = &alibi});
/// @endcode
template <RowScalar T>
class ScoreFunction {
 public:
  /// Virtual, so that a function may be destroyed through a pointer to this class.
  virtual ~ScoreFunction() = default;

  /// Replaces the scores of a block by results.
  virtual void apply(const ScoreBlock<T>& block) const = 0;

  /// For backward: replaces the gradient with respect to the results of a block, in `gradient.scores`, by that with respect to
  /// its scores. `results` are those of `apply`. Does nothing by default, which is right where `apply` adds numbers that do
  /// not depend on scores; a learned bias sums its gradient here.
  virtual void apply_gradient(const ScoreBlock<T>& results, const ScoreBlock<T>& gradient) const {
    static_cast<void>(results);
    static_cast<void>(gradient);
  }

 protected:
  ScoreFunction() = default;
  ScoreFunction(const ScoreFunction&) = default;
  ScoreFunction& operator=(const ScoreFunction&) = default;
};

}  // namespace rotary::inline ROTARY_ABI
