"""Writes tests/data/tokenizers/: small tokenizers of many kinds, trained here on a text written here, and what the package
`tokenizers` makes of a list of difficult texts.

texts.json: the texts, as hexadecimal bytes (some are not UTF-8).
<name>.json: a tokenizer.json.
<name>.expected.json:
  ids: of each text, with what the post-processor adds; null: the same as `plain`
  plain: of each text, without it
  decoded: of each `plain`, without special tokens; null: equal to the text with ill-formed bytes replaced
  random: pairs of ids and their decoded text, all of it UTF-8, with special tokens
"""

import io
import json
import random
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)

OUT = Path(__file__).resolve().parents[2] / "tests" / "data" / "tokenizers"

CORPUS = [
    "The quick brown fox jumps over the lazy dog. It's what they'd say, isn't it? We've seen 12345 of them in 2024.",
    "def tokenize(text):\n    for i in range(10):\n        print(i, text[i])\n    return None\n\n\n",
    "Der schnelle braune Fuchs springt über den faulen Hund. Größe, Straße, naïve café, déjà vu.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Привет, мир!",
    "人人生而自由，在尊严和权利上一律平等。日本語のテキストもあります。カタカナとひらがな。한국어 문장도 있습니다.",
    "مرحبا بالعالم. שלום עולם. नमस्ते दुनिया. สวัสดีชาวโลก",
    "😀 😃 👍 👩‍👩‍👧‍👦 🦙 🏳️‍🌈",
    "the the the and and of of to to in in a a a it it is is that that this this token token tokens tokenizer",
    "hello world hello world Hello World HELLO WORLD hello, world! I'm you're he'll she'd we've they're",
] * 3

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"
          r"\s+(?!\S)|\s")
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
KIMI = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def texts():
    """Difficult texts, as bytes."""
    plain = [
        "", " ", "  ", "   ", "\t", "\n", "\n\n", "\n\n\n", "\t\n", "\r\n", "\r\n\r\n", " \n ", "  \n  a", "a  ", " a",
        "Hello world", " Hello world", "Hello  world", "Hello   World!", "  leading and trailing  ", "\n \n\n \n\n\n x",
        "It's he'll WE'VE I'M you'D they'RE 's'S 'ſ don'tcha 'tis", "1", "12", "123", "1234", "12345678901234567890",
        "3.14159 1,000,000 -5 1e10 0xff ½ ² Ⅷ ٣٤٥ १२३ 四", "a1b2c3 abc123def 2024-01-01T00:00:00Z",
        "naïve café déjà vu — “quoted” ‘single’ … Ångström Å Å", "e\u0301 e\u0300\u0301 o\u0302\u0323 \u0301alone a\u0327\u0301",
        "ﬁ ﬂ ﷺ ① ㎏ Ⅳ ｆｕｌｌ　ｗｉｄｔｈ", "İstanbul ıı ΑΣ Σας ẞß ǅ ŉ", "Привет, как дела? ПриветМир ё й",
        "人人生而自由，在尊严和权利上一律平等。", "これは日本語のテキストです。カタカナ、ひらがな。", "한국어 문장 테스트 각 각",
        "مَرْحَبًا بِالعَالَم ١٢٣", "שָׁלוֹם עוֹלָם", "नमस्ते दुनिया क्षत्रिय", "สวัสดีชาวโลก", "வணக்கம் உலகம்",
        "😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈 🇩🇪🇫🇷", "🦙🦙🦙", "a😀b 😀 c", "zero\u200bwidth\u200c\u200djoin\ufeffbom\u2060x",
        "nb\u00a0sp\u2003em\u2009thin\u3000ideo\u1680og\u180emong\u2028ls\u2029ps\u0085nel", "\u202eRTL override\u202c x",
        "control\x00\x01\x1f\x7f\x80chars", "C:\\path\\to\\file <html attr=\"1\">&amp;</html>", "$100 €50 £20 ¥30 +1-2=3 ^~|`",
        "!!! ??? ... ,,, ;;; --- ___ *** /// \\\\\\", "x = y + z # comment\n\tif (a && b) { return c; }\n", "a\tb\t\tc",
        "CamelCaseWords snake_case_words SCREAMING_CASE kebab-case", "https://example.com/path?q=1&r=2#frag", "user@mail.org",
        "<s>", "</s>", "<s>Hello</s>", "<|im_start|>user\nHi<|im_end|>\n", "a <|im_end|> b", "  <|im_end|>  ", "x<|im_end|>y",
        "<|im_end|><|im_end|>", "<|im_", "<|im_end", "<unk> <pad>", "<mask>", "word <mask> word", " <mask>", "word<mask>word",
        "a  <mask>  b", "\n<mask>\n", "<LEFT>", "x  <LEFT>  y", "x  <RIGHT>  y", "x <BOTH> <BOTH> y", "SOLO", "a SOLO b", "aSOLOb",
        "SOLO1 _SOLO SOLO.", "(SOLO)", "éSOLO SOLOé", "NormMe", "normme", "xNORMMEx", "norm me", "RawMe rawme RAWME",
        "▁", "▁▁", "a▁b", " ▁ ", "▁Hello ▁world", "Ġ Ġthe Ċ", "ĠHello", "<0x0A>", "<0xFF><0x00>", "##ing ##", "</w> a</w>b",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "abababababababababab", "the the  the   the    the", "a" * 70 + " " * 70 + "b",
        "tokenization tokenizers tokenized the token", "\u0e01\u0e33 \u0e4d\u0e32", "\U00010400\U00010428 \U0001d400 𝒽𝑒𝓁𝓁𝑜",
        "Z̸̡̢̛͔̱a̵l̶g̷o̸", "a\u0300\u0316\u0301\u0317b", "\uac00\u11a8 \u1100\u1161\u11a8", "\ue000private\U0010ffff", "\ufffd", "an Unmergeable word",
        "ⓐⓑ 🅰 ª º ʰ ⅽ _‿_ ٠", "tab\there\vvt\fff", "end.\n", "end. \n \n", "multiple\n\n\n\nnewlines\r\rcr\r\n\r\ncrlf", "a\u2028\u2028 b",
    ]
    # One character between letters and alone: which class does it belong to?
    for point in [0x20, 0x85, 0xa0, 0xad, 0xaa, 0xb2, 0xb7, 0x2b0, 0x300, 0x345, 0x5f, 0x660, 0x903, 0x20dd, 0x180e, 0x200b,
                  0x200c, 0x200d, 0x2028, 0x202f, 0x203f, 0x205f, 0x2060, 0x2160, 0x24b6, 0x3000, 0x3007, 0x30fc, 0x1f130,
                  0xfe0f, 0xff10, 0xff3f, 0xfeff]:
        plain.append(f"a{chr(point)}b {chr(point)}{chr(point)} 1{chr(point)}2")
    result = [text.encode() for text in plain]
    result += [
        b"\xff", b"a\xffb", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xf0\x9f\x98\x80\xf0\x9f", b"\xed\xa0\x80", b"\xc0\x80",
        b"\xf4\x90\x80\x80", b"\xe2\x28\xa1", b"ok\x80\x80\x80ok", b"\xf8\x88\x80\x80\x80", b"\xe0\x80\x80 \xe1\x80\xe2\x80\xa6",
    ]
    rng = random.Random(1)
    parts = [text.decode() for text in result if len(text) < 40 and text and text[0] < 0x80 and b"\xff" not in text and
             text.decode(errors="ignore").encode() == text] + list(" \n\t'.1é") * 3
    result += ["".join(rng.choice(parts) for _ in range(6)).encode() for _ in range(40)]
    ranges = [(0x20, 0x7f), (0xa0, 0x250), (0x300, 0x370), (0x370, 0x500), (0x590, 0x600), (0x900, 0x980), (0x2000, 0x2070),
              (0x3000, 0x3100), (0xac00, 0xac80), (0x1f600, 0x1f650)]
    for _ in range(40):
        result.append("".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(16)).encode())
    return result


