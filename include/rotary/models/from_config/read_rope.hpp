// Reads the rotary embedding of one type of layers: base, sizes, pairing, sections, and the variant.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "read_scaling.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Larger heads are taken for typing errors; their frequencies would fill the memory.
inline constexpr Index kMaxHeadDim = 65536;

/// The size of a head, the number of features that rotate, and the first of them.
struct RopeSizes {
  Index head_dim = 0, rotary_dim = 0, start_index = 0;
};

/// The base for layers of this kind outside of rope objects.
inline std::optional<Keyed<double>> read_theta_of_model(const RopeSource& source) {
  const ConfigObject& model = source.model;
  const ModelType& type = source.type;
  if (source.kind == LayerKind::compressed) {
    const auto found = model.positive(type.compressed_theta_key);
    return found ? std::optional(Keyed<double>{*found, model.path(type.compressed_theta_key)}) : std::nullopt;
  }
  const auto general = model.number_of(type.theta_keys);
  if (source.has_local_theta()) return model.number_of(type.local_theta_keys);
  if (!type.rope_object_key.empty() && model.has_object(type.rope_object_key)) {
    const ConfigObject object = model.object(type.rope_object_key);
    if (const auto base = object.positive(type.object_theta_key)) {
      const Keyed<double> found{*base, object.path(type.object_theta_key)};
      if (general) ConfigObject::check_same(*general, found);
      return found;
    }
  }
  return general;
}

/// The base: of the rope object, of the model, or of the model type.
inline double read_theta(const RopeSource& source) {
  const ConfigObject &model = source.model, &rope = source.rope;
  const ModelType& type = source.type;
  const std::optional<double> own = rope.positive("rope_theta");
  if (source.theta) {
    if (own && !is_equal(*own, *source.theta))
      rope.note_contradictory("rope_theta",
                              "the list that has a base for every layer says otherwise; that holds");
    return *source.theta;
  }
  const auto of_model = read_theta_of_model(source);
  if (own && of_model) {
    const Keyed<double> given{*own, rope.path("rope_theta")};
    if (!source.nested) ConfigObject::check_same(given, *of_model);
    if (!is_equal(given.value, of_model->value))
      rope.note_contradictory("rope_theta",
                              of_model->key + " is another; this one, of the layers themselves, holds");
  }
  double theta = type.theta;
  if (source.has_local_theta()) theta = type.local_theta;
  if (source.kind == LayerKind::compressed) theta = type.compressed_theta;
  if (own || of_model) {
    theta = own ? *own : of_model->value;
  } else if (!type.theta_keys[0].empty()) {  // else it is the same in all models of the type
    if (is_equal(theta, 0))
      fail(model.path(type.theta_keys[0]), " is missing, and what model_type ", type.name,
           " has then is not known to this version");
    const bool local = source.has_local_theta();
    const std::string_view key = source.kind == LayerKind::compressed         ? type.compressed_theta_key
                                 : local && !type.local_theta_keys[0].empty() ? type.local_theta_keys[0]
                                                                              : type.theta_keys[0];
    // Two bases are not under one key: each is in the object of its layers.
    if (local && key == type.theta_keys[0])
      model.note_defaulted("rope_parameters.sliding_attention.rope_theta", of_model_type(type, theta));
    else
      model.note_defaulted(key, of_model_type(type, theta));
  }
  if (!(theta > 0))
    fail(of_model ? of_model->key : rope.path("rope_theta"), " is ", theta, ", it must be positive");
  if (type.theta_ratio_key.empty()) return theta;
  const std::optional<double> ratio = model.positive(type.theta_ratio_key);
  if (!ratio) model.note_defaulted(type.theta_ratio_key, of_model_type(type, 1));
  return theta * ratio.value_or(1);
}

inline constexpr Index kMaxSize = Index(1) << 32;

