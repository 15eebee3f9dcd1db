// Keys about positions, renamed or added to published configurations: the answer never changes in silence.
#include <gtest/gtest.h>
#include <rotary/models/from_config/read_keys.hpp>

#include <algorithm>
#include <cstring>
#include <iostream>
#include <map>
#include <set>

#include "support/compiled_from_config.hpp"
#include "support/errors.hpp"
#include "support/model_configs.hpp"
#include "support/random.hpp"

namespace rotary::testing {
namespace {

using Json = nlohmann::json;

/// What rotates in layers of a type, as text.
std::string answer(const ModelConfiguration::LayerType& type) {
  std::ostringstream text;
  text.precision(17);
  if (!type.rope) return "none";
  const RopeParameters& rope = *type.rope;
  text << rope.head_dim << ' ' << rope.rotary_dim << ' ' << rope.start_index << ' '
       << static_cast<int>(rope.pairing) << ' ' << rope.softmax_scale;
  for (const double length : {0.0, 1e5}) {
    const Frequencies frequencies = rope.frequencies(length);
    text << ' ' << frequencies.magnitude;
    for (const DoubleDouble& f : frequencies.values) {
      EXPECT_TRUE(std::isfinite(f.hi));
      text << ' ' << f.hi;
    }
  }
  if (!rope.mrope_section.empty())
    for (const Index axis : rope.axis_of_pair()) text << ' ' << axis;
  return text.str();
}

/// Everything that a configuration says of the rotary embeddings, by layer if their number is known.
std::string answer(const ModelConfiguration& model) {
  std::vector<std::string> of_type;
  for (const auto& type : model.layer_types) of_type.push_back(answer(type));
  std::string text;
  for (const auto& layer : model.layers) text += (layer.rotates ? of_type[layer.type] : "none") + '\n';
  if (model.layers.empty())
    for (const std::string& type : of_type) text += type + '\n';
  if (model.temperature) {
    std::ostringstream factors;
    factors.precision(17);
    for (const double position : {8190., 8191., 1e6}) factors << model.temperature->at(position) << ' ';
    text += factors.str() + std::to_string(model.temperature_without_rope);
  }
  return text;
}

std::vector<Json> configurations() {
  std::vector<Json> result;
  for (const Json& entry : Json::parse(config_text("model_types/published.json")))
    result.push_back(entry.at("config"));
  for (const auto& file : config_files()) result.push_back(Json::parse(text_of(file)));
  return result;
}

/// The objects of the language model: the model itself and its rope objects.
std::vector<Json*> objects_of(Json& config) {
  Json* model = &config;
  for (const char* part : {"thinker_config", "text_config", "llm_config", "language_config"})
    if (model->contains(part) && (*model)[part].is_object()) model = &(*model)[part];
  std::vector<Json*> result = {model};
  for (const char* key : {"rope_scaling", "rope_parameters", "swa_rope_parameters", "rotary"})
    if (model->contains(key) && (*model)[key].is_object()) {
      result.push_back(&(*model)[key]);
      for (auto& [name, value] : (*model)[key].items())
        if (value.is_object()) result.push_back(&value);
    }
  return result;
}

template <class T>
const T& any_of(Random& random, const std::vector<T>& values) {
  return values[random.integer<std::size_t>(0, values.size() - 1)];
}

/// A key of one of the families: one that other models have, or one that no model has yet.
std::string new_key(Random& random) {
  static const std::vector<std::string> real = {"rotary_dim",
                                                "rope_ratio",
                                                "no_rope_layers",
                                                "no_rope_layer_interval",
                                                "sliding_window_pattern",
                                                "partial_rotary_factor",
                                                "rope_theta",
                                                "rotary_pct",
                                                "rotary_emb_base",
                                                "full_attn_idxs",
                                                "rope_layout",
                                                "rope_local_base_freq",
                                                "local_rope_theta",
                                                "global_rope_theta",
                                                "swa_rope_theta",
                                                "rope_interleave",
                                                "rotary_emb_interleaved",
                                                "qk_rope_head_dim",
                                                "use_mem_rope",
                                                "mla_use_nope",
                                                "attn_layer_indices",
                                                "cross_attention_layers",
                                                "hybrid_layer_pattern",
                                                "layer_types",
                                                "layers_block_type",
                                                "block_types",
                                                "full_attention_interval",
                                                "global_attn_every_n_layers",
                                                "rope_position_scale",
                                                "rope_embedding_base",
                                                "rotary_scaling_factor",
                                                "use_dynamic_ntk",
                                                "compress_rope_theta",
                                                "partial_rotary_factors",
                                                "yarn_only_types",
                                                "mrope_section",
                                                "mrope_interleaved",
                                                "use_fope",
                                                "rope_freq_constant",
                                                "alibi",
                                                "position_embedding_type",
                                                "global_head_dim",
                                                "layer_rope_theta",
                                                "attn_type_list",
                                                "layer_group_size"};
  if (random.integer(0, 2) == 0) return any_of(random, real);
  static const std::vector<std::string> before = {"",      "",     "use_",   "my_", "global_",
                                                  "attn_", "swa_", "local_", "no_"},
                                        stems = {"rope",        "rotary",  "position",
                                                 "partial",     "theta",   "rope_base",
                                                 "layer_types", "pattern", "full_attn_idxs",
                                                 "sliding",     "yarn",    "interleave",
                                                 "ntk",         "mscale",  "alibi",
                                                 "freq",        "xpos"},
                                        after = {"",        "",      "_x",    "_factor", "_scale",
                                                 "_layers", "_type", "_list", "_dim",    "_2"};
  return any_of(random, before) + any_of(random, stems) + any_of(random, after);
}

Json new_value(Random& random) {
  static const std::vector<Json> values = {true,
                                           false,
                                           0,
                                           1,
                                           2,
                                           0.5,
                                           8,
                                           1000000,
                                           "default",
                                           "yarn",
                                           Json::array({0, 1}),
                                           Json::array({1, 1, 1, 0}),
                                           Json::array({"full_attention", "sliding_attention"}),
                                           Json{{"factor", 2.0}, {"rope_type", "linear"}}};
  return any_of(random, values);
}

/// Whether a message or a note names the key: as a whole or as the last part of a path.
bool names(const std::string& text, const std::string& key) {
  return text.find(key.substr(key.find_first_not_of('_'))) != std::string::npos;
}

/// Whether the configuration has a key, after the objects that hold it and dots.
bool contains(const Json& object, const std::string& path) {
  if (!object.is_object()) return false;
  if (object.contains(path)) return !object.at(path).is_null();
  for (std::size_t dot = path.find('.'); dot != path.npos; dot = path.find('.', dot + 1))
    if (object.contains(path.substr(0, dot)) &&
        contains(object.at(path.substr(0, dot)), path.substr(dot + 1)))
      return true;
  return false;
}

/// Keys without which a model simply does without: no scaling, pairs of the type, no window of another kind.
bool is_optional(const std::string& key) {
  for (const char* name :
       {"rotary_scaling_factor", "use_dynamic_ntk", "rope_interleave", "sliding_window_layout",
        "partial_rotary_factors", "max_trained_positions", "use_mla"})
    if (key == name) return true;
  return false;
}

TEST(FromConfigMutations, TheAnswerNeverChangesInSilence) {
  Random random(20250611);
  SCOPED_TRACE(random.replay());
  std::cout << random.replay() << '\n';
  const std::vector<Json> known = configurations();
  std::vector<std::string> answers, types;
  for (const Json& config : known) {
    const ModelConfiguration model = from_config(config);
    answers.push_back(answer(model));
    types.push_back(model.model_type);
  }
  std::size_t refused = 0, noted = 0, unchanged = 0, told = 0, read = 0;
  for (int n = 0, tried = 0; n < 10000; ++tried) {
    const std::size_t which = random.integer<std::size_t>(0, known.size() - 1);
    Json config = known[which];
    Json& object = *any_of(random, objects_of(config));
    std::vector<std::string> candidates;
    for (const auto& [key, value] : object.items())
      if (detail::concerns_rope(key) || detail::is_rope_key(key)) candidates.push_back(key);
    std::string gone, added;
    const int kind = random.integer(0, 2);
    if (kind == 0 && !candidates.empty()) {  // to a name that says nothing of positions
      gone = any_of(random, candidates);
      if (is_optional(gone)) continue;
      added = "k" + std::to_string(tried);
    } else if (kind == 1 && !candidates.empty()) {
      gone = any_of(random, candidates);
      added = random.integer(0, 1) == 0
                  ? gone + any_of(random, std::vector<std::string>{"_x", "s", "_0", "_new"})
                  : new_key(random);
    } else {
      added = new_key(random);
    }
    if (object.contains(added)) continue;
    ++n;
    const Json value = gone.empty() ? new_value(random) : object[gone];
    if (!gone.empty()) object.erase(gone);
    object[added] = value;
    // A key that models of the type do have is no mutation: it is read, and may change the answer.
    const auto is_read = [&](const std::string& key) {
      return detail::may_read(*detail::find_model_type(types[which]), key) || detail::is_rope_key(key) ||
             detail::is_section_key(key);
    };
    const std::string change = gone.empty() ? "added " + added : "renamed " + gone + " to " + added;
    try {
      const ModelConfiguration model = from_config(config);
      const bool same = answer(model) == answers[which];
      bool tells_added = false, tells_gone = gone.empty();
      for (const ConfigurationNote& note : model.notes) {
        tells_added = tells_added || names(note.text, added);
        tells_gone = tells_gone || names(note.text, gone);
      }
      if (value.is_null()) {  // null is a key that is not there
        EXPECT_TRUE(same || tells_gone) << change << " in " << config;
        continue;
      }
      if (is_read(added)) {
        ++read;
        continue;
      }
      const bool silent_by_name = !detail::concerns_rope(added) ||
                                  (detail::find_known_key(added) &&
                                   detail::find_known_key(added)->answer == detail::KeyAnswer::silent);
      if (same) {
        // Nothing depends on it: a key that is known, or read without effect, or a note.
        ++unchanged;
        const ModelConfiguration listed = from_config(config, {.list_unread_keys = true});
        const bool unlisted = listed.note(added) == nullptr;
        EXPECT_TRUE(tells_added || silent_by_name || unlisted) << change << " in " << config;
      } else {
        // The key that is gone has a note on its default, or the new one is another name of it.
        ++told;
        EXPECT_TRUE(tells_added || tells_gone) << change << " in " << config;
      }
      noted += tells_added ? 1 : 0;
    } catch (const std::invalid_argument& error) {
      ++refused;
      const std::string message = error.what();
      if (is_read(added)) continue;
      EXPECT_TRUE(kind == 0 || names(message, added) || (!gone.empty() && names(message, gone)))
          << change << ": " << message;
      EXPECT_EQ(message.find('\n'), std::string::npos);
    }
  }
  std::cout << refused << " refused, " << noted << " noted, " << unchanged << " unchanged, " << told
            << " changed and told, " << read << " with keys that are read\n";
  EXPECT_GT(refused, 5000u);
}

/// Calls `check` with every published configuration that can be read without one of its keys about positions.
template <class Check>
void without_each_key(const Check& check) {
  for (Json whole : configurations()) {
    const std::vector<Json*> objects = objects_of(whole);
    for (std::size_t n = 0; n < objects.size(); ++n)
      for (const auto& [key, value] : objects[n]->items()) {
        if (!detail::concerns_rope(key) && !detail::is_rope_key(key)) continue;
        Json config = whole;
        objects_of(config)[n]->erase(key);
        if (error_of_call([&] { from_config(config); }) == kNoError) check(config, from_config(config));
      }
  }
}

TEST(FromConfigMutations, NotesNameKeysThatAreThere) {
  using Kind = ConfigurationNote::Kind;
  std::size_t notes = 0;
  without_each_key([&](const Json& config, const ModelConfiguration& model) {
    for (const ConfigurationNote& note : model.notes)
      if (note.kind == Kind::ignored || note.kind == Kind::contradictory) {
        ++notes;
        EXPECT_TRUE(contains(config, note.key)) << note.text << ": " << config;
      }
  });
  EXPECT_GT(notes, 100u);
}

/// The value that a note says was taken for a missing key; null if it is no number, flag or list.
Json taken_value(const std::string& text) {
  const std::string_view begin = "it is taken to be ", end = ", as ";
  const std::size_t at = text.find(begin);
  if (at == text.npos) return {};
  std::string value = text.substr(at + begin.size());
  if (const std::size_t stop = value.find(end); stop != value.npos)
    value.resize(stop);
  else if (const std::size_t comma = value.rfind(", "); comma != value.npos)
    value.erase(0, comma + 2);
  const Json found = Json::parse(value, nullptr, false);
  return found.is_discarded() ? Json() : found;
}

// A configuration that says itself what was taken for a missing key gives the same answer.
TEST(FromConfigMutations, DefaultsAreWhatNotesSay) {
  std::size_t compared = 0;
  without_each_key([&](const Json& config, const ModelConfiguration& model) {
    for (const ConfigurationNote& note : model.notes) {
      if (note.kind != ConfigurationNote::Kind::defaulted) continue;
      const Json value = taken_value(note.text);
      std::string path = (note.key == "mrope_section" ? "/rope_scaling/" : "/") + note.key;
      std::replace(path.begin(), path.end(), '.', '/');
      const Json::json_pointer place(path);
      // Without any rope object, one with this key alone would be another answer.
      if (value.is_null() || (note.key != "mrope_section" && !config.contains(place.parent_pointer())))
        continue;
      Json complete = config;
      complete[place] = value;
      ++compared;
      EXPECT_EQ(error_of_call([&] {
                  EXPECT_EQ(answer(from_config(complete)), answer(model)) << note.text << ": " << config;
                }),
                kNoError)
          << note.text << ": " << config;
    }
  });
  EXPECT_GT(compared, 100u);
}

// Keys that are listed as not read may have any other value, or null.
TEST(FromConfigMutations, UnreadKeysChangeNothing) {
  std::size_t changed = 0;
  for (const Json& whole : configurations()) {
    const ModelConfiguration model = from_config(whole, {.list_unread_keys = true});
    const std::string wanted = answer(model);
    for (const ConfigurationNote& note : model.notes) {
      if (note.kind != ConfigurationNote::Kind::unread) continue;
      std::string path = "/" + note.key;
      std::replace(path.begin(), path.end(), '.', '/');
      const Json::json_pointer place(path);
      if (!whole.contains(place)) continue;  // a key with a dot
      for (const Json& value : {Json(), Json(7)}) {
        ++changed;
        Json config = whole;
        config[place] = value;
        EXPECT_EQ(error_of_call([&] { EXPECT_EQ(answer(from_config(config)), wanted) << note.text; }),
                  kNoError)
            << note.text;
      }
    }
  }
  EXPECT_GT(changed, 100u);
}

/// Gives every number of a configuration, one at a time, values that no model has, and collects the ranges that messages name.
void find_ranges(const Json& whole, std::map<std::string, std::set<std::string>>& ranges) {
  const Json flat = whole.flatten();
  for (const auto& [pointer, value] : flat.items()) {
    const std::string key = pointer.substr(pointer.rfind('/') + 1);
    if (!value.is_number() || key.find_first_not_of("0123456789") == key.npos) continue;
    for (const double wrong : {-5.0, 0.0, 1e17}) {
      Json config = whole;
      config[Json::json_pointer(pointer)] = wrong;
      const std::string message = error_of_call([&] { from_config(config); });
      for (const char* range :
           {", it must be a whole number from ", ", it must be positive", ", it must be more than "})
        if (const std::size_t at = message.find(range); at != message.npos && message.find(key + " is ") < at)
          ranges[key].insert(message.substr(at + std::strlen(", it must be ")));
    }
  }
}

TEST(FromConfigMutations, EveryNumberHasItsRange) {
  std::map<std::string, std::set<std::string>> found, wanted;
  for (const Json& config : configurations()) find_ranges(config, found);
  const auto want = [&](const std::string& range, std::initializer_list<const char*> keys) {
    for (const char* key : keys) wanted[key].insert(range);
  };
  want("a whole number from 1 to 65536",
       {"head_dim", "attention_head_dim", "global_head_dim", "hidden_size_per_head", "kv_channels",
        "rotary_dim", "swa_head_dim"});
  want("a whole number from 0 to 65536", {"qk_nope_head_dim", "qk_rope_head_dim"});
  want("a whole number from 1 to 4294967296", {"hidden_size", "d_model", "n_embd", "num_attention_heads",
                                               "n_head", "n_heads", "decoder_num_attention_heads"});
  want("a whole number from 1 to 100000",
       {"num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_transformer_layers",
        "decoder_num_hidden_layers", "sliding_window_pattern", "_sliding_window_pattern",
        "full_attention_interval", "global_attn_every_n_layers", "layer_group_size", "mamba_step"});
  want("a whole number from 0 to 100000", {"no_rope_layer_interval"});
  want("a whole number from 1 to 1125899906842624", {"max_position_embeddings", "max_trained_positions"});
  want("positive", {"rope_theta",
                    "rotary_emb_base",
                    "base",
                    "rope_embedding_base",
                    "compress_rope_theta",
                    "global_rope_theta",
                    "local_rope_theta",
                    "rope_local_theta",
                    "rope_local_base_freq",
                    "swa_rope_theta",
                    "factor",
                    "alpha",
                    "attention_factor",
                    "beta_fast",
                    "beta_slow",
                    "low_freq_factor",
                    "high_freq_factor",
                    "rope_freq_constant",
                    "rope_position_scale",
                    "rope_ratio",
                    "rotary_scaling_factor",
                    "original_max_position_embeddings",
                    "seq_length",
                    "floor_scale"});
  want("more than 0 and at most 1",
       {"partial_rotary_factor", "rope_pct", "rotary_pct", "rotary_emb_fraction"});
  for (const auto& [key, ranges] : wanted) EXPECT_EQ(found[key], ranges) << key;
  for (const auto& [key, ranges] : found) EXPECT_TRUE(wanted.contains(key)) << key << ": " << *ranges.begin();
}

}  // namespace
}  // namespace rotary::testing
