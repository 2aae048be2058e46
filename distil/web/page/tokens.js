// From text to token ids as distil/modeling/tokenizer.py and distil/serving/predictor.py do it.

const NAMES = { bos: "<s>", pad: "<pad>", eos: "</s>", unk: "<unk>", mask: "<mask>" };

const escaped = (text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");

export class Encoder {
  /**
   * @param {object} spec tokenizer.json
   * @param {Function} Tokenizer of @huggingface/tokenizers
   * @param {number} maxLength tokens with <s> and </s>; what is behind them is cut off
   */
  constructor(spec, Tokenizer, maxLength) {
    // Without its added tokens: `<s>` and the like in a text are characters as any others.
    this.tokenizer = new Tokenizer({ ...spec, added_tokens: [] }, { eos_token: NAMES.eos });
    this.maxLength = maxLength;
    const added = new Map(spec.added_tokens.map((token) => [token.content, token.id]));
    const id = (piece) => added.get(piece) ?? this.tokenizer.model.tokens_to_ids.get(piece);
    this.bos = id(NAMES.bos);
    this.eos = id(NAMES.eos);
    this.unk = id(NAMES.unk);
    this.size = new Set([...spec.model.vocab.map(([piece]) => piece), ...added.keys()]).size;
    const special = spec.added_tokens.filter((token) => token.special).map((token) => token.content);
    const pieces = [...new Set([...special, ...Object.values(NAMES)])].filter((piece) => [...piece].length > 1);
    const first = pieces.map((piece) => `${escaped(piece[0])}(?=${escaped(piece.slice(1))})`).join("|");
    this.apart = new RegExp(`(?<=${first})`, "u"); // behind the first character of each special piece
  }

  /** The ids of a text, or of a word, without <s> and </s>. */
  pieces(text) {
    const { normalizer, pre_tokenizer, model } = this.tokenizer;
    const normal = normalizer ? normalizer(text) : text;
    const parts = pre_tokenizer ? pre_tokenizer(normal, { section_index: 0 }) : [normal];
    return parts
      .flatMap((part) => part.split(this.apart))
      .flatMap((part) => (part ? model([part]) : []))
      .map((piece) => model_id(this, piece));
  }

  /** The ids of a text with <s> and </s>, cut at maxLength. */
  encode(text) {
    return [this.bos, ...this.pieces(text).slice(0, this.maxLength - 2), this.eos];
  }

  /**
   * A text in words for a tagger: rows of at most maxLength ids, cut between words; a longer word is cut itself.
   * @returns {{rows: number[][], places: (number[]|null)[]}} places: (row, token) of each word's first piece
   */
  encodeWords(words) {
    const room = this.maxLength - 2;
    const rows = [[this.bos]];
    const places = words.map((word) => {
      const ids = this.pieces(word);
      if (rows.at(-1).length > 1 && rows.at(-1).length - 1 + ids.length > room) rows.push([this.bos]);
      const place = ids.length ? [rows.length - 1, rows.at(-1).length] : null;
      rows.at(-1).push(...ids.slice(0, room));
      return place;
    });
    return { rows: rows.map((row) => [...row, this.eos]), places };
  }
}

function model_id(encoder, piece) {
  return encoder.tokenizer.model.tokens_to_ids.get(piece) ?? encoder.unk;
}