/// A size of the file, or the default of the model type's configuration class.
inline std::optional<Keyed<Index>> read_size(const RopeSource& source,
                                             std::initializer_list<std::string_view> names, Index otherwise) {
  const ConfigObject& model = source.model;
  if (const auto found = model.size_of(names, 1, kMaxSize)) return found;
  if (otherwise == 0) return {};
  model.note_defaulted(*names.begin(), of_model_type(source.type, static_cast<double>(otherwise)));
  return Keyed<Index>{otherwise, model.path(*names.begin())};
}

inline Index read_head_dim(const RopeSource& source) {
  const ConfigObject& model = source.model;
  const ModelType& type = source.type;
  if (source.full() && !type.full_head_dim_key.empty()) {
    if (const auto found = model.integer(type.full_head_dim_key, 1, kMaxHeadDim)) return *found;
    if (type.full_head_dim > 0) {
      model.note_defaulted(type.full_head_dim_key,
                           of_model_type(type, static_cast<double>(type.full_head_dim)));
      return type.full_head_dim;
    }
  }
  if (source.local() && !type.local_head_dim_key.empty())
    if (const auto found = model.integer(type.local_head_dim_key, 1, kMaxHeadDim)) return *found;
  if (const auto found = model.size_of(
          {"head_dim", "attention_head_dim", "kv_channels", "hidden_size_per_head", "head_size"}, 1,
          kMaxHeadDim))
    return found->value;
  if (type.head_dim > 0) {
    model.note_defaulted("head_dim", of_model_type(type, static_cast<double>(type.head_dim)));
    return type.head_dim;
  }
  const auto hidden = read_size(source, {"hidden_size", "n_embd", "d_model", "emb_size"}, type.hidden_size);
  const auto heads = read_size(
      source, {"num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_num_attention_heads"},
      type.heads);
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
  auto of_model = source.model.number_of(source.type.partial_keys);
  if (source.partial) of_model = {*source.partial, source.model.path("partial_rotary_factors")};
  const std::optional<double> own = source.rope.number(key);
  std::optional<Keyed<double>> found = of_model;
  if (own) {
    found = {*own, source.rope.path(key)};
    if (of_model && !source.nested) ConfigObject::check_same(*found, *of_model);
    if (of_model && !is_equal(*own, of_model->value))
      source.rope.note_contradictory(
          key, of_model->key + " is another; this one, of the layers themselves, holds");
  }
  if (found && !(found->value > 0 && found->value <= 1))
    fail(found->key, " is ", found->value, ", it must be more than 0 and at most 1");
  return found;
}

/// The sizes of multi-head latent attention, where a head is [nope | rope] and all of the rope part rotates.
/// Empty if the file switches it off.
inline std::optional<RopeSizes> read_latent_sizes(const RopeSource& source) {
  const ConfigObject& model = source.model;
  const auto rope_part = model.integer("qk_rope_head_dim", 0, kMaxHeadDim);
  if (source.type.at_end) {
    const Index head_dim = read_head_dim(source), rotary_dim = rope_part.value_or(source.type.rotary_dim);
    if (rotary_dim < 2 || rotary_dim % 2 != 0 || rotary_dim > head_dim)
      fail(model.path("qk_rope_head_dim"), " is ", rotary_dim, ", it must be even and at most head_dim, ",
           head_dim);
    return RopeSizes{head_dim, rotary_dim, head_dim - rotary_dim};
  }
  const auto nope_part = model.integer("qk_nope_head_dim", 0, kMaxHeadDim);
  const bool uses_mla = model.flag("use_mla").value_or(true);
  if (!uses_mla || (rope_part && *rope_part == 0)) return {};
  if (!rope_part || !nope_part)
    fail(model.path(rope_part ? "qk_nope_head_dim" : "qk_rope_head_dim"), " is missing, model_type ",
         source.type.name, " needs it");
  const RopeSizes sizes{
      .head_dim = *nope_part + *rope_part, .rotary_dim = *rope_part, .start_index = *nope_part};
  if (*rope_part % 2 != 0) fail(model.path("qk_rope_head_dim"), " is ", *rope_part, ", it must be even");
  if (const auto head_dim = model.integer("head_dim", 1, kMaxHeadDim))
    if (*head_dim != *rope_part && *head_dim != sizes.head_dim)
      model.note_contradictory("head_dim",
                               "it is neither qk_rope_head_dim nor that and qk_nope_head_dim, which hold");
  if (const auto partial = read_partial(source))
    if (!is_equal(partial->value, 1) &&
        static_cast<Index>(static_cast<double>(sizes.head_dim) * partial->value) != *rope_part)
      fail(partial->key, " is ", partial->value, ", of a head of ", sizes.head_dim,
           " that is not qk_rope_head_dim, ", *rope_part);
  return sizes;
}

