// Reads the variant of a rope object, `rope_parameters` or `rope_scaling`: its type and the parameters of
// that type.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "config_object.hpp"
#include "model_type.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The objects that describe the rotary embedding of one type of layers.
struct RopeSource {
  ConfigObject model;  ///< the keys of the model
  ConfigObject rope;   ///< the rope object; empty if there is none
  const ModelType& type;
  bool nested = false;  ///< the rope object is of this type of layers alone
  LayerKind kind = LayerKind::full;
  std::optional<double> theta = {};    ///< the entry of a list of bases, one for every layer
  std::optional<double> partial = {};  ///< the entry of a list of shares, one for every layer

  bool full() const { return kind == LayerKind::full; }
  bool local() const { return kind == LayerKind::local; }
  /// Are these the local layers of a model whose local layers have their own base?
  bool has_local_theta() const {
    if (!local()) return false;
    for (const std::string_view key : type.local_theta_keys)
      if (!key.empty() && model.has_value(key)) return true;
    return type.local_theta > 0;
  }
};

inline constexpr Index kMaxContext = Index(1) << 50;

/// M, by all its names; if a file has several, the first one counts.
inline std::optional<double> read_max_position_embeddings(const ConfigObject& model) {
  const auto found = model.first_integer({"max_position_embeddings", "n_positions", "seq_length", "n_ctx",
                                          "max_seq_len", "max_sequence_length", "model_max_length"},
                                         1, kMaxContext);
  return found ? std::optional(static_cast<double>(found->value)) : std::nullopt;
}

/// L, from the rope object, or from the model's own key if one rope object serves all layers, as in Hugging
/// Face; without either it is M.
inline double read_original_length(const RopeSource& source) {
  constexpr std::string_view key = "original_max_position_embeddings";
  const std::optional<double> own = source.rope.positive(key);
  if (source.nested) {
    if (source.model.has(key))
      source.model.note_ignored(key, "rope parameters per layer type have it themselves, or take " +
                                         std::string("max_position_embeddings"));
    if (own) return *own;
  } else {
    const std::optional<double> of_model = source.model.positive(key);
    if (own && of_model)
      ConfigObject::check_same({*of_model, source.model.path(key)}, {*own, source.rope.path(key)});
    if (own || of_model) return own ? *own : *of_model;
  }
  const std::optional<double> whole = read_max_position_embeddings(source.model);
  if (!whole)
    fail(source.rope.path(key), " is missing, and so is max_position_embeddings, which would take its place");
  source.rope.note_defaulted(key, "it is taken to be max_position_embeddings, " + number_text(*whole));
  return *whole;
}

inline double read_required(const ConfigObject& rope, std::string_view key, std::string_view rope_type) {
  const std::optional<double> found = rope.positive(key);
  if (!found) fail(rope.path(key), " is missing, rope_type ", rope_type, " needs it");
  return *found;
}

inline double read_factor(const ConfigObject& rope, std::string_view rope_type) {
  const double factor = read_required(rope, "factor", rope_type);
  if (factor < 1)
    rope.note_contradictory("factor", "it is less than 1, so contexts become shorter; it holds");
  return factor;
}

/// A magnitude. It must be positive: a negative one would rotate pairs by half a turn, 0 would erase them.
inline std::optional<double> read_attention_factor(const ConfigObject& rope) {
  return rope.positive("attention_factor");
}

/// beta_fast or beta_slow. 0 counts as missing, as in Hugging Face.
inline double read_beta(const ConfigObject& rope, std::string_view key, double otherwise) {
  const std::optional<double> found = rope.number(key);
  if (found && *found < 0) fail(rope.path(key), " is ", *found, ", it must be positive");
  if (found && !is_equal(*found, 0)) return *found;
  rope.note_defaulted(key, "it is taken to be " + number_text(otherwise) + ", as YaRN has it");
  return otherwise;
}

