// Elements are built here and nowhere else: a string given as a child becomes a text node, whatever it holds.
const report = JSON.parse(document.getElementById('report-data').textContent);
const SVG = 'http://www.w3.org/2000/svg';
let serial = 0;

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === 'on') for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (key === 'style') Object.assign(node.style, value);
    else node.setAttribute(key, value === true ? '' : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const nextId = (stem) => `${stem}-${++serial}`;
const range = (n) => Array.from({ length: n }, (_, i) => i);

function floats(packed) {
  const bytes = Uint8Array.from(atob(packed.f32), (c) => c.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

// A column of the data: words with codes, or plain numbers.
const valueOf = (column, row) => (column.words ? (column.codes[row] < 0 ? null : column.words[column.codes[row]])
  : (column.numbers || column)[row]);

function whole(value) {
  return value === null || value === undefined ? '–' : String(value).replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f');
}

function digits(value, n = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (value === 0) return '0';
  if (Number.isInteger(value) && Math.abs(value) >= 100) return whole(value);
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-4 ? value.toExponential(n - 1) : String(Number(value.toPrecision(n)));
}

const percent = (value) => (value === null || Number.isNaN(value) ? '–' : `${(100 * value).toFixed(1)}\u202f%`);
const plural = (n, noun) => `${whole(n)} ${n === 1 ? noun : noun.endsWith('y') ? noun.slice(0, -1) + 'ies' : noun + 's'}`;

// Both ends of a long name stay: families differ at the beginning, members at the end.
function elide(text, width) {
  const characters = Array.from(text);
  if (characters.length <= width) return text;
  const tail = Math.floor((width - 1) / 2);
  return `${characters.slice(0, width - 1 - tail).join('').trimEnd()}…${characters.slice(characters.length - tail).join('').trimStart()}`;
}

// plotly reads <b>, <a href>, &lt;, $x$ and the like in every text it draws: a name must arrive as what it is.
const literal = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/\$/g, '&#36;');

const spaced = (column) => column.replaceAll('_', ' ');
const narrow = () => window.innerWidth < 640;
const byName = new Intl.Collator('en', { numeric: true, sensitivity: 'base' }).compare;

function field(title, control, check) {
  return el('label', { class: check ? 'check' : null }, check ? control : title, check ? title : control);
}

function select(title, options, chosen, act) {
  const control = el('select', { on: { change: () => act(control.value) } },
    options.map(([value, name]) => el('option', { value, selected: value === chosen }, name)));
  return field(title, control);
}

function later(act, wait) {
  let timer = 0;
  return (...values) => { clearTimeout(timer); timer = setTimeout(() => act(...values), wait); };
}

// Sections and their cards.
function section(id, title, lead, ...children) {
  return el('section', { id, 'aria-labelledby': `${id}-title` },
    el('h2', { id: `${id}-title` }, title), el('p', { class: 'lead' }, lead), children);
}

function notes(lines) {
  return lines.length ? el('ul', { class: 'notes' }, lines.map((line) => el('li', {}, line))) : null;
}

// Links to the pictures beside the page, if they were made.
function files(key) {
  const made = report.figures[key];
  if (!made) return null;
  return el('span', { class: 'files' }, 'for papers: ',
    made.map((path, i) => [i ? ' · ' : '', el('a', { href: path }, path.split('.').pop().toUpperCase())]));
}

function madeBy(command) {
  return el('details', {}, el('summary', {}, 'Command and versions'), el('pre', {}, report.provenance.commands[command]),
    el('p', { class: 'where' }, versionsLine()));
}

const versionsLine = () => Object.entries(report.provenance.versions).map(([name, v]) => `${name} ${v}`).join(', ');

function card(title, about, attributes, ...children) {
  return el('section', { class: 'card', ...attributes }, el('header', {}, el('h3', {}, title)),
    about ? el('p', {}, about) : null, children);
}

function withFiles(node, key) {
  node.querySelector('header').append(files(key) || '');
  return node;
}

// Tabs after the ARIA pattern: arrows move, the panel is made when it is first shown.
function tabs(label, names, build) {
  const panel = el('div', { role: 'tabpanel', id: nextId('panel') });
  const made = new Map();
  const buttons = names.map((name, i) => el('button', {
    type: 'button', role: 'tab', id: nextId('tab'), 'aria-controls': panel.id, 'aria-selected': 'false', tabindex: -1,
    on: {
      click: () => show(i),
      keydown: (event) => {
        const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: names.length - 1 }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        const next = (to + names.length) % names.length;
        show(next);
        buttons[next].focus();
      },
    },
  }, name));
  function show(i) {
    buttons.forEach((button, j) => { button.setAttribute('aria-selected', j === i); button.tabIndex = j === i ? 0 : -1; });
    panel.setAttribute('aria-labelledby', buttons[i].id);
    if (!made.has(i)) made.set(i, build(i));
    panel.replaceChildren(...[made.get(i)].flat(Infinity));
    redraw();
  }
  const list = el('div', { class: 'tabs', role: 'tablist', 'aria-label': label, hidden: names.length < 2 }, buttons);
  show(0);
  return [list, panel];
}

// The text alternative of a figure: built when it is opened.
function asTable(build, title = 'As a table') {
  const place = el('details', { on: { toggle: () => { if (place.open) { filled(); } } } }, el('summary', {}, title));
  let table = null;
  function filled() {
    if (table) table.remove();
    table = build();
    place.append(table);
  }
  place.refresh = () => { if (place.open) filled(); };
  return place;
}
