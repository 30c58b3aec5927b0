//! The page's style, its one script, and the policy that lets it load nothing.

/// The browser itself refuses whatever the page would load or send.
pub(super) const POLICY: &str = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\"/>\n\
<meta name=\"viewport\" content=\"width=device-width\"/>";

pub(super) const STYLE: &str = "\
:root{color-scheme:light dark;--paper:#fff;--ink:#222;--faint:#555;--rule:#ddd;--code:#f4f4f4;--found:#1b6ca8;\
--baseline:#d95f02}\
@media(prefers-color-scheme:dark){:root{--paper:#16181c;--ink:#e4e4e4;--faint:#a9adb3;--rule:#3a3e45;--code:#22252b;\
--found:#5aa9e6;--baseline:#f28e2b}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:var(--ink);\
background:var(--paper)}\
.wide{overflow-x:auto}.wide>svg{display:block;width:100%;min-width:680px}svg text{fill:var(--ink)}\
svg .rule{stroke:var(--rule)}svg .leader{stroke:var(--faint);stroke-width:.7}\
svg .name{paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round}\
svg .bar{fill:var(--faint)}svg .bar.gpu,svg .bar.cuda{fill:var(--baseline)}svg .bar.private{fill:var(--found)}\
svg .cell{font:10px sans-serif;text-anchor:middle;pointer-events:none}\
table{border-collapse:collapse;margin:1em 0;font-size:13px}th,td{padding:.25em .55em;border-bottom:1px solid var(--rule);\
text-align:right;white-space:nowrap}\
th:first-child,td:first-child{text-align:left}tr.point{font-weight:600}\
pre{background:var(--code);padding:1em;white-space:pre-wrap;overflow-wrap:anywhere;font-size:12px}\
figure{margin:1em 0}figcaption{font-size:13px;color:var(--faint)}\
.key{white-space:nowrap}.grids{display:flex;flex-wrap:wrap;gap:1.6em}.grids figure{margin:0}\
.mark:hover{stroke:var(--ink);stroke-width:2}\
#tip{position:fixed;display:none;background:var(--paper);border:1px solid var(--faint);border-radius:4px;\
padding:.5em .7em;font-size:13px;white-space:nowrap;pointer-events:none;box-shadow:0 2px 8px #0003}";

/// Shows a mark's architecture beside the pointer; without it the marks' titles say the same.
pub(super) const SCRIPT: &str = "const tip=document.getElementById('tip');\
for(const m of document.querySelectorAll('.mark')){\
m.addEventListener('mousemove',e=>{const g=document.getElementById('grid-'+m.dataset.model);\
tip.replaceChildren(Object.assign(document.createElement('div'),{textContent:m.dataset.label}),\
...(g?[g.querySelector('svg').cloneNode(true)]:[]));tip.style.display='block';\
const r=tip.getBoundingClientRect();\
tip.style.left=Math.max(0,Math.min(e.clientX+14,innerWidth-r.width-8))+'px';\
tip.style.top=(e.clientY+14+r.height>innerHeight?Math.max(0,e.clientY-14-r.height):e.clientY+14)+'px'});\
m.addEventListener('mouseleave',()=>tip.style.display='none')}";
