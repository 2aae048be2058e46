"""Practice data for the tutorials: Swahili text, tweets with labels and headlines with topics, all made up.

    python docs/examples/practice_data.py practice      # writes practice/{text,labels,topics,headlines}

Text and tweets are the sample's (distil/lexicons/swa.yaml); headlines join words of lists. The same call gives the
same bytes. Scores on them say nothing about Swahili.
"""

import gzip
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from distil.sources.synthetic import corpus_sentences, labelled_rows, read_lexicon  # noqa: E402

TOPICS = {
    "sport": "Timu mchezaji kocha uwanja ligi bao mchezo kombe mashabiki ushindi",
    "health": "Daktari hospitali chanjo mgonjwa dawa muuguzi malaria kliniki wauguzi afya",
    "politics": "Bunge waziri uchaguzi rais mbunge kura sheria serikali chama wagombea",
    "business": "Soko benki bei mkopo biashara kampuni kodi wafanyabiashara faida uchumi",
}
FRAMES = ("{} na {} leo", "{} bila {} jana", "{} mpya, {} mpya", "{} kubwa ya {}", "Habari za {} na {}", "{}: {} tena")
ROWS = {"train": 80, "dev": 40, "test": 120}


def headlines(count: int, rng: random.Random, seen: set[str]) -> list[dict[str, str]]:
    """Distinct headlines, topics in turn."""
    rows: list[dict[str, str]] = []
    while len(rows) < count:
        topic = list(TOPICS)[len(rows) % len(TOPICS)]
        text = rng.choice(FRAMES).format(*rng.sample(TOPICS[topic].lower().split(), 2))
        if text not in seen:
            seen.add(text)
            rows.append({"headline": text, "category": topic})
    return rows


def main(folder: Path) -> None:
    """Write the four folders."""
    lexicon = read_lexicon(Path(__file__).parents[2] / "distil/lexicons", "swa")
    for name in ("text", "labels", "topics"):
        (folder / name / "swa").mkdir(parents=True, exist_ok=True)
    sentences = corpus_sentences(lexicon)
    half = len(sentences) // 2
    (folder / "text/swa/news.txt").write_text("".join(f"{text}\n" for text in sentences[:half]), encoding="utf-8")
    lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in sentences[half:])
    (folder / "text/swa/posts.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    for split, rows in labelled_rows(lexicon).items():
        table = "tweet\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows)
        (folder / f"labels/swa/{split}.tsv").write_text(table, encoding="utf-8")
    rng, seen = random.Random(1), set[str]()
    for split, count in ROWS.items():
        rows = "".join(json.dumps(row) + "\n" for row in headlines(count, rng, seen))
        (folder / f"topics/swa/{split}.jsonl").write_text(rows, encoding="utf-8")
    (folder / "headlines").mkdir(exist_ok=True)
    text = "".join(f"{row['headline']}\n" for row in headlines(200, rng, seen))
    (folder / "headlines/swa.txt").write_text(text, encoding="utf-8")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        print(f"{path}  {path.stat().st_size:,} bytes")  # noqa: T201 - what it wrote


if __name__ == "__main__":
    main(Path(sys.argv[1]))
