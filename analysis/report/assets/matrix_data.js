// Matrices of pairs: packed upper triangles, orders of groups, and blocks where there are more groups than fit a screen.
const MOST_SHOWN = 150;

class Pairs {
  constructor(packed, groups, diagonal) {
    this.values = floats(packed);
    this.groups = groups;
    this.diagonal = diagonal;
  }

  at(a, b) {
    if (a === b) return this.diagonal;
    const [i, j] = a < b ? [a, b] : [b, a];
    return this.values[i * this.groups - (i * (i + 1)) / 2 + j - i - 1];
  }

  // Mean of a group's values to all chosen others.
  mean(a, chosen) {
    let sum = 0;
    let number = 0;
    for (const b of chosen) {
      const value = a === b ? NaN : this.at(a, b);
      if (!Number.isNaN(value)) { sum += value; number += 1; }
    }
    return number ? sum / number : NaN;
  }
}

const MEASURES = {
  drift: { title: 'drift D', unit: 'drift', heading: 'Drift' },
  disagreement: { title: 'disagreement of eigenfilters', unit: 'disagreement', heading: 'Disagreement of eigenfilters' },
};

function ordered(axis, pairs, chosen, how) {
  const set = new Set(chosen);
  if (how === 'cluster') return axis.cluster.filter((i) => set.has(i));
  if (how === 'name') return [...chosen]; // the order of the axis: by name, depth and numbers by value
  const key = how === 'models' ? (i) => axis.models[i] : (i) => pairs.mean(i, chosen);
  const keys = new Map(chosen.map((i) => [i, key(i)]));
  return [...chosen].sort((a, b) => keys.get(b) - keys.get(a) || a - b);
}

// (n) lists of neighbouring groups: one group each, or as even blocks as can be.
function blocks(order) {
  const number = Math.min(order.length, MOST_SHOWN);
  return range(number).map((k) => order.slice(Math.floor((k * order.length) / number), Math.floor(((k + 1) * order.length) / number)));
}

function blockMean(pairs, rows, columns) {
  let sum = 0;
  let number = 0;
  for (const a of rows) {
    for (const b of columns) {
      if (a === b && rows.length * columns.length > 1) continue;
      const value = pairs.at(a, b);
      if (!Number.isNaN(value)) { sum += value; number += 1; }
    }
  }
  return number ? sum / number : null;
}
