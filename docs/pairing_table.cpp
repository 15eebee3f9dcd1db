// Writes the table of docs/pairings.md: which features of which model form a pair, from the presets and the table of
// model types. The page above its marker stays as it is.
//
//   pairing_table <folder of pairings.md> <folder to write it to>
#include <fstream>
#include <iostream>
#include <rotary/models/from_config/model_types.hpp>
#include <rotary/presets.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace rotary;

std::string number(double value) {
  std::ostringstream text;
  text.precision(12);
  text << value;
  return text.str();
}

std::string name_of(Pairing pairing) { return pairing == Pairing::half ? "half" : "interleaved"; }

/// Adds `part` to a list unless it is there.
void add(std::string& list, const std::string& part) {
  if (("; " + list + "; ").find("; " + part + "; ") == std::string::npos)
    list += (list.empty() ? "" : "; ") + part;
}

std::string window_of(const RopeParameters& rope) {
  if (rope.rotary_dim == rope.head_dim) return "all " + std::to_string(rope.head_dim);
  const std::string which = rope.start_index == 0 ? "the first " : "the last ";
  return which + std::to_string(rope.rotary_dim) + " of " + std::to_string(rope.head_dim);
}

std::string row(std::string_view name, const std::string& pairing, const std::string& rotates,
                const std::string& base, const std::string& reader) {
  return "| `" + std::string(name) + "` | " + pairing + " | " + rotates + " | " + base + " | " + reader +
         " |\n";
}

std::string row_of_preset(std::string_view name) {
  const ModelConfiguration model = preset(name);
  std::string pairing, rotates, base;
  bool some_without = false;
  for (const ModelConfiguration::LayerType& type : model.layer_types) {
    if (!type.rope) {
      some_without = true;
      continue;
    }
    add(pairing, name_of(type.rope->pairing));
    add(rotates, window_of(*type.rope));
    const std::string scaling(type.rope->rope_type());
    add(base, number(type.rope->theta) + (scaling == "default" ? "" : ", " + scaling) +
                  (type.rope->mrope_section.empty() ? "" : ", M-RoPE"));
  }
  for (const ModelConfiguration::Layer& layer : model.layers) some_without = some_without || !layer.rotates;
  if (some_without) rotates += "; some layers none";
  return row(name, pairing, rotates, base, "`preset`");
}

std::string row_of_grid(std::string_view name) {
  const GridRope rope = grid_preset(name);
  return row(name, name_of(rope.pairing), "all " + std::to_string(rope.head_dim),
             std::to_string(rope.frequencies.axes) + " axes", "`grid_preset`");
}

std::string table() {
  std::string text =
      "| model or `model_type` | pairing | features of a head that rotate | base, scaling | known to |\n"
      "|---|---|---|---|---|\n";
  for (const std::string_view name : preset_names()) text += row_of_preset(name);
  for (const std::string_view name : grid_preset_names()) text += row_of_grid(name);
  for (const detail::ModelType& type : detail::kModelTypes) {
    if (!type.refusal.empty()) continue;
    std::string pairing = name_of(type.pairing);
    if (!type.pairing_key.empty()) pairing += ", or by `" + std::string(type.pairing_key) + "`";
    text += row(type.name, pairing, "", "", "`from_config`");
  }
  return text;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  const std::string marker = "<!-- table: docs/pairing_table.cpp -->\n";
  std::ifstream stream(std::string(arguments[1]) + "/pairings.md");
  std::stringstream page;
  page << stream.rdbuf();
  const std::size_t end = page.str().find(marker);
  if (end == std::string::npos) {
    std::cerr << "pairings.md has no line " << marker;
    return 1;
  }
  std::ofstream(std::string(arguments[2]) + "/pairings.md") << page.str().substr(0, end) << marker << table();
}
