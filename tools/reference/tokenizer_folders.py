"""Writes tests/data/tokenizers/folders/: small tokenizer folders without tokenizer.json, and what their own libraries make of
the texts of tokenizer_cases.py. Vocabularies are trained here on the text of tokenizer_cases.py.

folders/<name>/: the files as people have them, and expected.json as tokenizer_cases.py describes it.

usage: tokenizer_folders.py [name...]
"""

import json
import random
import shutil
import sys
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

import tokenizer_cases
from tokenizer_cases import CLIP, CORPUS

OUT = tokenizer_cases.OUT / "folders"
COMPACT = {"ensure_ascii": False, "separators": (",", ":")}


def folder(name):
    path = OUT / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def write_json(path, value):
    path.write_text(json.dumps(value, **COMPACT) + "\n")


def expected(path, encode, decode, ids):
    """encode(text, special) and decode(ids, skip_special) are the library's; ids: those that random texts are made of."""
    plain, full, decoded = [], [], []
    for text in tokenizer_cases.texts():
        text = text.decode("utf-8", "replace")
        plain.append(encode(text, False))
        with_special = encode(text, True)
        full.append(None if with_special == plain[-1] else with_special)
        back = decode(plain[-1], True)
        decoded.append(None if back == text else back)
    rng = random.Random(2)
    pairs = []
    while len(pairs) < 20:
        chosen = [rng.choice(ids) for _ in range(rng.randrange(1, 12))]
        back = decode(chosen, False)
        if "\ufffd" not in back:
            pairs.append([chosen, back])
    write_json(path / "expected.json", {"ids": full, "plain": plain, "decoded": decoded, "random": pairs})


def expected_of_transformers(path, first=0, **options):
    """first: random texts are made of ids from here on."""
    tokenizer = AutoTokenizer.from_pretrained(path, **options)
    expected(path, lambda text, special: tokenizer.encode(text, add_special_tokens=special),
             lambda ids, skip: tokenizer.decode(ids, skip_special_tokens=skip), sorted(tokenizer.get_vocab().values())[first:])


def write_vocab_and_merges(path, vocabulary, merges):
    write_json(path / "vocab.json", vocabulary)
    (path / "merges.txt").write_text("#version: 0.2\n" + "".join(" ".join(merge) + "\n" for merge in merges))


def merges_of(tokenizer):
    return json.loads(tokenizer.to_str())["model"]["merges"]


def clip():
    path = folder("clip")
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(CLIP), behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=420, end_of_word_suffix="</w>", show_progress=False))
    merges = merges_of(tokenizer)
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = symbols + [symbol + "</w>" for symbol in symbols] + ["".join(merge) for merge in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    write_vocab_and_merges(path, {token: index for index, token in enumerate(tokens)}, merges)
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True}
    start, end = ({"content": token, **special} for token in ("<|startoftext|>", "<|endoftext|>"))
    write_json(path / "tokenizer_config.json", {
        "tokenizer_class": "CLIPTokenizer", "bos_token": start, "eos_token": end, "unk_token": end, "pad_token": "<|endoftext|>",
        "add_prefix_space": False, "do_lower_case": True, "errors": "replace", "model_max_length": 77})
    write_json(path / "special_tokens_map.json", {
        "bos_token": start, "eos_token": end, "unk_token": end, "pad_token": "<|endoftext|>"})
    # Not of single bytes: transformers strips white space such as \x1c from both ends, Sumi only spaces, which alone a text
    # can lead to.
    expected_of_transformers(path, first=512)


def byte_level(name, special, config, map=None, added=None, pre=None, normalizer=None, at_end=()):
    path = folder(name)
    tokenizer = tokenizer_cases.byte_level(
        pre or pre_tokenizers.ByteLevel(add_prefix_space=False), normalizer, special=special, size=400)
    vocabulary = tokenizer.get_vocab()
    for token in at_end:
        vocabulary[token] = len(vocabulary)
    write_vocab_and_merges(path, dict(sorted(vocabulary.items(), key=lambda item: item[1])), merges_of(tokenizer))
    if config is not None:
        write_json(path / "tokenizer_config.json", config)
    if map is not None:
        write_json(path / "special_tokens_map.json", map)
    if added is not None:
        write_json(path / "added_tokens.json", {token: len(vocabulary) + index for index, token in enumerate(added)})
    return path


def gpt2():
    path = byte_level("gpt2", ["<|endoftext|>"], {"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]},
                      added=["<|im_start|>", "<|im_end|>", "SOLO"],
                      map={"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"})
    write_json(path / "config.json", {"model_type": "gpt2"})
    expected_of_transformers(path)


def opt():
    token = {"__type": "AddedToken", "content": "</s>", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    expected_of_transformers(byte_level("opt", ["<pad>", "<s>", "</s>", "<unk>"], {
        "tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "add_prefix_space": False, "errors": "replace",
        "bos_token": token, "eos_token": token, "unk_token": token, "pad_token": {**token, "content": "<pad>"}}))


def roberta():
    path = byte_level("roberta", ["<s>", "<pad>", "</s>", "<unk>"], None, at_end=["<mask>"],
                      map={"mask_token": {"content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False,
                                          "single_word": False}})
    write_json(path / "config.json", {"model_type": "roberta"})
    expected_of_transformers(path)


def qwen2():
    pre = tokenizer_cases.split_bytes(tokenizer_cases.QWEN2)
    path = byte_level("qwen2", ["<|unused|>"], {
        "tokenizer_class": "Qwen2Tokenizer", "add_prefix_space": False, "bos_token": None, "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>", "unk_token": None, "added_tokens_decoder": {
            str(400 + index): {"content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                               "special": True}
            for index, token in enumerate(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])}}, pre=pre)
    expected_of_transformers(path)


CASES = [clip, gpt2, opt, roberta, qwen2]


def main():
    for case in CASES:
        if len(sys.argv) < 2 or case.__name__ in sys.argv[1:]:
            case()


if __name__ == "__main__":
    main()
