// The rotary embedding of one type of layers: base, sizes, pairing, sections, and the variant.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "read_scaling.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Larger heads are typing errors, and frequencies of them would fill the memory.
inline constexpr Index kMaxHeadDim = 65536;

/// The features of a head that rotate, and where they stand in it.
struct RopeSizes {
  Index head_dim = 0, rotary_dim = 0, start_index = 0;
};

/// The base. Of the rope object, of the model, or of the model type; `rope_ratio` multiplies it.
inline double read_theta(const RopeSource& source) {
  const ConfigObject &model = source.model, &rope = source.rope;
  const std::optional<double> own = rope.positive("rope_theta");
  const auto general = model.number_of({"rope_theta", "rotary_emb_base", "global_rope_theta"});
  const auto local = source.local
                         ? model.number_of({"rope_local_base_freq", "local_rope_theta", "swa_rope_theta"})
                         : std::nullopt;
  const auto of_model = source.local && (local || source.type.local_theta > 0) ? local : general;
  if (own && of_model) {
    const Keyed<double> given{*own, rope.path("rope_theta")};
    if (!source.nested) ConfigObject::check_same(given, *of_model);
    if (given.value != of_model->value)
      rope.note_contradictory("rope_theta",
                              of_model->key + " is another; this one, of the layers themselves, holds");
  }
  double theta = source.local && source.type.local_theta > 0 ? source.type.local_theta : source.type.theta;
  if (own || of_model)
    theta = own ? *own : of_model->value;
  else
    model.note_defaulted(source.local ? "rope_local_base_freq" : "rope_theta",
                         of_model_type(source.type, theta));
  if (theta <= 0)
    fail(of_model ? of_model->key : rope.path("rope_theta"), " is ", theta, ", it must be positive");
  return theta * model.positive("rope_ratio").value_or(1);
}

inline Index read_head_dim(const RopeSource& source) {
  const ConfigObject& model = source.model;
  if (source.full) {
    if (const auto found = model.integer("global_head_dim", 1, kMaxHeadDim)) return *found;
    if (source.type.full_head_dim > 0) {
      model.note_defaulted("global_head_dim",
                           of_model_type(source.type, static_cast<double>(source.type.full_head_dim)));
      return source.type.full_head_dim;
    }
  }
  if (const auto found =
          model.first_integer({"head_dim", "attention_head_dim", "kv_channels"}, 1, kMaxHeadDim))
    return found->value;
  if (source.type.head_dim > 0) {
    model.note_defaulted("head_dim", of_model_type(source.type, static_cast<double>(source.type.head_dim)));
    return source.type.head_dim;
  }
  constexpr Index most = Index(1) << 32;
  const auto hidden = model.first_integer({"hidden_size", "n_embd", "d_model"}, 1, most);
  const auto heads = model.first_integer({"num_attention_heads", "n_head", "num_heads"}, 1, most);
  if (!hidden || !heads)
    fail(model.path("head_dim"), " is missing, and so is ", hidden ? "num_attention_heads" : "hidden_size",
         ", from which it would follow");
  if (hidden->value % heads->value != 0)
    fail(hidden->key, " is ", hidden->value, ", it must be a multiple of ", heads->key, ", ", heads->value,
         ", if head_dim is missing");
  if (hidden->value / heads->value > kMaxHeadDim)
    fail(hidden->key, " is ", hidden->value, " with ", heads->value, " heads, a head may have ", kMaxHeadDim,
         " features");
  return hidden->value / heads->value;
}

/// The share of a head that rotates.
inline std::optional<Keyed<double>> read_partial(const RopeSource& source) {
  constexpr std::string_view key = "partial_rotary_factor";
  const auto of_model =
      source.model.number_of({key, "rotary_pct", "rope_pct", "rope_percent", "rotary_emb_fraction"});
  const std::optional<double> own = source.rope.number(key);
  std::optional<Keyed<double>> found = of_model;
  if (own) {
    found = {*own, source.rope.path(key)};
    if (of_model && !source.nested) ConfigObject::check_same(*found, *of_model);
    if (of_model && *own != of_model->value)
      source.rope.note_contradictory(
          key, of_model->key + " is another; this one, of the layers themselves, holds");
  }
  if (found && !(found->value > 0 && found->value <= 1))
    fail(found->key, " is ", found->value, ", it must be more than 0 and at most 1");
  return found;
}

/// Multi-head latent attention: a head is [nope | rope], and the rope part rotates as a whole.
inline std::optional<RopeSizes> read_latent_sizes(const RopeSource& source) {
  const ConfigObject& model = source.model;
  const auto rope_part = model.integer("qk_rope_head_dim", 0, kMaxHeadDim);
  if (!rope_part || *rope_part == 0) return {};
  const Index nope = model.integer("qk_nope_head_dim", 0, kMaxHeadDim).value_or(0);
  const RopeSizes sizes{.head_dim = nope + *rope_part, .rotary_dim = *rope_part, .start_index = nope};
  if (*rope_part % 2 != 0) fail(model.path("qk_rope_head_dim"), " is ", *rope_part, ", it must be even");
  if (const auto head_dim = model.integer("head_dim", 1, kMaxHeadDim))
    if (*head_dim != *rope_part && *head_dim != sizes.head_dim)
      model.note_contradictory("head_dim",
                               "it is neither qk_rope_head_dim nor that and qk_nope_head_dim, which hold");
  if (const auto partial = read_partial(source))
    if (partial->value != 1 &&
        static_cast<Index>(static_cast<double>(sizes.head_dim) * partial->value) != *rope_part)
      fail(partial->key, " is ", partial->value, ", of a head of ", sizes.head_dim,
           " that is not qk_rope_head_dim, ", *rope_part);
  return sizes;
}

