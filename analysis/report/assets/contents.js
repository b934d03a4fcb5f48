// What is in the store.
function contentsSection() {
  const { contents } = report;
  const cards = contents.counts.map(countCard);
  const wide = cards.slice(0, 3);
  const rest = cards.slice(3);
  return section('contents', 'What is in it',
    'How many models of each kind take part. Unknown is unknown: nothing was guessed.',
    el('div', { class: 'grid' }, wide),
    rest.length ? el('details', {}, el('summary', {}, `${plural(rest.length, 'more property')}: ${contents.counts.slice(3).map((c) => c.title.toLowerCase()).join(', ')}`),
      el('div', { class: 'grid', style: { marginTop: '.8rem' } }, rest)) : null,
    rejectsCard(contents.rejects),
    el('section', {}, files('contents')));
}

const MOST_COUNTS = 12;
function countCard(counts) {
  const body = el('tbody');
  const most = Math.max(...counts.models, counts.unknown);
  const line = (name, models, filters, vague) => el('tr', {},
    el('th', { scope: 'row', class: vague ? 'vague' : null, title: name }, name),
    el('td', { class: 'length', 'aria-hidden': 'true' }, el('span', { style: { width: `${(100 * models) / most}%` } })),
    el('td', { class: 'number', title: filters === null ? null : plural(filters, 'filter') }, whole(models)));
  function fill(number) {
    body.replaceChildren(...range(Math.min(number, counts.names.length)).map((i) => line(counts.names[i], counts.models[i], counts.filters[i])),
      ...(counts.unknown ? [line('not known', counts.unknown, null, true)] : []));
  }
  fill(MOST_COUNTS);
  const hidden = counts.names.length - MOST_COUNTS;
  const table = el('table', { class: 'counts' }, el('caption', {}, `models by ${counts.title.toLowerCase()}`),
    el('colgroup', {}, el('col'), el('col', { style: { width: '34%' } }), el('col', { style: { width: '3.6rem' } })), body);
  const full = () => windowed({ caption: `Models by ${counts.title.toLowerCase()}`, rows: counts.names.length, sort: { column: 1, down: true }, columns: [
    { title: counts.title, width: 12, value: (i) => counts.names[i] },
    { title: 'models', width: 5, number: true, value: (i) => counts.models[i], show: whole },
    { title: 'filters', width: 7, number: true, value: (i) => counts.filters[i], show: whole }] }).node;
  return card(counts.title, null, {}, table, asTable(full, hidden > 0 ? `All ${whole(counts.names.length)}, with filters` : 'With filters'));
}

function rejectsCard(rejects) {
  if (!rejects.length) return card('Skipped and failed', 'No listed model was skipped, none failed.', {});
  const often = new Map();
  for (const each of rejects) often.set(`${each.kind}: ${each.reason}`, (often.get(`${each.kind}: ${each.reason}`) || 0) + 1);
  const said = [...often].sort((a, b) => b[1] - a[1]).map(([what, n]) => `${what} (${whole(n)})`).join(' · ');
  const table = windowed({ caption: 'Models left out', rows: rejects.length, columns: [
    { title: 'name', width: 13, value: (i) => rejects[i].name }, { title: 'what', width: 5, value: (i) => rejects[i].kind },
    { title: 'reason', width: 9, value: (i) => rejects[i].reason }, { title: 'message', width: 30, value: (i) => rejects[i].message },
    { title: 'place', width: 18, value: (i) => rejects[i].place }] });
  return card('Skipped and failed', `Models that were listed and hold nothing to extract, or could not be extracted. ${said}`, {}, table.node);
}
