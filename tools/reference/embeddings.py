"""Writes tests/data/encoders/embeddings.json: texts of tiny checkpoints in tests/data as one vector, by transformers.

A list of {model, text (for those with a tokenizer), ids, mean, cls, last}: the mean of the last hidden states (after the
final norm; an encoder-decoder model's are its encoder's), the first and the last, not scaled. Usage: python embeddings.py
"""
import json
from pathlib import Path

import torch
import transformers

DATA = Path(__file__).resolve().parents[2] / "tests" / "data"
IDS = [44, 73, 80, 80, 83]  # "Hello" by the tokenizer of tests/cli/command.h
TEXT = "A house is a house."

MODELS = [
    ("language/llama", transformers.AutoModelForCausalLM),
    ("language/gpt2", transformers.AutoModelForCausalLM),
    ("language/gemma2", transformers.AutoModelForCausalLM),
    ("language/bloom", transformers.AutoModelForCausalLM),
    ("language/rwkv", transformers.AutoModelForCausalLM),
    ("t5/t5", transformers.AutoModelForSeq2SeqLM),
    ("t5/umt5", transformers.AutoModelForSeq2SeqLM),
    ("t5/t5_encoder", transformers.T5EncoderModel),
    ("t5/t5_128", transformers.AutoModelForSeq2SeqLM),
]


def rounded(vector):
    return [float(f"{x:.8g}") for x in vector.tolist()]


def main():
    rows = []
    for name, kind in MODELS:
        model = kind.from_pretrained(DATA / name, dtype=torch.float32, attn_implementation="eager").eval()
        row = {"model": name}
        ids = IDS
        if name == "t5/t5_128":
            row["text"] = TEXT
            ids = transformers.AutoTokenizer.from_pretrained(DATA / name)(TEXT).input_ids
        network = model.get_encoder() if name.startswith("t5/") else model.base_model
        hidden = network(torch.tensor([ids])).last_hidden_state[0]
        rows.append({**row, "ids": ids, "mean": rounded(hidden.mean(0)), "cls": rounded(hidden[0]), "last": rounded(hidden[-1])})
    (DATA / "encoders/embeddings.json").write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    with torch.no_grad():
        main()