inline YarnOptions read_yarn(const RopeSource& source, std::string_view rope_type) {
  const ConfigObject& rope = source.rope;
  YarnOptions options{.original_max_position_embeddings = read_original_length(source)};
  const std::optional<double> whole = read_max_position_embeddings(source.model);
  const double ratio = whole.value_or(0) / options.original_max_position_embeddings;
  if (rope.has("factor") && !rope.positive("factor")) {
    if (!whole)
      fail(rope.path("factor"),
           " is null, and max_position_embeddings, from which it would follow, is missing");
    options.factor = ratio;
    rope.note_defaulted("factor",
                        "it is taken to be max_position_embeddings / original_max_position_embeddings, " +
                            number_text(ratio));
  } else {
    options.factor = read_factor(rope, rope_type);
    if (whole && !is_equal(options.factor, ratio))
      rope.note_contradictory("factor",
                              "it is not max_position_embeddings / original_max_position_embeddings, " +
                                  number_text(ratio) + "; it holds");
  }
  options.beta_fast = read_beta(rope, "beta_fast", options.beta_fast);
  options.beta_slow = read_beta(rope, "beta_slow", options.beta_slow);
  if (options.beta_fast < options.beta_slow)
    fail(rope.path("beta_fast"), " is ", options.beta_fast, ", it must not be less than beta_slow, ",
         options.beta_slow);
  options.truncate = rope.flag("truncate").value_or(true);
  options.extrapolation_factor = rope.number("extrapolation_factor").value_or(1);
  options.mscale = rope.number("mscale");
  options.mscale_all_dim = rope.number("mscale_all_dim");
  options.attention_factor = read_attention_factor(rope);
  if (!is_equal(source.type.yarn_coefficient, 0.1) && !options.attention_factor) {
    // A rule of the model type's own: DeepSeek-V4 has no magnitude, TeleChat3 a smaller one.
    options.attention_factor = 1 + source.type.yarn_coefficient * std::max(0.0, std::log(options.factor));
    options.mscale.reset();
    options.mscale_all_dim.reset();
    return options;
  }
  if (rope_type == "deepseek_yarn") {
    options.magnitude = YarnMagnitude::deepseek;
    options.attn_factor = rope.positive("attn_factor").value_or(1);
    if (options.attention_factor)
      rope.note_ignored("attention_factor", "rope_type deepseek_yarn has no such parameter");
  } else if (const std::optional<double> attn_factor = rope.positive("attn_factor")) {
    // Only vLLM has this key, and reads no other key of the magnitude then.
    const bool scaled = rope.flag("apply_yarn_scaling").value_or(true);
    if (!options.attention_factor)
      options.attention_factor = *attn_factor * (scaled ? yarn_magnitude(options) : 1);
    else
      rope.note_ignored("attn_factor", "attention_factor takes the place of the whole magnitude");
  }
  const bool ratio_of_mscales =
      !is_equal(options.mscale.value_or(0), 0) && !is_equal(options.mscale_all_dim.value_or(0), 0);
  if (options.magnitude == YarnMagnitude::hf && options.mscale && !ratio_of_mscales)
    rope.note_ignored("mscale", "without mscale_all_dim it changes nothing, as in Hugging Face");
  return options;
}

inline LongRopeOptions read_longrope(const RopeSource& source, Index rotary_dim) {
  const ConfigObject& rope = source.rope;
  const auto divisors = [&](std::string_view key) {
    std::optional<std::vector<double>> found = rope.numbers(key);
    if (!found) fail(rope.path(key), " is missing, rope_type longrope needs it");
    if (static_cast<Index>(found->size()) != rotary_dim / 2)
      fail(rope.path(key), " has ", found->size(), " entries, it must have one for each of ", rotary_dim / 2,
           " pairs");
    for (const double divisor : *found)
      if (divisor <= 0) fail(rope.path(key), " has an entry ", divisor, ", every entry must be positive");
    return *std::move(found);
  };
  LongRopeOptions options{.short_factor = divisors("short_factor"), .long_factor = divisors("long_factor")};
  options.original_max_position_embeddings = read_original_length(source);
  options.factor = rope.positive("factor");
  options.attention_factor = read_attention_factor(rope);
  options.short_mscale = rope.positive("short_mscale");
  options.long_mscale = rope.positive("long_mscale");
  options.max_position_embeddings = read_max_position_embeddings(source.model).value_or(0);
  const bool magnitude_given = options.attention_factor || (options.short_mscale && options.long_mscale);
  if (!options.factor && !magnitude_given && is_equal(options.max_position_embeddings, 0))
    fail("max_position_embeddings is missing, and so is ", rope.path("factor"),
         ": rope_type longrope needs one of them");
  const double ratio = options.max_position_embeddings / options.original_max_position_embeddings;
  if (options.factor && options.max_position_embeddings > 0 && !is_equal(*options.factor, ratio))
    rope.note_contradictory("factor",
                            "it is not max_position_embeddings / original_max_position_embeddings, " +
                                number_text(ratio) + "; it holds");
  return options;
}

