"""Writes tests/data/formats/: a GGUF file and a safetensors file made by the packages gguf and safetensors, and random
blocks of each GGUF block format with the floats that gguf.quants makes of them.

dequantize_<type>.bin holds the blocks, then the floats (little-endian float32).

Also the seeds of the fuzzers in tests/fuzz/corpus/.
"""

import struct

from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Q
from safetensors.torch import save_file
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers)

OUT = Path(__file__).resolve().parents[2] / "tests" / "data" / "formats"
CORPUS = OUT.parents[1] / "fuzz" / "corpus"

# Type and the places of its f16 scales in a block.
BLOCK_TYPES = [(Q.Q4_0, [0]), (Q.Q4_1, [0, 2]), (Q.Q5_0, [0]), (Q.Q5_1, [0, 2]), (Q.Q8_0, [0]), (Q.Q2_K, [80, 82]),
               (Q.Q3_K, [108]), (Q.Q4_K, [0, 2]), (Q.Q5_K, [0, 2]), (Q.Q6_K, [208])]


def random_blocks(rng, qtype, scale_places):
    """Random bytes with finite scales; the last two blocks have all bits set and a subnormal scale."""
    elements, size = gguf.GGML_QUANT_SIZES[qtype]
    count = 6 if elements == 32 else 4
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    blocks[-2] = 255
    for place in scale_places:
        scales = rng.normal(0, 0.05, count).astype(np.float16)
        scales[-1] = np.float16(3e-6)
        blocks[:, place:place + 2] = scales.view(np.uint8).reshape(count, 2)
    return blocks


def write_blocks(rng):
    for qtype, places in BLOCK_TYPES:
        blocks = random_blocks(rng, qtype, places)
        floats = np.stack([gguf.quants.dequantize(block, qtype) for block in blocks]).astype("<f4")
        (OUT / f"dequantize_{qtype.name.lower()}.bin").write_bytes(blocks.tobytes() + floats.tobytes())


