"""Texts in five languages and helpers for the tests of vocabulary and tokenizer files."""

import json

from distil.tokenization.vocabulary import (
    VocabularyConfig,
)

WORDS = {
    "kin": "umuntu abantu igihugu amazi inzira umwana abana ishuri umunsi mwiza cyane nyuma ubwo akazi inka ijwi",
    "swa": "mtu watu nchi maji njia mtoto watoto shule siku nzuri sana baada wakati kazi ng'ombe sauti kitabu habari",
    "hau": "mutum mutane ƙasa ruwa hanya yaro yara makaranta rana kyau sosai bayan lokaci aiki ɗaki ƴanci ɓera Ƙofa",
    "ibo": "mmadụ ndị ala mmiri ụzọ nwa ụmụ akwụkwọ ụbọchị ọma nke ọrụ ehi olu ụlọ ṅụọ ihe ọha nnọọ mgbe",
    "yor": "ènìyàn àwọn ilẹ̀ omi ọ̀nà ọmọ ilé ìwé ọjọ́ dára gan-an lẹ́yìn ìgbà iṣẹ́ màlúù ohùn ṣùgbọ́n Ọlọ́run ẹ̀kọ́ kí",
}
LINES = {"kin": 12, "swa": 250, "hau": 200, "ibo": 200, "yor": 200}  # kin is the smallest by far
HELDOUT = [
    "Umuntu yagiye mu ishuri, 2024!",
    "Ƙasa ɗaya ce; ina ƴanci?",
    "Ụmụ akwụkwọ nọ n'ụlọ (3).",
    "Ẹ̀kọ́ dára – ṣé ọmọ ni?",
]


def vocabulary_config(keep, coverage=1.0, size=300, floor=0):
    return VocabularyConfig(keep=keep, coverage=coverage, size=size, floor=floor)


def lines_of(path):
    return path.read_text(encoding="utf-8").splitlines()


def all_lines(texts):
    return [line for path in texts.values() for line in lines_of(path)]


def ids_of(tokenizer, line):
    return tokenizer.encode(line, add_special_tokens=False).ids


def edit(path, change):
    spec = json.loads(path.read_text(encoding="utf-8"))
    change(spec)
    path.write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")


# What is kept.
