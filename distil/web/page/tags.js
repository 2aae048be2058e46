// From scores to valid tags and entities: distil/tasks/tag_decoding.py. W words, C labels.

const OUTSIDE = "O";
const FLOOR = -30; // as in Python: log-probability of a tag that no valid sequence has

/** (C + 1, C): whether a label (second index) may follow another; the last row is the start of a sentence. */
function allowedTransitions(labels) {
  const starts = (label) => !label.startsWith("I-") || !labels.includes(`B-${label.slice(2)}`);
  return [...labels, OUTSIDE].map((before) =>
    labels.map((label) => starts(label) || before === `B-${label.slice(2)}` || before === label),
  );
}

/** (C + 1, C) scores of a label (second index) after another: `transitions`, and -Infinity for what is not valid. */
function validMoves(labels, transitions) {
  return allowedTransitions(labels).map((row, before) =>
    row.map((good, label) => (good ? (transitions?.[before][label] ?? 0) : -Infinity)),
  );
}

/** log of the sum of exp. */
function logSum(values) {
  const top = Math.max(...values);
  return top === -Infinity ? top : top + Math.log(values.reduce((sum, value) => sum + Math.exp(value - top), 0));
}

/** Log-probabilities from one word's logits. */
function logProbabilities(logits) {
  const total = logSum(logits);
  return logits.map((logit) => logit - total);
}

/** Log-probabilities of each word's labels; a word that no model read is outside. */
function wordScores(logits, labels) {
  const outside = Math.max(labels.indexOf(OUTSIDE), 0);
  const certain = labels.map((_, label) => (label === outside ? 0 : -Infinity));
  return logits.map((word) => (word ? logProbabilities([...word]) : certain));
}

/**
 * Probabilities of each word's labels over all valid sequences (forward-backward); arguments as of `decodeTags`.
 * @returns {number[][]} (W, C)
 */
export function tagMarginals(logits, labels, transitions) {
  const scores = wordScores(logits, labels).map((word) => word.map((score) => Math.max(score, FLOOR)));
  const moves = validMoves(labels, transitions);
  const forward = [];
  for (const [place, word] of scores.entries()) {
    const ways = (label) => labels.map((_, before) => forward[place - 1][before] + moves[before][label]);
    forward.push(word.map((score, label) => score + (place ? logSum(ways(label)) : moves.at(-1)[label])));
  }
  let backward = labels.map(() => 0);
  return scores
    .map((_, place) => place)
    .reverse()
    .map((place) => {
      const total = logProbabilities(forward[place].map((score, label) => score + backward[label]));
      const after = scores[place].map((score, label) => score + backward[label]);
      backward = labels.map((_, before) => logSum(after.map((score, label) => score + moves[before][label])));
      return total.map((score) => Math.exp(Math.max(score, FLOOR)));
    })
    .reverse();
}

/**
 * The most probable valid sequence of labels (Viterbi 1967); of equal ones the first in order.
 * @param {(number[]|null)[]} logits of each word; null for a word that no model read
 * @param {string[]} labels
 * @param {number[][]|null} transitions (C + 1, C) of the model, null where it has none
 * @returns {number[]} numbers of labels
 */
export function decodeTags(logits, labels, transitions) {
  if (!logits.length) return [];
  const scores = wordScores(logits, labels);
  const moves = validMoves(labels, transitions);
  let total = scores[0].map((score, label) => score + moves.at(-1)[label]);
  const back = [];
  for (const word of scores.slice(1)) {
    const best = labels.map((_, label) =>
      total.reduce((top, sum, before) => {
        const way = sum + moves[before][label];
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
