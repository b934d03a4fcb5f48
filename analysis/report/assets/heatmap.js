// A square of coloured cells as SVG: labels, values, strokes over cells to beware of, a colour bar, a cursor.

// magma cut before its ends: light is alike by day, dark is alike by night; even steps, readable in grey.
const MAGMA = ['#fcfdbf', '#fed395', '#fea973', '#fa7d5e', '#e95462', '#c83e73', '#a3307e', '#7e2482', '#59157e', '#331067', '#120d31']
  .map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
const SHADES = 128;

function shade(share) {
  const t = Math.max(0, Math.min(1, isDark() ? 1 - share : share)) * (MAGMA.length - 1);
  const i = Math.min(MAGMA.length - 2, Math.floor(t));
  return MAGMA[i].map((c, k) => Math.round(c + (t - i) * (MAGMA[i + 1][k] - c)));
}

// Marks of a scale: 4 to 8 round numbers from 0 to the largest.
function marks(top) {
  const size = 10 ** Math.floor(Math.log10(top / 4));
  const step = [1, 2, 5, 10].map((k) => k * size).find((each) => top / each <= 8);
  return range(Math.floor(top / step + 1e-9) + 1).map((k) => k * step);
}

const pen = document.createElement('canvas').getContext('2d');
function widest(texts, size) {
  pen.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
  return Math.max(0, ...texts.map((text) => pen.measureText(text).width));
}

