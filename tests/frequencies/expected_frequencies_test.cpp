// Frequencies and magnitudes that published tests assert, or that follow from published configurations:
// golden/expected_frequencies.json, every entry.
#include <gtest/gtest.h>
#include <rotary/cos_sin_table.hpp>
#include <rotary/frequencies/linear.hpp>
#include <rotary/frequencies/llama3.hpp>
#include <rotary/frequencies/longrope.hpp>
#include <rotary/frequencies/ntk.hpp>
#include <rotary/frequencies/proportional.hpp>
#include <rotary/frequencies/vision.hpp>
#include <rotary/frequencies/yarn.hpp>
#include <rotary/tables/reference_float32.hpp>

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace rotary::testing {
namespace {

using Json = nlohmann::json;

const Json& file() {
  static const Json json = [] {
    std::ifstream stream(ROTARY_TEST_DATA_DIR "/expected_frequencies.json");
    if (!stream) throw std::runtime_error("golden/expected_frequencies.json cannot be read");
    return Json::parse(stream);
  }();
  return json;
}

double tolerance(const char* of) { return file().at("tolerances").at(of).at("rtol").get<double>(); }

/// What an entry says of a layer: its input with rope_parameters (those of full attention) laid over it, and
/// `change` over that.
Json parameters(const Json& entry, const Json& change = Json::object()) {
  Json all = entry.at("input");
  if (all.contains("rope_parameters")) {
    const Json& own = all.at("rope_parameters");
    all.update(own.contains("full_attention") ? Json(own.at("full_attention")) : Json(own));
  }
  all.update(change);
  return all;
}

Index head_dim(const Json& p) {
  for (const char* key : {"rotary_dim", "qk_rope_head_dim", "head_dim", "dim"})
    if (p.contains(key)) return p.at(key).get<Index>();
  throw std::runtime_error("no head_dim in " + p.dump());
}

std::optional<double> optional_number(const Json& p, const char* key) {
  return p.contains(key) ? std::optional(p.at(key).get<double>()) : std::nullopt;
}

double original_context(const Json& p) {
  return optional_number(p, "original_max_position_embeddings")
      .value_or(p.value("max_position_embeddings", 0.0));
}

YarnOptions yarn_options(const Json& p) {
  return {.factor = p.at("factor").get<double>(),
          .original_max_position_embeddings = original_context(p),
          .beta_fast = p.value("beta_fast", 32.0),
          .beta_slow = p.value("beta_slow", 1.0),
          .truncate = p.value("truncate", true),
          .mscale = optional_number(p, "mscale"),
          .mscale_all_dim = optional_number(p, "mscale_all_dim"),
          .attention_factor = optional_number(p, "attention_factor")};
}

/// "64 x 2.0" or "1,2,...,64".
std::vector<double> factor_list(const std::string& text) {
  const bool constant = text.find(" x ") != std::string::npos;
  const auto count = static_cast<std::size_t>(std::stoi(constant ? text : text.substr(text.rfind(',') + 1)));
  std::vector<double> list(count, constant ? std::stod(text.substr(text.find('x') + 1)) : 0.0);
  if (!constant)
    for (std::size_t i = 0; i < count; ++i) list[i] = static_cast<double>(i + 1);
  return list;
}

LongRopeOptions longrope_options(const Json& p) {
  return {.short_factor = factor_list(p.at("short_factor").get<std::string>()),
          .long_factor = factor_list(p.at("long_factor").get<std::string>()),
          .original_max_position_embeddings = original_context(p),
          .max_position_embeddings = p.value("max_position_embeddings", 0.0),
          .factor = optional_number(p, "factor"),
          .attention_factor = optional_number(p, "attention_factor")};
}

Frequencies frequencies_of(const Json& p) {
  const Index dim = head_dim(p);
  const double theta = p.value("rope_theta", p.value("theta", p.value("base", 10000.0)));
  const std::string type = p.value("rope_type", "default");
  const double length = p.value("seq_len", 0.0);
  if (type == "default") return language_frequencies(dim, theta);
  if (type == "linear") return linear_frequencies(dim, theta, {p.at("factor").get<double>()});
  if (type == "dynamic")
    return dynamic_ntk_frequencies(dim, theta,
                                   {.factor = p.at("factor").get<double>(),
                                    .max_position_embeddings = p.at("max_position_embeddings").get<double>()},
                                   length);
  if (type == "yarn") return yarn_frequencies(dim, theta, yarn_options(p));
  if (type == "longrope") return longrope_frequencies(dim, theta, longrope_options(p), length);
  if (type == "llama3")
    return llama3_frequencies(dim, theta,
                              {.factor = p.at("factor").get<double>(),
                               .low_freq_factor = p.at("low_freq_factor").get<double>(),
                               .high_freq_factor = p.at("high_freq_factor").get<double>(),
                               .original_max_position_embeddings = original_context(p)});
  if (type == "proportional")
    return proportional_frequencies(
        dim, theta,
        {.partial_rotary_factor = p.value("partial_rotary_factor", 1.0), .factor = p.value("factor", 1.0)});
  throw std::runtime_error("rope_type " + type);
}

CorrectionRange range_of(const Json& p) {
  const YarnOptions options = yarn_options(p);
  return correction_range(head_dim(p), p.at("rope_theta").get<double>(),
                          options.original_max_position_embeddings, options.beta_fast, options.beta_slow,
                          options.truncate);
}

void expect_list(std::span<const DoubleDouble> found, const Json& wanted, double relative) {
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i].hi, wanted[i].get<double>(), relative * wanted[i].get<double>()) << "entry " << i;
}

