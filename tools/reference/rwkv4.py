"""Writes tests/data/language/rwkv*: tiny random RWKV-4 checkpoints and what transformers computes with them.

The folders are as language.py's. In addition:
  rwkv_pth        the weights as the author's files have them: one model.pth, his names, bf16 with f32 decays
  rwkv_rescaled   train_logits [T, V] f32, without the rescaling that transformers does for inference alone
Usage: python tools/reference/rwkv4.py [case ...]
"""

import json
import sys
import zlib

import torch
import transformers
from safetensors.torch import save_file

from language import OUT, VOCAB


def rwkv(**changes):
    config = dict(architectures=["RwkvForCausalLM"], model_type="rwkv", vocab_size=VOCAB, hidden_size=32,
                  num_hidden_layers=3, context_length=64, layer_norm_epsilon=1e-5, rescale_every=2,
                  tie_word_embeddings=False, bos_token_id=0, eos_token_id=0)
    return {**config, **changes}


# name -> (config, options). Options: dtype of the file, gradients, original names.
CASES = {
    "rwkv": (rwkv(num_hidden_layers=2, rescale_every=6), dict(dtype=torch.float32, gradients=True)),
    "rwkv_odd": (rwkv(hidden_size=27, attention_hidden_size=21, intermediate_size=45), {}),
    "rwkv_tied": (rwkv(hidden_size=35, intermediate_size=50, attention_hidden_size=48, tie_word_embeddings=True,
                       rescale_every=0), dict(dtype=torch.float16)),
    "rwkv_rescaled": (rwkv(layer_norm_epsilon=0.02, rescale_every=1), dict(train_logits=True)),
    "rwkv_pth": (rwkv(rescale_every=0), dict(original=True)),
}


def randomize(model, dtype):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "time_mix" in name:  # trained ones leave [0, 1], too
                value = torch.rand_like(p) * 1.4 - 0.2
            elif "time_decay" in name:
                value = torch.randn_like(p) * 2 - 1
            elif "time_first" in name:
                value = torch.randn_like(p)
            elif ".ln" in name or "pre_ln" in name or "ln_out" in name:
                value = torch.randn_like(p) * 0.3 + (0 if name.endswith("bias") else 1)
            elif "embeddings" in name:  # a tied head sees it again: small ones keep the layers visible
                value = torch.randn_like(p) * (0.3 if model.config.tie_word_embeddings else 1)
            else:
                value = torch.randn_like(p) * (2.5 if model.config.tie_word_embeddings else 1.5) / p.shape[1] ** 0.5
            p.copy_(value if "time_decay" in name or "time_first" in name else value.to(dtype))


def original_name(name):
    for theirs, ours in {"rwkv.": "", "embeddings": "emb", ".pre_ln": ".ln0", ".attention.": ".att.",
                         ".feed_forward.": ".ffn.", "time_mix_key": "time_mix_k", "time_mix_value": "time_mix_v",
                         "time_mix_receptance": "time_mix_r"}.items():
        name = name.replace(theirs, ours)
    return name


def expect(model, options):
    prompt = torch.randint(3, VOCAB, (1, 30))
    out = {"prompt_ids": prompt[0].int()}
    logits = lambda ids: model(ids, use_cache=False).logits
    with torch.no_grad():
        out["logits"] = logits(prompt)[0].contiguous()
        # Without a state: transformers' has no room for attention_hidden_size beside hidden_size.
        text = prompt
        for _ in range(24):
            text = torch.cat([text, logits(text)[:, -1].argmax(-1, keepdim=True)], dim=1)
        out["greedy_ids"] = text[0, 30:].int().contiguous()
        assert len(set(out["greedy_ids"].tolist())) > 4
        ids = torch.randint(0, VOCAB, (1, 200))
        out["nll_ids"] = ids[0].int()
        out["nll"] = torch.nn.functional.cross_entropy(logits(ids)[0, :-1], ids[0, 1:]).reshape(1)
    if not options.get("gradients") and not options.get("train_logits"):
        return out
    model.train()
    if options.get("train_logits"):
        with torch.no_grad():
            out["train_logits"] = logits(prompt)[0].contiguous()
        return out
    ids = torch.randint(0, VOCAB, (2, 16))
    loss = torch.nn.functional.cross_entropy(logits(ids)[:, :-1].reshape(-1, VOCAB), ids[:, 1:].reshape(-1))
    loss.backward()
    out["batch_ids"] = ids.int()
    out["loss"] = loss.detach().reshape(1)
    for name, p in model.named_parameters():
        out["grad." + name] = p.grad.contiguous()
    return out


def write_case(name):
    config, options = CASES[name]
    dtype = options.get("dtype", torch.bfloat16)
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(zlib.crc32(name.encode()))
    model = transformers.RwkvForCausalLM(transformers.RwkvConfig(**config)).float().eval()
    randomize(model, dtype)
    tensors = {n: p.detach().clone() if "time_decay" in n or "time_first" in n else p.detach().to(dtype)
               for n, p in model.named_parameters()}
    if options.get("original"):
        torch.save({original_name(n): t for n, t in tensors.items()}, folder / "model.pth")
    else:
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    save_file(expect(model, options), folder / "expected.safetensors")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    for case in sys.argv[1:] or CASES:
        write_case(case)
        print(case, sum(f.stat().st_size for f in (OUT / case).iterdir()))
