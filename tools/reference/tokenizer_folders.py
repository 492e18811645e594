"""Writes tests/data/tokenizers/folders/: small tokenizer folders without tokenizer.json, and what their own libraries make of
the texts of tokenizer_cases.py. Vocabularies are trained here on the text of tokenizer_cases.py.

folders/<name>/: the files as people have them, and expected.json as tokenizer_cases.py describes it.

usage: tokenizer_folders.py [name...]
"""

import base64
import json
import random
import shutil
import sys
import unicodedata
from pathlib import Path

import sentencepiece
import tiktoken
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

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


def expected(path, encode, decode, ids, undecoded=lambda ids: False):
    """encode(text, special) and decode(ids, skip_special) are the library's; ids: those that random texts are made of;
    undecoded(ids): whether the decoded text is not to be compared (false in the file)."""
    plain, full, decoded = [], [], []
    for text in tokenizer_cases.texts():
        text = text.decode("utf-8", "replace")
        plain.append(encode(text, False))
        with_special = encode(text, True)
        full.append(None if with_special == plain[-1] else with_special)
        back = decode(plain[-1], True)
        decoded.append(False if undecoded(plain[-1]) else None if back == text else back)
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


def bert(name, **config):
    path = folder(name)
    tokenizer = tokenizer_cases.word_piece(config.get("do_lower_case", True))
    vocabulary = tokenizer.get_vocab()
    (path / "vocab.txt").write_text("".join(token + "\n" for token in sorted(vocabulary, key=vocabulary.get)))
    write_json(path / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", **config})
    expected_of_transformers(path)


def bert_uncased():
    bert("bert_uncased")


def bert_cased():
    bert("bert_cased", do_lower_case=False, tokenize_chinese_chars=False, strip_accents=True)


def write_model(path, file, model, **config):
    (path / file).write_bytes(model.SerializeToString())
    if config:
        write_json(path / "tokenizer_config.json", config)


def split_specials(text, special):
    """The parts of a text that are special tokens (the longest first) and those that are not. <mask> takes the space before."""
    parts, done = [], 0
    ordered = sorted(special, key=len, reverse=True)
    at = 0
    while at < len(text):
        hit = next((token for token in ordered if text.startswith(token, at)), None)
        if hit is None:
            at += 1
            continue
        before = text[done:at].rstrip() if hit == "<mask>" else text[done:at]
        if before:
            parts.append((False, before))
        parts.append((True, hit))
        at = done = at + len(hit)
    if done < len(text):
        parts.append((False, text[done:]))
    return parts


def expected_of_sentencepiece(path, file, special, before=(), after=(), shift=None, added={}, prepare=lambda text: text,
                              restore=lambda text: text, prefix_each=True, **options):
    """sentencepiece between special tokens. special: pieces found in text; shift(id): of the folder; added: tokens that the
    model lacks."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(path / file))
    shift = shift or (lambda index: index)
    ids = {token: shift(model.piece_to_id(token)) for token in special if token not in added} | added
    find = [token for token in list(special) + list(added) if token in special]
    names = {index: token for token, index in ids.items()}
    bare = sentencepiece.SentencePieceProcessor()
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString((path / file).read_bytes())
    proto.normalizer_spec.add_dummy_prefix = False
    bare.load_from_serialized_proto(proto.SerializeToString())
    back = {shift(index): index for index in range(model.get_piece_size())}

    def encode(text, add_special):
        result = []
        for number, (is_special, part) in enumerate(split_specials(text, find)):
            if is_special:
                result.append(ids[part])
            else:
                processor = model if prefix_each or number == 0 else bare
                result += [shift(index) for index in processor.encode(prepare(part))]
        return [*before, *result, *after] if add_special else result

    def decode(chosen, skip):
        # Special tokens stand for themselves; what lies between is decoded as one.
        assert all(index not in names for index in chosen) or skip, chosen
        return restore(model.decode([back[index] for index in chosen if index not in names]))

    blank = {model.piece_to_id(f"<|blank_{count}|>") for count in range(2, 81)} - {model.unk_id()}
    # Blanks never start a text that was encoded: the dummy prefix does.
    normal = [index for index in back if back[index] not in blank]
    normal = [index for index in normal if index not in names and not model.is_control(back[index]) and
              not model.is_byte(back[index]) and not model.is_unknown(back[index])]
    expected(path, encode, decode, normal, **options)


def t5():
    path = folder("t5")
    model = tokenizer_cases.sentence_piece_model("unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    model.normalizer_spec.precompiled_charsmap = tokenizer_cases.charsmap()
    write_model(path, "spiece.model", model)
    write_json(path / "config.json", {"model_type": "t5"})
    size = len(model.pieces)
    extra = {f"<extra_id_{index}>": size + 99 - index for index in range(100)}
    expected_of_sentencepiece(path, "spiece.model", ["<pad>", "</s>", "<unk>", *extra], after=[1], added=extra)


def xlm_roberta():
    path = folder("xlm_roberta")
    model = tokenizer_cases.sentence_piece_model("unigram", user_defined_symbols=["<sep>", "☃"])
    model.normalizer_spec.precompiled_charsmap = tokenizer_cases.charsmap()
    write_model(path, "sentencepiece.bpe.model", model, tokenizer_class="XLMRobertaTokenizer")
    size = len(model.pieces)
    added = {"<pad>": 1, "<mask>": size + 1}
    expected_of_sentencepiece(
        path, "sentencepiece.bpe.model", ["<s>", "</s>", "<unk>", *added], before=[0], after=[2], added=added,
        shift=lambda index: {0: 3, 1: 0, 2: 2}.get(index, index + 1))


def llama(name, legacy, **options):
    path = folder(name)
    model = tokenizer_cases.sentence_piece_model(
        "bpe", vocab_size=660, byte_fallback=True, remove_extra_whitespaces=False, split_digits=True,
        allow_whitespace_only_pieces=True, **options)
    write_model(path, "tokenizer.model", model, tokenizer_class="LlamaTokenizer", legacy=legacy)
    expected_of_sentencepiece(path, "tokenizer.model", ["<s>", "</s>", "<unk>"], before=[1], prefix_each=legacy)


def llama_legacy():
    llama("llama_legacy", True)


def llama_new():
    llama("llama_new", False, user_defined_symbols=["<|im_start|>", "\n\n", "the the"])


def baichuan():
    """A BPE without byte pieces: unknown characters."""
    path = folder("baichuan")
    model = tokenizer_cases.sentence_piece_model("bpe", vocab_size=300, character_coverage=0.98)
    write_model(path, "tokenizer.model", model, tokenizer_class="BaichuanTokenizer", add_bos_token=False, add_eos_token=True)
    expected_of_sentencepiece(path, "tokenizer.model", ["<s>", "</s>", "<unk>"], after=[2])


def chatglm2():
    path = folder("chatglm2")
    model = tokenizer_cases.sentence_piece_model("bpe", vocab_size=600, byte_fallback=True)
    write_model(path, "tokenizer.model", model, tokenizer_class="ChatGLMTokenizer", added_tokens_decoder={
        str(len(model.pieces) + 5): {"content": "<|im_start|>", "special": True, "normalized": False}})
    size = len(model.pieces)
    expected_of_sentencepiece(path, "tokenizer.model", ["<s>", "</s>", "<unk>", "<|im_start|>"], before=[size + 1, size + 3],
                              added={"<|im_start|>": size + 5})


def chatglm1():
    path = folder("chatglm1")
    commands = ["[MASK]", "[gMASK]", "<sop>", "<eop>"]
    spaces = ["<n>", "<|tab|>"] + [f"<|blank_{count}|>" for count in range(2, 81)]
    model = tokenizer_cases.sentence_piece_model("unigram", vocab_size=420, control_symbols=commands,
                                                 user_defined_symbols=spaces, byte_fallback=False)
    write_model(path, "ice_text.model", model, tokenizer_class="ChatGLMTokenizer", num_image_tokens=20, bos_token="<sop>",
                eos_token="<eop>")
    find = {piece.piece: index + 20 for index, piece in enumerate(model.pieces)}

    def prepare(text):
        text = text.replace("\n", "<n>").replace("\t", "<|tab|>")
        for count in range(80, 1, -1):
            text = text.replace(" " * count, f"<|blank_{count}|>")
        return text

    def restore(text):
        text = text.replace("<n>", "\n").replace("<|tab|>", "\t")
        for count in range(80, 1, -1):
            text = text.replace(f"<|blank_{count}|>", " " * count)
        return text

    names = [""] * 20 + [piece.piece for piece in model.pieces]

    def undecoded(ids):
        """sentencepiece drops all spaces before the first text, Sumi one: to it the spaces that blanks stand for are the same."""
        shown = [names[index] for index in ids if names[index] not in ["<unk>", "<s>", "</s>", *commands]]
        return len(shown) > 1 and shown[0] == "▁" and shown[1].startswith("▁") or shown[:1] == ["▁"] * len(shown)

    expected_of_sentencepiece(path, "ice_text.model", ["<s>", "</s>", "<unk>", *commands], after=[find["[gMASK]"], find["<sop>"]],
                              shift=lambda index: index + 20, prepare=prepare, restore=restore,
                              undecoded=undecoded)


def tiktoken_ranks():
    """Ranks as tiktoken's training would give them: bytes, then merges in order."""
    tokenizer = tokenizer_cases.byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), special=(), size=420)
    symbols = {symbol: byte for byte, symbol in bytes_to_unicode().items()}
    tokens = [bytes([byte]) for byte in range(256)]
    for left, right in merges_of(tokenizer):
        tokens.append(bytes(symbols[symbol] for symbol in left + right))
    tokens.append("Ünmergeable".encode())  # whole pieces only
    return {token: rank for rank, token in enumerate(tokens)}


