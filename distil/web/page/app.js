// The page: loads what settings.json names, and shows each model's answer.

import * as ort from "./runtime/ort.js";
import { Tokenizer } from "./runtime/tokenizers.js";
import { guessLanguage } from "./language.js";
import { Fault, Student } from "./student.js";

const GUESS = "";
const at = (id) => document.getElementById(id);
const names = new Intl.DisplayNames(["en"], { type: "language" });
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** An element with classes, text or children. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** The bytes of a file beside the page; a Fault if it is missing or not whole. */
async function read(path, size) {
  let found;
  try {
    found = await fetch(path);
  } catch {
    throw new Fault(`${path}: could not be loaded; see to the network and load the page again.`);
  }
  if (!found.ok) throw new Fault(`${path}: not there (status ${found.status}); copy the demo's folder again.`);
  const bytes = new Uint8Array(await found.arrayBuffer());
  if (size !== undefined && bytes.length !== size) {
    throw new Fault(`${path}: ${bytes.length} bytes, expected ${size}; copy the demo's folder again.`);
  }
  return bytes;
}

async function readJson(path, size) {
  const bytes = await read(path, size);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new Fault(`${path}: damaged; copy the demo's folder again.`);
  }
}

/** The files of a model. */
function fetchModel({ path, files }) {
  return Promise.all([
    read(`${path}/model.onnx`, files["model.onnx"]),
    readJson(`${path}/tokenizer.json`, files["tokenizer.json"]),
  ]);
}

async function open(about, [model, spec]) {
  let session;
  try {
    session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  } catch (error) {
    throw new Fault(`${about.path}/model.onnx: not read by ONNX Runtime (${error.message}); copy the demo's folder again.`);
  }
  const student = new Student(about, session, spec, { ort, Tokenizer });
  await student.answer("a"); // the first answer takes longer than all others, and shows whether the head is the right one
  return student;
}

/** The tag and probability of each entity, marked in the text. */
function showEntities({ tokens, entities }) {
  const text = element("p", { className: "marked" });
  const starts = new Map(entities.map((entity) => [entity.first, entity]));
  for (let word = 0; word < tokens.length; word++) {
    const entity = starts.get(word);
    if (word) text.append(" ");
    if (entity) {
      text.append(element("mark", {}, entity.text, element("small", {}, ` ${entity.type}`)));
      word = entity.last;
    } else text.append(tokens[word]);
  }
  if (!entities.length) return [text, element("p", { textContent: "No entity found." })];
  const rows = entities.map(({ text: words, type, score }) => [words, `${type}, ${percent(score)}`, score]);
  return [text, table("Entities, and the probability of the least sure word", rows)];
}

function showLabel({ label, scores }) {
  const rows = Object.entries(scores).sort((one, other) => other[1] - one[1]);
  return [
    element("p", { className: "label" }, element("strong", { textContent: label }), `, ${percent(scores[label])}`),
    table("Probability of each label", rows.map(([name, score]) => [name, percent(score), score])),
  ];
}

function table(caption, rows) {
  const body = rows.map(([name, said, share]) => {
    const bar = element("progress", { max: 1, value: share });
    bar.setAttribute("aria-hidden", "true");
    const head = element("th", { scope: "row", textContent: name });
    return element("tr", {}, head, element("td", {}, bar), element("td", { textContent: said }));
  });
  return element("table", {}, element("caption", { textContent: caption }), element("tbody", {}, ...body));
}

/** One model's answer, or in its place the sentence why there is none; a guessed language only warns. */
async function show(student, text, language, guessed) {
  const { about } = student;
  const card = element("section", {}, element("h2", { textContent: about.name }));
  const sentence = (words) => card.append(element("p", { className: "fault", textContent: words }));
  try {
    if (language && about.languages.length && !about.languages.includes(language)) {
      const made = `this model is for ${about.languages.map((code) => names.of(code)).join(", ")}`;
      if (!guessed) throw new Fault(`No answer in ${names.of(language)}: ${made}; choose another model.`);
      sentence(`The text looks like ${names.of(language)}, and ${made}: the answer may be wrong.`);
    }
    const start = performance.now();
    const answer = await student.answer(text);
    const taken = performance.now() - start;
    card.append(...(about.kind === "text_classification" ? showLabel(answer) : showEntities(answer)));
    card.append(element("p", { className: "cost", textContent: `${taken.toFixed(1)} ms, ${answer.count} tokens` }));
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    sentence(error.message);
  }
  const size = `${megabytes(about.files["model.onnx"])} model, ${megabytes(about.files["tokenizer.json"])} tokenizer`;
  card.append(element("p", { className: "cost", textContent: size }));
  if (about.companion) {
    card.append(element("p", { className: "cost", textContent: "Without the linear companion that distil predict adds." }));
  }
  return card;
}

async function answer(students, tables) {
  const text = at("text").value;
  const guessed = at("language").value === GUESS;
  const language = guessed ? guessLanguage(text, tables) : at("language").value;
  const cards = [];
  for (const student of students) cards.push(await show(student, text, language, guessed));
  at("answers").replaceChildren(...cards);
  const doubt = Object.keys(tables).length > 1 ? "Language: not sure." : "";
  at("status").textContent = language ? `Language: ${names.of(language)}${guessed ? " (guessed)" : ""}.` : doubt;
}

/** After a first visit a service worker answers every request from its store. */
function workOffline() {
  if (!("serviceWorker" in navigator)) {
    at("offline").textContent = "Works without a network only from https or localhost.";
    return;
  }
  const known = navigator.serviceWorker.controller;
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (known) at("offline").textContent = "A newer version is there: load the page again.";
  });
  navigator.serviceWorker
    .register("service-worker.js")
    .then(() => navigator.serviceWorker.ready)
    .then(() => (at("offline").textContent = "Works without a network from now on."))
    .catch((error) => (at("offline").textContent = `Does not work without a network here (${error.message}).`));
}

async function start() {
  const settings = await readJson("settings.json");
  const total = settings.models.reduce((sum, { files }) => sum + files["model.onnx"] + files["tokenizer.json"], 0);
  at("status").textContent = `Loading ${megabytes(total)} of models and ${megabytes(settings.runtime)} of runtime.`;
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1;
  const [runtime, ...files] = await Promise.all([read("runtime/ort.wasm"), ...settings.models.map(fetchModel)]);
  ort.env.wasm.wasmBinary = runtime;
  const students = [];
  for (const [number, about] of settings.models.entries()) students.push(await open(about, files[number]));
  const tables = settings.trigrams;
  const codes = new Set([...settings.models.flatMap(({ languages }) => languages), ...Object.keys(tables)]);
  const first = Object.keys(tables).length > 1 ? "Guess" : "Not given";
  at("language").append(new Option(first, GUESS), ...[...codes].map((code) => new Option(names.of(code), code)));
  at("form").addEventListener("submit", (event) => {
    event.preventDefault();
    answer(students, tables);
  });
  at("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
  });
  at("answer").disabled = false;
  at("status").textContent = "Ready.";
  workOffline();
}

start().catch((error) => {
  at("status").className = "fault";
  at("status").textContent = error instanceof Fault ? error.message : `The page failed: ${error.message}`;
});
