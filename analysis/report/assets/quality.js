// The quality of layers: boxes by group, entropy against size, trends over depth, degenerate layers.
const KINDS = { random: ['#D55E00', 'triangle-up'], collapsed: ['#9b6bbf', 'triangle-down'], 'all zero': ['#7f7f7f', 'x'] };
const asBox = (stats) => ({ low: stats.q05, q1: stats.q25, median: stats.median, q3: stats.q75, high: stats.q95, mean: stats.mean });

function metricPicture(title, names, metricsOf, aboutRow) {
  const { metrics } = report.quality;
  const state = { metric: metrics[0] };
  const stats = () => asBox(metricsOf[state.metric.key]);
  const picture = plot({
    name: title,
    build: () => boxes({ names, stats: stats(), line: state.metric.line, log: state.metric.log, unit: state.metric.title }),
    tip: (point) => {
      const i = point.curveNumber === 1 ? point.customdata : names.length - 1 - Math.round(point.y);
      const s = stats();
      return names[i] === undefined ? null : `${names[i]}: ${aboutRow(i)}\n${state.metric.title}: median ${digits(s.median[i])}, mean ${digits(s.mean[i])}\nhalf between ${digits(s.q1[i])} and ${digits(s.q3[i])}, 90 % between ${digits(s.low[i])} and ${digits(s.high[i])}`;
    },
  });
  const table = asTable(() => boxTable(`${title}: ${state.metric.title}`, 'group', names, stats()));
  const dashed = el('p', { class: 'where' });
  const name = () => { dashed.textContent = state.metric.line ? `dashed: ${state.metric.line.name}` : ''; };
  name();
  const control = el('div', { class: 'controls' }, select('Metric', metrics.map((m) => [m.key, m.title]), state.metric.key, (key) => {
    state.metric = metrics.find((m) => m.key === key);
    name();
    picture.draw();
    table.refresh();
  }));
  return [control, picture.node, dashed, table];
}

function groupQuality(axis, i) {
  const bad = (k) => Object.entries(axis.degenerate).filter(([, n]) => n[k]).map(([kind, n]) => `${n[k]} ${kind}`).join(', ');
  const order = range(axis.names.length).sort((a, b) => axis.layers[b] - axis.layers[a]);
  const shown = axis.names.length <= MOST_BOXES ? range(axis.names.length) : order.slice(0, MOST_BOXES).sort((a, b) => a - b);
  const picked = Object.fromEntries(Object.entries(axis.metrics).map(([key, stats]) => [key, Object.fromEntries(Object.entries(stats).map(([s, list]) => [s, shown.map((k) => list[k])]))]));
  const cut = shown.length < axis.names.length ? ` The ${MOST_BOXES} groups of most layers of ${whole(axis.names.length)} are drawn.` : '';
  const node = card(`Layer quality by ${spaced(axis.axis)}`, `Box: quartiles over ${report.quality.weight}; whiskers: 5 % and 95 %; diamond: mean.${cut}`, {},
    metricPicture(`Layer quality by ${spaced(axis.axis)}`, shown.map((k) => axis.names[k]), picked, (k) => `${plural(axis.models[shown[k]], 'model')}, ${plural(axis.layers[shown[k]], 'layer')}${bad(shown[k]) ? `, degenerate: ${bad(shown[k])}` : ''}`),
    madeBy('quality'));
  return withFiles(node, `quality_${i}`);
}

