// Eigenfilters as rows of 3x3 tiles, and how much variance the first of them hold.
const DIVERGING = [[5, 48, 97], [33, 102, 172], [67, 147, 195], [146, 197, 222], [209, 229, 240], [247, 247, 247], [253, 219, 199], [244, 165, 130], [214, 96, 77], [178, 24, 43], [103, 0, 31]];
function diverging(value, limit) {
  const t = Math.max(0, Math.min(1, (value / limit + 1) / 2)) * (DIVERGING.length - 1);
  const i = Math.min(DIVERGING.length - 2, Math.floor(t));
  return `rgb(${DIVERGING[i].map((c, k) => Math.round(c + (t - i) * (DIVERGING[i + 1][k] - c))).join(',')})`;
}

function tile(entries) {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [key, value] of [['viewBox', '0 0 3 3'], ['shape-rendering', 'crispEdges'], ['aria-hidden', 'true']]) svg.setAttribute(key, value);
  entries.forEach((value, k) => {
    const cell = document.createElementNS(SVG, 'rect');
    for (const [key, set] of [['x', k % 3], ['y', Math.floor(k / 3)], ['width', 1], ['height', 1], ['fill', diverging(value, 0.7)]]) cell.setAttribute(key, set);
    svg.append(cell);
  });
  return svg;
}

const MOST_TILES = 24;
function eigenTable(standing, rows, title) {
  const body = el('tbody');
  const line = (part, i) => {
    const components = part.tiles.subarray(i * 81, i * 81 + 81);
    const few = part.few[i] ? ' · too few filters' : '';
    return el('tr', {}, el('th', { scope: 'row' }, part.names[i], el('small', {}, `${plural(part.models[i], 'model')}${few}`)),
      range(9).map((k) => {
        const entries = components.subarray(k * 9, k * 9 + 9);
        const share = part.shares[i * 9 + k];
        if (Number.isNaN(entries[0])) return el('td', {}, '–');
        const sure = part.separated[i * 9 + k];
        return el('td', { title: sure ? null : 'not apart from its neighbour in variance: the two may be any mixture of each other' }, tile(entries), sure ? percent(share) : `~${percent(share)}`);
      }));
  };
  const fill = (most) => body.replaceChildren(...range(standing.names.length).map((i) => line(standing, i)), ...range(Math.min(most, rows.names.length)).map((i) => line(rows, i)));
  fill(MOST_TILES);
  const hidden = rows.names.length - MOST_TILES;
  const more = hidden > 0 ? el('button', { type: 'button', on: { click: () => { fill(Infinity); more.remove(); } } }, `show all ${rows.names.length} groups`) : null;
  const gradient = `linear-gradient(90deg, ${range(11).map((k) => diverging(k / 5 - 1, 1)).join(',')})`;
  return [el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': title, style: { maxHeight: '40rem' } },
    el('table', { class: 'eigen' }, el('caption', {}, 'below each tile: its share of the variance'),
      el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, ''), range(9).map((k) => el('th', { scope: 'col' }, k + 1)))), body)), more,
  el('div', { class: 'key' }, '−0.7', el('i', { style: { background: gradient }, 'aria-hidden': 'true' }), '+0.7, entry of the component (unit length)')];
}

const unpacked = (part) => ({ ...part, tiles: floats(part.components), shares: floats(part.ratio) });

