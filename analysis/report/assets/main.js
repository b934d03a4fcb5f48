// The page: what stands in it as markup is filled with matrices and tables, and given its tabs.
const DRAW = []; // draws each matrix again, for another width or theme

// A table of the page's data; with a search over its words where its place asks for one, and a row's whole record.
function tableIn(place) {
  const { caption, rows, columns, sort } = report.tables[place.dataset.table];
  const find = place.dataset.search;
  for (const column of columns) {
    column.value = (row) => column.values[row];
    column.text = (row) => (column.number ? digits(column.values[row]) : column.values[row] ?? '–');
    column.width = column.number ? Math.max(5, 3 + 0.5 * column.title.length) : Math.min(16, 3 + 0.5 * column.values.reduce((most, value) => Math.max(most, (value ?? '').length), column.title.length));
  }
  const shown = columns.filter((column) => !column.aside);
  const record = el('dl', { class: 'panel', 'aria-live': 'polite', hidden: true });
  const table = windowed({
    caption, rows, columns: shown, sort: shown.findIndex((column) => column.title === sort),
    pick: find && ((row) => {
      record.hidden = false;
      record.replaceChildren(...columns.filter((column) => !nothing(column.value(row))).flatMap((column) => [el('dt', {}, column.title), el('dd', {}, column.text(row))]));
    }),
  });
  if (!find) return table.node;
  let texts = null; // what a search looks through is made once, at the first search
  const search = el('input', { type: 'search', placeholder: 'name, task, data set, license …', size: 34, on: { input: later(() => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    texts = texts || range(rows).map((row) => columns.filter((c) => !c.number).map((c) => c.value(row) ?? '').join('\n').toLowerCase());
    table.keep(range(rows).filter((row) => words.every((word) => texts[row].includes(word))));
  }, 80) } });
  return el('section', { class: 'card' }, el('div', { class: 'controls' }, field(`Search ${find}`, search)), table.node, record);
}

// Tabs after the ARIA pattern: the arrow keys move.
function tabs(place) {
  const panels = [...place.children];
  const show = (i) => {
    buttons.forEach((button, j) => { button.setAttribute('aria-selected', j === i); button.tabIndex = j === i ? 0 : -1; panels[j].hidden = j !== i; });
    redraw();
  };
  const buttons = panels.map((panel, i) => {
    filled(panel, { role: 'tabpanel', id: nextId('panel'), 'aria-labelledby': nextId('tab') }, []);
    return el('button', { type: 'button', role: 'tab', id: panel.getAttribute('aria-labelledby'), 'aria-controls': panel.id, on: {
      click: () => show(i),
      keydown: (event) => {
        const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: panels.length - 1 }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        const next = (to + panels.length) % panels.length;
        show(next);
        buttons[next].focus();
      },
    } }, panel.dataset.tab);
  });
  place.prepend(el('div', { class: 'tabs', role: 'tablist', 'aria-label': place.dataset.tabs, hidden: panels.length < 2 }, buttons));
  show(0);
}

function redraw(all) {
  for (const each of DRAW) {
    const width = each.place.clientWidth;
    if (all || (width && width !== each.width)) { each.draw(); each.width = width; }
  }
}

for (const place of document.querySelectorAll('[data-matrix]')) DRAW.push({ place, draw: matrix(place, report.matrices[place.dataset.matrix]), width: place.clientWidth });
for (const place of document.querySelectorAll('[data-table]')) {
  if (place.localName === 'details') whenOpened(place, () => tableIn(place));
  else place.append(tableIn(place));
}
for (const place of document.querySelectorAll('[data-tabs]')) tabs(place);

const theme = document.getElementById('theme');
const nameTheme = () => { theme.textContent = isDark() ? 'Light' : 'Dark'; };
function themed() { nameTheme(); redraw(true); }
theme.hidden = false;
theme.addEventListener('click', () => { dataset.theme = isDark() ? 'light' : 'dark'; themed(); });
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', themed);
nameTheme();
addEventListener('resize', later(() => redraw(), 150));
// Paper is light.
const { dataset } = document.documentElement;
let before;
addEventListener('beforeprint', () => { before = dataset.theme; dataset.theme = 'light'; redraw(true); });
addEventListener('afterprint', () => { if (before) dataset.theme = before; else delete dataset.theme; redraw(true); });

const spy = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    for (const link of document.getElementById('nav').children) {
      if (link.hash === `#${entry.target.id}`) link.setAttribute('aria-current', 'true');
      else link.removeAttribute('aria-current');
    }
  }
}, { rootMargin: '-15% 0px -75% 0px' });
for (const section of document.querySelectorAll('main > section')) spy.observe(section);
