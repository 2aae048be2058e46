// From scores to valid tags and entities: distil/tasks/tag_decoding.py. W words, C labels.

const OUTSIDE = "O";

/** (C + 1, C): whether a label (second index) may follow another; the last row is the start of a sentence. */
function allowedTransitions(labels) {
  const starts = (label) => !label.startsWith("I-") || !labels.includes(`B-${label.slice(2)}`);
  return [...labels, OUTSIDE].map((before) =>
    labels.map((label) => starts(label) || before === `B-${label.slice(2)}` || before === label),
  );
}

/** Log-probabilities of one word's logits. */
function logProbabilities(logits) {
  const top = Math.max(...logits);
  const total = top + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0));
  return logits.map((logit) => logit - total);
}

/**
 * The most probable valid sequence of labels (Viterbi 1967); of equal ones the first in order.
 * @param {(number[]|null)[]} logits of each word; null for a word that no model read
 * @param {string[]} labels
 * @returns {number[]} numbers of labels
 */
export function decodeTags(logits, labels) {
  if (!logits.length) return [];
  const outside = Math.max(labels.indexOf(OUTSIDE), 0);
  const certain = labels.map((_, label) => (label === outside ? 0 : -Infinity));
  const scores = logits.map((word) => (word ? logProbabilities([...word]) : certain));
  const allowed = allowedTransitions(labels);
  let total = scores[0].map((score, label) => score + (allowed.at(-1)[label] ? 0 : -Infinity));
  const back = [];
  for (const word of scores.slice(1)) {
    const best = labels.map((_, label) =>
      total.reduce((top, sum, before) => {
        const way = sum + (allowed[before][label] ? 0 : -Infinity);
        return way > top.way ? { way, before } : top;
      }, { way: -Infinity, before: 0 }),
    );
    back.push(best.map(({ before }) => before));
    total = best.map(({ way }, label) => way + word[label]);
  }
  const found = [total.indexOf(Math.max(...total))];
  for (const before of back.reverse()) found.unshift(before[found[0]]);
  return found;
}

/**
 * Neighbouring words of one entity: `B-X` begins one, `I-X` continues it.
 * @returns {{type: string, first: number, last: number}[]} numbers of words, `last` among them
 */
export function groupEntities(tags) {
  const entities = [];
  let open = null;
  tags.forEach((tag, word) => {
    const type = tag.slice(2);
    if (tag.startsWith("I-") && open?.type === type) open.last = word;
    else if (/^[BI]-/.test(tag)) entities.push((open = { type, first: word, last: word }));
    else open = null;
  });
  return entities;
}
