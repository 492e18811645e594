"""Writes tests/data/language/gguf_<case>/model.gguf: the weights of a case of language.py or chatglm.py as llama.cpp's
converter lays them out for the family. Nothing else is written: the case's own expected.safetensors holds.

Names come from the gguf package. What the converter does to the elements is said family by family below, in our words:
LLaMA's relatives that turn neighbouring pairs get query and key rows permuted, interleaved query/key/value weights are
put in order, Gemma's norms get their 1 added. Matrices stay bfloat16, vectors become float32.
Usage: python tools/reference/families_gguf.py [case ...]
"""

import json
import math
import sys

import gguf
import numpy as np
import torch
from safetensors.torch import load_file

from language import OUT

A = gguf.MODEL_ARCH


def permuted(w, heads):
    """Pairs of RoPE from halves to neighbours, in each head."""
    return w.reshape(heads, 2, -1, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def in_order(w, kv_heads, dim):
    """For each key/value head its query heads, key and value -> all queries, all keys, all values."""
    groups = w.reshape(kv_heads, -1, dim, *w.shape[1:])
    return [part.reshape(-1, *w.shape[1:]) for part in (groups[:, :-2], groups[:, -2], groups[:, -1])]


def plain(name, w, c):
    return [(name, w)]


def ordered(name, w, c):
    if "query_key_value" not in name:
        return [(name, w)]
    heads = c.heads if not c.get("multi_query") or c.get("new_decoder_architecture") else 1
    return [(name, torch.cat(in_order(w, c.get("num_kv_heads") or heads, c.head_dim)))]


def gemma(name, w, c):
    return [(name, w + 1 if "norm" in name else w)]


def permuted_llama(name, w, c):
    """Also splits Baichuan's and InternLM2's fused weights."""
    if "W_pack" in name or "wqkv" in name:
        parts = w.chunk(3) if "W_pack" in name else in_order(w, c.kv_heads, c.head_dim)
        layer = name.split(".")[2]
        named = zip((f"model.layers.{layer}.self_attn.{p}_proj.weight" for p in "qkv"), parts)
        return [pair for part in named for pair in permuted_llama(*part, c)]
    if "q_proj" in name or "k_proj" in name:
        w = permuted(w, c.heads if "q_proj" in name else c.kv_heads)
    return [(name, w)]


class Settings(dict):
    """config.json under the names that the families share."""

    def first(self, *names, missing=None):
        return next((self[n] for n in names if self.get(n) is not None), missing)

    @property
    def hidden(self):
        return self.first("hidden_size", "n_embd", "d_model")

    @property
    def layers(self):
        return self.first("num_hidden_layers", "n_layer", "n_layers", "num_layers")

    @property
    def heads(self):
        return self.first("num_attention_heads", "n_head", "n_heads")

    @property
    def kv_heads(self):
        if self.get("multi_query") and not self.get("new_decoder_architecture"):
            return 1
        if not self.get("multi_query_attention", True):
            return self.heads
        return self.first("num_key_value_heads", "multi_query_group_num", "num_kv_heads", missing=self.heads)

    @property
    def head_dim(self):
        return self.first("head_dim", "kv_channels", missing=self.hidden // self.heads)

    @property
    def inner(self):
        return self.first("intermediate_size", "ffn_hidden_size", "n_inner", missing=4 * self.hidden)


def metadata(writer, c):
    writer.add_context_length(c.first("max_position_embeddings", "n_positions", "max_seq_len", "seq_length",
                                      "model_max_length", missing=2048))
    writer.add_embedding_length(c.hidden)
    writer.add_block_count(c.layers)
    writer.add_head_count(c.heads)
    writer.add_head_count_kv(c.kv_heads)
    writer.add_feed_forward_length(c.inner)
    if c.get("rms_norm_eps") or c.get("rmsnorm") or c["model_type"] == "qwen":
        writer.add_layer_norm_rms_eps(c.first("rms_norm_eps", "layernorm_epsilon", "layer_norm_epsilon"))
    else:
        writer.add_layer_norm_eps(c.first("layer_norm_epsilon", "layer_norm_eps", "norm_epsilon", missing=1e-5))
    if c.head_dim != c.hidden // c.heads or "gemma" in c["model_type"]:
        writer.add_key_length(c.head_dim)
        writer.add_value_length(c.head_dim)
    if c.get("sliding_window"):
        writer.add_sliding_window(c["sliding_window"])
    base = c.first("rope_theta", "rotary_emb_base")
    if c.get("rope_ratio"):
        base = 10000 * c["rope_ratio"]
    if base:
        writer.add_rope_freq_base(base)
    partial = c.first("partial_rotary_factor", "rotary_pct", missing=0.5 if "kv_channels" in c and "rmsnorm" in c else 1)
    writer.add_rope_dimension_count(int(c.head_dim * partial))
    if c.get("clip_qkv"):
        writer.add_clamp_kqv(c["clip_qkv"])


def mpt_more(writer, c):
    attention = c["attn_config"]
    if attention.get("clip_qkv"):
        writer.add_clamp_kqv(attention["clip_qkv"])
    writer.add_max_alibi_bias(attention.get("alibi_bias_max", 8))


def neox_more(writer, c):
    writer.add_parallel_residual(c.get("use_parallel_residual", True))


def gemma_more(writer, c):
    if c.get("attn_logit_softcapping"):
        writer.add_attn_logit_softcapping(c["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(c["final_logit_softcapping"])
    if c.get("rope_scaling"):
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(c["rope_scaling"]["factor"])


def phi3_more(writer, c):
    scaling, original = c.get("rope_scaling"), c.get("original_max_position_embeddings")
    if not scaling:
        return
    scale = c["max_position_embeddings"] / original
    writer.add_rope_scaling_orig_ctx_len(original)
    writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(original)))
    for kind in ("long", "short"):
        writer.add_tensor(f"rope_factors_{kind}.weight", np.array(scaling[f"{kind}_factor"], np.float32))


# case -> (architecture, change of a tensor, further keys)
CASES = {
    "gpt_bigcode": (A.STARCODER, plain, None),
    "starcoder2": (A.STARCODER2, plain, None),
    "starcoder2_plain": (A.STARCODER2, plain, None),
    "mpt_clipped_unscaled": (A.MPT, plain, mpt_more),
    "bloom": (A.BLOOM, ordered, None),
    "falcon_7b": (A.FALCON, ordered, None),
    "falcon_40b": (A.FALCON, ordered, None),
    "gpt_neox": (A.GPTNEOX, ordered, neox_more),
    "phi": (A.PHI2, plain, None),
    "phi3": (A.PHI3, plain, None),
    "phi3_longrope": (A.PHI3, plain, phi3_more),
    "gemma": (A.GEMMA, gemma, None),
    "gemma2_head_scale": (A.GEMMA2, gemma, gemma_more),
    "gemma3_head_scale": (A.GEMMA3, gemma, gemma_more),
    "qwen3": (A.QWEN3, plain, None),
    "smollm3": (A.SMOLLM3, permuted_llama, None),
    "glm": (A.CHATGLM, plain, None),
    "glm4": (A.GLM4, plain, None),
    "chatglm2": (A.CHATGLM, plain, None),
    "chatglm2_heads": (A.CHATGLM, plain, None),
    "internlm2": (A.INTERNLM2, permuted_llama, None),
    "baichuan_7b": (A.BAICHUAN, permuted_llama, None),
    "baichuan_13b_deep": (A.BAICHUAN, permuted_llama, None),
    "qwen": (A.QWEN, plain, None),
    "olmo": (A.OLMO, permuted_llama, None),
    "olmo2": (A.OLMO2, plain, None),
}


def add_tensor(writer, target, value, dtype):
    """Vectors and tables of positions in f32, matrices in bf16 where the folder (`dtype`) has them so."""
    value = np.ascontiguousarray(value.float().numpy())
    if value.ndim == 1 or "position_embd" in target:
        writer.add_tensor(target, value)
    else:
        kind = gguf.GGMLQuantizationType.BF16 if dtype == torch.bfloat16 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(target, gguf.quantize(value, kind), raw_dtype=kind)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_case(name):
    architecture, change, more = CASES[name]
    c = Settings(json.loads((OUT / name / "config.json").read_text()))
    names = gguf.get_tensor_name_map(architecture, c.layers)
    folder = OUT / f"gguf_{name}"
    folder.mkdir(exist_ok=True)
    writer = gguf.GGUFWriter(folder / "model.gguf", gguf.MODEL_ARCH_NAMES[architecture])
    metadata(writer, c)
    if more:
        more(writer, c)
    for full, tensor in load_file(OUT / name / "model.safetensors").items():
        for part, value in change(full, tensor.float(), c):
            if architecture in (A.BLOOM, A.CHATGLM):
                part = part.removeprefix("transformer.")
            target = names.get_name(part, try_suffixes=(".weight", ".bias"))
            assert target, f"{part} has no name in {architecture}"
            add_tensor(writer, target, value, tensor.dtype)
    finish(writer)
    return (folder / "model.gguf").stat().st_size


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        print(case, write_case(case))