def train(tokenizer, size=420, special=(), alphabet=()):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), initial_alphabet=list(alphabet),
                                  show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_level(pre, normalizer=None, special=("<|endoftext|>", "<|im_start|>", "<|im_end|>"), size=420, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return train(tokenizer, size, special, pre_tokenizers.ByteLevel.alphabet())


def split_bytes(pattern, **options):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), behavior=options.pop("behavior", "isolated"), **options),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def sentence_piece(legacy, fallback=True, scheme="first", split=False):
    specials = ["<unk>", "<s>", "</s>"]
    if fallback:
        specials += [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=fallback))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    train(tokenizer, 660 if fallback else 400, specials)
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if token["id"] < 3]  # byte tokens are not special
    if not fallback:  # leave some characters unknown
        used = "".join(data["model"]["vocab"])
        assert "q" in used
    tokenizer = Tokenizer.from_str(json.dumps(data))
    if legacy:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.pre_tokenizer = None
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
    if fallback:
        steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        if scheme != "never":
            steps.append(decoders.Strip(" ", 1, 0))
        tokenizer.decoder = decoders.Sequence(steps)
    else:
        tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer


ADDED = [
    AddedToken("<mask>", lstrip=True, special=True), AddedToken("<LEFT>", lstrip=True, normalized=False),
    AddedToken("<RIGHT>", rstrip=True, normalized=False), AddedToken("<BOTH>", lstrip=True, rstrip=True, normalized=False),
    AddedToken("SOLO", single_word=True, normalized=False), AddedToken("NormMe", normalized=True),
    AddedToken("RawMe", normalized=False), AddedToken("<|im_end|>", special=True, normalized=False),
    AddedToken("<|im_", normalized=False),
]


