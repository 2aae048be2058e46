// The language of a text by its character trigrams, naive Bayes; the tables are made by distil/web/trigrams.py.

const SURE = 0.9;

/** The trigrams of a text in lower case, a space before and behind each word. */
export function trigrams(text) {
  const words = text.toLowerCase().normalize("NFC").match(/[\p{L}\p{M}]+/gu) ?? [];
  return words.flatMap((word) => {
    const letters = [" ", ...word, " "];
    return letters.slice(2).map((_, start) => letters.slice(start, start + 3).join(""));
  });
}

/**
 * @param {string} text
 * @param {Object<string, {rest: number, trigrams: Object<string, number>}>} tables log-probabilities of each language
 * @returns {string|null} its code, null where none is surer than SURE
 */
export function guessLanguage(text, tables) {
  const found = trigrams(text);
  const codes = Object.keys(tables);
  if (!found.length || codes.length < 2) return null;
  const sums = codes.map((code) => {
    const { rest, trigrams: known } = tables[code];
    return found.reduce((sum, trigram) => sum + (known[trigram] ?? rest), 0);
  });
  const top = Math.max(...sums);
  const share = 1 / sums.reduce((total, sum) => total + Math.exp(sum - top), 0);
  return share >= SURE ? codes[sums.indexOf(top)] : null;
}
