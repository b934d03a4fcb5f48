// Box plots of drift: one box per axis, and one per group of an axis.
function quartiles(values) {
  const sorted = Float64Array.from(values).sort();
  const at = (q) => { const p = (sorted.length - 1) * q; const i = Math.floor(p); return sorted[i] + (p - i) * ((sorted[i + 1] ?? sorted[i]) - sorted[i]); };
  const [q1, median, q3] = [at(0.25), at(0.5), at(0.75)];
  const reach = 1.5 * (q3 - q1);
  const inside = sorted.filter((v) => v >= q1 - reach && v <= q3 + reach);
  return { q1, median, q3, low: inside[0] ?? q1, high: inside[inside.length - 1] ?? q3, mean: sorted.reduce((s, v) => s + v, 0) / sorted.length };
}

const columnsOf = (rows) => Object.fromEntries(['low', 'q1', 'median', 'q3', 'high', 'mean'].map((key) => [key, rows.map((row) => row[key])]));

function boxTable(caption, first, names, stats, more) {
  return windowed({ caption, rows: names.length, columns: [{ title: first, width: 14, value: (i) => names[i] }, ...(more || []),
    ...Object.entries({ low: 'low', q1: 'quartile 1', median: 'median', q3: 'quartile 3', high: 'high', mean: 'mean' })
      .map(([key, title]) => ({ title, width: 6, number: true, value: (i) => stats[key][i], show: (v) => digits(v) }))] }).node;
}

function axisBoxes() {
  const rows = report.drift.boxes;
  if (!rows.length) return null;
  const stats = columnsOf(rows);
  const names = rows.map((row) => spaced(row.axis));
  const pairsOf = rows.map((row) => { const axis = report.axes.find((each) => each.axis === row.axis); return { axis, pairs: new Pairs(axis.drift, axis.groups.names.length, 0) }; });
  const far = rows.flatMap((row, i) => row.outliers.a.map((a, k) => ({ row: i, a, b: row.outliers.b[k], value: pairsOf[i].pairs.at(a, row.outliers.b[k]) })));
  const picture = plot({
    name: `Box plots of the drift between groups, one per axis: ${rows.map((r) => `${r.axis} median ${digits(r.median)}`).join(', ')}`,
    build: () => boxes({ names, stats, unit: 'drift D', extra: [{ type: 'scatter', mode: 'markers', hoverinfo: 'none', x: far.map((f) => f.value), y: far.map((f) => rows.length - 1 - f.row), customdata: far.map((_, i) => i), marker: { size: 5, color: colour('accent'), opacity: 0.6 } }] }),
    tip: (point) => {
      if (point.curveNumber === 2) { const f = far[point.pointIndex]; const g = pairsOf[f.row].axis.groups.names; return `${g[f.a]}  ↔  ${g[f.b]}\ndrift ${digits(f.value)}`; }
      const row = rows[point.curveNumber === 1 ? point.customdata : rows.length - 1 - Math.round(point.y)];
      return row ? `${names[rows.indexOf(row)]}: ${plural(row.number, 'pair')}\nmedian ${digits(row.median)}, half between ${digits(row.q1)} and ${digits(row.q3)}\nmean ${digits(row.mean)}` : null;
    },
  });
  const node = card('Which axis separates filters most?', 'All pairs of groups of each axis: box and line are quartiles and median, whiskers reach 1.5 box lengths, dots are pairs beyond, the diamond is the mean. Axes with many small groups look farther apart: small groups differ by chance too.', {},
    picture.node, asTable(() => boxTable('Drift by axis', 'axis', names, stats, [{ title: 'pairs', width: 5, number: true, value: (i) => rows[i].number, show: whole }])), madeBy('shift'));
  return withFiles(node, 'drift_boxes');
}

const MOST_BOXES = 60;
function groupBoxes(axis) {
  const number = axis.groups.names.length;
  if (number < 3) return null;
  const pairs = new Pairs(axis.drift, number, 0);
  const rows = range(number).map((i) => ({ i, ...quartiles(range(number).filter((j) => j !== i).map((j) => pairs.at(i, j))) })).sort((a, b) => b.median - a.median);
  const shown = rows.length <= MOST_BOXES ? rows : [...rows.slice(0, MOST_BOXES / 2), ...rows.slice(-MOST_BOXES / 2)];
  const names = (list) => list.map((row) => `${axis.groups.names[row.i]}${axis.groups.few[row.i] ? ' †' : ''}`);
  const picture = plot({
    name: `Box plots of each group's drift to all others, by ${spaced(axis.axis)}; farthest: ${axis.groups.names[rows[0].i]}`,
    build: () => boxes({ names: names(shown), stats: columnsOf(shown), unit: 'drift D to the other groups' }),
    tip: (point) => {
      const row = shown[point.curveNumber === 1 ? point.customdata : shown.length - 1 - Math.round(point.y)];
      return row ? `${axis.groups.names[row.i]}: ${plural(axis.groups.models[row.i], 'model')}\nmedian ${digits(row.median)}, half between ${digits(row.q1)} and ${digits(row.q3)}` : null;
    },
  });
  const cut = shown.length < rows.length ? ` The ${MOST_BOXES / 2} farthest and nearest of ${whole(rows.length)} groups are drawn.` : '';
  const dagger = axis.groups.few.some(Boolean) ? ` † fewer than ${report.settings.min_models} models.` : '';
  const node = card(`Which group by ${spaced(axis.axis)} stands out?`, `Each group's drift to all others, the farthest on top.${cut}${dagger}`, {}, picture.node,
    asTable(() => boxTable(`Drift of each group by ${spaced(axis.axis)}`, spaced(axis.axis), names(rows), columnsOf(rows), [{ title: 'models', width: 5, number: true, value: (i) => axis.groups.models[rows[i].i], show: whole }])), madeBy('shift'));
  return withFiles(node, `drift_groups_${report.axes.indexOf(axis)}`);
}

function driftSection() {
  const left = report.contents.left_out.map((each) => el('p', { class: 'warn' }, each.reason));
  const lead = `Every filter is scaled to a largest weight of 1 and written in the store\u2019s nine principal components; drift D compares two groups\u2019 histograms of these coefficients (${report.settings.divergence}). It says that distributions differ, not why.`;
  if (!report.axes.length) return section('drift', 'Drift', lead, left);
  return section('drift', 'Drift', lead, left, axisBoxes(),
    tabs('Axis of the drift matrix', report.axes.map((axis) => spaced(axis.axis)), (i) => [matrixCard(report.axes[i]), groupBoxes(report.axes[i])].filter(Boolean)));
}