def write_gguf(rng):
    writer = gguf.GGUFWriter(OUT / "types.gguf", "test")
    writer.add_custom_alignment(64)
    writer.add_uint8("value.uint8", 200)
    writer.add_int8("value.int8", -100)
    writer.add_uint16("value.uint16", 60000)
    writer.add_int16("value.int16", -30000)
    writer.add_uint32("value.uint32", 4000000000)
    writer.add_int32("value.int32", -2000000000)
    writer.add_uint64("value.uint64", 2**64 - 1)
    writer.add_int64("value.int64", -2**63)
    writer.add_float32("value.float32", 0.1)
    writer.add_float64("value.float64", 0.1)
    writer.add_bool("value.bool", True)
    writer.add_string("value.string", "naïve 墨")
    writer.add_array("array.string", ["a", "", "墨"])
    writer.add_array("array.int32", [1, -2, 3])
    writer.add_array("array.float32", [0.5, -1.5])
    writer.add_array("array.bool", [True, False])
    writer.add_tensor("f32", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.add_tensor("f16", np.arange(4, dtype=np.float16))
    writer.add_tensor("i32", np.arange(24, dtype=np.int32).reshape(2, 3, 4))
    for qtype, places in BLOCK_TYPES:
        blocks = random_blocks(rng, qtype, places)[:2]
        writer.add_tensor(qtype.name.lower(), blocks, raw_dtype=qtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_safetensors():
    values = torch.arange(6).reshape(2, 3) - 2
    tensors = {str(dtype).removeprefix("torch."): values.to(dtype)
               for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
                             torch.int16, torch.int8, torch.bool)}
    tensors["uint8"] = values.abs().to(torch.uint8)
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(0, 4)
    save_file(tensors, OUT / "types.safetensors", metadata={"format": "pt"})


def seed(target, name, content):
    path = CORPUS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def gguf_string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def write_reader_seeds():
    seed("gguf", "types.gguf", (OUT / "types.gguf").read_bytes())
    header = struct.pack("<4sIQQ", b"GGUF", 2, 2, 2)
    header += gguf_string("general.alignment") + struct.pack("<II", 4, 8)
    header += gguf_string("k") + struct.pack("<IIQ", 9, 8, 2) + gguf_string("a") + gguf_string("")
    header += gguf_string("x") + struct.pack("<IQIQ", 1, 4, 0, 0) + gguf_string("y") + struct.pack("<IQQIQ", 2, 32, 1, 3, 16)
    header += b"\0" * (-len(header) % 8)
    seed("gguf", "small_v2.gguf", header + bytes(16 + 20))
    seed("safetensors", "types.safetensors", (OUT / "types.safetensors").read_bytes())
    text = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    seed("safetensors", "small.safetensors", struct.pack("<Q", len(text)) + text + bytes(8))


def gguf_tokenizer_seed(name, model, tokens, kinds, **more):
    """One GGUF file without tensors; `more` are further keys, of tokenizer.ggml where they have no dot."""
    path = CORPUS / "gguf_tokenizer" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "test")
    writer.add_tokenizer_model(model)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    for key, value in more.items():
        add = (writer.add_array if isinstance(value, (list, bytes)) else writer.add_bool if isinstance(value, bool) else
               writer.add_uint32 if isinstance(value, int) else writer.add_string)
        add(key if "." in key else f"tokenizer.ggml.{key}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def write_gguf_tokenizer_seeds():
    normal, unknown, control, user, byte = 1, 2, 3, 4, 6
    sentence = ["<unk>", "<s>", "</s>", "<0x0A>", "<0xE5>", "<|end|>", *"▁Helowrd", "lo", "▁w", "▁He"]
    kinds = [unknown, control, control, byte, byte, user] + [normal] * (len(sentence) - 6)
    scores = [0.0] * 14 + [-1.0, -2.0, -3.0]
    gguf_tokenizer_seed("llama.gguf", "llama", sentence, kinds, scores=scores, bos_token_id=1, eos_token_id=2,
                        unknown_token_id=0, add_bos_token=True, add_space_prefix=True)
    # As `sumi convert` writes SentencePiece's BPE.
    gguf_tokenizer_seed("sentencepiece.gguf", "llama", sentence, kinds, scores=scores, bos_token_id=1, eos_token_id=2,
                        unknown_token_id=0, add_bos_token=False, add_space_prefix=True, remove_extra_whitespaces=True,
                        **{"sumi.tokenizer.sentencepiece": True, "sumi.tokenizer.prefix_each": False,
                           "sumi.tokenizer.searched_token_ids": [2, 5], "sumi.tokenizer.prefix_token_ids": [1, 5]})
    symbols = ["<s>", "</s>", *"Helowrd", "Ġ", "12", "lo", "Ġw", "He", "1", "2"]
    gguf_tokenizer_seed("gpt2.gguf", "gpt2", symbols, [control] * 2 + [normal] * (len(symbols) - 2), pre="gpt-2",
                        merges=["l o", "Ġ w", "H e"], bos_token_id=0, eos_token_id=1, add_eos_token=True)
    gguf_tokenizer_seed("gemma4.gguf", "gemma4", sentence + ["\n\n", "<bos>"], kinds + [normal, control], merges=["l o", "▁ w"],
                        bos_token_id=1, eos_token_id=2, unknown_token_id=0)
    pieces = ["<pad>", "</s>", "<unk>", *"▁Helowrd", "▁He", "wor", "lo"]
    gguf_tokenizer_seed("t5.gguf", "t5", pieces, [control, control, unknown] + [normal] * (len(pieces) - 3),
                        scores=[0.0] * 3 + [-5.0] * 8 + [-2.0, -2.5, -3.0], eos_token_id=1, unknown_token_id=2,
                        padding_token_id=0, add_space_prefix=True, remove_extra_whitespaces=True)


def write_tokenizer_seeds():
    text = ["hello world 123 it's", "the cat sat on the mat", "naïve café 墨"]
    byte_level = Tokenizer(models.BPE())
    byte_level.normalizer = normalizers.NFC()
    byte_level.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    byte_level.decoder = decoders.ByteLevel()
    byte_level.train_from_iterator(text, trainers.BpeTrainer(vocab_size=60, special_tokens=["<s>", "</s>"]))
    byte_level.add_tokens([AddedToken("<x>", lstrip=True, rstrip=True), AddedToken("wor", single_word=True)])
    byte_level.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B",
                                                              special_tokens=[("<s>", 0)])
    seed("tokenizer_json", "byte_level.json", byte_level.to_str().encode())

    vocab = ["<unk>", "<s>"] + [f"<0x{i:02X}>" for i in (0x0A, 0xE5, 0xA2, 0xA8)] + list("▁helo") + ["he", "ll", "▁he"]
    sentence = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(vocab)},
                                    merges=[("h", "e"), ("l", "l"), ("▁", "he")],
                                    unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    sentence.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    sentence.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                          decoders.Strip(content=" ", left=1)])
    sentence.add_special_tokens(["<s>"])
    seed("tokenizer_json", "sentence_piece.json", sentence.to_str().encode())

    split = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "ab": 2}, merges=[("a", "b")]))
    split.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"(?i:'s|'t)|\p{L}+|\p{N}{1,3}|\s+(?!\S)"), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    seed("tokenizer_json", "split.json", split.to_str().encode() + b"\0ab  12's")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(3)
    write_blocks(generator)
    write_gguf(generator)
    write_safetensors()
    write_reader_seeds()
    write_tokenizer_seeds()
    write_gguf_tokenizer_seeds()
