// The page.
const theme = document.getElementById('theme');
function nameTheme() { theme.textContent = isDark() ? 'Light' : 'Dark'; }
theme.addEventListener('click', () => {
  document.documentElement.dataset.theme = isDark() ? 'light' : 'dark';
  nameTheme();
  repaint();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { nameTheme(); repaint(); });
nameTheme();

const { totals } = report.contents;
const main = document.getElementById('main');
main.append(
  el('h1', {}, `${plural(totals.filters, 'filter')} of ${plural(totals.models, 'model')}`),
  el('p', { class: 'lead' }, 'Learned 3×3 convolution kernels of trained networks: what they are, how far apart groups of them are, and which layers went wrong.'),
  el('dl', { class: 'facts' }, [['models', totals.models], ['3×3 layers', totals.layers], ['3×3 filters', totals.filters], ['skipped or failed', report.contents.rejects.length]]
    .map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, whole(value))))),
  el('p', { class: 'where' }, `${report.store} · ${report.made_at}${report.settings.where ? ` · where ${report.settings.where}` : ''}`),
);
const SECTIONS = [['contents', 'Contents', contentsSection], ['drift', 'Drift', driftSection], ['structure', 'Structure', structureSection],
  ['quality', 'Quality', qualitySection], ['models', 'Models', modelsSection], ['provenance', 'How it was made', provenanceSection]];
const nav = document.getElementById('nav');
for (const [id, title, build] of SECTIONS) {
  main.append(build());
  nav.append(el('a', { href: `#${id}` }, title));
}
document.getElementById('foot').textContent = `Made by cnn-filter-shift ${report.provenance.versions['cnn-filter-shift']}. Method: Gavrikov & Keuper, arXiv 2201.08465 and 2203.15331. This page loads nothing from anywhere.`;

const spy = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    for (const link of nav.children) {
      if (link.hash === `#${entry.target.id}`) link.setAttribute('aria-current', 'true');
      else link.removeAttribute('aria-current');
    }
  }
}, { rootMargin: '-15% 0px -75% 0px' });
for (const [id] of SECTIONS) spy.observe(document.getElementById(id));
