// Elements are built here and nowhere else: a string given as a child becomes a text node, whatever it holds.
const report = JSON.parse(document.getElementById('report-data').textContent);
let serial = 0;

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === 'on') for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (key === 'style') Object.assign(node.style, value);
    else node.setAttribute(key, value === true ? '' : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
const el = (tag, attributes, ...children) => filled(document.createElement(tag), attributes, children);
const drawn = (tag, attributes, ...children) => filled(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);

const nextId = (stem) => `${stem}-${++serial}`;
const range = (n) => Array.from({ length: n }, (_, i) => i);

function floats(packed) {
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

const nothing = (value) => value === null || value === undefined || Number.isNaN(value);

const whole = (value) => (nothing(value) ? '–' : String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ','));
function digits(value, n = 3) {
  if (nothing(value)) return '–';
  if (Number.isInteger(value)) return whole(value);
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-4 ? value.toExponential(n - 1) : String(Number(value.toPrecision(n)));
}
const plural = (n, noun) => `${whole(n)} ${n === 1 ? noun : `${noun}s`}`;

// Both ends of a long name stay: families differ at the beginning, members at the end.
function elide(text, width) {
  const characters = Array.from(text);
  if (characters.length <= width) return text;
  const tail = Math.floor((width - 1) / 2);
  return `${characters.slice(0, width - 1 - tail).join('').trimEnd()}…${characters.slice(characters.length - tail).join('').trimStart()}`;
}

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

// A table or the like that is made when it is opened.
function whenOpened(place, build) {
  let made = null;
  function fill() {
    if (made) made.remove();
    made = build();
    place.append(made);
  }
  place.addEventListener('toggle', () => { if (place.open && !made) fill(); });
  return { refresh() { if (place.open) fill(); else if (made) { made.remove(); made = null; } } };
}

const isDark = () => {
  const set = document.documentElement.dataset.theme;
  return set ? set === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
};

const tooltip = document.getElementById('tip');
function pointAt(event, text) {
  tooltip.textContent = text;
  tooltip.hidden = false;
  const { clientX: x, clientY: y } = event;
  const { width, height } = tooltip.getBoundingClientRect();
  tooltip.style.left = `${Math.max(6, Math.min(x + 14, document.documentElement.clientWidth - width - 8))}px`;
  tooltip.style.top = `${y + 18 + height > window.innerHeight ? Math.max(4, y - height - 12) : y + 18}px`;
}
addEventListener('scroll', () => { tooltip.hidden = true; }, { passive: true });
