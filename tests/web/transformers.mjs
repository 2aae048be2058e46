// node transformers.mjs TRANSFORMERS TASK FOLDER < texts.json: token ids and answers of transformers.js, and what it fetched.
import { readFileSync } from "node:fs";

const [library, task, folder] = process.argv.slice(2);
const fetched = [];
globalThis.fetch = (address) => {
  fetched.push(String(address));
  return Promise.reject(new Error("no network here"));
};
const { pipeline } = await import(library);
const texts = JSON.parse(readFileSync(0, "utf-8"));
const model = await pipeline(task, folder);
const ids = texts.map((text) => [...model.tokenizer(text, { truncation: true }).input_ids.data].map(Number));
const options = task === "text-classification" ? { top_k: 100 } : { ignore_labels: [] };
const answers = [];
for (const text of texts) answers.push(await model(text, options));
console.log(JSON.stringify({ ids, answers, fetched, longest: model.tokenizer.model_max_length }));
