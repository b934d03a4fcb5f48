const percentOf = (share) => `${Math.round(100 * share)} %`;

// One axis as a matrix that can be ordered, filtered, pointed at and walked through with the arrow keys.
function matrixCard(axis) {
  const number = axis.groups.names.length;
  const all = range(number);
  const pairs = { drift: new Pairs(axis.drift, number, 0), disagreement: new Pairs(axis.disagreement, number, 0) };
  const extra = {};
  for (const key of ['low', 'high', 'null_high', 'p_value', 'q_value']) if (axis[key]) extra[key] = new Pairs(axis[key], number, NaN);
  const natural = axis.axis === 'depth';
  const state = { measure: 'drift', order: natural || number < 3 ? 'name' : 'cluster', words: '', least: 0, few: true, chosen: new Set(all), cursor: null, cells: [] };
  const hint = 'Point at a cell, or walk through the matrix with the arrow keys, to read it here.';
  const readout = el('output', { class: 'readout', 'aria-live': 'polite' }, hint);
  const values = () => pairs[state.measure];
  const largest = () => values().values.reduce((most, v) => (v > most ? v : most), 0);

  function groupsShown() {
    const words = state.words.toLowerCase();
    return all.filter((i) => state.chosen.has(i) && (state.few || !axis.groups.few[i]) && (!words || axis.groups.names[i].toLowerCase().includes(words)));
  }
  const groupLabel = (i) => axis.groups.single ? axis.groups.names[i] : `${axis.groups.names[i]} (${whole(axis.groups.models[i])})`;
  const blockLabel = (block) => block.length === 1 ? groupLabel(block[0]) : `${groupLabel(block[0])} … ${groupLabel(block[block.length - 1])}`;

  function words(row, column) {
    const [a, b] = [state.cells[row], state.cells[column]];
    if (!a || !b) return null;
    const name = MEASURES[state.measure].unit;
    if (a.length > 1 || b.length > 1) {
      return [`${blockLabel(a)}  ↔  ${blockLabel(b)}`, `mean ${name} of ${plural(a.length * b.length, 'pair')}: ${digits(blockMean(values(), a, b))}`, 'search or choose groups to see single pairs'];
    }
    return pairWords(a[0], b[0], name);
  }
  function pairWords(a, b, name) {
    const lines = [`${axis.groups.names[a]}  ↔  ${axis.groups.names[b]}`, `${name} ${digits(values().at(a, b))}`];
    if (a === b) return [axis.groups.names[a], 'the group itself: 0 by definition'];
    if (state.measure === 'drift' && extra.low) {
      const [low, high] = [extra.low.at(a, b), extra.high.at(a, b)];
      lines[1] += Number.isNaN(low) ? ' (no interval: one model on a side)' : ` (${percentOf(report.settings.level)} interval ${digits(low)} to ${digits(high)})`;
      lines.push(`p ${digits(extra.p_value.at(a, b), 2)}, q ${digits(extra.q_value.at(a, b), 2)}; by chance up to ${digits(extra.null_high.at(a, b))}`);
    }
    const sizes = (i) => `${plural(axis.groups.models[i], 'model')}, ${plural(axis.groups.filters[i], 'filter')}`;
    lines.push(`${sizes(a)} ↔ ${sizes(b)}`);
    if (axis.groups.few[a] || axis.groups.few[b]) lines.push(`few models (under ${report.settings.min_models}): not to be relied upon`);
    return lines;
  }
  function say(row, column) {
    const lines = words(row, column);
    if (!lines) return null;
    state.cursor = [row, column];
    readout.replaceChildren(el('strong', {}, lines[0]), `\n${lines.slice(1).join(' · ')}`);
    return lines.join('\n');
  }

  const picture = plot({
    name: `Matrix of drift by ${spaced(axis.axis)}; the arrow keys move through it and the text below says what each cell holds; the same as a table follows`,
    build, tip: (point) => say(point.pointIndex[0], point.pointIndex[1]),
    ready: (node) => node.on('plotly_click', (event) => { say(...event.points[0].pointIndex); mark(); }),
    keys: (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step || !state.cells.length) return;
      event.preventDefault();
      const last = state.cells.length - 1;
      const [row, column] = state.cursor || [0, 0];
      say(Math.min(last, Math.max(0, row + step[0])), Math.min(last, Math.max(0, column + step[1])));
      mark();
    },
  });
  const cursorShape = () => (state.cursor && state.cursor[0] < state.cells.length && state.cursor[1] < state.cells.length
    ? [{ type: 'rect', x0: state.cursor[1] - 0.5, x1: state.cursor[1] + 0.5, y0: state.cursor[0] - 0.5, y1: state.cursor[0] + 0.5, line: { color: colour('focus'), width: 2.5 } }] : []);
  function mark() { picture.drawn.then(() => Plotly.relayout(picture.node, { shapes: cursorShape() })); }

  function build() {
    state.cells = blocks(ordered(axis, values(), groupsShown(), state.order));
    const n = state.cells.length;
    const single = state.cells.every((block) => block.length === 1);
    const top = largest();
    const z = state.cells.map((a) => state.cells.map((b) => {
      const value = blockMean(values(), a, b);
      return value === null || (value < state.least && !(single && a[0] === b[0])) ? null : value;
    }));
    const wide = picture.node.clientWidth;
    const letters = narrow() ? 13 : 30;
    const side = Math.max(wide * 0.45, Math.min(wide - (narrow() ? 110 : 330), Math.max(n * 46, narrow() ? 320 : 240), 760));
    const size = Math.max(7, Math.min(12, (side / n) * 0.8));
    const every = Math.max(1, Math.ceil((size * 1.15) / (side / n)));
    const labels = state.cells.map((block) => literal(elide(blockLabel(block), letters)));
    const at = range(n).filter((i) => i % every === 0);
    const ticks = { tickvals: at, ticktext: at.map((i) => labels[i]), tickfont: { size }, showgrid: false, ticks: '' };
    const longest = Math.max(0, ...labels.map((l) => l.length));
    const gap = n <= 60 ? (n <= 24 ? 2 : 1) : 0;
    const data = [{ type: 'heatmap', z, x: range(n), y: range(n), zmin: 0, zmax: top || 1, colorscale: scale(), xgap: gap, ygap: gap, hoverinfo: 'none', hoverongaps: true,
      colorbar: { thickness: 12, outlinewidth: 0, len: 1, title: { text: MEASURES[state.measure].title, side: 'right', font: { size: 12 } }, tickfont: { size: 11, color: colour('soft') }, ...(narrow() ? { orientation: 'h', y: -0.02, yanchor: 'top', len: 0.9, title: { text: MEASURES[state.measure].title, side: 'top' } } : {}) } }];
    const decimals = top > 0 ? Math.min(5, Math.max(2, 2 - Math.floor(Math.log10(top)))) : 2;
    if (single && !narrow() && side / n > 7.5 * (decimals + 2) + 6) data[0].texttemplate = `%{z:.${decimals}f}`;
    if (single && n <= 60) data.push(...hatches());
    // Column labels stand above, so that the colour bar has the room below on a phone.
    const head = Math.min(longest * size * 0.6 * 0.75, narrow() ? 95 : 170) + 16;
    return { data, width: narrow() ? null : Math.round(Math.min(wide, side + Math.min(longest, letters) * size * 0.62 + 130)), height: Math.round(side + head + (narrow() ? 80 : 30)), layout: {
      shapes: cursorShape(), margin: { l: 8, r: 8, t: Math.round(head), b: narrow() ? 70 : 12 },
      xaxis: { ...ticks, side: 'top', range: [-0.5, n - 0.5], tickangle: n > 10 || narrow() ? -60 : -38, constrain: 'domain' },
      yaxis: { ...ticks, range: [n - 0.5, -0.5], scaleanchor: 'x', constrain: 'domain' } } };
  }
  // Cells that rest on few models are hatched, in a corner where a value is written: two lines in all, dark on light, so
  // that they show on every colour of the scale.
  function hatches() {
    const n = state.cells.length;
    const strokes = n <= 20 ? [[0.12, 0.46, 0.46, 0.12], [0.29, 0.46, 0.46, 0.29]] : [[-0.4, 0.4, 0.4, -0.4]];
    const x = [];
    const y = [];
    for (let i = 0; i < n; i += 1) for (let j = 0; j < n; j += 1) {
      if (i === j || !(axis.groups.few[state.cells[i][0]] || axis.groups.few[state.cells[j][0]])) continue;
      for (const [x0, y0, x1, y1] of strokes) { x.push(j + x0, j + x1, null); y.push(i + y0, i + y1, null); }
    }
    if (!x.length) return [];
    const line = (width, ink) => ({ type: 'scatter', mode: 'lines', x, y, hoverinfo: 'skip', line: { width, color: ink } });
    return [line(n > 24 ? 1.6 : 3, 'rgba(255,255,255,.75)'), line(n > 24 ? 0.7 : 1.2, 'rgba(0,0,0,.8)')];
  }

  const table = asTable(pairsTable, 'Every pair as a table');
  function pairsTable() {
    const shown = groupsShown();
    const [a, b] = [[], []];
    shown.forEach((i, k) => shown.slice(k + 1).forEach((j) => { if (!(values().at(i, j) < state.least)) { a.push(i); b.push(j); } }));
    const number_ = (title, value, show) => ({ title, width: 6, number: true, value, show: show || ((v) => digits(v)) });
    const columns = [{ title: spaced(axis.axis), width: 14, value: (r) => groupLabel(a[r]) }, { title: 'and', width: 14, value: (r) => groupLabel(b[r]) },
      number_(MEASURES[state.measure].unit, (r) => values().at(a[r], b[r]))];
    if (state.measure === 'drift') for (const key of Object.keys(extra)) columns.push(number_(key.replace('_value', '').replace('_', ' '), (r) => extra[key].at(a[r], b[r])));
    columns.push({ title: 'few models', width: 6, value: (r) => (axis.groups.few[a[r]] || axis.groups.few[b[r]] ? 'few' : '') });
    return windowed({ caption: `Pairs of groups by ${spaced(axis.axis)}`, rows: a.length, columns, sort: { column: 2, down: true } }).node;
  }

  const said = el('p', { class: 'where' });
  const binned = el('p', { class: 'where' });
  function update() {
    const shown = groupsShown();
    binned.textContent = shown.length > MOST_SHOWN ? `${whole(shown.length)} groups in ${MOST_SHOWN} blocks of neighbours, each the mean of its pairs; search or choose groups to see single ones.` : '';
    if (!shown.length) said.textContent = 'No group fits the search and the choice.';
    else said.textContent = summary(shown);
    state.cursor = null;
    readout.textContent = hint;
    picture.draw();
    table.refresh();
    heading();
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
    const say_ = ([v, a, b]) => `${axis.groups.names[a]} ↔ ${axis.groups.names[b]} (${digits(v)})`;
    return best && best[1] !== undefined && shown.length > 2 ? `Farthest apart: ${say_(best)}. Nearest: ${say_(least)}.` : '';
  }

  const links = el('span');
  const title = el('h3');
  function heading() {
    title.textContent = state.measure === 'drift' ? `Drift by ${spaced(axis.axis)}` : `Disagreement of eigenfilters by ${spaced(axis.axis)}`;
    const made = files(`${MEASURES[state.measure].stem}_${report.axes.findIndex((each) => each.axis === axis.axis)}`);
    links.replaceChildren(...(made ? [made] : []));
  }
  const limit = el('input', { type: 'range', min: 0, max: 100, value: 0, 'aria-valuetext': 'all pairs', on: { input: () => {
    state.least = (largest() * Number(limit.value)) / 100;
    limit.setAttribute('aria-valuetext', `at least ${digits(state.least, 2)}`);
    bound.textContent = state.least ? `hide pairs below ${digits(state.least, 2)}` : 'hide pairs below: none';
    slow();
  } } });
  const slow = later(update, 120);
  const bound = el('span', {}, 'hide pairs below: none');
  const search = el('input', { type: 'search', placeholder: 'part of a name', on: { input: () => { state.words = search.value.trim(); slow(); } } });
  const few = el('input', { type: 'checkbox', checked: true, on: { change: () => { state.few = few.checked; update(); } } });
  const fewGroups = axis.groups.few.filter(Boolean).length;
  const controls = el('div', { class: 'controls' },
    select('Order', [['cluster', 'alike together'], ['name', natural ? 'by depth' : 'by name'], ['mean', 'by mean drift'], ['models', 'by number of models']], state.order, (v) => { state.order = v; update(); }),
    select('Show', Object.entries(MEASURES).map(([key, m]) => [key, m.title]), 'drift', (v) => { state.measure = v; limit.value = 0; state.least = 0; bound.textContent = 'hide pairs below: none'; update(); }),
    field('Search groups', search), field(bound, limit),
    fewGroups ? field(`groups of few models (${fewGroups})`, few, true) : null);
  const node = el('section', { class: 'card' }, el('header', {}, title, links),
    el('p', {}, explanation(axis)), controls, chooser(axis, state, update), binned, picture.node, readout, said, table, notes(axis.notes), madeBy('shift'));
  update();
  return node;
}

