"""Writes tests/data/clip/: tiny random CLIP text encoders, and what transformers computes with them.

One folder per case (config.json, model.safetensors) and expected.safetensors:
  ids [B, T] i32, hidden and skipped [B, T, C] f32    the last states, and those of one layer less, after the final norm
  pooled [B, C or P] f32                              the state of the text's end, projected if the model does
  loss [1], grad.<parameter>                          (one case) of mean(hidden * mix), mix [B, T, C]
Usage: python tools/reference/clip.py [case ...]
"""
import json
import sys
import zlib
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parents[2] / "tests" / "data" / "clip"


def config(**changes):
    base = dict(architectures=["CLIPTextModel"], model_type="clip_text_model", vocab_size=131, hidden_size=32,
                num_hidden_layers=2, num_attention_heads=4, intermediate_size=56, hidden_act="quick_gelu",
                max_position_embeddings=20, layer_norm_eps=1e-5, bos_token_id=129, eos_token_id=130, pad_token_id=1,
                projection_dim=24)
    return {**base, **changes}


CASES = {
    # As SD 1's file: its eos_token_id is not the tokenizer's, the end is the largest id.
    "clip": (config(eos_token_id=2, bos_token_id=0), {}),
    "clip_gelu": (config(hidden_act="gelu", num_hidden_layers=3, intermediate_size=40), dict(gradients=True)),
    "clip_projection": (config(architectures=["CLIPTextModelWithProjection"], hidden_act="gelu"), {}),
}


def randomize(model):
    """Large weights, norms and biases that bfloat16 holds exactly."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name:
                value = torch.randn_like(p) * 0.3 + (0 if name.endswith("bias") else 1)
            elif p.dim() == 1:
                value = torch.randn_like(p) * 0.3
            elif "embedding" in name:
                value = torch.randn_like(p)
            else:
                value = torch.randn_like(p) * (1.5 / p.shape[1] ** 0.5)
            p.copy_(value.bfloat16().float())


def file_names(model):
    """Parameters under the names of published files."""
    found = {}
    for name, p in model.named_parameters():
        if not name.startswith(("text_model.", "text_projection.")):
            name = "text_model." + name
        found[name] = p
    return found


def write_case(name):
    settings, options = CASES[name]
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n")
    torch.manual_seed(zlib.crc32(name.encode()))
    read = transformers.AutoConfig.from_pretrained(folder)
    model = getattr(transformers, settings["architectures"][0])._from_config(read, attn_implementation="eager").float().eval()
    randomize(model)
    parameters = file_names(model)
    save_file({n: p.detach().bfloat16().contiguous() for n, p in parameters.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})
    ids = torch.randint(2, 129, (2, 20))
    ids[:, 0] = 129
    ids[0, 11:] = 130  # as CLIP pads
    ids[1, 19] = 130
    inner = getattr(model, "text_model", model)
    out = model(ids, output_hidden_states=True)
    expected = {"ids": ids.int(), "hidden": out.last_hidden_state,
                "skipped": inner.final_layer_norm(out.hidden_states[-2]),
                "pooled": out.text_embeds if "text_embeds" in out else out.pooler_output}
    if options.get("gradients"):
        mix = torch.randn_like(out.last_hidden_state)
        loss = (out.last_hidden_state * mix).mean()
        loss.backward()
        expected.update(mix=mix, loss=loss.reshape(1))
        expected.update({"grad." + n: p.grad for n, p in parameters.items()})
    save_file({n: t.detach().contiguous() for n, t in expected.items()}, folder / "expected.safetensors")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    for case in sys.argv[1:] or CASES:
        write_case(case)
        print(case, sum(f.stat().st_size for f in (OUT / case).iterdir()))