inline Llama3Options read_llama3(const RopeSource& source) {
  const ConfigObject& rope = source.rope;
  const Llama3Options options{.factor = read_factor(rope, "llama3"),
                              .low_freq_factor = read_required(rope, "low_freq_factor", "llama3"),
                              .high_freq_factor = read_required(rope, "high_freq_factor", "llama3"),
                              .original_max_position_embeddings = read_original_length(source)};
  if (options.high_freq_factor < options.low_freq_factor)
    fail(rope.path("high_freq_factor"), " is ", options.high_freq_factor,
         ", it must not be less than low_freq_factor, ", options.low_freq_factor);
  const std::optional<double> whole = read_max_position_embeddings(source.model);
  constexpr std::string_view original = "original_max_position_embeddings";
  const ConfigObject& holder = source.nested || rope.has_value(original) ? rope : source.model;
  if (whole && holder.has_value(original) && options.original_max_position_embeddings >= *whole)
    holder.note_contradictory(
        original, "it is not less than max_position_embeddings, so there is nothing to extend; it holds");
  return options;
}

inline GrokOptions read_grok(const RopeSource& source, const std::string& method) {
  const ConfigObject& rope = source.rope;
  GrokOptions options{.original_max_position_embeddings = read_original_length(source)};
  if (method == "original")
    options.method = GrokMethod::original;
  else if (method == "yarn" || method == "yarn_linear")
    options.method = GrokMethod::yarn_linear;
  else if (method == "yarn_log")
    options.method = GrokMethod::yarn_log;
  else if (method == "theta_scale")
    options.method = GrokMethod::theta_scale;
  else
    fail(rope.path("extra_method"), " is ", method,
         ", known are original, yarn, yarn_linear, yarn_log and theta_scale");
  const auto factor = rope.number_of(std::array<std::string_view, 2>{"factor", "scaling_factor"});
  if (!factor || factor->value <= 0)
    fail(rope.path("factor"), " is missing or not positive, extra_method needs it");
  options.factor = factor->value;
  options.beta_fast = read_beta(rope, "beta_fast", options.beta_fast);
  options.beta_slow = read_beta(rope, "beta_slow", options.beta_slow);
  options.extrapolation_factor = rope.number("extrapolation_factor").value_or(1);
  return options;
}

/// Is it a type of rope objects that names an order of sections, and not a scaling?
inline bool names_sections(std::string_view rope_type) {
  return rope_type == "openpangu" || rope_type == "video_rope" || rope_type == "3D";
}

/// `rope_type`, or `type`, its older name. Empty and "mrope" are the default: sections are read separately.
inline std::string read_rope_type(const ConfigObject& rope) {
  const std::optional<std::string> named = rope.text("rope_type"), older = rope.text("type");
  if (named && older && *named != *older && *older != "mrope" && *named != "mrope")
    fail(rope.path("rope_type"), " is ", *named, " and ", rope.path("type"), " is ", *older,
         ": they are one and the same, and must agree");
  const std::string name = named.value_or(older.value_or("default"));
  return name == "mrope" || name.empty() ? "default" : name;
}

