"""Writes tests/data/language/llava_pictures/adapter/: an adapter that peft made over a whole model with pictures.

adapter_config.json, adapter_model.safetensors   every linear layer, those for pictures too, and rows of two tokens
expected.safetensors
  prompt_ids [T] i32, logits [T, V] f32          what the adapted model computes of text alone
  greedy_ids [12] i32                            what greedy decoding appends
Needs the folder that language.py writes. Usage: python tools/reference/whole_adapter.py
"""

import json
import pathlib

import peft
import torch
import transformers
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "language" / "llava_pictures"
OUT = ROOT / "adapter"
TOKENS = [129, 130]

if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.manual_seed(7)
    base = transformers.AutoModelForImageTextToText.from_pretrained(ROOT, dtype=torch.float32, attn_implementation="eager")
    model = peft.get_peft_model(base, peft.LoraConfig(
        r=2, lora_alpha=3, target_modules="all-linear", trainable_token_indices={"embed_tokens": TOKENS})).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name or "trainable_tokens" in name:
                p.copy_(torch.randn_like(p) * 0.5)
        prompt = torch.cat([torch.randint(3, TOKENS[0], (1, 10)), torch.tensor([TOKENS])], dim=1)
        logits = model(input_ids=prompt).logits[0].contiguous()
        greedy = model.generate(input_ids=prompt, do_sample=False, max_new_tokens=12, min_new_tokens=12,
                                eos_token_id=None, pad_token_id=0)
    model.save_pretrained(OUT)
    (OUT / "README.md").unlink()
    path = OUT / "adapter_config.json"
    config = json.loads(path.read_text())
    config.update(base_model_name_or_path="llava_pictures", target_modules=sorted(config["target_modules"]))
    path.write_text(json.dumps(config, indent=1) + "\n")
    save_file({"prompt_ids": prompt[0].int(), "logits": logits, "greedy_ids": greedy[0, prompt.shape[1]:].int().contiguous()},
              OUT / "expected.safetensors")
