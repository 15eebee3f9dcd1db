// Random numbers that are the same with every compiler and standard library.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace train {

/// A stream of random numbers named by a few integers: the same names give the same stream, always.
///
/// Nothing has to be remembered between the steps of a training: what step 300 needs is `Random({seed,
/// purpose, 300})`. This is why a resumed run sees the same batches as one that never stopped, with any
/// number of threads. The generator is SplitMix64 (Steele, Lea, Flood 2014): a counter, and a mixing function
/// that scrambles it.
class Random {
 public:
  explicit Random(std::initializer_list<std::uint64_t> names) {
    for (const std::uint64_t name : names) state_ = mix(state_ + kStep + mix(name + kStep));
  }

  /// 64 random bits.
  std::uint64_t bits() { return mix(state_ += kStep); }

  /// Uniform in [0, 1), with 53 random bits.
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }

  /// Uniform in [low, high).
  double uniform(double low, double high) { return low + (high - low) * uniform(); }

  /// Uniform among 0, 1, ..., count - 1; the bias of the modulo is below count / 2^64.
  std::uint64_t below(std::uint64_t count) { return bits() % count; }

  /// Normal with mean 0 and deviation 1, to the accuracy an initial weight needs: the sum of twelve uniform
  /// numbers less 6 has just these moments, and unlike log and cos it gives the same bits with every
  /// mathematical library.
  double normal() {
    double sum = -6.0;
    for (int i = 0; i < 12; ++i) sum += uniform();
    return sum;
  }

 private:
  static constexpr std::uint64_t kStep = 0x9E3779B97F4A7C15;

  static constexpr std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }

  std::uint64_t state_ = 0;
};

/// What a stream of random numbers is for; the second name of every stream, after the seed.
enum Purpose : std::uint64_t { kInitialWeights, kTrainingBatch, kValidationBatch, kDropout, kSampling };

}  // namespace train
