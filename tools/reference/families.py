"""The cases of language.py for families beyond LLaMA, Mistral, Qwen2 and GPT-2: name -> (config, options)."""
import torch

VOCAB = 131


def rename(config, **changes):
    return {k: v for k, v in {**config, **changes}.items() if v is not None}


def modern(architecture, model_type, **changes):
    """The keys of LLaMA's descendants."""
    return rename(dict(
        architectures=[architecture], model_type=model_type, vocab_size=VOCAB, hidden_size=32, intermediate_size=56,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, hidden_act="silu",
        max_position_embeddings=256, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=False,
        bos_token_id=1, eos_token_id=2, pad_token_id=0), **changes)


def gpt(architecture, model_type, **changes):
    """The keys of GPT-2's descendants."""
    return rename(dict(
        architectures=[architecture], model_type=model_type, vocab_size=VOCAB, n_positions=256, n_embd=32, n_layer=2,
        n_head=4, rotary_dim=4, activation_function="gelu_new", layer_norm_epsilon=1e-5, bos_token_id=0,
        eos_token_id=0, tie_word_embeddings=False), **changes)


def neox(**changes):
    return modern("GPTNeoXForCausalLM", "gpt_neox", **{**dict(
        num_key_value_heads=None, hidden_act="gelu", rms_norm_eps=None, rope_theta=None, layer_norm_eps=1e-5,
        rotary_pct=0.5, rotary_emb_base=5000, use_parallel_residual=True), **changes})


def phi(**changes):
    return modern("PhiForCausalLM", "phi", **{**dict(
        num_key_value_heads=None, hidden_act="gelu_new", rms_norm_eps=None, layer_norm_eps=1e-5,
        partial_rotary_factor=0.5), **changes})


def falcon(**changes):
    return rename(dict(
        architectures=["FalconForCausalLM"], model_type="falcon", vocab_size=VOCAB, hidden_size=32,
        num_hidden_layers=2, num_attention_heads=4, layer_norm_epsilon=1e-5, alibi=False, multi_query=True,
        new_decoder_architecture=False, parallel_attn=True, bias=False, bos_token_id=1, eos_token_id=2), **changes)


def mpt(attention=None, **changes):
    return rename(dict(
        architectures=["MPTForCausalLM"], model_type="mpt", vocab_size=VOCAB, d_model=36, n_heads=6, n_layers=2,
        expansion_ratio=4, max_seq_len=256, no_bias=True, layer_norm_epsilon=1e-5, learned_pos_emb=True,
        attn_config=dict(alibi=True, **(attention or {}))), **changes)


def bloom(**changes):
    return rename(dict(
        architectures=["BloomForCausalLM"], model_type="bloom", vocab_size=VOCAB, hidden_size=36, n_layer=2, n_head=6,
        layer_norm_epsilon=1e-5, bos_token_id=1, eos_token_id=2, pad_token_id=3), **changes)


def gemma(architecture="GemmaForCausalLM", model_type="gemma", **changes):
    return modern(architecture, model_type, **{**dict(
        hidden_act=None, hidden_activation="gelu_pytorch_tanh", head_dim=12, tie_word_embeddings=True,
        num_key_value_heads=1), **changes})


def gemma2(**changes):
    return gemma("Gemma2ForCausalLM", "gemma2", **{**dict(
        sliding_window=9, query_pre_attn_scalar=20, num_hidden_layers=3, attn_logit_softcapping=5.0,
        final_logit_softcapping=3.0, num_key_value_heads=2), **changes})


def gemma3(**changes):
    return gemma("Gemma3ForCausalLM", "gemma3_text", **{**dict(
        sliding_window=9, query_pre_attn_scalar=20, num_hidden_layers=4, sliding_window_pattern=3,
        rope_theta=1000000.0, rope_local_base_freq=10000.0, num_key_value_heads=2,
        rope_scaling={"rope_type": "linear", "factor": 8.0}), **changes})


def with_pictures(architecture, model_type, text, vision, **changes):
    """A text model within one that takes pictures, too."""
    text = {key: value for key, value in text.items() if key != "architectures"}
    return dict(architectures=[architecture], model_type=model_type, text_config=text, vision_config=vision,
                tie_word_embeddings=text["tie_word_embeddings"], **changes)


SIGLIP = dict(model_type="siglip_vision_model", hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
              image_size=28, patch_size=14)
CLIP = dict(model_type="clip_vision_model", hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
            image_size=28, patch_size=14, projection_dim=8)