function cumulativePlot(standing, rows, name) {
  const curve = (part, i) => { let sum = 0; return range(9).map((k) => (sum += part.shares[i * 9 + k])); };
  const drawn = range(rows.names.length).filter((i) => !Number.isNaN(rows.shares[i * 9]));
  const chosen = drawn.length <= 40 ? drawn : [...drawn].sort((a, b) => rows.filters[b] - rows.filters[a]).slice(0, 40);
  const distinct = chosen.length <= 8;
  const picture = plot({
    name: `Cumulative explained variance over the number of components, by ${name}`,
    build: () => {
      const lines = chosen.map((i, k) => ({ type: 'scatter', mode: distinct ? 'lines+markers' : 'lines', x: range(9).map((c) => c + 1), y: curve(rows, i), hoverinfo: 'none',
        name: literal(elide(rows.names[i], 26)), opacity: distinct ? 1 : 0.65, line: { width: 1.6, color: PALETTE[k % 8], dash: rows.few[i] ? 'dot' : DASHES[Math.floor(k / 8) % 4] }, marker: { size: 6, symbol: SYMBOLS[k % 8] } }));
      lines.push({ type: 'scatter', mode: 'lines', x: range(9).map((c) => c + 1), y: curve(standing, 0), name: 'the whole store', hoverinfo: 'none', line: { width: 3, color: colour('ink') } });
      return { data: lines, height: narrow() ? 330 + (distinct ? 22 * lines.length : 0) : 380, layout: { showlegend: distinct || !narrow(),
        legend: narrow() ? { orientation: 'h', y: -0.2, font: { size: 11 } } : { font: { size: 11 } },
        xaxis: { label: 'number of components', dtick: 1 }, yaxis: { label: 'cumulative variance', tickformat: '.0%', range: [null, 1.01] } } };
    },
    tip: (point) => { const i = chosen[point.curveNumber]; const title = i === undefined ? 'the whole store' : `${rows.names[i]} (${plural(rows.models[i], 'model')})`; return `${title}\nfirst ${point.x}: ${percent(point.y)} of the variance`; },
  });
  const table = () => windowed({ caption: `Cumulative variance by ${name}`, rows: drawn.length + 1, columns: [{ title: 'group', width: 13, value: (r) => (r ? rows.names[drawn[r - 1]] : 'the whole store') },
    ...range(9).map((k) => ({ title: String(k + 1), width: 4.6, number: true, value: (r) => (r ? curve(rows, drawn[r - 1]) : curve(standing, 0))[k], show: percent })),
    { title: 'agrees with store', width: 8, number: true, value: (r) => (r ? rows.agrees[drawn[r - 1]] : 1), show: (v) => digits(v) }] }).node;
  const cut = chosen.length < drawn.length ? ` The 40 groups of most filters of ${whole(drawn.length)} are drawn; the table has them all.` : '';
  return { node: picture.node, table, cut };
}

function structureSection() {
  const standing = unpacked(report.structure.standing);
  const lead = 'Principal components of the scaled filters: the patterns most filters are mixtures of. A steep curve means few patterns suffice. A group of few models shows those models\u2019 habits, not its kind\u2019s.';
  const empty = { names: [], tiles: new Float32Array(), shares: new Float32Array(), models: [], few: [], separated: [], filters: [], agrees: [] };
  const axes = report.structure.axes.length ? report.structure.axes : [{ axis: 'store', notes: [], ...empty, none: true }];
  return section('structure', 'Structure', lead, tabs('Axis of the structure', axes.map((axis) => spaced(axis.axis)), (i) => {
    const rows = axes[i].none ? axes[i] : unpacked(axes[i]);
    const curves = cumulativePlot(standing, rows, spaced(rows.axis));
    const tiles = card(`Eigenfilters by ${spaced(rows.axis)}`, 'Nine components by falling variance, red positive, blue negative. ~ marks components too near a neighbour in variance to tell apart.', {},
      eigenTable(standing, rows, `Eigenfilters by ${spaced(rows.axis)}`), notes(rows.notes), madeBy('structure'));
    const lines = card(`Cumulative variance by ${spaced(rows.axis)}`, `How much of the variance the first components hold; dotted: fewer than ten filters.${curves.cut}`, {}, curves.node, asTable(curves.table), madeBy('structure'));
    return [withFiles(tiles, `eigenfilters_${i}`), withFiles(lines, `cumulative_${i}`)];
  }));
}