def tiktoken_folder(name, file, pattern, special, before=(), normalize=lambda text: text, **config):
    path = folder(name)
    ranks = tiktoken_ranks()
    (path / file).write_text("".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items()))
    write_json(path / "tokenizer_config.json", config)
    ids = {token: len(ranks) + index for index, token in enumerate(special)}
    encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=ids)

    def encode(text, add_special):
        result = []
        for is_special, part in split_specials(text, special):
            result += [ids[part]] if is_special else encoding.encode_ordinary(normalize(part))
        return [ids[token] for token in before] + result if add_special else result

    def decode(chosen, skip):
        return encoding.decode([index for index in chosen if index < len(ranks) or not skip])

    expected(path, encode, decode, list(range(len(ranks) + len(special))))


def qwen1():
    tiktoken_folder("qwen1", "qwen.tiktoken", tokenizer_cases.QWEN2,
                    ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + [f"<|extra_{index}|>" for index in range(205)],
                    normalize=lambda text: unicodedata.normalize("NFC", text), tokenizer_class="QWenTokenizer")


def llama3():
    reserved = [f"<|reserved_special_token_{index}|>" for index in range(251)]
    special = ["<|begin_of_text|>", "<|end_of_text|>", *reserved[:4], "<|start_header_id|>", "<|end_header_id|>", reserved[4],
               "<|eot_id|>", *reserved[5:]]
    tiktoken_folder("llama3", "tokenizer.model", tokenizer_cases.LLAMA3, special, before=["<|begin_of_text|>"],
                    tokenizer_class="LlamaTokenizer")


def glm4():
    special = ["<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|im_start|>", "<|user|>"]
    first = len(tiktoken_ranks())
    tiktoken_folder("glm4", "tokenizer.model", tokenizer_cases.LLAMA3, special, before=["[gMASK]", "<sop>"],
                    tokenizer_class="ChatGLM4Tokenizer", eos_token="<|endoftext|>", added_tokens_decoder={
                        str(first + index): {"content": token, "special": True, "normalized": False}
                        for index, token in enumerate(special)})


CASES = [clip, gpt2, opt, roberta, qwen2, bert_uncased, bert_cased, t5, xlm_roberta, llama_legacy, llama_new, baichuan,
         chatglm1, chatglm2, qwen1, llama3, glm4]


def main():
    for case in CASES:
        if len(sys.argv) < 2 or case.__name__ in sys.argv[1:]:
            case()


if __name__ == "__main__":
    main()