PIXTRAL = dict(model_type="pixtral", hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, head_dim=8,
               image_size=28, patch_size=14, rope_theta=10000.0)


def phi3(**changes):
    return modern("Phi3ForCausalLM", "phi3", **changes)


def longrope(rotary, original):
    return dict(original_max_position_embeddings=original, rope_scaling={
        "type": "longrope", "short_factor": [1.0 + 0.1 * i for i in range(rotary // 2)],
        "long_factor": [2.0 + 0.7 * i for i in range(rotary // 2)]})


def bigcode(**changes):
    return gpt("GPTBigCodeForCausalLM", "gpt_bigcode", **{**dict(
        rotary_dim=None, activation_function="gelu_pytorch_tanh", tie_word_embeddings=None, multi_query=True,
        attention_softmax_in_fp32=True, scale_attention_softmax_in_fp32=True), **changes})


def starcoder2(**changes):
    return modern("Starcoder2ForCausalLM", "starcoder2", **{**dict(
        hidden_act="gelu_pytorch_tanh", rms_norm_eps=None, norm_epsilon=1e-5, tie_word_embeddings=None, use_bias=True,
        sliding_window=9), **changes})


def opt(**changes):
    return rename(dict(
        architectures=["OPTForCausalLM"], model_type="opt", vocab_size=VOCAB, hidden_size=32, ffn_dim=56,
        num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=208, activation_function="relu",
        do_layer_norm_before=True, word_embed_proj_dim=32, bos_token_id=2, eos_token_id=2, pad_token_id=1), **changes)


def glm(architecture="GlmForCausalLM", model_type="glm", **changes):
    return modern(architecture, model_type, **{**dict(head_dim=12, attention_bias=True, partial_rotary_factor=0.5), **changes})


# Families that transformers does not have, or no longer: their arithmetic is LLaMA's (or a patched LLaMA's), their files
# are not. file(config, tensors) -> those of the family.

def llama(**changes):
    return modern("LlamaForCausalLM", "llama", **changes)


def joined(tensors, layer, parts):
    return torch.cat([tensors.pop(f"model.layers.{layer}.self_attn.{part}_proj.weight") for part in parts])


def baichuan_file(config, tensors):
    """W_pack: query over key over value."""
    for layer in range(config["num_hidden_layers"]):
        tensors[f"model.layers.{layer}.self_attn.W_pack.weight"] = joined(tensors, layer, "qkv")
    config = {**config, "architectures": ["BaichuanForCausalLM"], "model_type": "baichuan",
              "model_max_length": config["max_position_embeddings"]}
    if config.pop("alibi", False):
        del config["max_position_embeddings"]
    return config, tensors


def internlm2_file(config, tensors):
    """wqkv: for each key/value head its query heads, its key, its value."""
    heads, kv, hidden = config["num_attention_heads"], config["num_key_value_heads"], config["hidden_size"]
    dim = hidden // heads
    for layer in range(config["num_hidden_layers"]):
        q, k, v = (joined(tensors, layer, p).view(kv, -1, dim, hidden) for p in "qkv")
        tensors[f"model.layers.{layer}.attention.wqkv.weight"] = torch.cat([q, k, v], dim=1).reshape(-1, hidden)
    names = {"self_attn.o_proj": "attention.wo", "input_layernorm": "attention_norm",
             "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "feed_forward.w1",
             "mlp.up_proj": "feed_forward.w3", "mlp.down_proj": "feed_forward.w2", "lm_head": "output",
             "embed_tokens": "tok_embeddings"}
    config = {**config, "architectures": ["InternLM2ForCausalLM"], "model_type": "internlm2", "bias": False}
    return config, renamed(tensors, names)


def internlm_file(config, tensors):
    config = {**config, "architectures": ["InternLMForCausalLM"], "model_type": "internlm", "bias": True}
    del config["attention_bias"]
    return config, tensors


def yi_file(config, tensors):
    config = {**config, "architectures": ["YiForCausalLM"], "model_type": "Yi"}
    return config, renamed(tensors, {"input_layernorm": "ln1", "post_attention_layernorm": "ln2"})


def santacoder_file(config, tensors):
    """SantaCoder's first files: GPT-2's [in, out] weights, the query apart from the one key/value head."""
    hidden = config["n_embd"]
    for layer in range(config["n_layer"]):
        at = f"transformer.h.{layer}."
        for kind in ("weight", "bias"):
            fused = tensors.pop(f"{at}attn.c_attn.{kind}")
            tensors[f"{at}attn.q_attn.{kind}"], tensors[f"{at}attn.kv_attn.{kind}"] = fused[:hidden], fused[hidden:]
        for part in ("attn.q_attn", "attn.kv_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
            tensors[f"{at}{part}.weight"] = tensors[f"{at}{part}.weight"].T
    config = {**config, "architectures": ["GPT2LMHeadCustomModel"], "model_type": "gpt2", "attention_head_type": "multiquery",
              "activation_function": "gelu_fast", "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False,
              "reorder_and_upcast_attn": False, "n_inner": 4 * hidden}
    for key in ("multi_query", "attention_softmax_in_fp32", "scale_attention_softmax_in_fp32"):
        del config[key]
    return config, {name: tensor.contiguous() for name, tensor in tensors.items()}


def qwen_file(config, tensors):
    """The reference is Qwen2, whose biases are in the same places."""
    for layer in range(config["num_hidden_layers"]):
        for kind in ("weight", "bias"):
            tensors[f"transformer.h.{layer}.attn.c_attn.{kind}"] = torch.cat(
                [tensors.pop(f"model.layers.{layer}.self_attn.{p}_proj.{kind}") for p in "qkv"])
    names = {"model.layers.": "transformer.h.", "model.norm": "transformer.ln_f", "model.embed_tokens": "transformer.wte",
             "self_attn.o_proj": "attn.c_proj", "input_layernorm": "ln_1", "post_attention_layernorm": "ln_2",
             "mlp.gate_proj": "mlp.w2", "mlp.up_proj": "mlp.w1", "mlp.down_proj": "mlp.c_proj"}
    config = dict(
        architectures=["QWenLMHeadModel"], model_type="qwen", vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"], intermediate_size=2 * config["intermediate_size"],
        num_hidden_layers=config["num_hidden_layers"], num_attention_heads=config["num_attention_heads"],
        kv_channels=config["hidden_size"] // config["num_attention_heads"], seq_length=config["max_position_embeddings"],
        max_position_embeddings=4 * config["max_position_embeddings"], layer_norm_epsilon=config["rms_norm_eps"],
        rotary_emb_base=config["rope_theta"], rotary_pct=1.0, no_bias=True, use_dynamic_ntk=True, use_logn_attn=True,
        tie_word_embeddings=False)
    return config, renamed(tensors, names)


def renamed(tensors, names):
    result = {}
    for name, tensor in tensors.items():
        for before, after in names.items():
            name = name.replace(before, after)
        result[name] = tensor
    return result


# Options beside language.py's: patch(model) changes the reference before anything is computed.
CASES = {
    "gpt_neox": (neox(), dict(rename={"lm_head.": "embed_out."})),  # as files before transformers 5 have it
    "gpt_neox_sequential": (neox(use_parallel_residual=False, attention_bias=False), {}),
    "gptj": (gpt("GPTJForCausalLM", "gptj"), {}),
    "codegen": (gpt("CodeGenForCausalLM", "codegen", n_ctx=256, n_inner=56), {}),
    "phi": (phi(), {}),
    "phi_grouped": (phi(num_key_value_heads=2, partial_rotary_factor=None), {}),
    "phi3": (phi3(sliding_window=20), {}),
    # The prompt is longer than the original maximum: the long factors; greedy decoding goes on with them.
    "phi3_longrope": (phi3(partial_rotary_factor=0.75, num_attention_heads=4, hidden_size=32, **longrope(6, 24)), {}),
    "phi3_tied": (phi3(tie_word_embeddings=True), {}),
    "phi3_short": (phi3(**longrope(8, 256), max_position_embeddings=1024), dict(prompt=20)),
    "falcon_7b": (falcon(), {}),
    "falcon_40b": (falcon(new_decoder_architecture=True, num_kv_heads=2, multi_query=False, ffn_hidden_size=56), {}),
    "falcon_11b": (falcon(new_decoder_architecture=True, num_kv_heads=2, num_ln_in_parallel_attn=1,
                          tie_word_embeddings=False), {}),
    "falcon_rw": (falcon(alibi=True, multi_query=False, parallel_attn=False, bias=True), dict(patch="exact_alibi", attention="sdpa")),
    "mpt": (mpt(), dict(dtype="f32", gradients=True)),
    "mpt_clipped": (mpt(dict(clip_qkv=0.8, alibi_bias_max=6, softmax_scale=0.3), n_heads=4), dict(patch="mpt_alibi_max")),
    # As GGUF can say it: the scale of scores is the usual one.
    "mpt_clipped_unscaled": (mpt(dict(clip_qkv=0.8, alibi_bias_max=6), n_heads=4), dict(patch="mpt_alibi_max")),
    "mpt_normed": (mpt(dict(qk_ln=True)), dict(patch="mpt_query_key_norms")),
    # Texts longer than those of the training: ALiBi goes on.
    "mpt_beyond": (mpt(max_seq_len=110), dict(patch="mpt_longer", prompt=100)),
    "bloom": (bloom(), {}),
    "bloom_beyond": (bloom(seq_length=110), dict(prompt=100)),
    "gpt_bigcode": (bigcode(), dict(dtype="f32", gradients=True)),
    "gpt_bigcode_heads": (bigcode(multi_query=False, tie_word_embeddings=False, n_inner=56,
                                  attention_softmax_in_fp32=False, scale_attention_softmax_in_fp32=False), {}),
    "santacoder": (bigcode(), dict(file=santacoder_file)),
    "starcoder2": (starcoder2(), {}),
    "starcoder2_plain": (starcoder2(use_bias=False, sliding_window=None, tie_word_embeddings=False,
                                    num_key_value_heads=1), {}),
    "opt": (opt(), {}),
    "opt_350m": (opt(do_layer_norm_before=False, word_embed_proj_dim=20), {}),
    "opt_untied": (opt(tie_word_embeddings=False, _remove_final_layer_norm=True), dict(base_prefix="model.")),
    "galactica": (opt(activation_function="gelu", enable_bias=False, layer_norm_elementwise_affine=False), {}),
    "glm": (glm(), {}),
    "glm_tied": (glm(head_dim=8, tie_word_embeddings=True), {}),
    "glm4": (glm("Glm4ForCausalLM", "glm4"), {}),
    "glm4_tied": (glm("Glm4ForCausalLM", "glm4", tie_word_embeddings=True, attention_bias=False, rope_theta=None,
                      partial_rotary_factor=None), dict(save_config=True)),
    "olmo": (modern("OlmoForCausalLM", "olmo", rms_norm_eps=None, clip_qkv=1.5, num_key_value_heads=None), {}),
    "olmo2": (modern("Olmo2ForCausalLM", "olmo2"), {}),
    "baichuan_7b": (llama(num_key_value_heads=None), dict(file=baichuan_file)),
    "baichuan_13b": (llama(num_key_value_heads=None, num_attention_heads=6, hidden_size=36, alibi=True),
                     dict(patch="llama_alibi", file=baichuan_file)),
    # llama.cpp knows the 7B by its 32 layers, and everybody the 13B in GGUF by its 40.
    "baichuan_7b_deep": (llama(num_key_value_heads=None, num_attention_heads=2, hidden_size=8, intermediate_size=12,
                               num_hidden_layers=32), dict(file=baichuan_file)),
    "baichuan_13b_deep": (llama(num_key_value_heads=None, num_attention_heads=2, hidden_size=8, intermediate_size=12,
                                num_hidden_layers=40, alibi=True), dict(patch="llama_alibi", file=baichuan_file)),
    "internlm": (llama(num_key_value_heads=None, attention_bias=True), dict(file=internlm_file)),
    "internlm2": (llama(), dict(file=internlm2_file)),
    "internlm2_dynamic": (llama(max_position_embeddings=24, rope_scaling={"type": "dynamic", "factor": 10.0}),
                          dict(file=internlm2_file)),
    "yi": (llama(), dict(file=yi_file)),
    "qwen": (modern("Qwen2ForCausalLM", "qwen2", num_key_value_heads=4, use_sliding_window=False), dict(file=qwen_file)),
    "qwen3": (modern("Qwen3ForCausalLM", "qwen3", head_dim=12, tie_word_embeddings=True), {}),
    "qwen3_window": (modern("Qwen3ForCausalLM", "qwen3", head_dim=8, use_sliding_window=True, sliding_window=7,
                            max_window_layers=1, attention_bias=True), {}),
    "smollm3": (modern("SmolLM3ForCausalLM", "smollm3", num_hidden_layers=5, tie_word_embeddings=True), {}),
    "gemma": (gemma(), {}),
    "gemma2": (gemma2(), {}),
    "gemma3": (gemma3(), {}),
    # As GGUF can say it: scores are scaled by the head's size, every sixth layer of Gemma 3 sees all.
    "gemma2_head_scale": (gemma2(query_pre_attn_scalar=12), {}),
    "gemma3_head_scale": (gemma3(query_pre_attn_scalar=12, num_hidden_layers=7, sliding_window_pattern=6, hidden_size=16,
                                 intermediate_size=24), {}),
    "gemma3_pictures": (with_pictures("Gemma3ForConditionalGeneration", "gemma3", gemma3(), SIGLIP, mm_tokens_per_image=4,
                                      boi_token_index=127, eoi_token_index=128, image_token_index=129), {}),
    "mistral3_pictures": (with_pictures(
        "Mistral3ForConditionalGeneration", "mistral3",
        modern("MistralForCausalLM", "mistral", head_dim=12, sliding_window=None), PIXTRAL, image_token_index=129), {}),
    "llava_pictures": (with_pictures(
        "LlavaForConditionalGeneration", "llava", llama(hidden_size=24, intermediate_size=40), CLIP, image_token_index=129), {}),
    # As Pixtral 12B is written: what transformers' MistralConfig has by itself, 32 heads and 8 for keys, is left out.
    "llava_mistral_pictures": (with_pictures(
        "LlavaForConditionalGeneration", "llava",
        rename(modern("MistralForCausalLM", "mistral", hidden_size=16, head_dim=2, intermediate_size=24, tie_word_embeddings=True),
               num_attention_heads=None, num_key_value_heads=None, hidden_act=None),
        {**PIXTRAL, "head_dim": 4, "hidden_size": 8, "intermediate_size": 12}, image_token_index=129), {}),
    "gemma3_new_keys": (gemma3(sliding_window_pattern=None, num_hidden_layers=2), dict(save_config=True)),
}


def exact_alibi(model):
    """Falcon rounds its biases to bfloat16, which no definition of ALiBi does; Sumi does not. (And its eager attention
    adds them twice, hence the other one.)"""
    from transformers.models.bloom import modeling_bloom
    from transformers.models.falcon import modeling_falcon
    modeling_falcon.build_alibi_tensor = modeling_bloom.build_alibi_tensor


class NormedQueryKeyValue(torch.nn.Module):
    """Wqkv, then layer norms without bias of all queries and all keys, as in MosaicML's llm-foundry with qk_ln."""

    def __init__(self, weights, width):
        super().__init__()
        self.weights = weights
        self.q_ln = torch.nn.LayerNorm(width, bias=False)
        self.k_ln = torch.nn.LayerNorm(width, bias=False)

    def forward(self, x):
        q, k, v = self.weights(x).chunk(3, dim=-1)
        return torch.cat([self.q_ln(q), self.k_ln(k), v], dim=-1)


def mpt_query_key_norms(model):
    for block in model.transformer.blocks:
        block.attn.Wqkv = NormedQueryKeyValue(block.attn.Wqkv, model.config.d_model)


def mpt_alibi_max(model):
    """transformers leaves alibi_bias_max unread; llm-foundry, where the key comes from, obeys it."""
    from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor
    most = model.config.attn_config.alibi_bias_max
    model.transformer.build_mpt_alibi_tensor = (
        lambda heads, length, device=None: build_mpt_alibi_tensor(heads, length, most, device))


def mpt_longer(model):
    """transformers makes biases for max_seq_len positions and no more; who wants more sets it higher for the same weights."""
    model.config.max_seq_len *= 2


def llama_alibi(model):
    """No rotation; each head adds its slope times the key's distance, as in arXiv:2108.12409."""
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor
    heads = model.config.num_attention_heads

    def biased(module, args, kwargs):
        mask = kwargs["attention_mask"]  # [B, 1, T, S]: 0 or the lowest float
        keys = mask.shape[-1]
        alibi = build_alibi_tensor(torch.ones(1, keys), heads, torch.float32).view(1, heads, 1, keys)
        kwargs["attention_mask"] = mask + alibi
        return args, kwargs

    model.model.rotary_emb.register_forward_hook(
        lambda module, args, turns: (torch.ones_like(turns[0]), torch.zeros_like(turns[1])))
    for layer in model.model.layers:
        layer.self_attn.register_forward_pre_hook(biased, with_kwargs=True)


# What patched parameters are called in checkpoints.
NAMES = {".Wqkv.weights.": ".Wqkv.", ".Wqkv.q_ln.": ".q_ln.", ".Wqkv.k_ln.": ".k_ln."}