// values: (n, n) with null for what is not shown; flagged(row, column); marked(row, column): shift has a dot, no shift a
// ring in the corner; wide: room in pixels. Gives the node, the cell
// under an event, and a way to put the cursor.
function heatmap({ values, labels, top, title, flagged, marked, wide }) {
  const n = labels.length;
  const small = narrow() || wide < 560;
  const room = Math.min(wide * 0.45, widest(labels, 12));
  const side = Math.max(small ? 60 : wide * 0.45, Math.min(wide - room - (small ? 24 : 150), Math.max(n * 46, small ? 320 : 240), 760));
  const cell = side / Math.max(1, n);
  const size = Math.max(7, Math.min(12, cell * 0.8));
  const longest = widest(labels, size);
  const [left, slant] = [Math.min(room, longest) + 8, n > 10 || small ? 60 : 38];
  const head = longest * Math.sin((slant * Math.PI) / 180) + size + 6;
  const lean = longest * Math.cos((slant * Math.PI) / 180) - cell / 2;
  const at = (k) => left + (k + 0.5) * cell;
  const down = (k) => head + (k + 0.5) * cell;
  const gap = n > 60 ? 0 : n > 24 ? 1 : 2;
  const parts = [];

  const paths = new Map();
  values.forEach((row, i) => row.forEach((value, j) => {
    if (value === null) return;
    const key = Math.round((value / (top || 1)) * SHADES);
    const [x, y, s] = [left + j * cell, head + i * cell, cell - gap].map((v) => v.toFixed(2));
    paths.set(key, `${paths.get(key) || ''}M${x} ${y}h${s}v${s}h-${s}z`);
  }));
  for (const [key, d] of paths) parts.push(drawn('path', { d, fill: `rgb(${shade(key / SHADES)})`, 'shape-rendering': 'crispEdges' }));

  const decimals = top > 0 ? Math.min(5, Math.max(2, 2 - Math.floor(Math.log10(top)))) : 2;
  if (cell > 7.5 * (decimals + 2) + 6) {
    values.forEach((row, i) => row.forEach((value, j) => {
      if (value === null) return;
      const [r, g, b] = shade(value / (top || 1));
      const light = 0.2126 * r + 0.7152 * g + 0.0722 * b > 115;
      parts.push(drawn('text', { x: at(j), y: down(i) + 4, 'text-anchor': 'middle', 'font-size': 12, fill: light ? '#1d1f23' : '#fff' }, value ? value.toFixed(decimals) : '0'));
    }));
  }
  // In a corner where a value is written: two lines in all, dark on light, so that they show on every colour of the scale.
  let strokes = '';
  values.forEach((row, i) => row.forEach((value, j) => {
    if (value === null || !flagged(i, j)) return;
    for (const [from, to] of n <= 20 ? [[0.12, 0.46], [0.29, 0.46]] : [[-0.4, 0.4]]) {
      const [a, b] = [from * cell, to * cell];
      strokes += `M${(at(j) + a).toFixed(1)} ${(down(i) + b).toFixed(1)}L${(at(j) + b).toFixed(1)} ${(down(i) + a).toFixed(1)}`;
    }
  }));
  const thin = n > 24;
  for (const [width, stroke] of [[thin ? 1.6 : 3, 'rgba(255,255,255,.75)'], [thin ? 0.7 : 1.2, 'rgba(0,0,0,.8)']]) {
    if (strokes) parts.push(drawn('path', { class: 'strokes', d: strokes, fill: 'none', stroke, 'stroke-width': width }));
  }

  values.forEach((row, i) => row.forEach((value, j) => {
    const mark = value === null ? '' : marked(i, j);
    if (mark !== 'shift' && mark !== 'no shift') return;
    const place = { cx: at(j) + 0.36 * cell, cy: down(i) - 0.36 * cell, r: Math.max(1.2, Math.min(4, 0.09 * cell)) };
    parts.push(drawn('circle', { ...place, fill: 'none', stroke: '#fff', 'stroke-width': 2.5 }), drawn('circle', { class: mark.replace(' ', '-'), ...place, fill: mark === 'shift' ? '#1d1f23' : 'none', stroke: '#1d1f23' }));
  }));

  const every = Math.max(1, Math.ceil((size * 1.15) / cell));
  labels.forEach((label, k) => {
    if (k % every) return;
    parts.push(drawn('text', { class: 'row', x: left - 6, y: down(k) + size * 0.36, 'text-anchor': 'end', 'font-size': size }, label),
      drawn('text', { 'font-size': size, transform: `translate(${at(k) + size * 0.3} ${head - 5}) rotate(-${slant})` }, label));
  });

  // The colour bar: at the right, below on a phone.
  const id = nextId('scale');
  const turned = small ? { x1: 0, x2: 1, y1: 0, y2: 0 } : { x1: 0, x2: 0, y1: 1, y2: 0 };
  const x = small ? left : left + side + Math.max(24, lean + 12);
  const y = small ? head + side + 26 : head;
  parts.push(drawn('linearGradient', { id, ...turned }, range(11).map((k) => drawn('stop', { offset: k / 10, 'stop-color': `rgb(${shade(k / 10)})` }))),
    drawn('rect', { x, y, width: small ? side : 12, height: small ? 12 : side, fill: `url(#${id})` }));
  for (const mark of top > 0 ? marks(top) : [0]) {
    const share = top > 0 ? mark / top : 0;
    parts.push(small ? drawn('text', { x: x + share * side, y: y + 26, 'text-anchor': 'middle', 'font-size': 10 }, digits(mark))
      : drawn('text', { x: x + 18, y: y + side * (1 - share) + 4, 'font-size': 11 }, digits(mark)));
  }
  parts.push(small ? drawn('text', { x, y: y - 6, 'font-size': 11 }, title)
    : drawn('text', { 'font-size': 12, 'text-anchor': 'middle', transform: `translate(${x + 58} ${y + side / 2}) rotate(-90)` }, title));

  const cursor = drawn('rect', { class: 'cursor', width: cell, height: cell, fill: 'none', visibility: 'hidden' });
  const width = Math.max(x + (small ? side + 12 : 70), left + side + lean + 12);
  const height = head + side + (small ? 62 : 12);
  const node = drawn('svg', { class: 'heatmap', width, height, viewBox: `0 0 ${width} ${height}` }, parts, cursor);
  return {
    node,
    at(event) {
      const box = node.getBoundingClientRect();
      const [row, column] = [((event.clientY - box.top) * height) / box.height - head, ((event.clientX - box.left) * width) / box.width - left].map((v) => Math.floor(v / cell));
      return row >= 0 && column >= 0 && row < n && column < n ? [row, column] : null;
    },
    mark([row, column]) { filled(cursor, { x: left + column * cell, y: head + row * cell, visibility: 'visible' }, []); },
  };
}
