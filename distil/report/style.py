"""The style sheet of report.html: system fonts, two columns at most, light and dark, phone and paper.

--c1 to --c6 are the colours of Okabe and Ito (2008), told apart by people with any colour vision: darkened on a light
page to reach 3:1 against it (WCAG 2.2, 1.4.11), lightened on a dark one.
"""

CSS = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1b1f24; --muted: #59626d; --rule: #e3e6ea; --soft: #f6f7f9;
  --c1: #0067a5; --c2: #c24e00; --c3: #00795a; --c4: #a8477f; --c5: #b07400; --c6: #59626d;
  --warn: #c24e00; --warn-soft: #fdf3ec; --note-soft: #eff5fa; --good-soft: #edf7f3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --ink: #e8eaed; --muted: #a0a9b3; --rule: #2c3238; --soft: #1c2024;
    --c1: #6dbdf0; --c2: #f08a4b; --c3: #3fc79b; --c4: #e39ac6; --c5: #ecb23e; --c6: #a0a9b3;
    --warn: #f08a4b; --warn-soft: #2c211a; --note-soft: #19242d; --good-soft: #18271f;
  }
}
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; scroll-padding-top: 1rem; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
}
.page { max-width: 68rem; margin: 0 auto; padding: 2.5rem clamp(1rem, 4vw, 2.5rem) 4rem; }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 1rem; top: 1rem; padding: .5rem 1rem; background: var(--paper); z-index: 1; }
a { color: var(--c1); text-underline-offset: .15em; }
:focus-visible { outline: 2px solid var(--c1); outline-offset: 2px; }
h1, h2, h3 { line-height: 1.2; text-wrap: balance; overflow-wrap: anywhere; font-weight: 650; }
h1 { font-size: clamp(1.55rem, 1.2rem + 1.6vw, 2rem); letter-spacing: -.02em; margin: 0 0 .5rem; }
h2 { font-size: 1.4rem; letter-spacing: -.01em; margin: 0 0 .5rem; }
h3 { font-size: 1.08rem; margin: 2.25rem 0 .4rem; }
p { margin: 0 0 .75rem; max-width: 46rem; overflow-wrap: anywhere; }
.keys { display: grid; grid-template-columns: 2fr 3fr; gap: 0 1.5rem; }
@media (max-width: 56rem) { .keys { grid-template-columns: minmax(0, 1fr); } }
.keys > div { display: flex; flex-direction: column; }
.keys .key { flex: 1; }
.keyhead { color: var(--muted); font-size: .875rem; margin: 1.1rem 0 .3rem; }
.key {
  display: flex; flex-wrap: wrap; gap: 1px; margin: 0 0 1rem; background: var(--rule); border: 1px solid var(--rule);
  border-radius: .4rem; overflow: hidden;
}
.key div { background: var(--paper); padding: .6rem .8rem .7rem; flex: 1 1 9.5rem; min-width: 0; }
.key dt { font-size: .875rem; color: var(--muted); }
.key dd { margin: 0; font-size: 1.25rem; font-weight: 650; letter-spacing: -.015em; line-height: 1.3; }
.key small {
  display: block; font-size: .82rem; font-weight: 400; letter-spacing: 0; color: var(--muted); overflow-wrap: anywhere;
}
.origin, .text, .foot { color: var(--muted); }
.origin, .foot { font-size: .875rem; max-width: none; }
.foot { margin-top: .4rem; }
section { margin-top: 3rem; padding-top: 1.5rem; border-top: 1px solid var(--rule); }
nav { margin: 1.5rem 0 0; font-size: .9rem; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .15rem 1.1rem; margin: 0; padding: 0; }
nav a { display: inline-block; padding: .2rem 0; }

.findings { list-style: none; margin: 1rem 0; padding: 0; display: grid; gap: .4rem; font-size: .95rem; }
.findings li {
  padding: .4rem .8rem; border-left: 4px solid var(--c1); background: var(--note-soft); overflow-wrap: anywhere;
}
.findings .warning, .findings .synthetic { border-color: var(--warn); background: var(--warn-soft); }
.findings .good { border-color: var(--c3); background: var(--good-soft); }
.findings b { font-weight: 650; }

.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 2rem 3rem; }
figure { margin: 1rem 0 0; min-width: 0; }
figcaption { font-weight: 600; margin-bottom: .6rem; }
figcaption small { display: block; font-weight: 400; color: var(--muted); font-size: .875rem; }
.chart { display: block; width: 100%; max-width: 30rem; height: auto; overflow: visible; font-family: inherit; }
.chart text { font-variant-numeric: tabular-nums; }

.scroll { overflow-x: auto; margin: 1rem 0 0; }
.small { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: .5rem 2.5rem; }
table { border-collapse: collapse; font-size: .9rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 0 0 .4rem; font-size: .95rem; }
caption span { display: inline-block; position: sticky; left: 0; max-width: calc(100vw - 2.2rem); }
th, td { padding: .42rem .75rem; text-align: right; vertical-align: baseline; border-bottom: 1px solid var(--rule); }
.first { padding-left: 0; position: sticky; left: 0; background: var(--paper); }
th:last-child, td:last-child { padding-right: 0; }
thead th, thead td {
  color: var(--muted); font-weight: 500; font-size: .82rem; vertical-align: bottom; border-color: var(--muted);
}
tbody th { font-weight: 500; white-space: nowrap; }
.left, tbody th { text-align: left; }
td.left { overflow-wrap: anywhere; min-width: 6rem; }
td.long { min-width: 15rem; }
td { white-space: nowrap; }
td.left { white-space: normal; }
.detail { color: var(--muted); font-size: .82em; font-weight: 400; }
td .detail { display: block; }
th .detail { margin-left: .4em; }
tbody + tbody { border-top: 1px solid var(--muted); }
.average td, .average th { border-top: 2px solid var(--muted); border-bottom: 0; font-weight: 650; }
td.shade { background: color-mix(in srgb, var(--c1) calc(var(--share) * 42%), transparent); padding: .42rem .75rem; }
td.shade .detail { color: inherit; }
details summary { cursor: pointer; padding: .3rem 0; width: fit-content; }
footer {
  margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--rule); font-size: .875rem; color: var(--muted);
}

@media print {
  :root {
    --paper: #fff; --ink: #000; --muted: #444; --rule: #ccc; --c1: #0067a5; --c2: #c24e00; --c3: #00795a;
    --c4: #a8477f; --c5: #b07400; --c6: #444; --warn-soft: #fff; --note-soft: #fff; --good-soft: #fff;
  }
  body { font-size: 9.5pt; }
  .page { max-width: none; padding: 0; }
  nav, .skip { display: none; }
  section { margin-top: 1.5rem; padding-top: 1rem; }
  .scroll { overflow: visible; }
  table { font-size: 8pt; }
  th, td { padding: .25rem .4rem; }
  thead { display: table-header-group; }
  tr, figure, h2, h3, .findings li { break-inside: avoid; }
  h2, h3, caption { break-after: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
  td.shade { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
