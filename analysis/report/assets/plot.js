// plotly in the colours of the page, drawn when it comes into view, again when the theme or the width changes.
const plots = new Set();
const PALETTE = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#56B4E9', '#E69F00', '#7A4B9A', '#7F6A4F']; // Okabe & Ito
const DASHES = ['solid', 'dash', 'dot', 'dashdot'];
const SYMBOLS = ['circle', 'square', 'diamond', 'triangle-up', 'triangle-down', 'cross', 'x', 'star'];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const isDark = () => {
  const set = document.documentElement.dataset.theme;
  return set ? set === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
};

// magma cut before its ends: light is alike by day, dark is alike by night; even steps, readable in grey.
const MAGMA = ['#fcfdbf', '#fed395', '#fea973', '#fa7d5e', '#e95462', '#c83e73', '#a3307e', '#7e2482', '#59157e', '#331067', '#120d31'];
function scale() {
  const stops = isDark() ? [...MAGMA].reverse() : MAGMA;
  return stops.map((stop, i) => [i / (stops.length - 1), stop]);
}

function layout(more) {
  const ink = colour('ink');
  const axis = { color: colour('soft'), gridcolor: colour('rule'), linecolor: colour('rule'), zeroline: false, automargin: true,
    fixedrange: true, tickfont: { size: narrow() ? 10 : 12 }, title: { standoff: 8, font: { size: 12 } } };
  const found = { paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', dragmode: false, hovermode: 'closest',
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: ink }, showlegend: false,
    margin: { l: 8, r: 12, t: 8, b: 8 }, ...more };
  for (const name of ['xaxis', 'yaxis', 'xaxis2', 'yaxis2']) {
    if (found[name]) found[name] = { ...axis, ...found[name], title: { ...axis.title, text: found[name].label || '' } };
  }
  return found;
}

// build() gives {data, layout, height}; tip(event) the lines that a pointer, a finger or the readout shows.
function plot({ name, build, tip, ready, keys }) {
  const node = el('div', { class: 'plot', role: 'img', 'aria-label': name, tabindex: keys ? 0 : null });
  const self = { node, seen: false, width: 0, drawn: Promise.resolve(), draw, last: null };
  function draw() {
    if (!self.seen || !node.isConnected) return self.drawn;
    const made = build();
    self.width = node.clientWidth;
    node.style.minHeight = `${made.height}px`;
    const shown = { ...layout(made.layout), height: made.height, width: made.width || node.clientWidth };
    self.drawn = self.drawn.then(() => Plotly.react(node, made.data, shown, { displayModeBar: false, responsive: false }))
      .then(() => {
        if (self.bound) return;
        self.bound = true;
        node.on('plotly_hover', (event) => {
          const found = tip ? tip(event.points[0], event) : null;
          if (found) pointAt(event.event, found.tip || found);
        });
        node.on('plotly_unhover', () => { tooltip.hidden = true; });
        if (ready) ready(node);
      });
    return self.drawn;
  }
  if (keys) node.addEventListener('keydown', keys);
  plots.add(self);
  watcher.observe(node);
  return self;
}

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    const found = [...plots].find((each) => each.node === entry.target);
    if (found && !found.seen) { found.seen = true; found.draw(); }
  }
}, { rootMargin: '300px' });

function redraw() {
  for (const each of plots) if (each.node.isConnected && each.seen && each.node.clientWidth !== each.width) each.draw();
}
function repaint() { for (const each of plots) each.draw(); }

addEventListener('resize', later(redraw, 150));

const tooltip = document.getElementById('tip');
function pointAt(event, text) {
  tooltip.textContent = text;
  tooltip.hidden = false;
  const { clientX: x, clientY: y } = event.touches ? event.touches[0] : event;
  const { width, height } = tooltip.getBoundingClientRect();
  tooltip.style.left = `${Math.max(6, Math.min(x + 14, document.documentElement.clientWidth - width - 8))}px`;
  tooltip.style.top = `${y + 18 + height > window.innerHeight ? Math.max(4, y - height - 12) : y + 18}px`;
}
addEventListener('scroll', () => { tooltip.hidden = true; }, { passive: true });

// Horizontal boxes from five numbers a row; the page never holds the values themselves.
function boxes({ names, stats, line, log, unit, extra }) {
  const width = narrow() ? 16 : 34;
  const at = range(names.length).filter((i) => stats.median[i] !== null);
  const of = (key) => at.map((i) => stats[key][i]);
  const y = at.map((i) => names.length - 1 - i);
  const data = [{ type: 'box', orientation: 'h', y, q1: of('q1'), median: of('median'), q3: of('q3'), lowerfence: of('low'),
    upperfence: of('high'), mean: of('mean'), boxmean: false, width: 0.58, hoverinfo: 'none', fillcolor: colour('box'),
    line: { color: colour('accent'), width: 1.3 }, whiskerwidth: 0.4 },
  { type: 'scatter', mode: 'markers', x: of('mean'), y, hoverinfo: 'none', customdata: at,
    marker: { symbol: 'diamond', size: 6, color: colour('ink') } }, ...(extra || [])];
  const shapes = line ? [{ type: 'line', x0: line.at, x1: line.at, yref: 'paper', y0: 0, y1: 1, line: { color: colour('alarm'), width: 1.2, dash: 'dash' } }] : [];
  return {
    data, height: Math.max(150, 60 + Math.max(22, Math.min(34, 900 / names.length)) * names.length),
    layout: {
      shapes, xaxis: { label: unit, type: log ? 'log' : 'linear', dtick: log ? 1 : null },
      yaxis: { tickvals: range(names.length).map((i) => names.length - 1 - i), ticktext: names.map((n) => literal(elide(n, width))),
        range: [-0.6, names.length - 0.4], showgrid: false },
    },
  };
}
