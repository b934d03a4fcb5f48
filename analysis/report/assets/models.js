// The table of models: search over every column, sort by any, one row's whole record below.
function modelsSection() {
  const { rows, columns } = report.models;
  const of = Object.fromEntries(columns.map((column) => [column.key, column]));
  const wide = { name: 15, task: 9, visual_category: 9, architecture: 9, family: 8, training_dataset: 9, library: 6, license: 8 };
  const shown = ['name', 'task', 'visual_category', 'architecture', 'family', 'training_dataset', 'num_parameters', 'num_filters', 'num_layers_3x3', 'degenerate', 'library', 'license'].filter((key) => of[key]);
  const show = (column) => (value) => (value === null || value === undefined ? '–' : column.words ? value : column.key === 'share_3x3' ? percent(value) : whole(value));
  const panel = el('dl', { class: 'panel', 'aria-live': 'polite' });
  const about = el('div', { hidden: true }, panel);
  const table = windowed({
    caption: 'Models', rows, sort: { column: 0, down: false },
    columns: shown.map((key) => ({ title: of[key].title, width: wide[key] || 7, number: !of[key].words, value: (row) => valueOf(of[key], row), show: show(of[key]) })),
    pick: (row) => {
      about.hidden = false;
      panel.replaceChildren(...columns.filter((column) => valueOf(column, row) !== null).flatMap((column) => [el('dt', {}, column.title), el('dd', {}, show(column)(valueOf(column, row)))]));
    },
  });
  // What a search looks through is made once, at the first search.
  let texts = null;
  const find = later(() => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    texts = texts || range(rows).map((row) => columns.filter((c) => c.words).map((c) => valueOf(c, row) ?? '').join('\n').toLowerCase());
    table.keep(range(rows).filter((row) => words.every((word) => texts[row].includes(word))));
  }, 80);
  const search = el('input', { type: 'search', id: 'model-search', placeholder: 'name, task, data set, license …', size: 34, on: { input: find } });
  return section('models', 'Models', 'Every model that takes part. Choose a row for all that is known about it; names and cards are quoted as they are.',
    el('section', { class: 'card' }, el('div', { class: 'controls' }, field('Search models', search)), table.node, about));
}

function provenanceSection() {
  const { provenance, drift, settings } = report;
  const titles = { report: 'This page', shift: 'Drift matrices and box plots', structure: 'Eigenfilters, cumulative variance, disagreement', quality: 'Quality and degenerate layers' };
  const facts = [['Store', report.store], ['Made', report.made_at], ['Condition', settings.where || 'none: all layers of all models'], ...Object.entries(provenance.settings)];
  if (drift.basis) facts.push(['Basis', `${drift.basis.digest}, of ${plural(drift.basis.filters, 'filter')}; ${drift.basis.bins} bins from ${digits(drift.basis.low, 5)} to ${digits(drift.basis.high, 5)}`], ['Explained variance', drift.basis.ratio.map((v) => percent(v)).join(' · ')]);
  facts.push(['Sketch', provenance.sketch], ['Versions', versionsLine()]);
  return section('provenance', 'How it was made', 'The commands below give the same numbers again; every figure names its own.',
    el('section', { class: 'card' }, Object.entries(titles).map(([key, title]) => [el('h3', { style: { marginTop: '.7rem' } }, title), el('pre', {}, provenance.commands[key])]),
      el('dl', { class: 'panel' }, facts.filter(([, value]) => value).flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, String(value))]))));
}
