"""Writes tests/data/t5/gguf_<case>/model.gguf: the weights of a case of t5.py under the names of the gguf package, with the keys
that llama.cpp's converter writes for T5. Nothing else is written: the case's own expected.safetensors holds.

The scale of a tied head's input (T5's first release) has no key there and is not in the weights. A vocabulary, where the case has
one, comes from SentencePiece's file: pieces with scores and types, T5's extra ids as user-defined tokens.
Usage: python tools/reference/t5_gguf.py [case ...]
"""
import json
import sys

import gguf
import sentencepiece
from safetensors.torch import load_file
from sentencepiece import sentencepiece_model_pb2

from families_gguf import add_tensor, finish
from t5 import CASES, OUT

EXTRA = 100  # ids that T5's tokenizer class adds
Type = gguf.TokenType


def metadata(writer, c, encoder):
    writer.add_context_length(512)
    writer.add_embedding_length(c["d_model"])
    writer.add_feed_forward_length(c["d_ff"])
    writer.add_block_count(c["num_layers"])
    writer.add_head_count(c["num_heads"])
    writer.add_key_length(c["d_kv"])
    writer.add_value_length(c["d_kv"])
    writer.add_layer_norm_eps(c["layer_norm_epsilon"])
    writer.add_layer_norm_rms_eps(c["layer_norm_epsilon"])
    writer.add_relative_attn_buckets_count(c["relative_attention_num_buckets"])
    if not encoder:
        writer.add_decoder_start_token_id(c["decoder_start_token_id"])
        if "num_decoder_layers" in c:
            writer.add_decoder_block_count(c["num_decoder_layers"])


def vocabulary(writer, path, size):
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(path.read_bytes())
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    pieces = []
    for index in range(processor.get_piece_size()):
        kind = (Type.UNKNOWN if processor.is_unknown(index) else Type.CONTROL if processor.is_control(index)
                else Type.UNUSED if processor.is_unused(index) else Type.BYTE if processor.is_byte(index) else Type.NORMAL)
        pieces.append((processor.id_to_piece(index), processor.get_score(index), kind))
    pieces += [(f"<extra_id_{index}>", -1000.0, Type.USER_DEFINED) for index in reversed(range(EXTRA))]
    pieces += [(f"[PAD{index}]", -10000.0, Type.UNUSED) for index in range(len(pieces), size)]
    assert len(pieces) == size, (len(pieces), size)
    texts, scores, kinds = zip(*pieces)
    writer.add_tokenizer_model("t5")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(list(texts))
    writer.add_token_scores(list(scores))
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_add_space_prefix(proto.normalizer_spec.add_dummy_prefix)
    writer.add_remove_extra_whitespaces(proto.normalizer_spec.remove_extra_whitespaces)
    writer.add_precompiled_charsmap(proto.normalizer_spec.precompiled_charsmap)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(2)
    writer.add_pad_token_id(0)


def write_case(name):
    c = json.loads((OUT / name / "config.json").read_text())
    encoder = CASES[name][1].get("encoder", False)
    architecture = gguf.MODEL_ARCH.T5ENCODER if encoder else gguf.MODEL_ARCH.T5
    names = gguf.get_tensor_name_map(architecture, max(c["num_layers"], c.get("num_decoder_layers", 0)))
    folder = OUT / f"gguf_{name}"
    folder.mkdir(exist_ok=True)
    writer = gguf.GGUFWriter(folder / "model.gguf", gguf.MODEL_ARCH_NAMES[architecture])
    metadata(writer, c, encoder)
    if CASES[name][1].get("tokenizer"):
        vocabulary(writer, OUT.parent / "tokenizers/folders/t5/spiece.model", c["vocab_size"])
    for full, tensor in load_file(OUT / name / "model.safetensors").items():
        target = names.get_name(full, try_suffixes=(".weight",))
        assert target, f"{full} has no name"
        add_tensor(writer, target, tensor, tensor.dtype)
    finish(writer)
    return (folder / "model.gguf").stat().st_size


if __name__ == "__main__":
    for case in sys.argv[1:] or [name for name in CASES if name.endswith("_128")]:
        print(case, write_case(case))