function explanation(axis) {
  const few = axis.groups.few.some(Boolean);
  const marked = few ? ` A stroke marks pairs with fewer than ${report.settings.min_models} models on a side: there the drift says as much about those models as about the group.` : '';
  const interval = axis.low ? ' Intervals come from drawing models again with replacement; p and q from dealing the models of both groups out anew.' : '';
  return `How far apart the filters of two groups are: 0 is alike, more is farther.${axis.groups.single ? '' : ' Brackets hold the number of models.'}${marked}${interval}`;
}

function chooser(axis, state, update) {
  const number = axis.groups.names.length;
  if (number < 4) return null;
  const place = el('details', { on: { toggle: () => { if (place.open && place.children.length < 2) fill(); } } }, el('summary', {}, 'Choose groups'));
  function fill() {
    const marks = range(number).map((i) => el('input', { type: 'checkbox', checked: state.chosen.has(i), on: { change: (e) => { if (e.target.checked) state.chosen.add(i); else state.chosen.delete(i); update(); } } }));
    const every = (on) => { marks.forEach((m, i) => { m.checked = on; if (on) state.chosen.add(i); else state.chosen.delete(i); }); update(); };
    place.append(el('div', { class: 'controls' }, el('button', { type: 'button', on: { click: () => every(true) } }, 'all'), el('button', { type: 'button', on: { click: () => every(false) } }, 'none')),
      el('div', { class: 'choose' }, marks.map((m, i) => el('label', {}, m, ' ', axis.groups.names[i]))));
  }
  return place;
}
