"""Writes tests/data/encoders/: tiny random BERT and RoBERTa checkpoints, and their hidden states in transformers.

One folder per case (config.json, model.safetensors) and expected.safetensors: ids [T] i32, hidden [T, C] f32.
Usage: python tools/reference/encoders.py [case ...]
"""
import json
import sys
import zlib
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

from language import randomize

OUT = Path(__file__).resolve().parents[2] / "tests" / "data" / "encoders"


def config(architecture, model_type, **changes):
    base = dict(architectures=[architecture], model_type=model_type, vocab_size=131, hidden_size=32,
                num_hidden_layers=2, num_attention_heads=4, intermediate_size=56, hidden_act="gelu",
                max_position_embeddings=96, type_vocab_size=2, layer_norm_eps=1e-12, pad_token_id=0)
    return {**base, **changes}


CASES = {
    "bert": config("BertModel", "bert"),
    # With its head, and so names that begin with "bert.".
    "bert_masked": config("BertForMaskedLM", "bert", hidden_act="gelu_new", num_attention_heads=2),
    "roberta": config("RobertaModel", "roberta", type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5),
    "xlm_roberta": config("XLMRobertaForMaskedLM", "xlm-roberta", type_vocab_size=1, pad_token_id=1),
}


def write_case(name):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CASES[name], indent=1) + "\n")
    torch.manual_seed(zlib.crc32(name.encode()))
    read = transformers.AutoConfig.from_pretrained(folder)
    model = getattr(transformers, CASES[name]["architectures"][0])(read).eval()
    model.config.tie_word_embeddings = False  # for randomize: the layers are plain to see
    randomize(model, torch.bfloat16)
    save_file({n: p.detach().bfloat16().contiguous() for n, p in
               model.named_parameters(remove_duplicate=False) if not n.endswith("decoder.weight")},
              folder / "model.safetensors", metadata={"format": "pt"})
    ids = torch.randint(5, 131, (1, 70))
    with torch.no_grad():
        hidden = model(ids, output_hidden_states=True).hidden_states[-1]
    save_file({"ids": ids[0].int(), "hidden": hidden[0].contiguous()}, folder / "expected.safetensors")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    for case in sys.argv[1:] or CASES:
        write_case(case)
        print(case, sum(f.stat().st_size for f in (OUT / case).iterdir()))