/// Scaling outside of a rope object, if the model type has any.
inline std::optional<RopeScaling> read_scaling_of_model(const RopeSource& source) {
  const ConfigObject& model = source.model;
  const ModelType& type = source.type;
  if (type.qwen_dynamic_ntk && model.flag("use_dynamic_ntk").value_or(false)) {
    const std::optional<double> original = model.positive("seq_length");
    if (!original) fail(model.path("seq_length"), " is missing, use_dynamic_ntk needs it");
    return QwenNtkOptions{*original};
  }
  if (!type.linear_key.empty())
    if (const auto factor = model.positive(type.linear_key); factor && !is_equal(*factor, 1))
      return LinearOptions{*factor};
  if (!type.dynamic_key.empty())
    if (const auto factor = model.positive(type.dynamic_key)) {
      const auto length = model.first_integer({type.dynamic_length_key, "n_positions"}, 1, kMaxContext);
      if (!length)
        fail(model.path(type.dynamic_length_key), " is missing, ", model.path(type.dynamic_key), " needs it");
      return DynamicNtkOptions{*factor, static_cast<double>(length->value)};
    }
  if (type.rope_object_key.empty() || !model.has_object(type.rope_object_key)) return {};
  const ConfigObject object = model.object(type.rope_object_key);
  const std::string kind = object.text("type").value_or("origin");
  if (kind == "origin") return {};
  if (kind != "dynamic") fail(object.path("type"), " is ", kind, ", known are origin and dynamic");
  const std::optional<double> whole = read_max_position_embeddings(model);
  if (!whole) fail(model.path("max_position_embeddings"), " is missing, ", object.path("type"), " needs it");
  return DynamicNtkOptions{object.positive("scaling_factor").value_or(1), *whole};
}

inline RopeScaling read_scaling(const RopeSource& source, const std::string& rope_type, Index rotary_dim) {
  const ConfigObject& rope = source.rope;
  if (const auto method = rope.text("extra_method")) return read_grok(source, *method);
  if (const auto of_model = read_scaling_of_model(source)) {
    if (rope_type != "default")
      fail(rope.path("rope_type"), " is ", rope_type, ", and ", source.model.path("model_type"), " ",
           source.type.name, " has scaling under a key of its own: only one of them can hold");
    return *of_model;
  }
  if (rope_type == "default") return DefaultOptions{};
  if (rope_type == "linear") return LinearOptions{read_factor(rope, rope_type)};
  if (rope_type == "dynamic" || rope_type == "xdrope") {
    if (const std::optional<double> alpha = rope.positive("alpha")) {
      if (!is_equal(rope.number("factor").value_or(1), 1))
        rope.note_ignored("factor", "alpha takes its place");
      return NtkOptions{*alpha};
    }
    if (rope_type == "xdrope") fail(rope.path("alpha"), " is missing, rope_type xdrope needs it");
    const std::optional<double> whole = read_max_position_embeddings(source.model);
    if (!whole) fail(source.model.path("max_position_embeddings"), " is missing, rope_type dynamic needs it");
    return DynamicNtkOptions{read_factor(rope, rope_type), *whole};
  }
  if (rope_type == "ntk") return VllmNtkOptions{read_factor(rope, rope_type), rope.number("mixed_b")};
  if (rope_type == "yarn" || rope_type == "deepseek_yarn") return read_yarn(source, rope_type);
  if (rope_type == "longrope" || rope_type == "su") return read_longrope(source, rotary_dim);
  if (rope_type == "llama3") return read_llama3(source);
  if (rope_type == "proportional")
    return ProportionalOptions{rope.positive("partial_rotary_factor").value_or(1),
                               rope.positive("factor").value_or(1)};
  fail(rope.path("rope_type"), " is ", rope_type,
       ", known are default, linear, dynamic, ntk, yarn, deepseek_yarn, longrope, su, llama3, proportional, "
       "mrope, xdrope, openpangu, 3D and video_rope");
}

}  // namespace rotary::inline ROTARY_ABI::detail
