// node page.mjs DEMO TOKENIZER_JSON < texts.json: what the page's own modules make of texts, without a page.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [demo, tokenizer] = process.argv.slice(2);
const load = (name) => import(join(demo, name));
const [{ cleanLine, normalise }, { Encoder }, { trigrams, guessLanguage }, { decodeTags, groupEntities, tagMarginals }, { Tokenizer }] =
  await Promise.all(["text.js", "tokens.js", "language.js", "tags.js", "runtime/tokenizers.js"].map(load));
const { texts, tagged, longest } = JSON.parse(readFileSync(0, "utf-8"));
const encoder = new Encoder(JSON.parse(readFileSync(tokenizer, "utf-8")), Tokenizer, longest);
const { trigrams: tables } = JSON.parse(readFileSync(join(demo, "settings.json"), "utf-8"));
const lines = texts.map(cleanLine);
console.log(
  JSON.stringify({
    lines,
    normalised: lines.map(normalise),
    ids: lines.map((line) => encoder.encode(line)),
    words: lines.map((line) => encoder.encodeWords(line.split(" "))),
    trigrams: lines.map(trigrams),
    languages: lines.map((line) => guessLanguage(line, tables)),
    tags: tagged.map(({ logits, labels, transitions }) => decodeTags(logits, labels, transitions)),
    marginals: tagged.map(({ logits, labels, transitions }) => tagMarginals(logits, labels, transitions)),
    entities: tagged.map(({ logits, labels, transitions }) =>
      groupEntities(decodeTags(logits, labels, transitions).map((label) => labels[label])),
    ),
    size: encoder.size,
  }),
);