/// The number of features of a head that rotate, from their number or their share in the file.
inline Index read_rotary_dim(const RopeSource& source, Index head_dim) {
  const ConfigObject& model = source.model;
  const ModelType& type = source.type;
  const auto share_of_head = [&](double share) {
    return static_cast<Index>(static_cast<double>(head_dim) * share);
  };
  const auto partial = read_partial(source);
  const std::string_view dim_key = type.rotary_dim_key;
  const Index given = dim_key.empty() ? 0 : model.integer(dim_key, 1, kMaxHeadDim).value_or(0);
  Keyed<Index> found{head_dim, model.path("head_dim")};
  if (partial) {
    found = {share_of_head(partial->value), partial->key};
    if (given > 0 && given != found.value)
      fail(model.path(dim_key), " is ", given, ", by ", partial->key, " it is ", found.value,
           ": they must agree");
  } else if (given > 0) {
    found = {given, model.path(dim_key)};
  } else if (type.rotary_dim > 0 && !model.has(dim_key)) {  // null means all of the head
    found.value = type.rotary_dim;
    model.note_defaulted(dim_key, of_model_type(type, static_cast<double>(found.value)));
  } else if (!is_equal(type.partial, 1)) {
    if (is_equal(type.partial, 0))
      fail(model.path(type.partial_keys[0]), " is missing, and what model_type ", type.name,
           " has then is not known to this version");
    found.value = share_of_head(type.partial);
    if (!type.partial_keys[0].empty())  // else it is the same in all models of the type
      model.note_defaulted(type.partial_keys[0], of_model_type(type, type.partial));
  } else if (!dim_key.empty()) {
    model.note_defaulted(dim_key, "it is taken to be the head, " + to_text(head_dim));
  }
  if (found.value < 2 || found.value % 2 != 0 || found.value > head_dim)
    fail(found.key, " lets ", found.value, " features of a head of ", head_dim,
         " rotate, it must be an even number of them");
  return found.value;
}

inline RopeSizes read_sizes(const RopeSource& source, bool proportional) {
  if (source.type.latent || source.type.at_end)
    if (const auto latent = read_latent_sizes(source)) return *latent;
  const Index head_dim = read_head_dim(source);
  if (!proportional) return {.head_dim = head_dim, .rotary_dim = read_rotary_dim(source, head_dim)};
  read_partial(source);  // all features rotate: the variant sets some frequencies to 0
  if (head_dim % 2 != 0) fail(source.model.path("head_dim"), " is ", head_dim, ", it must be even");
  return {.head_dim = head_dim, .rotary_dim = head_dim};
}

