#include "diffusion/single_file/names.h"

#include <map>

#include "base/error.h"
#include "formats/bytes.h"

namespace sumi::diffusion {

namespace {

// Beginnings of names, up to a dot, and what replaces them. The longest that fits counts.
using Beginnings = std::map<std::string, std::string>;

// False if none fits.
bool replace_beginning(std::string& name, const Beginnings& beginnings) {
  for (size_t dot = name.rfind('.'); dot != std::string::npos && dot > 0;
       dot = name.rfind('.', dot - 1)) {
    const auto found = beginnings.find(name.substr(0, dot + 1));
    if (found == beginnings.end()) continue;
    name = found->second + name.substr(dot + 1);
    return true;
  }
  return false;
}

std::vector<RenamedTensor> renamed(const Section& net, const Beginnings& beginnings) {
  std::vector<RenamedTensor> tensors;
  for (const auto& [stored, shape] : net.shapes()) {
    std::string name = stored;
    if (!replace_beginning(name, beginnings))
      fail("tensor {}: not known in such a network", formats::shown(net.prefix() + stored));
    tensors.push_back({.name = name, .stored = net.prefix() + stored});
  }
  return tensors;
}

void add_resnet(Beginnings& names, const std::string& from, const std::string& to) {
  names[from + "in_layers.0."] = to + "norm1.";
  names[from + "in_layers.2."] = to + "conv1.";
  names[from + "emb_layers.1."] = to + "time_emb_proj.";
  names[from + "out_layers.0."] = to + "norm2.";
  names[from + "out_layers.3."] = to + "conv2.";
  names[from + "skip_connection."] = to + "conv_shortcut.";
}

// From the input to the middle, which UNets and ControlNets share.
Beginnings encoder_names(const std::vector<LdmLevel>& levels) {
  Beginnings names = {{"time_embed.0.", "time_embedding.linear_1."},
                      {"time_embed.2.", "time_embedding.linear_2."},
                      {"input_blocks.0.0.", "conv_in."},
                      {"middle_block.1.", "mid_block.attentions.0."}};
  add_resnet(names, "middle_block.0.", "mid_block.resnets.0.");
  add_resnet(names, "middle_block.2.", "mid_block.resnets.1.");
  int block = 1;
  for (size_t l = 0; l < levels.size(); ++l) {
    const std::string to = fmt::format("down_blocks.{}.", l);
    for (int64_t i = 0; i < levels[l].layers; ++i, ++block) {
      add_resnet(names, fmt::format("input_blocks.{}.0.", block),
                 fmt::format("{}resnets.{}.", to, i));
      names[fmt::format("input_blocks.{}.1.", block)] = fmt::format("{}attentions.{}.", to, i);
    }
    if (levels[l].down)
      names[fmt::format("input_blocks.{}.0.op.", block++)] = to + "downsamplers.0.conv.";
  }
  return names;
}

}  // namespace

std::vector<RenamedTensor> unet_names(const Section& net) {
  const std::vector<LdmLevel> levels = ldm_levels(net);
  Beginnings names = encoder_names(levels);
  names["out.0."] = "conv_norm_out.";
  names["out.2."] = "conv_out.";
  names["label_emb."] = "class_embedding.";  // the x4 upscaler's table of noise levels
  names["label_emb.0.0."] = "add_embedding.linear_1.";  // XL's sizes and whole text
  names["label_emb.0.2."] = "add_embedding.linear_2.";
  int block = 0;
  for (size_t up = 0; up < levels.size(); ++up) {
    const std::string to = fmt::format("up_blocks.{}.", up);
    const LdmLevel& level = levels[levels.size() - 1 - up];
    for (int64_t i = 0; i <= level.layers; ++i, ++block) {
      const std::string from = fmt::format("output_blocks.{}.", block);
      add_resnet(names, from + "0.", fmt::format("{}resnets.{}.", to, i));
      names[from + "1."] = fmt::format("{}attentions.{}.", to, i);
      // The upsampler stands behind the attention, or in its place.
      for (const char* place : {"1.conv.", "2.conv."})
        names[from + place] = to + "upsamplers.0.conv.";
    }
  }
  return renamed(net, names);
}

std::vector<RenamedTensor> controlnet_names(const Section& net) {
  Beginnings names = encoder_names(ldm_levels(net));
  for (int64_t i = net.count("zero_convs."); i-- > 0;)
    names[fmt::format("zero_convs.{}.0.", i)] = fmt::format("controlnet_down_blocks.{}.", i);
  names["middle_block_out.0."] = "controlnet_mid_block.";
  // Convolutions stand at even places, activations between them.
  const std::string hint = "controlnet_cond_embedding.";
  names["input_hint_block.0."] = hint + "conv_in.";
  for (int i = 2; net.any(fmt::format("input_hint_block.{}.", i)); i += 2)
    names[fmt::format("input_hint_block.{}.", i)] =
        net.any(fmt::format("input_hint_block.{}.", i + 2))
            ? fmt::format("{}blocks.{}.", hint, i / 2 - 1)
            : hint + "conv_out.";
  return renamed(net, names);
}

std::vector<RenamedTensor> vae_names(const Section& net) {
  Beginnings names = {{"quant_conv.", "quant_conv."}, {"post_quant_conv.", "post_quant_conv."}};
  const auto add_block = [&](const std::string& from, const std::string& to) {
    names[from] = to;
    names[from + "nin_shortcut."] = to + "conv_shortcut.";
  };
  for (const std::string half : {"encoder.", "decoder."}) {
    const bool encodes = half == "encoder.";
    const std::string from = half + (encodes ? "down." : "up.");
    const int64_t levels = net.count(from);
    for (int64_t l = 0; l < levels; ++l) {
      const std::string level = fmt::format("{}{}.", from, l);
      const std::string to = encodes ? fmt::format("{}down_blocks.{}.", half, l)
                                     : fmt::format("{}up_blocks.{}.", half, levels - 1 - l);
      for (int64_t i = net.count(level + "block."); i-- > 0;)
        add_block(fmt::format("{}block.{}.", level, i), fmt::format("{}resnets.{}.", to, i));
      names[level + "downsample."] = to + "downsamplers.0.";
      names[level + "upsample."] = to + "upsamplers.0.";
    }
    add_block(half + "mid.block_1.", half + "mid_block.resnets.0.");
    add_block(half + "mid.block_2.", half + "mid_block.resnets.1.");
    const std::string attention = half + "mid.attn_1.", ours = half + "mid_block.attentions.0.";
    names[attention + "norm."] = ours + "group_norm.";
    names[attention + "q."] = ours + "to_q.";
    names[attention + "k."] = ours + "to_k.";
    names[attention + "v."] = ours + "to_v.";
    names[attention + "proj_out."] = ours + "to_out.0.";
    names[half + "conv_in."] = half + "conv_in.";
    names[half + "norm_out."] = half + "conv_norm_out.";
    names[half + "conv_out."] = half + "conv_out.";
  }
  std::vector<RenamedTensor> tensors = renamed(net, names);
  for (RenamedTensor& tensor : tensors)
    tensor.matrix = tensor.name.find(".attentions.") != std::string::npos;
  return tensors;
}

std::vector<RenamedTensor> clip_names(const Section& net) {
  std::vector<RenamedTensor> tensors;
  for (const auto& [stored, shape] : net.shapes())
    tensors.push_back({.name = stored, .stored = net.prefix() + stored});
  return tensors;
}

std::vector<RenamedTensor> open_clip_names(const Section& net, bool whole) {
  const std::string blocks = "transformer.resblocks.";
  const int64_t layers = net.count(blocks) - (whole ? 0 : 1);
  Beginnings names = {{"token_embedding.", "text_model.embeddings.token_embedding."},
                      {"ln_final.", "text_model.final_layer_norm."}};
  for (int64_t i = 0; i < layers; ++i) {
    const std::string from = fmt::format("{}{}.", blocks, i);
    const std::string to = fmt::format("text_model.encoder.layers.{}.", i);
    names[from + "ln_1."] = to + "layer_norm1.";
    names[from + "ln_2."] = to + "layer_norm2.";
    names[from + "attn."] = to + "self_attn.";
    names[from + "mlp.c_fc."] = to + "mlp.fc1.";
    names[from + "mlp.c_proj."] = to + "mlp.fc2.";
  }
  std::vector<RenamedTensor> tensors;
  const std::string last = fmt::format("{}{}.", blocks, layers);
  for (const auto& [stored, shape] : net.shapes()) {
    const std::string full = net.prefix() + stored;
    if (stored == "logit_scale" || stored == "attn_mask" || stored.rfind(last, 0) == 0) continue;
    if (stored == "text_projection") {
      if (whole)
        tensors.push_back({.name = "text_projection.weight", .stored = full, .transposed = true});
      continue;
    }
    if (stored == "positional_embedding") {
      tensors.push_back(
          {.name = "text_model.embeddings.position_embedding.weight", .stored = full});
      continue;
    }
    std::string name = stored;
    if (!replace_beginning(name, names))
      fail("tensor {}: not known in such a network", formats::shown(full));
    // Queries, keys and values in one.
    const size_t joined = name.find("in_proj_");
    if (joined == std::string::npos) {
      tensors.push_back({.name = name, .stored = full});
      continue;
    }
    const char* parts[] = {"q_proj.", "k_proj.", "v_proj."};
    for (int64_t part = 0; part < 3; ++part)
      tensors.push_back({.name = name.substr(0, joined) + parts[part] + name.substr(joined + 8),
                         .stored = full,
                         .part = part,
                         .parts = 3});
  }
  return tensors;
}

}  // namespace sumi::diffusion
