// A libFuzzer target: configurations are read or throw, and numbers that are read are finite. See
// tests/fuzz/README.md for how to run it.
#include "../support/compiled_from_config.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

namespace {

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

void check(const rotary::RopeParameters& rope) {
  require(rope.rotary_dim >= 2 && rope.rotary_dim % 2 == 0, "rotary_dim is odd or less than 2");
  require(rope.start_index >= 0 && rope.start_index + rope.rotary_dim <= rope.head_dim,
          "the window is not within the head");
  require(std::isfinite(rope.softmax_scale), "the scale of the softmax is not finite");
  for (const double length : {0.0, 1e4, 1e6}) {
    const rotary::Frequencies frequencies = rope.frequencies(length);
    require(std::isfinite(frequencies.magnitude), "the magnitude is not finite");
    for (const rotary::DoubleDouble& frequency : frequencies.values)
      require(std::isfinite(frequency.hi) && std::isfinite(frequency.lo), "a frequency is not finite");
  }
}

void check(const rotary::ModelConfiguration& model) {
  for (const rotary::ModelConfiguration::LayerType& type : model.layer_types) {
    if (type.rope) check(*type.rope);
    require(type.rope || !type.why_not.empty(),
            "a type of layers without a rotary embedding does not say why");
  }
  for (rotary::Index i = 0; i < model.layer_count(); ++i) {
    if (model.has_rope(i)) (void)model.layer(i);
    if (const auto temperature = model.query_temperature(i))
      require(std::isfinite(temperature->at(1e6)), "the temperature of queries is not finite");
  }
  for (const rotary::ConfigurationNote& note : model.notes)
    require(!note.text.empty() && note.text.find('\n') == note.text.npos, "a note is not one line");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    check(rotary::testing::from_config(text, {.list_unread_keys = size % 2 == 1}));
  } catch (const std::invalid_argument& error) {  // any other exception ends the program
    const std::string_view message = error.what();
    require(message.starts_with("rotary: ") && message.find('\n') == message.npos,
            "a message is not one line");
  }
  return 0;
}
