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


def phi3(**changes):
    return modern("Phi3ForCausalLM", "phi3", **changes)


def longrope(rotary, original):
    return dict(original_max_position_embeddings=original, rope_scaling={
        "type": "longrope", "short_factor": [1.0 + 0.1 * i for i in range(rotary // 2)],
        "long_factor": [2.0 + 0.7 * i for i in range(rotary // 2)]})


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
    "phi3_short": (phi3(**longrope(8, 256), max_position_embeddings=1024), dict(prompt=20)),
    "falcon_7b": (falcon(), {}),
    "falcon_40b": (falcon(new_decoder_architecture=True, num_kv_heads=2, multi_query=False, ffn_hidden_size=56), {}),
    "falcon_11b": (falcon(new_decoder_architecture=True, num_kv_heads=2, num_ln_in_parallel_attn=1,
                          tie_word_embeddings=False), {}),
    "falcon_rw": (falcon(alibi=True, multi_query=False, parallel_attn=False, bias=True), dict(patch="exact_alibi", attention="sdpa")),
    "mpt": (mpt(), {}),
    "mpt_clipped": (mpt(dict(clip_qkv=0.8, alibi_bias_max=6, softmax_scale=0.3), n_heads=4), dict(patch="mpt_alibi_max")),
    "mpt_normed": (mpt(dict(qk_ln=True)), dict(patch="mpt_query_key_norms")),
    "bloom": (bloom(), {}),
    "qwen3": (modern("Qwen3ForCausalLM", "qwen3", head_dim=12, tie_word_embeddings=True), {}),
    "qwen3_window": (modern("Qwen3ForCausalLM", "qwen3", head_dim=8, use_sliding_window=True, sliding_window=7,
                            max_window_layers=1, attention_bias=True), {}),
    "smollm3": (modern("SmolLM3ForCausalLM", "smollm3", num_hidden_layers=5, tie_word_embeddings=True), {}),
    "gemma": (gemma(), {}),
    "gemma2": (gemma2(), {}),
    "gemma3": (gemma3(), {}),
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


# What patched parameters are called in checkpoints.
NAMES = {".Wqkv.weights.": ".Wqkv.", ".Wqkv.q_ln.": ".q_ln.", ".Wqkv.k_ln.": ".k_ln."}
