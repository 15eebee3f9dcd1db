// Decodes without end in a cache of 32 keys: when it is full, the older half is erased and the rest moves
// back.
#include <cstdio>
#include <rotary/rotary.hpp>
#include <vector>

namespace {

constexpr long kRoom = 32, kAlways = 4, kSteps = 1000, kFeatures = 64;  // the first 4 tokens always stay
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;  // [tokens, head_dim]

}  // namespace

int main() {
  const rotary::RotaryEmbedding<float> rotary_emb({.dim = kFeatures, .pairing = rotary::Pairing::half});
  rotary::KeyCache<float> cache(rotary_emb, {.head_dim = kFeatures, .capacity = kRoom, .grows = false});

  int shifts = 0;
  bool finite = true;
  std::vector<Matrix> raw_keys;  // of the tokens in the cache, for comparison
  for (long step = 0; step < kSteps; ++step) {
    if (cache.size() == kRoom) {
      const long dropped = (kRoom - kAlways) / 2;
      cache.shift_context(kAlways, kAlways + dropped);
      raw_keys.erase(raw_keys.begin() + kAlways, raw_keys.begin() + kAlways + dropped);
      ++shifts;
    }
    // The newest query has the position of its key, and sees all keys in the cache.
    const rotary::FixedPosition position = cache.next_position();
    raw_keys.push_back(Matrix::Random(1, kFeatures));
    cache.append(raw_keys.back());
    const Matrix query = rotary_emb.rotate_queries_or_keys(Matrix(Matrix::Random(1, kFeatures)), position);
    const Matrix scores = query * cache.head(0).transpose();  // [1, tokens in the cache]
    finite = finite && scores.allFinite();
  }

  // Rounding errors do not add up: all keys are equal to raw keys rotated once, at their present positions.
  Matrix once(cache.size(), kFeatures);
  for (long n = 0; n < cache.size(); ++n) once.row(n) = raw_keys[static_cast<std::size_t>(n)];
  rotary_emb.rotate_in_place(once);
  const bool same = cache.head(0) == once;
  std::printf("%ld tokens, %d context shifts, %td keys left at positions 0 to %g\n", kSteps, shifts,
              cache.size(), static_cast<double>(cache.position(cache.size() - 1)));
  std::printf("bit for bit as if rotated once: %s\n", same ? "yes" : "no");
  return same && finite && shifts == 70 ? 0 : 1;
}

// prints:
//   1000 tokens, 70 context shifts, 20 keys left at positions 0 to 19
//   bit for bit as if rotated once: yes
