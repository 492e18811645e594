"""Writes tests/data/encoders/minilm.json: texts and the vectors that all-MiniLM-L6-v2 gives them in transformers, float32.

The model is the folder that tools/fetch_minilm prints. Its modules say: at most 256 tokens, the mean over the tokens,
length 1. Vectors are rounded to 6 decimals.
Usage: python tools/reference/minilm.py FOLDER
"""
import json
import sys
from pathlib import Path

import torch
import transformers

TEXTS = [
    "A brush, an ink stone and a sheet of paper.",
    "Ink, paper, brush: what a calligrapher needs",
    "def add(a, b): \treturn a + b",
    "The GDP grew by 3.7 % in 2019 (source: https://example.org/a_b?c=1).",
    "NAÏVE café, Ünïcödé ½ ² 🙂 and a word of the underworld: pneumonoultramicroscopicsilicovolcanoconiosis",
    "日本語のテキスト、中文文本。한국어 текст ελληνικά",
    "x",
    "the river runs over stones and under bridges " * 60,  # cut
]


def main(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    rows = []
    for text in TEXTS:
        ids = tokenizer(text, truncation=True, max_length=256, padding=False)["input_ids"]
        with torch.no_grad():
            mean = model(torch.tensor([ids])).last_hidden_state[0].mean(0)
        vector = torch.nn.functional.normalize(mean, dim=0)
        rows.append({"text": text.strip(), "tokens": len(ids), "embedding": [round(v, 6) for v in vector.tolist()]})
    out = Path(__file__).resolve().parents[2] / "tests/data/encoders/minilm.json"
    out.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1])
