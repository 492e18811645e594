"""Beam searches of transformers on the tiny checkpoints in tests/data -> tests/data/language/beams.json.

The ids that end a text are chosen so that some beams end early and others do not. T5 searches for what it writes, RWKV
from the whole text at each step: transformers does not reorder its states with the beams.
"""
import itertools
import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

DATA = Path(__file__).resolve().parents[2] / "tests" / "data"
PROMPT = [5, 17, 40, 3, 60, 2, 29]


def search(model, case):
    early = {"no": False, "yes": True, "never": "never"}[case["early_stopping"]]
    # transformers takes no end id as "none", an empty list not.
    stateful = model.config.model_type == "rwkv"
    out = model.generate(
        torch.tensor([case["prompt"]]), attention_mask=torch.ones(1, len(case["prompt"]), dtype=torch.long),
        do_sample=False, num_beams=case["beams"], num_return_sequences=case["results"],
        max_new_tokens=case["max_tokens"], length_penalty=case["length_penalty"], early_stopping=early,
        eos_token_id=case["end_ids"] or None, pad_token_id=0, output_scores=True, return_dict_in_generate=True,
        use_cache=not stateful)
    read = 1 if model.config.is_encoder_decoder else len(case["prompt"])
    texts = []
    for row, score, beams in zip(out.sequences, out.sequences_scores, out.beam_indices):
        length = int((beams >= 0).sum())
        texts.append({"ids": row[read:][:length].tolist(), "score": float(score)})
    return texts


def main():
    cases = []
    for name in ("language/llama", "language/gpt2", "language/rwkv", "t5/mt5_head", "t5/umt5"):
        kind = AutoModelForSeq2SeqLM if name.startswith("t5/") else AutoModelForCausalLM
        model = kind.from_pretrained(DATA / name, dtype=torch.float32).eval()
        model.generation_config.eos_token_id = None
        base = dict(model=name, prompt=PROMPT, beams=4, results=4, max_tokens=16, length_penalty=1.0,
                    early_stopping="no", end_ids=[])
        free = search(model, base)
        cases.append({**base, "texts": free})
        ends = [[free[1]["ids"][4]], [free[0]["ids"][7], free[3]["ids"][2]]]
        for end_ids, early, penalty in itertools.product(ends, ("no", "yes", "never"), (-1.0, 0.0, 1.0, 3.0)):
            case = {**base, "end_ids": end_ids, "early_stopping": early, "length_penalty": penalty, "beams": 3,
                    "results": 2}
            cases.append({**case, "texts": search(model, case)})
    (DATA / "language/beams.json").write_text("[\n" + ",\n".join(map(json.dumps, cases)) + "\n]\n")
    print(len(cases), "cases,", sum(len(t["ids"]) < c["max_tokens"] for c in cases for t in c["texts"]), "ended texts")


if __name__ == "__main__":
    with torch.no_grad():
        main()
