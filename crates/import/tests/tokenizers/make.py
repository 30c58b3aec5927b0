"""Writes roberta.json, xlm_roberta.json and albert.json: tokenizer files of the shape that these families have, trained on the
paragraphs below, and what the packages `tokenizers` and `sentencepiece` make of texts.

A case has the texts (one or a pair), the words' numbers and their kinds; `cut` is the same where at most LENGTH words are taken,
for texts that have more.

    pip install tokenizers==0.23.1 sentencepiece==0.2.3 protobuf
    python make.py
"""

import base64
import io
import json
import pathlib
import tempfile
import unicodedata

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
LENGTH = 24

PARAGRAPHS = """
The client never shows its text, and the server never shows its weights. Both hold shares of everything.
A quiet model reads what it must not know: words, numbers such as 1024 or 3.14, and names such as Zoë or Müller.
What does it cost? Eight megabytes and a twentieth of a second, if the network is fast; it isn't always.
Le café de la gare est fermé, où sont les élèves? Ils étaient déjà partis à Noël.
Die Straße ist länger als früher; übermorgen öffnen wir die Tür für größere Gäste.
El niño comió una manzana más. ¿Cuánto cuesta? Mañana será otro día.
Привет, мир: сервер не видит текста, клиент не видит весов.
東京の天気は晴れです。今日は良い日です。
मौसम अच्छा है। आज का दिन अच्छा है।
The result is the same as in the clear, to the last bit, or it is refused; nothing is guessed.
Never pad where the length may be public. Never open a value twice under one mask.
""".strip().splitlines()

TEXTS = [
    ["The client never shows its text."],
    ["what does IT cost? Eight megabytes, 1024 words & 3.14 names!"],
    ["Le café était fermé; où sont les élèves? Straße, Zoë, Łódź."],
    ["Cafe\u0301 e\u0301le\u0300ve\u0308 with marks of their own"],
    ["emoji \U0001f44d\U0001f3fd and \U0001f469\u200d\U0001f469\u200d\U0001f467, \U0001f389\U0001f389!"],
    ["Привет, мир! 東京の天気は? मौसम अच्छा है। مرحبا"],
    ["  two  spaces,\ta tab,\na line\u00a0and a hard space  "],
    ["\uff21\uff22\uff43 \ufb01ne \u2460 half\u200bwidth \u00bd \u2026 \u212b"],
    ["``quoted'' and 'single' \u201ccurly\u201d"],
    ["a <mask> b [MASK] c <s> d </s> [CLS] e [SEP] <pad> <unk>"],
    [" <mask>, then[MASK]tight"],
    ["isn't it's we'll I'd they've"],
    ["x" * 40],
    ["\u0001control\u0007 \ufeffmark \ufffd"],
    [""],
    [" "],
    ["What does it cost?", "Eight megabytes and a twentieth of a second."],
    ["", "the second alone"],
    ["the first alone", ""],
    ["Never pad where the length may be public. " * 4],
    ["The result is the same as in the clear. " * 3, "a short one"],
]


def numbered(tokenizer, texts):
    encoding = tokenizer.encode(*texts)
    return encoding.ids, encoding.type_ids


def save(name, tokenizer):
    cases = []
    for texts in TEXTS:
        tokenizer.no_truncation()
        words, kinds = numbered(tokenizer, texts)
        case = {"texts": texts, "words": words, "kinds": kinds}
        if len(words) > LENGTH:
            tokenizer.enable_truncation(LENGTH, strategy="longest_first")
            cut, cut_kinds = numbered(tokenizer, texts)
            case |= {"cut": cut, "cut_kinds": cut_kinds}
        cases.append(case)
    tokenizer.no_truncation()
    file = {"length": LENGTH, "tokenizer": json.loads(tokenizer.to_str()), "cases": cases}
    text = json.dumps(file, ensure_ascii=True, separators=(",", ":"))
    # A case, or a word of a list with scores, on a line of its own.
    for before in ('{"texts"', '"added_tokens"', '"normalizer"', '"pre_tokenizer"', '"post_processor"', '"model"', '"cases"'):
        text = text.replace(before, "\n" + before)
    (HERE / f"{name}.json").write_text(text + "\n")