/// found = wanted · times.
void expect_multiple(const Frequencies& found, const Frequencies& wanted, double times = 1) {
  ASSERT_EQ(found.values.size(), wanted.values.size());
  for (std::size_t i = 0; i < wanted.values.size(); ++i)
    EXPECT_NEAR(found.values[i].hi, wanted.values[i].hi * times, 1e-15 * wanted.values[i].hi * times)
        << "pair " << i;
}

std::size_t rotating_pairs(const Frequencies& frequencies) {
  std::size_t count = 0;
  for (const DoubleDouble& f : frequencies.values) count += f != 0;
  return count;
}

// ---------------------------------------------------------------- lists that published tests compare with

TEST(ExpectedFrequencies, Cases) {
  ASSERT_EQ(file().at("cases").size(), 9u);
  for (const Json& entry : file().at("cases")) {
    SCOPED_TRACE(entry.at("id").get<std::string>());
    const Json p = parameters(entry), expected = entry.at("expected");
    const Frequencies frequencies = frequencies_of(p);
    expect_list(frequencies.values, expected.at("inv_freq"), tolerance("cases"));
    EXPECT_DOUBLE_EQ(frequencies.magnitude, expected.at("attention_factor").get<double>());
    if (expected.contains("correction_range")) {
      EXPECT_EQ(range_of(p).low, expected.at("correction_range")[0].get<double>());
      EXPECT_EQ(range_of(p).high, expected.at("correction_range")[1].get<double>());
    }
    if (expected.contains("nonzero_count")) {
      EXPECT_EQ(rotating_pairs(frequencies), expected.at("nonzero_count").get<std::size_t>());
    }
  }
}

// ---------------------------------------------------------------- relations that they assert

Json merged(const Json& a, const Json& b) {
  Json all = a;
  all.update(b);
  return all;
}

Frequencies plain(const Json& p) { return frequencies_of(merged(p, {{"rope_type", "default"}})); }

