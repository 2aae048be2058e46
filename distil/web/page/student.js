// A model of `distil demo`, open: text in, the answer of `distil predict` out. No page: Node runs it as a browser does.

import { decodeTags, groupEntities, tagMarginals } from "./tags.js";
import { cleanLine, normalise } from "./text.js";
import { Encoder } from "./tokens.js";

const MAX_BYTES = 65_536; // of one text, as `distil predict`
const KINDS = ["text_classification", "token_classification"];

/** A fault that the reader of the page can do something about: one sentence. */
export class Fault extends Error {}

/** Probabilities from logits. */
export function softmax(logits) {
  const top = Math.max(...logits);
  const shifted = [...logits].map((logit) => Math.exp(logit - top));
  const total = shifted.reduce((sum, value) => sum + value, 0);
  return shifted.map((value) => value / total);
}

export class Student {
  /**
   * @param {object} about an entry of `models` in settings.json
   * @param {object} session of ONNX Runtime
   * @param {object} spec tokenizer.json
   * @param {{ort: object, Tokenizer: Function}} runtime
   */
  constructor(about, session, spec, { ort, Tokenizer }) {
    this.about = about;
    this.session = session;
    this.ort = ort;
    if (!KINDS.includes(about.kind)) {
      throw new Fault(`${about.name}: no task head (${about.kind}); write the demo of a classifier or a tagger.`);
    }
    this.encoder = new Encoder(spec, Tokenizer, about.max_length);
    if (this.encoder.size !== about.pieces) {
      throw new Fault(
        `${about.path}/tokenizer.json: ${this.encoder.size} pieces, expected ${about.pieces}; copy the folder again.`,
      );
    }
  }

  /**
   * @param {string} text as it was written
   * @returns {Promise<object>} a classifier: {label, scores}; a tagger: {tokens, tags, scores, entities}; and `count`,
   *   tokens that the model read
   * @throws {Fault} the text cannot be answered
   */
  async answer(text) {
    const bytes = new TextEncoder().encode(text).length;
    if (bytes > MAX_BYTES) {
      throw new Fault(
        `${bytes.toLocaleString("en")} bytes in one text; expected at most ${MAX_BYTES.toLocaleString("en")}: ` +
          "give a shorter text.",
      );
    }
    if (/\p{Surrogate}/u.test(text)) throw new Fault("Half of a character is in the text; delete it.");
    let line = cleanLine(text);
    if (!line) throw new Fault("The text is empty; write one.");
    if (this.about.normalised) line = normalise(line);
    if (!line) throw new Fault("No letter is left once the text is normalised as in training; write a text with letters.");
    return this.about.kind === "text_classification" ? this.classify(line) : this.tag(line);
  }

  async classify(line) {
    const { labels } = this.about;
    const ids = this.encoder.encode(line);
    const probabilities = softmax(await this.logits(ids, [1, labels.length]));
    const label = labels[probabilities.indexOf(Math.max(...probabilities))];
    const scores = Object.fromEntries(labels.map((name, number) => [name, probabilities[number]]));
    return { label, scores, count: ids.length };
  }

  async tag(line) {
    const { labels, transitions } = this.about;
    const tokens = line.split(" ");
    const { rows, places } = this.encoder.encodeWords(tokens);
    const logits = [];
    for (const row of rows) logits.push(await this.logits(row, [1, row.length, labels.length]));
    const width = labels.length;
    const words = places.map((place) => place && [...logits[place[0]].subarray(place[1] * width, (place[1] + 1) * width)]);
    const found = decodeTags(words, labels, transitions);
    const probabilities = transitions ? tagMarginals(words, labels, transitions) : words.map((word) => word && softmax(word));
    const tags = found.map((label) => labels[label]);
    const scores = words.map((word, number) => (word ? probabilities[number][found[number]] : 1));
    const entities = groupEntities(tags).map((entity) => ({
      ...entity,
      text: tokens.slice(entity.first, entity.last + 1).join(" "),
      score: Math.min(...scores.slice(entity.first, entity.last + 1)),
    }));
    return { tokens, tags, scores, entities, count: rows.reduce((sum, row) => sum + row.length, 0) };
  }

  /** The logits of one row of ids, as they lie in memory. */
  async logits(ids, expected) {
    const tensor = (values) => new this.ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
    const feeds = { input_ids: tensor(ids), attention_mask: tensor(ids.map(() => 1)) };
    const { logits } = await this.session.run(feeds);
    if (logits.dims.join() !== expected.join()) {
      throw new Fault(
        `${this.about.path}/model.onnx: no head for ${this.about.labels.length} labels (its output is ` +
          `${logits.dims.join(" × ")}, expected ${expected.join(" × ")}); copy the demo's folder again.`,
      );
    }
    return logits.data;
  }
}
