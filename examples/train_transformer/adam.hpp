// Adam with the learning rate of "Attention is all you need".
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "matrix.hpp"

namespace train {

/// The Noam schedule: factor · d_model^-0.5 · min(step^-0.5, step · warmup^-1.5) for step 1, 2, ...
///
/// It rises in a straight line until step `warmup`, and falls with the square root of the step from there.
/// With warmup 0 it only falls.
inline double noam_learning_rate(double factor, Index d_model, Index warmup, Index step) {
  const double s = static_cast<double>(step);
  const double w = static_cast<double>(warmup);
  const double shape = warmup > 0 ? std::min(1.0 / std::sqrt(s), s / (w * std::sqrt(w))) : 1.0 / std::sqrt(s);
  return factor * shape / std::sqrt(static_cast<double>(d_model));
}

/// Adam (Kingma and Ba 2015). Holds the two moments of every parameter; they and the step go into a
/// checkpoint.
template <class Scalar>
class Adam {
 public:
  using Values = Eigen::Array<Scalar, Eigen::Dynamic, 1>;
  struct Moments {
    Values first, second;
  };

  struct Options {
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
  };

  Adam(const Parameters<Scalar>& parameters, const Options& options) : options_(options) {
    for (const auto& parameter : parameters)
      moments_.push_back({Values::Zero(parameter.size()), Values::Zero(parameter.size())});
  }

  std::vector<Moments>& moments() { return moments_; }

  /// Moves parameter number `index` against its gradient times `gradient_scale` (from clipping). `step`
  /// counts from 1. Parameters do not depend on each other here: different threads may update different ones.
  void update(std::size_t index, const Parameter<Scalar>& parameter, const Parameter<Scalar>& gradient,
              double gradient_scale, double learning_rate, Index step) {
    auto& [first, second] = moments_[index];
    const Scalar beta1 = static_cast<Scalar>(options_.beta1), beta2 = static_cast<Scalar>(options_.beta2);
    const double correction1 = 1.0 - std::pow(options_.beta1, static_cast<double>(step));
    const double correction2 = 1.0 - std::pow(options_.beta2, static_cast<double>(step));
    const Scalar rate = static_cast<Scalar>(learning_rate / correction1);
    const Scalar inverse_root = static_cast<Scalar>(1.0 / std::sqrt(correction2));
    const auto scaled = gradient.values() * static_cast<Scalar>(gradient_scale);
    first = beta1 * first + (Scalar(1) - beta1) * scaled;
    second = beta2 * second + (Scalar(1) - beta2) * scaled.square();
    parameter.values() -=
        rate * first / (second.sqrt() * inverse_root + static_cast<Scalar>(options_.epsilon));
  }

 private:
  Options options_;
  std::vector<Moments> moments_;
};

}  // namespace train