/// The pairing that the caller assumes, else that of the configuration, else that of the model type.
inline Pairing read_pairing(const RopeSource& source) {
  const ConfigObject& model = source.model;
  Pairing pairing = source.type.pairing;
  if (!source.type.pairing_key.empty())
    if (const std::optional<bool> interleaved = model.flag(source.type.pairing_key))
      pairing = *interleaved ? Pairing::interleaved : Pairing::half;
  // DeepSeek-V2's attention without latent heads is Llama's.
  if (source.type.latent && (!model.flag("use_mla").value_or(true) ||
                             model.integer("qk_rope_head_dim", 0, kMaxHeadDim).value_or(1) == 0))
    pairing = Pairing::half;
  if (const auto& assumed = model.report().assume().pairing) {
    model.note_assumed("model_type",
                       std::string("the caller says that pairs are ") +
                           (*assumed == Pairing::half ? "(i, i + rotary_dim/2)" : "(2i, 2i + 1)"));
    return *assumed;
  }
  return pairing;
}

inline void read_sections(const RopeSource& source, const std::string& rope_type,
                          RopeParameters& parameters) {
  const ConfigObject& rope = source.rope;
  if (!source.type.mrope) return;
  std::string_view key = "mrope_section";
  auto sections = rope.integers(key, 0, kMaxHeadDim);
  parameters.mrope_order = *source.type.mrope;
  if (!sections) {
    key = "xdrope_section";
    sections = rope.integers(key, 0, kMaxHeadDim);
    parameters.mrope_order = MropeOrder::chunked;
  }
  const bool names_order =
      rope_type == "video_rope" || rope_type == "3D";  // Ming's code has [8, 12, 12] then
  const std::array<Index, 3> otherwise = names_order ? std::array<Index, 3>{8, 12, 12} : source.type.sections;
  if (!sections && otherwise[0] > 0) {
    key = "mrope_section";
    parameters.mrope_order = *source.type.mrope;
    sections.emplace(otherwise.begin(), otherwise.end());
    rope.note_defaulted(
        key, of_model_type(source.type, "[" + to_text(otherwise[0]) + ", " + to_text(otherwise[1]) + ", " +
                                            to_text(otherwise[2]) + "]"));
  }
  if (!sections) {
    // Qwen3-Next's files have the flag without sections, which changes nothing.
    for (const std::string_view flag : {"mrope_interleaved", "interleaved"})
      if (rope.has_value(flag)) rope.note_ignored(flag, "there is no mrope_section");
    return;
  }
  for (const std::string_view flag : {"mrope_interleaved", "interleaved"})
    if (const std::optional<bool> interleaved = rope.flag(flag);
        interleaved && *source.type.mrope != MropeOrder::ernie)
      parameters.mrope_order = *interleaved ? MropeOrder::interleaved : MropeOrder::chunked;
  if (rope.flag("mrope_interleaved_glm").value_or(false)) parameters.mrope_order = MropeOrder::glm;
  if (rope_type == "openpangu") parameters.mrope_order = MropeOrder::openpangu;
  if (rope_type == "video_rope") parameters.mrope_order = MropeOrder::video;
  Index pairs = 0;
  for (const Index section : *sections) pairs += section;
  if (pairs != parameters.rotary_dim / 2)
    fail(rope.path(key), " adds up to ", pairs, ", it must be ", parameters.rotary_dim / 2,
         ", the number of pairs");
  parameters.mrope_section = *std::move(sections);
  parameters.axis_of_pair();  // throws on sections that are wrong although their sum is right
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
  if (names_sections(rope_type) && !source.type.mrope)
    fail(source.rope.path("rope_type"), " is ", rope_type, ", model_type ", source.type.name,
         " is not known to have sections");
  parameters.scaling =
      read_scaling(source, names_sections(rope_type) ? "default" : rope_type, sizes.rotary_dim);
  if (const auto* yarn = std::get_if<YarnOptions>(&parameters.scaling); yarn && source.type.scales_softmax)
    parameters.softmax_scale = yarn_softmax_scale(*yarn);
  parameters.rotates_output_back = source.type.rotates_back;
  parameters.frequencies();  // values that contradict each other throw here, and not at first use
  return parameters;
}

}  // namespace rotary::inline ROTARY_ABI::detail