def special(content, lstrip=False):
    return AddedToken(content, lstrip=lstrip, normalized=False, special=True)


def roberta():
    tokenizer = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="", fuse_unk=False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    start = [special(word) for word in ("<s>", "<pad>", "</s>", "<unk>")]
    trainer = trainers.BpeTrainer(
        vocab_size=460, special_tokens=start, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(PARAGRAPHS, trainer)
    tokenizer.add_special_tokens([special("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    save("roberta", tokenizer)


# A few of the rules of SentencePiece's nmt_nfkc, whose table has 0.3 MB: characters of other widths, ligatures, spaces, and
# what is left out.
RULES = {
    **{chr(0xFF01 + i): chr(0x21 + i) for i in range(94)},
    "\u00a0": " ", "\u3000": " ", "\t": " ", "\n": " ", "\ufeff": "", "\u200b": " ", "\u0001": "", "\u0007": "",
    "\ufb01": "fi", "\ufb02": "fl", "\u2460": "1", "\u00bd": "1\u20442", "\u2026": "...", "\u212b": "\u00c5",
    "e\u0301": "\u00e9", "e\u0300": "\u00e8", "e\u0308": "\u00eb", "\ufffd": " ",
}


def pieces(before, vocabulary):
    """A SentencePiece model of the paragraphs as `before` leaves them: its pieces, its table, and the model itself."""
    points = lambda text: " ".join(f"{ord(c):X}" for c in text)
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write("".join(f"{points(a)}\t{points(b)}\n" for a, b in sorted(RULES.items())))
        rules.flush()
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([before(text) for text in PARAGRAPHS]), model_writer=model, vocab_size=vocabulary,
            model_type="unigram", normalization_rule_tsv=rules.name, character_coverage=1.0, hard_vocab_limit=False,
            minloglevel=2, num_threads=1,
        )
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    table = base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()
    return [(p.piece, p.score) for p in proto.pieces][3:], table, sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def unigram(words, unknown, added, normalizer, template, pair):
    """A tokenizer as transformers converts it from SentencePiece's."""
    tokenizer = Tokenizer(models.Unigram(words, unknown, False))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="always")
    tokenizer.add_special_tokens(added)
    around = sorted({word.split(":")[0] for word in pair.split() if word[0] != "$"})
    numbers = [(word, tokenizer.token_to_id(word)) for word in around]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, pair=pair, special_tokens=numbers)
    return tokenizer


def check(tokenizer, model, before):
    """Where nothing is about special words, SentencePiece itself cuts a text in the same way."""
    for (text,) in TEXTS[:4]:
        assert tokenizer.encode(text, add_special_tokens=False).tokens == model.encode(before(text), out_type=str), text


def xlm_roberta():
    found, table, model = pieces(lambda text: text, 340)
    start = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    words = start + found + [("<mask>", 0.0)]
    added = [special(word) for word, _ in start] + [special("<mask>", lstrip=True)]
    normalizer = normalizers.Sequence(
        [normalizers.Precompiled(base64.b64decode(table)), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer = unigram(words, 3, added, normalizer, "<s> $A </s>", "<s> $A </s> </s> $B </s>")
    check(tokenizer, model, lambda text: text)
    save("xlm_roberta", tokenizer)


def albert():
    def lower(text):
        text = unicodedata.normalize("NFKD", text.replace("``", '"').replace("''", '"'))
        return "".join(c for c in text if not unicodedata.category(c).startswith("M")).lower()

    found, table, model = pieces(lower, 300)
    start = [("<pad>", 0.0), ("<unk>", 0.0), ("[CLS]", 0.0), ("[SEP]", 0.0), ("[MASK]", 0.0)]
    normalizer = normalizers.Sequence(
        [
            normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(),
            normalizers.Lowercase(), normalizers.Precompiled(base64.b64decode(table)), normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    added = [special(word) for word, _ in start[:4]] + [special("[MASK]", lstrip=True)]
    template, pair = "[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"
    tokenizer = unigram(start + found, 1, added, normalizer, template, pair)
    check(tokenizer, model, lower)
    save("albert", tokenizer)


roberta()
xlm_roberta()
albert()
