// expect: rotary: queries of double need a cache of double, and it needs these
#include <rotary/attention/attend_cached.hpp>

void attend(const rotary::KeyValueCache<float>& cache, rotary::SequenceId id, rotary::Tensor<double, 3>& q) {
  rotary::attend_cached(q, cache, id, q);
}
