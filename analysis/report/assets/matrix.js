// One axis as a matrix that can be ordered, filtered, pointed at and walked through with the arrow keys.
function matrix(place, axis) {
  const number = axis.names.length;
  const all = range(number);
  const pairs = { drift: new Pairs(axis.drift, number, 0), disagreement: new Pairs(axis.disagreement, number, 0) };
  const extra = {};
  for (const key of ['debiased', 'low', 'high', 'floor', 'null_high', 'p_value', 'q_value']) if (axis[key]) extra[key] = new Pairs(axis[key], number, NaN);
  const verdicts = axis.verdict ? new Pairs(axis.verdict, number, NaN) : null;
  const verdict = (a, b) => axis.verdicts[verdicts.at(a, b)];
  const state = { measure: 'drift', order: axis.natural || number < 3 ? 'name' : 'cluster', words: '', least: 0, few: true, chosen: new Set(all), cursor: null, cells: [] };
  const readout = el('output', { class: 'readout', 'aria-live': 'polite' });
  const values = () => pairs[state.measure];
  const largest = () => values().values.reduce((most, v) => (v > most ? v : most), 0);

  function groupsShown() {
    const words = state.words.toLowerCase();
    return all.filter((i) => state.chosen.has(i) && (state.few || !axis.few[i]) && (!words || axis.names[i].toLowerCase().includes(words)));
  }
  const groupLabel = (i) => axis.single || !axis.models[i] ? axis.names[i] : `${axis.names[i]} (${whole(axis.models[i])})`;
  const blockLabel = (block) => block.length === 1 ? groupLabel(block[0]) : `${groupLabel(block[0])} … ${groupLabel(block[block.length - 1])}`;

  // What a cell says.
  function words(a, b) {
    const name = MEASURES[state.measure].unit;
    if (a.length > 1 || b.length > 1) {
      return [`${blockLabel(a)}  ↔  ${blockLabel(b)}`, `mean ${name} of ${plural(a.length * b.length, 'pair')}: ${digits(blockMean(values(), a, b))}`, 'search or choose groups to see single pairs'];
    }
    return pairWords(a[0], b[0], name);
  }
  function pairWords(a, b, name) {
    if (a === b) return [axis.names[a], 'the group itself: 0 by definition'];
    const lines = [`${axis.names[a]}  ↔  ${axis.names[b]}`, `${name} ${digits(values().at(a, b))}`];
    if (state.measure === 'drift' && extra.low) {
      const [low, high] = [extra.low.at(a, b), extra.high.at(a, b)];
      lines[1] += Number.isNaN(low) ? ` (no interval: ${axis.models[a] && axis.models[b] ? 'one' : 'no'} ${axis.unit} on a side)` : `, debiased ${digits(extra.debiased.at(a, b))} (${Math.round(100 * axis.level)} % interval ${digits(low)} to ${digits(high)})`;
      if (verdicts && axis.models[a] && axis.models[b]) lines.push(verdict(a, b));
      if (axis.models[a] && axis.models[b]) lines.push(`p ${digits(extra.p_value.at(a, b), 2)}, q ${digits(extra.q_value.at(a, b), 2)}; by chance up to ${digits(extra.null_high.at(a, b))}, within a group ${digits(extra.floor.at(a, b))}`);
    }
    const sizes = (i) => `${plural(axis.models[i], 'model')}, ${plural(axis.filters[i], 'filter')}`;
    lines.push(`${sizes(a)} ↔ ${sizes(b)}`);
    if (axis.few[a] || axis.few[b]) lines.push(`few ${axis.unit}s (under ${axis.least}): not to be relied upon`);
    return lines;
  }
  function say([row, column]) {
    const lines = words(state.cells[row], state.cells[column]);
    state.cursor = [row, column];
    picture.mark(state.cursor);
    readout.replaceChildren(el('strong', {}, lines[0]), `\n${lines.slice(1).join(' · ')}`);
    return lines.join('\n');
  }

  let picture = null;
  const frame = el('div', { class: 'frame', role: 'img', tabindex: 0,
    'aria-label': `Matrix of drift by ${axis.axis}; the arrow keys move through it and the text below says what each cell holds; the same as a table follows`,
    on: {
      pointermove: (event) => { const cell = picture.at(event); if (cell) pointAt(event, say(cell)); else tooltip.hidden = true; },
      pointerleave: () => { tooltip.hidden = true; },
      keydown: (event) => {
        const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
        if (!step || !state.cells.length) return;
        event.preventDefault();
        say((state.cursor || [0, 0]).map((at, k) => Math.min(state.cells.length - 1, Math.max(0, at + step[k]))));
      },
    } });

  function draw() {
    const cells = state.cells;
    const single = cells.every((block) => block.length === 1);
    const flagged = (i, j) => single && cells.length <= 60 && i !== j && (axis.few[cells[i][0]] || axis.few[cells[j][0]]);
    const marked = (i, j) => verdicts && state.measure === 'drift' && single && cells.length <= 60 && i !== j ? verdict(cells[i][0], cells[j][0]) : '';
    picture = heatmap({
      values: cells.map((a) => cells.map((b) => {
        const value = blockMean(values(), a, b);
        return value === null || (value < state.least && !(single && a[0] === b[0])) ? null : value;
      })),
      labels: cells.map((block) => elide(blockLabel(block), narrow() ? 13 : 30)),
      top: largest(), title: MEASURES[state.measure].title, flagged, marked, wide: frame.clientWidth || 680,
    });
    frame.replaceChildren(picture.node);
    if (state.cursor) picture.mark(state.cursor);
  }

  function pairsTable() {
    const shown = groupsShown();
    const [a, b] = [[], []];
    shown.forEach((i, k) => shown.slice(k + 1).forEach((j) => { if (!(values().at(i, j) < state.least)) { a.push(i); b.push(j); } }));
    const numbers = (title, of) => ({ title, width: 6, number: true, value: (r) => of.at(a[r], b[r]), text: (r) => digits(of.at(a[r], b[r])) });
    const texts = (title, width, text) => ({ title, width, value: text, text });
    const columns = [texts(axis.axis, 14, (r) => groupLabel(a[r])), texts('and', 14, (r) => groupLabel(b[r])), numbers(MEASURES[state.measure].unit, values())];
    if (state.measure === 'drift') for (const key of Object.keys(extra)) columns.push(numbers(key.replace('_value', '').replace('_', ' '), extra[key]));
    if (verdicts && state.measure === 'drift') columns.push(texts('verdict', 8, (r) => verdict(a[r], b[r])));
    columns.push(texts('few models', 6, (r) => (axis.few[a[r]] || axis.few[b[r]] ? 'few' : '')));
    return windowed({ caption: `Pairs of groups by ${axis.axis}`, rows: a.length, columns, sort: 2 }).node;
  }
  const details = el('details', {}, el('summary', {}, 'Every pair as a table'));
  const table = whenOpened(details, pairsTable);

  const said = el('p', { class: 'where' });
  const binned = el('p', { class: 'where' });
  const card = place.closest('.card');
  function update() {
    const shown = groupsShown();
    state.cells = blocks(ordered(axis, values(), shown, state.order));
    state.cursor = null;
    binned.textContent = shown.length > MOST_SHOWN ? `${whole(shown.length)} groups in ${MOST_SHOWN} blocks of neighbours, each the mean of its pairs; search or choose groups to see single ones.` : '';
    said.textContent = shown.length ? summary(shown) : 'No group fits the search and the choice.';
    readout.textContent = 'Point at a cell, or walk through the matrix with the arrow keys, to read it here.';
    card.querySelector('h3').textContent = `${MEASURES[state.measure].heading} by ${axis.axis}`;
    for (const links of card.querySelectorAll('[data-measure]')) links.hidden = links.dataset.measure !== state.measure;
    draw();
    table.refresh();
  }
  function summary(shown) {
    let best = null;
    let least = null;
    for (let k = 0; k < shown.length; k += 1) for (let m = k + 1; m < shown.length; m += 1) {
      const v = values().at(shown[k], shown[m]);
      if (Number.isNaN(v)) continue;
      if (!best || v > best[0]) best = [v, shown[k], shown[m]];
      if (!least || v < least[0]) least = [v, shown[k], shown[m]];
    }
    const pair = ([v, a, b]) => `${axis.names[a]} ↔ ${axis.names[b]} (${digits(v)})`;
    return best && shown.length > 2 ? `Farthest apart: ${pair(best)}. Nearest: ${pair(least)}.` : '';
  }

  const slow = later(update, 120);
  const bound = el('span');
  const limit = el('input', { type: 'range', min: 0, max: 100, value: 0, on: { input: () => { bounded(); slow(); } } });
  function bounded() {
    state.least = (largest() * Number(limit.value)) / 100;
    const least = state.least ? digits(state.least, 2) : 'none';
    limit.setAttribute('aria-valuetext', state.least ? `at least ${least}` : 'all pairs');
    bound.textContent = `hide pairs below: ${least}`;
  }
  const search = el('input', { type: 'search', placeholder: 'part of a name', on: { input: () => { state.words = search.value.trim(); slow(); } } });
  const few = el('input', { type: 'checkbox', checked: true, on: { change: () => { state.few = few.checked; update(); } } });
  const fewGroups = axis.few.filter(Boolean).length;
  place.append(el('div', { class: 'controls' },
    select('Order', [['cluster', 'alike together'], ['name', axis.natural ? 'by depth' : 'by name'], ['mean', 'by mean drift'], ['models', 'by number of models']], state.order, (v) => { state.order = v; update(); }),
    select('Show', Object.entries(MEASURES).map(([key, m]) => [key, m.title]), 'drift', (v) => { state.measure = v; limit.value = 0; bounded(); update(); }),
    field('Search groups', search), field(bound, limit),
    fewGroups ? field(`groups of few models (${fewGroups})`, few, true) : null),
  chooser(axis, state, update), binned, frame, readout, said, details);
  bounded();
  update();
  return draw;
}

function chooser(axis, state, update) {
  if (axis.names.length < 4) return null;
  const place = el('details', {}, el('summary', {}, 'Choose groups'));
  whenOpened(place, () => {
    const marks = axis.names.map((name, i) => el('input', { type: 'checkbox', checked: state.chosen.has(i), on: { change: (e) => { if (e.target.checked) state.chosen.add(i); else state.chosen.delete(i); update(); } } }));
    const every = (on) => { marks.forEach((m, i) => { m.checked = on; if (on) state.chosen.add(i); else state.chosen.delete(i); }); update(); };
    return el('div', {}, el('div', { class: 'controls' }, el('button', { type: 'button', on: { click: () => every(true) } }, 'all'), el('button', { type: 'button', on: { click: () => every(false) } }, 'none')),
      el('div', { class: 'choose' }, marks.map((m, i) => el('label', {}, m, ' ', axis.names[i]))));
  });
  return place;
}