void check_relation(const std::string& id, const Json& entry) {
  const Json p = parameters(entry), expected = entry.value("expected", Json::object());
  if (expected.contains("attention_factor")) {
    EXPECT_DOUBLE_EQ(frequencies_of(p).magnitude, expected.at("attention_factor").get<double>());
  }
  if (expected.contains("attention_factor_when_0.5_given")) {
    EXPECT_EQ(frequencies_of(merged(p, {{"attention_factor", 0.5}})).magnitude,
              expected.at("attention_factor_when_0.5_given").get<double>());
  }
  if (expected.contains("inv_freq_exact"))
    expect_list(frequencies_of(p).values, expected.at("inv_freq_exact"), tolerance("derived"));

  if (id.starts_with("hf_linear_")) {
    expect_multiple(frequencies_of(p), plain(p), 1 / p.at("factor").get<double>());
  } else if (id.starts_with("hf_dynamic_short_")) {
    for (const double length : {0, 1, 2048})
      EXPECT_EQ(frequencies_of(merged(p, {{"seq_len", length}})).values, plain(p).values);
  } else if (id.find("_attention_") != std::string::npos) {
    EXPECT_TRUE(expected.contains("attention_factor"));
  } else if (id == "hf_longrope_short" || id == "hf_longrope_long") {
    const auto divisors = factor_list(p.at(id == "hf_longrope_long" ? "long_factor" : "short_factor"));
    const Frequencies found = frequencies_of(p), wanted = plain(p);
    for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(found.values.at(i), wanted.values[i] / divisors.at(i));
  } else if (id == "hf_yarn_bounds") {
    const Frequencies found = frequencies_of(p), wanted = plain(p);
    for (std::size_t i = 0; i < 64; ++i) {
      EXPECT_LE(found.values.at(i).hi, wanted.values[i].hi + 1e-8);
      EXPECT_GE(found.values.at(i).hi, wanted.values[i].hi / 10 - 1e-8);
    }
  } else if (id == "hf_yarn_beta_fast_1000") {
    const Frequencies found = frequencies_of(p), wanted = plain(p);
    EXPECT_EQ(found.values.at(0), wanted.values[0]);
    for (std::size_t i = 1; i < 64; ++i) EXPECT_LT(found.values[i].hi, wanted.values[i].hi + 1e-8);
    for (std::size_t i = 44; i < 64; ++i) EXPECT_EQ(found.values[i], wanted.values[i] / 10);
  } else if (id == "hf_llama3_high_1000") {
    const Frequencies found = frequencies_of(p), wanted = plain(p);
    for (std::size_t i = 0; i < 64; ++i) EXPECT_LT(found.values.at(i), wanted.values[i]);
  } else if (id == "hf_proportional_shape") {
    for (const auto& [part, count] : {std::pair(1.0, 64u), {0.5, 32u}, {0.25, 16u}}) {
      const Frequencies found = frequencies_of(merged(p, {{"partial_rotary_factor", part}}));
      EXPECT_EQ(found.pairs(), 64);
      EXPECT_EQ(rotating_pairs(found), count);
      for (std::size_t i = count; i < 64; ++i) EXPECT_EQ(found.values[i], 0);
    }
  } else if (id == "hf_proportional_equiv") {
    EXPECT_EQ(proportional_frequencies(128, 10000, {}).values, language_frequencies(128).values);
    for (const double factor : {2.0, 10.0})
      EXPECT_EQ(proportional_frequencies(128, 10000, {.factor = factor}).values,
                scaled(language_frequencies(128), factor).values);
    EXPECT_EQ(proportional_frequencies(128, 10000, {.partial_rotary_factor = 0.5, .factor = 2}).values,
              scaled(proportional_frequencies(128, 10000, {.partial_rotary_factor = 0.5}), 2).values);
  } else if (id == "hf_dynamic_reset") {
    const double limit = p.at("max_position_embeddings").get<double>();
    double in_use = dynamic_ntk_length(limit, 32, limit);
    EXPECT_EQ(in_use, 32);
    expect_list(frequencies_of(merged(p, {{"seq_len", in_use}})).values, expected.at("inv_freq_len32_exact"),
                tolerance("derived"));
    in_use = dynamic_ntk_length(in_use, 4, limit);
    EXPECT_EQ(in_use, 8);
    expect_list(frequencies_of(merged(p, {{"seq_len", in_use}})).values, expected.at("inv_freq_reset_exact"),
                tolerance("derived"));
  } else if (id == "hf_validation") {
    // Missing keys. Here they are members of options, so only the one without a default can be missing.
    EXPECT_THROW(yarn_frequencies(64, 10000, {.factor = 2}), std::invalid_argument);
    EXPECT_THROW(longrope_frequencies(64, 10000, {}, 1), std::invalid_argument);
  } else {
    FAIL() << "no check for this relation";
  }
}