function sizePicture() {
  const { size } = report.quality;
  const lines = () => [0, size.margin].map((less, k) => ({ type: 'scatter', mode: 'lines', x: size.curve.x, y: size.curve.y.map((v) => v - less), hoverinfo: 'none', name: k ? 'T(n) − 0.02' : 'T(n): random filters', line: { color: colour('alarm'), width: k ? 1.2 : 2, dash: k ? 'dash' : 'solid' } }));
  const frame = { xaxis: { label: 'log₂ n, number of filters of the layer', range: [-0.2, size.curve.x[size.curve.x.length - 1]] }, yaxis: { label: 'variance entropy', range: [-0.03, 1.02] }, showlegend: !narrow(), legend: { x: 0.01, y: 0.99, bgcolor: 'rgba(0,0,0,0)', font: { size: 11 } } };
  if (size.grid) {
    const g = size.grid;
    const picture = plot({
      name: 'Variance entropy against the number of filters, layers counted in a grid',
      build: () => ({ height: 400, layout: frame, data: [{ type: 'heatmap', x: g.x, y: g.y, z: g.counts.map((row) => row.map((n) => (n ? Math.log10(n) : null))), colorscale: scale(), zmin: 0, hoverinfo: 'none',
        colorbar: { thickness: 12, outlinewidth: 0, title: { text: 'layers', side: 'right' }, tickvals: range(7), ticktext: range(7).map((k) => whole(10 ** k)), tickfont: { color: colour('soft') } } }, ...lines()] }),
      tip: (point) => {
        if (point.curveNumber) return null;
        const [r, c] = point.pointIndex;
        return g.counts[r][c] ? `${plural(g.counts[r][c], 'layer')}${g.degenerate[r][c] ? `, ${whole(g.degenerate[r][c])} degenerate` : ''}\nabout ${whole(Math.round(2 ** g.x[c]))} filters, entropy about ${digits(g.y[r], 2)}` : null;
      },
    });
    const filled = g.counts.flatMap((row, r) => row.map((n, c) => [r, c, n])).filter(([, , n]) => n);
    return [picture.node, asTable(() => windowed({ caption: 'Layers by size and entropy', rows: filled.length, rowName: 0, columns: [
      { title: 'filters, about', width: 8, number: true, value: (i) => Math.round(2 ** g.x[filled[i][1]]), show: whole }, { title: 'entropy, about', width: 8, number: true, value: (i) => g.y[filled[i][0]], show: (v) => digits(v, 2) },
      { title: 'layers', width: 6, number: true, value: (i) => filled[i][2], show: whole }, { title: 'degenerate', width: 6, number: true, value: (i) => g.degenerate[filled[i][0]][filled[i][1]], show: whole }] }).node)];
  }
  const d = size.dots;
  const [x, y] = [floats(d.x), floats(d.y)];
  const kinds = [null, ...Object.keys(KINDS)];
  const parts = kinds.map((kind) => range(x.length).filter((i) => valueOf(d.kind, i) === kind)).map((rows, k) => ({ kind: kinds[k], rows })).filter((part) => part.rows.length);
  const picture = plot({
    name: `Variance entropy of ${plural(x.length, 'layer')} against the number of their filters`,
    build: () => ({ height: 400, layout: frame, data: [...parts.map(({ kind, rows }) => ({ type: 'scatter', mode: 'markers', x: rows.map((i) => x[i]), y: rows.map((i) => y[i]), hoverinfo: 'none', name: kind || 'layers',
      marker: kind ? { color: KINDS[kind][0], symbol: KINDS[kind][1], size: 8, opacity: 0.9 } : { color: colour('accent'), size: rows.length > 1000 ? 4 : 6, opacity: rows.length > 1000 ? 0.3 : 0.55 } })), ...lines()] }),
    tip: (point) => { const part = parts[point.curveNumber]; if (!part) return null; const i = part.rows[point.pointIndex]; return `${valueOf(d.model, i)}\n${valueOf(d.layer, i)}\n${plural(d.filters[i], 'filter')}, entropy ${digits(y[i])}${part.kind ? `, ${part.kind}` : ''}`; },
  });
  return [picture.node, asTable(() => windowed({ caption: 'Layers', rows: x.length, columns: [{ title: 'model', width: 12, value: (i) => valueOf(d.model, i) }, { title: 'layer', width: 14, value: (i) => valueOf(d.layer, i) },
    { title: 'filters', width: 6, number: true, value: (i) => d.filters[i], show: whole }, { title: 'entropy', width: 6, number: true, value: (i) => y[i], show: (v) => digits(v) }, { title: 'degenerate', width: 7, value: (i) => valueOf(d.kind, i) }] }).node)];
}

function degenerateCard() {
  const d = report.quality.degenerate;
  const said = Object.entries(report.quality.kinds).map(([kind, n]) => `${whole(n)} ${kind}`).join(', ');
  const about = `Layers that look untrained (entropy within 0.02 of that of random filters), that collapsed (entropy under 0.5 with 14 % or more sparse filters), or hold only zeros: ${said}.`;
  if (!d.rows) return card('Degenerate layers', about, {});
  const number = (title, key) => ({ title, width: 6.5, number: true, value: (i) => d[key][i], show: (v) => digits(v) });
  return card('Degenerate layers', about, {}, windowed({ caption: 'Degenerate layers', rows: d.rows, rowName: 1, columns: [{ title: 'what', width: 6, value: (i) => valueOf(d.kind, i) }, { title: 'model', width: 12, value: (i) => valueOf(d.model, i) },
    { title: 'layer', width: 14, value: (i) => valueOf(d.layer, i) }, { ...number('filters', 'num_filters'), show: whole }, number('entropy', 'variance_entropy'), number('T(n)', 'random_threshold'), number('sparsity', 'sparsity'), number('depth', 'conv_depth_norm')] }).node, madeBy('quality'));
}

function qualitySection() {
  const { quality } = report;
  const lead = 'Measured per layer when it was extracted: how many filters do next to nothing (sparsity), how varied they are (variance entropy, against that of random filters), how independent the output channels are (orthogonality). They describe weights, not accuracy.';
  return section('quality', 'Quality', lead,
    quality.axes.length ? tabs('Axis of the quality', quality.axes.map((axis) => spaced(axis.axis)), (i) => groupQuality(quality.axes[i], i)) : null,
    withFiles(card('Entropy and size', 'Small layers cannot be varied, whatever they learned: each layer is to be read against the curve of random filters for its size.', {}, sizePicture(), madeBy('quality')), 'entropy_by_size'),
    withFiles(card('Over depth', 'Layers by tenths of their network\u2019s depth, 0 the stem; every layer counts the same, so deep networks count more.', {},
      metricPicture('Layer quality over depth', quality.depth.names, quality.depth.metrics, (i) => plural(quality.depth.layers[i], 'layer')), madeBy('quality')), 'quality_by_depth'),
    degenerateCard());
}
