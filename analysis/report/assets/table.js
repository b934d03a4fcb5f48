// A real table of any length: only the rows in view exist, between two rows that hold the rest of the height.
//   columns: [{title, width (rem), number, value: (row) => …, text: (row) => …}], sort: number of the column, or −1
const ROW = 32;
const OVERSCAN = 8;

function windowed({ caption, columns, rows, sort, pick }) {
  const state = { order: range(rows), all: range(rows), column: sort, down: sort >= 0 && columns[sort].number, picked: -1 };
  const body = el('tbody');
  const heads = columns.map((column, i) => el('th', { scope: 'col', class: column.number ? 'number' : null, 'aria-sort': 'none' },
    el('button', { type: 'button', on: { click: () => by(i) } }, column.title)));
  const label = el('caption', {}, caption);
  const wide = columns.reduce((sum, column) => sum + column.width, 0);
  const table = el('table', { class: 'windowed', style: { minWidth: `${wide}rem` } }, label,
    el('colgroup', {}, columns.map((column) => el('col', { style: { width: `${(100 * column.width) / wide}%` } }))),
    el('thead', {}, el('tr', {}, heads)), body);
  const box = el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption }, table);
  let shownFrom = -1;
  let shownTo = -1;

  function line(row, at) {
    const cells = columns.map((column, i) => {
      const text = column.text(row);
      const tag = i ? 'td' : 'th';
      return el(tag, { scope: tag === 'th' ? 'row' : null, class: column.number ? 'number' : null,
        title: text.length > 18 && !column.number ? text : null }, text);
    });
    return el('tr', { 'aria-rowindex': at + 2, class: pick ? 'pick' : null, 'aria-selected': pick ? row === state.picked : null,
      tabindex: pick ? 0 : null, 'data-row': row,
      on: pick ? { click: () => chosen(row), keydown: (e) => { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); chosen(row); } } } : null,
    }, cells);
  }
  function chosen(row) {
    state.picked = row;
    for (const each of body.querySelectorAll('tr[data-row]')) each.setAttribute('aria-selected', Number(each.dataset.row) === row);
    pick(row);
  }
  function render(force, all) {
    const high = box.clientHeight || 432;
    const from = all ? 0 : Math.max(0, Math.floor(box.scrollTop / ROW) - OVERSCAN);
    const to = all ? state.order.length : Math.min(state.order.length, Math.ceil((box.scrollTop + high) / ROW) + OVERSCAN);
    if (!force && from === shownFrom && to === shownTo) return;
    const kept = document.activeElement && body.contains(document.activeElement) ? document.activeElement.dataset.row : null;
    shownFrom = from;
    shownTo = to;
    const space = (n) => el('tr', { class: 'space', 'aria-hidden': 'true' },
      el('td', { colspan: columns.length, style: { height: `${n * ROW}px` } }));
    body.replaceChildren(...(from ? [space(from)] : []), ...range(to - from).map((i) => line(state.order[from + i], from + i)),
      ...(to < state.order.length ? [space(state.order.length - to)] : []));
    if (kept !== null) body.querySelector(`tr[data-row="${kept}"]`)?.focus({ preventScroll: true });
  }
  function arrange() {
    if (state.column >= 0) {
      const column = columns[state.column];
      const keys = new Map(state.all.map((row) => [row, column.value(row)]));
      const sign = state.down ? -1 : 1;
      state.order = [...state.all].sort((a, b) => {
        const [x, y] = [keys.get(a), keys.get(b)];
        if (nothing(x) || nothing(y)) return nothing(x) - nothing(y) || a - b; // what is unknown stands last either way
        return sign * (typeof x === 'string' ? byName(x, y) : x - y) || a - b;
      });
    } else state.order = state.all;
    heads.forEach((head, i) => head.setAttribute('aria-sort', i !== state.column ? 'none' : state.down ? 'descending' : 'ascending'));
    table.setAttribute('aria-rowcount', state.order.length + 1);
    label.textContent = state.all.length === rows ? `${caption}: ${whole(rows)}` : `${caption}: ${whole(state.all.length)} of ${whole(rows)}`;
    render(true);
  }
  function by(i) {
    state.down = i === state.column ? !state.down : Boolean(columns[i].number);
    state.column = i;
    box.scrollTop = 0;
    arrange();
  }
  let waiting = false;
  box.addEventListener('scroll', () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; render(false); });
  });
  addEventListener('beforeprint', () => { if (box.isConnected) render(true, true); });
  addEventListener('afterprint', () => { if (box.isConnected) render(true); });
  arrange();
  return { node: box, keep(kept) { state.all = kept; box.scrollTop = 0; arrange(); } };
}
