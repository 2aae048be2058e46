// What Python does to a text before the tokenizer: distil/text/cleaning.py and distil/text/normalisation.py, line by line.

const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"; // of str.split()
const SPACES = new RegExp(`[${SPACE}]+`, "u");
const INVISIBLE =
  /[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;
const IDLE_JOINER =
  /[\u200c\u200d]+(?=[\x00-\u036f\u1e00-\u1eff]|$)|(?<![^\x00-\u036f\u1e00-\u1eff])[\u200c\u200d]+/gu;
const WORD = "\\p{L}\\p{N}_"; // \w of Python
const LINK = new RegExp(`(?:[hH][tT][tT][pP][sSſ]?://|www\\.)[^${SPACE}]+`, "gu");
const ACCOUNT = new RegExp(`(?:(?<![${WORD}])[rR][tT][${SPACE}]+)?@[${WORD}]+`, "gu");
const HASHTAG = new RegExp(`#(?:[${WORD}]|(?![\\u{1f000}-\\u{10ffff}])\\p{M})+`, "gu");
const NO_LETTER = /[^\p{L}\p{Mn}\p{Mc} ]|[\ufe00-\ufe0f\u{e0100}-\u{e01ef}]/gu;

const collapsed = (text) => text.split(SPACES).filter(Boolean).join(" ");

/** One line of Unicode NFC without control and zero-width characters, white space collapsed. */
export function cleanLine(text) {
  return collapsed(collapsed(text).replace(INVISIBLE, "").replace(IDLE_JOINER, "")).normalize("NFC");
}

/** Lower case; links, accounts and hashtags out; then only letters and their marks. */
export function normalise(line) {
  const rest = line.replace(LINK, " ").replace(ACCOUNT, " ").replace(HASHTAG, " ");
  return collapsed(rest.toLowerCase().replace(NO_LETTER, "")).normalize("NFC");
}