/// How many features of a head rotate, told by their number or their share.
inline Index read_rotary_dim(const RopeSource& source, Index head_dim) {
  const ConfigObject& model = source.model;
  const auto share_of_head = [&](double share) {
    return static_cast<Index>(static_cast<double>(head_dim) * share);
  };
  const auto partial = read_partial(source);
  const auto given = model.integer("rotary_dim", 1, kMaxHeadDim);
  Keyed<Index> found{head_dim, model.path("head_dim")};
  if (partial) {
    found = {share_of_head(partial->value), partial->key};
    if (given && *given != found.value)
      fail(model.path("rotary_dim"), " is ", *given, ", by ", partial->key, " it is ", found.value,
           ": they must agree");
  } else if (given) {
    found = {*given, model.path("rotary_dim")};
  } else if (source.type.rotary_dim > 0 && !model.has("rotary_dim")) {  // null is all of the head
    found.value = source.type.rotary_dim;
    model.note_defaulted("rotary_dim", of_model_type(source.type, static_cast<double>(found.value)));
  } else if (source.type.partial_rotary_factor != 1) {
    found.value = share_of_head(source.type.partial_rotary_factor);
    model.note_defaulted("partial_rotary_factor",
                         of_model_type(source.type, source.type.partial_rotary_factor));
  }
  if (found.value < 2 || found.value % 2 != 0 || found.value > head_dim)
    fail(found.key, " lets ", found.value, " features of a head of ", head_dim,
         " rotate, it must be an even number of them");
  return found.value;
}

inline RopeSizes read_sizes(const RopeSource& source, bool proportional) {
  if (const auto latent = read_latent_sizes(source)) return *latent;
  const Index head_dim = read_head_dim(source);
  if (!proportional) return {.head_dim = head_dim, .rotary_dim = read_rotary_dim(source, head_dim)};
  read_partial(source);  // some of the frequencies are 0, which is a matter of the variant
  if (head_dim % 2 != 0) fail(source.model.path("head_dim"), " is ", head_dim, ", it must be even");
  return {.head_dim = head_dim, .rotary_dim = head_dim};
}

/// What the configuration says of it, else what the model type does.
inline Pairing read_pairing(const RopeSource& source) {
  for (const std::string_view key : {"rope_interleave", "rope_interleaved", "rotary_emb_interleaved"})
    if (const std::optional<bool> interleaved = source.model.flag(key))
      return *interleaved ? Pairing::interleaved : Pairing::half;
  return source.type.pairing;
}

inline void read_sections(const RopeSource& source, const std::string& rope_type,
                          RopeParameters& parameters) {
  const ConfigObject& rope = source.rope;
  std::string_view key = "mrope_section";
  auto sections = rope.integers(key, 0, kMaxHeadDim);
  parameters.mrope_order = source.type.mrope_order;
  if (!sections) {
    key = "xdrope_section";
    sections = rope.integers(key, 0, kMaxHeadDim);
    parameters.mrope_order = MropeOrder::chunked;
  }
  if (!sections) return;
  for (const std::string_view flag : {"mrope_interleaved", "interleaved"})
    if (const std::optional<bool> interleaved = rope.flag(flag);
        interleaved && source.type.mrope_order != MropeOrder::ernie)
      parameters.mrope_order = *interleaved ? MropeOrder::interleaved : MropeOrder::chunked;
  if (rope_type == "openpangu") parameters.mrope_order = MropeOrder::openpangu;
  Index pairs = 0;
  for (const Index section : *sections) pairs += section;
  if (pairs != parameters.rotary_dim / 2)
    fail(rope.path(key), " adds up to ", pairs, ", it must be ", parameters.rotary_dim / 2,
         ", the number of pairs");
  parameters.mrope_section = *std::move(sections);
  parameters.axis_of_pair();  // has more to say on sections than their sum
}

inline RopeParameters read_rope(const RopeSource& source) {
  const std::string rope_type = read_rope_type(source.rope);
  const RopeSizes sizes = read_sizes(source, rope_type == "proportional");
  RopeParameters parameters{.theta = read_theta(source),
                            .head_dim = sizes.head_dim,
                            .rotary_dim = sizes.rotary_dim,
                            .start_index = sizes.start_index,
                            .pairing = read_pairing(source)};
  read_sections(source, rope_type, parameters);
  const bool plain = rope_type == "openpangu";
  parameters.scaling = read_scaling(source, plain ? "default" : rope_type, sizes.rotary_dim);
  if (const auto* yarn = std::get_if<YarnOptions>(&parameters.scaling); yarn && source.type.scales_softmax)
    parameters.softmax_scale = yarn_softmax_scale(*yarn);
  parameters.frequencies();  // what no single key shows to be wrong fails here, and not at first use
  return parameters;
}

}  // namespace rotary::inline ROTARY_ABI::detail