TEST(ExpectedFrequencies, Relations) {
  ASSERT_EQ(file().at("relations").size(), 27u);
  for (const Json& entry : file().at("relations")) {
    const auto id = entry.at("id").get<std::string>();
    SCOPED_TRACE(id);
    check_relation(id, entry);
  }
}

// ---------------------------------------------------------------- what follows from configurations

/// As an entry lists them: one for each pair, or one axis of several.
std::vector<DoubleDouble> derived_list(const std::string& id, const Json& p) {
  const Index dim = head_dim(p);
  if (id == "lucidrains_lang_rescale4")
    return ntk_frequencies(dim, p.at("theta").get<double>(), {p.at("theta_rescale_factor").get<double>()})
        .values;
  if (id.starts_with("lucidrains_pixel"))
    return pixel_frequencies(dim, p.at("max_freq").get<double>()).values;
  if (id == "pope_dim64") return language_frequencies(2 * dim, p.at("theta").get<double>()).values;
  if (id == "dinov3_head64") {
    std::vector<DoubleDouble> list = dinov3_frequencies(dim, p.at("base").get<double>()).values;
    list.resize(static_cast<std::size_t>(dim / 4));
    for (DoubleDouble& f : list) f = f / (2 * kPi);
    return list;
  }
  if (id == "vision2d_head80") {
    std::vector<DoubleDouble> list = qwen2_vl_vision_frequencies(dim, p.at("base").get<double>()).values;
    list.resize(static_cast<std::size_t>(dim / 4));
    return list;
  }
  return frequencies_of(p).values;
}

TEST(ExpectedFrequencies, Derived) {
  ASSERT_EQ(file().at("derived").size(), 21u);
  for (const Json& entry : file().at("derived")) {
    const auto id = entry.at("id").get<std::string>();
    SCOPED_TRACE(id);
    const Json p = parameters(entry);
    expect_list(derived_list(id, p), entry.at("inv_freq"), tolerance("derived"));
    const bool has_type = p.contains("rope_type");
    EXPECT_NEAR(has_type ? frequencies_of(p).magnitude : 1, entry.at("attention_factor").get<double>(),
                1e-15);
    if (entry.contains("correction_range")) {
      EXPECT_NEAR(range_of(p).low.hi, entry.at("correction_range")[0].get<double>(), 1e-13);
      EXPECT_NEAR(range_of(p).high.hi, entry.at("correction_range")[1].get<double>(), 1e-13);
    }
    if (entry.contains("inv_freq_if_truncate_true"))
      expect_list(frequencies_of(merged(p, {{"truncate", true}})).values,
                  entry.at("inv_freq_if_truncate_true"), tolerance("derived"));
    if (entry.contains("softmax_scale_multiplier")) {
      EXPECT_NEAR(yarn_softmax_scale(yarn_options(p)), entry.at("softmax_scale_multiplier").get<double>(),
                  1e-14);
    }
  }
}

// ---------------------------------------------------------------- a sum over a whole table

TEST(ExpectedFrequencies, Aggregates) {
  ASSERT_EQ(file().at("aggregates").size(), 1u);
  const Json& entry = file().at("aggregates")[0];
  const auto sum_of = [](const auto& table) {
    double sum = 0;
    for (Index i = 0; i < table.rows() * table.row_size(); ++i) sum += static_cast<double>(table.data()[i]);
    return sum;
  };
  const Frequencies frequencies = frequencies_of(parameters(entry));
  const Positions positions = Positions::consecutive(4096);
  const double exact = entry.at("exact_in_double").at("sum_of_all_cos_and_sin").get<double>();
  EXPECT_NEAR(sum_of(CosSinTable<double>(frequencies, positions)), exact, 1e-7);
  EXPECT_NEAR(sum_of(CosSinTable<float>(frequencies, positions)), exact, 1e-3);
  // The source's own number is a sum in float of float cosines.
  EXPECT_NEAR(sum_of(hf_float32_table(frequencies, positions)),
              entry.at("expected").at("sum_of_all_cos_and_sin").get<double>(), 0.05);
}

}  // namespace
}  // namespace rotary::testing
