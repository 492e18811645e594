"""Writes tests/data/language/chatglm*: ChatGLM-6B, ChatGLM2 and 3, which transformers does not have.

The models below are written from the papers (arXiv:2103.10360, 2210.02414, 2406.12793) and the layout of the published
checkpoints: plain PyTorch, one sequence, all positions at once. What expected.safetensors holds is said in language.py.
ChatGLM2 is checked further: the same weights under transformers' names for GLM-4 must give transformers' logits.
Usage: python tools/reference/chatglm.py [case ...]
"""

import json
import math
import sys
import zlib

import torch
import transformers
from safetensors.torch import save_file
from torch import nn

from language import OUT

VOCAB = 131
SECOND = dict(
    architectures=["ChatGLMModel"], model_type="chatglm", padded_vocab_size=VOCAB, hidden_size=32, ffn_hidden_size=56,
    num_layers=2, num_attention_heads=4, kv_channels=12, multi_query_attention=True, multi_query_group_num=2,
    seq_length=256, layernorm_epsilon=1e-5, rmsnorm=True, add_bias_linear=False, add_qkv_bias=True,
    apply_residual_connection_post_layernorm=False, post_layer_norm=True, original_rope=True)
FIRST = dict(
    architectures=["ChatGLMModel"], model_type="chatglm", vocab_size=VOCAB, hidden_size=32, inner_hidden_size=56,
    num_layers=2, num_attention_heads=4, max_sequence_length=256, layernorm_epsilon=1e-5, position_encoding_2d=True,
    gmask_token_id=5, mask_token_id=4, bos_token_id=6, eos_token_id=7, pad_token_id=3)
CASES = {
    "chatglm": FIRST,
    "chatglm2": SECOND,
    "chatglm2_heads": {**SECOND, "multi_query_attention": False, "add_qkv_bias": False, "kv_channels": 8,
                       "rope_ratio": 50},
}


def attend(q, k, v, visible):
    """q, k, v [T, H, D], visible [T, T] bool -> [T, H D]."""
    scores = torch.einsum("thd,shd->hts", q, k) / math.sqrt(q.shape[-1])
    weights = scores.masked_fill(~visible, float("-inf")).softmax(dim=-1)
    return torch.einsum("hts,shd->thd", weights, v).flatten(1)


class Mlp(nn.Module):
    def __init__(self, hidden, inner, gated):
        super().__init__()
        self.gated = gated
        self.dense_h_to_4h = nn.Linear(hidden, inner * (2 if gated else 1), bias=not gated)
        self.dense_4h_to_h = nn.Linear(inner, hidden, bias=not gated)

    def forward(self, x):
        x = self.dense_h_to_4h(x)
        if self.gated:
            gate, up = x.chunk(2, dim=-1)
            return self.dense_4h_to_h(nn.functional.silu(gate) * up)
        return self.dense_4h_to_h(nn.functional.gelu(x, approximate="tanh"))


class Attention(nn.Module):
    def __init__(self, hidden, q, kv, qkv_bias, bias):
        super().__init__()
        self.query_key_value = nn.Linear(hidden, q + 2 * kv, bias=qkv_bias)
        self.dense = nn.Linear(q, hidden, bias=bias)


def turn_neighbours(x, positions, base):
    """x [T, H, D]: of each head's first half, elements 2i and 2i + 1 turn by positions * base^(-4i / D)."""
    half = x.shape[-1] // 2
    angles = positions[:, None] * base ** (-torch.arange(0, half, 2) / half)  # [T, half / 2]
    turns = torch.polar(torch.ones_like(angles), angles)[:, None]
    pairs = torch.view_as_complex(x[..., :half].unflatten(-1, (-1, 2)).contiguous())
    return torch.cat([torch.view_as_real(pairs * turns).flatten(-2), x[..., half:]], dim=-1)


def turn_halves(x, positions):
    """x [T, H, D]: elements i and i + D / 2 turn. The frequencies are kept as f16."""
    half = x.shape[-1] // 2
    frequencies = (10000.0 ** (-torch.arange(0, half) / half)).half().float()
    angles = (positions[:, None] * frequencies)[:, None]
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], dim=-1)


class SecondLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.dim = c["num_attention_heads"], c["kv_channels"]
        self.groups = c["multi_query_group_num"] if c["multi_query_attention"] else self.heads
        self.base = 10000.0 * c.get("rope_ratio", 1)
        self.input_layernorm = nn.RMSNorm(c["hidden_size"], c["layernorm_epsilon"])
        self.self_attention = Attention(
            c["hidden_size"], self.heads * self.dim, self.groups * self.dim, c["add_qkv_bias"], False)
        self.post_attention_layernorm = nn.RMSNorm(c["hidden_size"], c["layernorm_epsilon"])
        self.mlp = Mlp(c["hidden_size"], c["ffn_hidden_size"], gated=True)

    def forward(self, x):
        length = len(x)
        joined = self.self_attention.query_key_value(self.input_layernorm(x)).unflatten(-1, (-1, self.dim))
        q, k, v = joined.split([self.heads, self.groups, self.groups], dim=1)
        places = torch.arange(length).float()
        q, k = turn_neighbours(q, places, self.base), turn_neighbours(k, places, self.base)
        k, v = (part.repeat_interleave(self.heads // self.groups, dim=1) for part in (k, v))
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        x = x + self.self_attention.dense(attend(q, k, v, causal))
        return x + self.mlp(self.post_attention_layernorm(x))


class Second(nn.Module):
    """ChatGLM2, ChatGLM3 and GLM-4 in its own files."""

    def __init__(self, c):
        super().__init__()
        encoder = nn.Module()
        encoder.layers = nn.ModuleList(SecondLayer(c) for _ in range(c["num_layers"]))
        encoder.final_layernorm = nn.RMSNorm(c["hidden_size"], c["layernorm_epsilon"])
        self.transformer = nn.Module()
        self.transformer.embedding = nn.Module()
        self.transformer.embedding.word_embeddings = nn.Embedding(c["padded_vocab_size"], c["hidden_size"])
        self.transformer.encoder = encoder
        self.transformer.output_layer = nn.Linear(c["hidden_size"], c["padded_vocab_size"], bias=False)

    def forward(self, ids):
        x = self.transformer.embedding.word_embeddings(ids)
        for layer in self.transformer.encoder.layers:
            x = layer(x)
        return self.transformer.output_layer(self.transformer.encoder.final_layernorm(x))


class FirstLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        hidden = c["hidden_size"]
        self.heads, self.alpha = c["num_attention_heads"], math.sqrt(2 * c["num_layers"])
        self.input_layernorm = nn.LayerNorm(hidden, c["layernorm_epsilon"])
        self.attention = Attention(hidden, hidden, hidden, True, True)
        self.post_attention_layernorm = nn.LayerNorm(hidden, c["layernorm_epsilon"])
        self.mlp = Mlp(hidden, c["inner_hidden_size"], gated=False)

    def forward(self, x, places, visible):
        x = self.input_layernorm(x)
        # Of each head its query, its key, its value.
        q, k, v = self.attention.query_key_value(x).unflatten(-1, (self.heads, -1)).chunk(3, dim=-1)
        q, k = (torch.cat([turn_halves(half, place) for half, place in zip(part.chunk(2, dim=-1), places)], dim=-1)
                for part in (q, k))
        x = self.post_attention_layernorm(self.alpha * x + self.attention.dense(attend(q, k, v, visible)))
        return self.alpha * x + self.mlp(x)


class First(nn.Module):
    """ChatGLM-6B. Tokens before bos see each other; the others see what came before them. The first half of a head turns
    by a token's place in that prefix, from bos on by the mask's; the second half by the place after it, from 1."""

    def __init__(self, c):
        super().__init__()
        self.mask, self.start = c["gmask_token_id"], c["bos_token_id"]
        self.transformer = nn.Module()
        self.transformer.word_embeddings = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.transformer.layers = nn.ModuleList(FirstLayer(c) for _ in range(c["num_layers"]))
        self.transformer.final_layernorm = nn.LayerNorm(c["hidden_size"], c["layernorm_epsilon"])
        self.lm_head = nn.Linear(c["hidden_size"], c["vocab_size"], bias=False)

    def forward(self, ids):
        length, listed = len(ids), ids.tolist()
        start, mask = listed.index(self.start), listed.index(self.mask)
        first = torch.arange(length)
        second = (first - start + 1).clamp(min=0)
        first = torch.where(first < start, first, mask)
        visible = torch.ones(length, length, dtype=torch.bool).tril()
        visible[:, :start] = True
        x = self.transformer.word_embeddings(ids)
        for layer in self.transformer.layers:
            x = layer(x, (first.float(), second.float()), visible)
        return self.lm_head(self.transformer.final_layernorm(x))


def randomize(model):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "layernorm" in name:
                value = torch.randn_like(p) * 0.3 + (0 if name.endswith("bias") else 1)
            elif p.dim() == 1:
                value = torch.randn_like(p) * 0.3
            else:
                value = torch.randn_like(p) * (1.0 if "embeddings" in name else 1.5 / p.shape[1] ** 0.5)
            p.copy_(value.to(torch.bfloat16))


def with_prefix(ids, config, mask, start):
    """Makes ids what ChatGLM-6B expects: [gMASK] and bos once, at these places."""
    if config is FIRST:
        ids[(ids == config["gmask_token_id"]) | (ids == config["bos_token_id"])] = 9
        ids[mask], ids[start] = config["gmask_token_id"], config["bos_token_id"]
    return ids


def check_against_glm(model, c, ids):
    """transformers' GLM-4 is the same arithmetic under other names."""
    groups = model.transformer.encoder.layers[0].groups
    glm = transformers.GlmForCausalLM(transformers.GlmConfig(
        vocab_size=c["padded_vocab_size"], hidden_size=c["hidden_size"], intermediate_size=c["ffn_hidden_size"],
        num_hidden_layers=c["num_layers"], num_attention_heads=c["num_attention_heads"], num_key_value_heads=groups,
        head_dim=c["kv_channels"], attention_bias=c["add_qkv_bias"], rms_norm_eps=c["layernorm_epsilon"],
        rope_theta=10000.0 * c.get("rope_ratio", 1), partial_rotary_factor=0.5, pad_token_id=0)).eval()
    q, kv = c["num_attention_heads"] * c["kv_channels"], groups * c["kv_channels"]
    tensors = {}
    names = {"transformer.encoder.layers.": "model.layers.", "transformer.encoder.final_layernorm": "model.norm",
             "transformer.embedding.word_embeddings": "model.embed_tokens", "transformer.output_layer": "lm_head",
             "self_attention.dense": "self_attn.o_proj", "mlp.dense_h_to_4h": "mlp.gate_up_proj",
             "mlp.dense_4h_to_h": "mlp.down_proj"}
    for name, tensor in model.state_dict().items():
        for before, after in names.items():
            name = name.replace(before, after)
        if "query_key_value" not in name:
            tensors[name] = tensor
            continue
        for part, value in zip("qkv", tensor.split([q, kv, kv])):
            tensors[name.replace("self_attention.query_key_value", f"self_attn.{part}_proj")] = value
    glm.load_state_dict(tensors)
    theirs, ours = glm(ids[None]).logits[0], model(ids)
    assert (theirs - ours).abs().max() < 1e-4 * theirs.abs().max(), "ChatGLM2 differs from transformers' GLM-4"


def write_case(name):
    config = CASES[name]
    torch.manual_seed(zlib.crc32(name.encode()))
    model = (First if config is FIRST else Second)(config).eval()
    randomize(model)
    with torch.no_grad():
        ids = with_prefix(torch.randint(8, VOCAB, (30,)), config, 17, 19)
        out = {"prompt_ids": ids.int(), "logits": model(ids)}
        if config is not FIRST:
            check_against_glm(model, config, ids)
        longer = ids
        for _ in range(24):
            longer = torch.cat([longer, model(longer)[-1:].argmax(dim=-1)])
        out["greedy_ids"] = longer[len(ids):].int()
        text = with_prefix(torch.randint(8, VOCAB, (200,)), config, 21, 22)
        out["nll_ids"] = text.int()
        out["nll"] = nn.functional.cross_entropy(model(text)[:-1], text[1:]).reshape(1)
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    save_file({n: p.detach().to(torch.bfloat16) for n, p in model.named_parameters()}, folder / "model.safetensors",
              metadata={"format": "pt"})
    save_file({n: t.contiguous() for n, t in out.items()}, folder / "expected.safetensors")
    return sum(f.stat().st_size for f in folder.iterdir())


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    for case in sys.argv[1:] or CASES:
        print(case, write_case(case))
