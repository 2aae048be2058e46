"""Practice data for the tutorials: made-up Swahili text and tweets, those of the sample (distil/lexicons/swa.yaml).

    python docs/examples/practice_data.py practice      # writes practice/{text,labels,reviews,tweets}

Scores on them say nothing about Swahili.
"""

import gzip
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from distil.sources.synthetic import corpus_sentences, labelled_rows, read_lexicon, unlabelled_texts  # noqa: E402

MOODS = {"positive": "happy", "neutral": "plain", "negative": "angry"}


def json_line(row: dict[str, str]) -> str:
    """One line of a .jsonl file."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def main(folder: Path) -> None:
    """Write the four folders."""
    lexicon = read_lexicon(Path(__file__).parents[2] / "distil/lexicons", "swa")
    sentences = corpus_sentences(lexicon)
    half = len(sentences) // 2
    posts = "".join(json_line({"text": text}) for text in sentences[half:])
    files = {
        "text/swa/news.txt": "".join(f"{text}\n" for text in sentences[:half]).encode(),
        "text/swa/posts.jsonl.gz": gzip.compress(posts.encode(), mtime=0),
        "tweets/swa.txt": "".join(f"{text}\n" for text in unlabelled_texts(lexicon)).encode(),
    }
    for split, rows in labelled_rows(lexicon).items():
        table = "tweet\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows)
        reviews = "".join(json_line({"review": text, "mood": MOODS[label]}) for text, label in rows)
        files |= {f"labels/swa/{split}.tsv": table.encode(), f"reviews/swa/{split}.jsonl": reviews.encode()}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(f"{path}  {len(content):,} bytes")  # noqa: T201 - what it wrote


if __name__ == "__main__":
    main(Path(sys.argv[1]))