def characters(pre, normalizer=None, **model):
    """A tokenizer over characters that were seen, the others unknown."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", **model))
    tokenizer.pre_tokenizer = pre
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=["<unk>", "<|endoftext|>"], show_progress=False,
                                  continuing_subword_prefix=model.get("continuing_subword_prefix", ""),
                                  end_of_word_suffix=model.get("end_of_word_suffix", ""))
    tokenizer.train_from_iterator([text for text in CORPUS if text.isascii()], trainer)
    return tokenizer


def charsmap():
    """A small precompiled_charsmap, built by sentencepiece: NFKC of a few characters, of pairs, and dropped ones."""
    rules = {chr(point): chr(point - 0xfee0) for point in range(0xff01, 0xff5f)}
    rules |= {"\uff76": "\u30ab", "\uff76\uff9e": "\u30ac", "e\u0301": "é", "a\u0300": "à", "\ufb03": "ffi", "\ufb01": "fi",
              "\u2460": "1", "\u3000": " ", "\t": " ", "\n": " ", "\r": " ", "\xa0": " ", "\u200b": "", "\u200d": "",
              "\u1e9b\u0323": "\u1e69", "\u212b": "Å", "½": "1⁄2", "\u3300": "アパート", "\u0e33": "\u0e4d\u0e32"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.tsv"
        hexadecimal = lambda text: " ".join(f"{ord(character):X}" for character in text)
        path.write_text("".join(f"{hexadecimal(key)}\t{hexadecimal(value)}\n" for key, value in rules.items()))
        return sentence_piece_model("unigram", normalization_rule_tsv=str(path)).normalizer_spec.precompiled_charsmap


def sentence_piece_model(kind, **options):
    """A model that sentencepiece trains, as a protocol buffer."""
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=file, model_type=kind, minloglevel=2,
        **{"vocab_size": 330, "hard_vocab_limit": False, "normalization_rule_name": "identity", **options})
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(file.getvalue())
    return model


def word_piece(lowercase):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=40))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=460, special_tokens=special, show_progress=False))
    tokenizer.decoder = decoders.WordPiece(cleanup=lowercase)
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return tokenizer


def unigram(pre, normalizer=None, fallback=False):
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] * fallback
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator([text for text in CORPUS if len(text.encode()) < 2 * len(text)], trainers.UnigramTrainer(
        vocab_size=320, special_tokens=special, unk_token="<unk>", show_progress=False))
    data = json.loads(tokenizer.to_str())
    data["model"]["byte_fallback"] = fallback
    data["added_tokens"] = [token for token in data["added_tokens"] if token["id"] < 3]
    vocabulary = [[piece, round(score, 3)] for piece, score in data["model"]["vocab"]]
    known = {piece for piece, score in vocabulary}
    # Ties, and a token that only joined unknown characters spell.
    vocabulary += [[piece, -9.0] for piece in ["aa", "aaa", "aaaa", "ab", "ba", "bab"] if piece not in known] + [["⇥⇥", -99.0]]
    data["model"]["vocab"] = vocabulary
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    return tokenizer


def tokenizers():
    byte = pre_tokenizers.ByteLevel
    yield "gpt2", byte_level(byte(add_prefix_space=False))
    roberta = byte_level(byte(add_prefix_space=True), special=("<s>", "</s>", "<mask>"))
    roberta.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    yield "gpt2_prefix_space", roberta
    llama3 = byte_level(split_bytes(LLAMA3), special=("<|begin_of_text|>", "<|eot_id|>", "<|im_end|>"), ignore_merges=True)
    data = json.loads(llama3.to_str())
    data["model"]["vocab"]["ĠUnmergeable"] = 420  # only ignore_merges finds these
    llama3 = Tokenizer.from_str(json.dumps(data))
    llama3.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)])])
    yield "llama3", llama3
    yield "smollm2", byte_level(pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), byte(add_prefix_space=False, use_regex=True)]))
    yield "qwen2", byte_level(split_bytes(QWEN2), normalizers.NFC())
    yield "gpt4o", byte_level(split_bytes(GPT4O))
    yield "cl100k", byte_level(split_bytes(CL100K))
    yield "intersection", byte_level(split_bytes(KIMI))
    yield "words", byte_level(split_bytes(r"\b\w+\b|\W+|\h{2,}"), normalizers.NFKC())
    yield "posix", byte_level(split_bytes(r"[[:alpha:]]+|[^\S\n]+|[\d_]+|\p{Cyrillic}+|\p{^L}|\x{e9}|\u4eba"))
    yield "anchors", byte_level(split_bytes(r"^\s*\w+|[.!?]+$|a{2,3}+|b{,2}c|(?m:\n.)"))
    yield "spm_legacy", sentence_piece(True)
    yield "spm_first", sentence_piece(False)
    yield "spm_always_split", sentence_piece(False, fallback=False, scheme="always", split=True)
    yield "spm_never", sentence_piece(False, scheme="never")
    added = byte_level(byte(add_prefix_space=False), normalizers.Lowercase(), special=("<s>", "</s>"))
    added.add_tokens(ADDED)
    yield "added", added
    added = sentence_piece(True)
    added.add_tokens(ADDED)
    yield "added_spm", added
    strip = byte_level(byte(add_prefix_space=True), normalizers.Sequence([
        normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip(),
        normalizers.Replace(Regex(r"\s{2,}|\d+"), " # ")]))
    yield "normalizers", strip
    yield "normalizers_nfkd", byte_level(byte(add_prefix_space=False), normalizers.Sequence(
        [normalizers.NFKD(), normalizers.Strip(left=True, right=False), normalizers.Prepend(">")]))
    yield "clip", characters(
        pre_tokenizers.Split(Regex(CLIP), behavior="removed", invert=True),
        normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]),
        end_of_word_suffix="</w>")
    clip = characters(pre_tokenizers.WhitespaceSplit(), end_of_word_suffix="</w>", fuse_unk=True)
    clip.decoder = decoders.BPEDecoder(suffix="</w>")
    yield "suffix", clip
    prefixed = characters(pre_tokenizers.Whitespace(), continuing_subword_prefix="##")
    prefixed.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    prefixed.post_processor = processors.BertProcessing(("<|endoftext|>", 1), ("<unk>", 0))
    yield "word_prefix", prefixed
    yield "bert_uncased", word_piece(True)
    yield "bert_cased", word_piece(False)
    metaspace = pre_tokenizers.Metaspace
    yield "unigram", unigram(metaspace(prepend_scheme="always"))
    yield "unigram_first", unigram(metaspace(prepend_scheme="first", split=False))
    yield "unigram_bytes", unigram(metaspace(prepend_scheme="never"), fallback=True)
    yield "unigram_charsmap", unigram(pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace()]),
                                      normalizers.Precompiled(charsmap()))
    for behavior in ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]:
        yield f"split_{behavior}", characters(pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(r"[aeiou]+|\s"), behavior=behavior),
            pre_tokenizers.Split(".", behavior=behavior, invert=behavior == "isolated"),
            pre_tokenizers.Punctuation(behavior=behavior), pre_tokenizers.Digits(individual_digits=False)]))


def expected(tokenizer, data):
    vocabulary = tokenizer.get_vocab_size()
    ids, plain, decoded = [], [], []
    for text in data:
        text = text.decode("utf-8", "replace")
        plain.append(tokenizer.encode(text, add_special_tokens=False).ids)
        with_special = tokenizer.encode(text).ids
        ids.append(None if with_special == plain[-1] else with_special)
        back = tokenizer.decode(plain[-1])
        decoded.append(None if back == text else back)
    rng = random.Random(2)
    known = [token for token in range(vocabulary + 2) if tokenizer.id_to_token(token) is not None]
    pairs = []
    while len(pairs) < 20:
        chosen = [rng.choice(known) for _ in range(rng.randrange(1, 12))]
        back = tokenizer.decode(chosen, skip_special_tokens=False)
        if "\ufffd" not in back:
            pairs.append([chosen, back])
    return {"ids": ids, "plain": plain, "decoded": decoded, "random": pairs}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    data = texts()
    (OUT / "texts.json").write_text(json.dumps([text.hex() for text in data], separators=(",", ":")) + "\n")
    for name, tokenizer in tokenizers():
        compact = {"ensure_ascii": False, "separators": (",", ":")}
        (OUT / f"{name}.json").write_text(json.dumps(json.loads(tokenizer.to_str()), **compact) + "\n")
        (OUT / f"{name}.expected.json").write_text(json.dumps(expected(tokenizer, data), **compact) + "\n")


if __name__ == "__main__":
    main()
