"""How the page of a comparison looks: light and dark as the system says, from 360 pixels of width on, without a script."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--soft:#59636e;--line:#d8dde3;--wash:#f5f7f9;--accent:#0b62b8;
--good:#146c3a;--bad:#a3261d;--mark:#ffe9a3;--gold:#0a7d5a}
@media (prefers-color-scheme:dark){:root{--paper:#14171b;--ink:#e4e8ec;--soft:#9aa5b1;--line:#323942;--wash:#1b1f25;
--accent:#72b1f2;--good:#6fcf97;--bad:#ff9b90;--mark:#5a4a10;--gold:#5fd3ac}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
overflow-wrap:anywhere}
header,main{max-width:76rem;margin:0 auto;padding:0 1rem}
header{padding-top:2rem}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 .5rem;font-weight:650}
h2{font-size:1.15rem;margin:2.5rem 0 .75rem;font-weight:650}
h3{font-size:.95rem;margin:1rem 0 .3rem;font-weight:600}
p{margin:.4rem 0 .8rem;max-width:46rem}
.soft,small,figcaption{color:var(--soft)}
small,figcaption,th,td,.ways,.facts{font-size:.86rem}
.skip{position:absolute;left:-999rem}
.skip:focus{left:1rem;top:1rem;background:var(--paper);padding:.5rem 1rem;border:1px solid var(--line)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:3px}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:8px}
table{border-collapse:separate;border-spacing:0;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.4rem .7rem;border-bottom:1px solid var(--line);white-space:nowrap}
tbody tr:last-child>*{border-bottom:0}
thead th{color:var(--soft);font-weight:500;background:var(--wash);vertical-align:bottom}
th[scope=row],thead th:first-child{text-align:left;position:sticky;left:0;background:var(--paper);font-weight:500}
thead th:first-child{background:var(--wash)}
th[scope=row]{max-width:16rem;white-space:normal;min-width:10.5rem;overflow-wrap:break-word}
td small{display:block;font-size:.75rem}
td.why{text-align:left;white-space:normal;color:var(--soft)}
.up{color:var(--good)}.down{color:var(--bad)}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:1rem}
figure{margin:0;border:1px solid var(--line);border-radius:8px;padding:.75rem}
svg{display:block;width:100%;height:auto}
svg text{font-size:13px;fill:var(--soft);font-family:inherit}
svg .grid{stroke:var(--line)}
svg .reach{stroke:var(--soft);stroke-opacity:.45;stroke-width:1.5}
svg .lead{stroke:var(--soft);stroke-opacity:.5;stroke-width:.8}
svg .dot{fill:var(--accent)}
svg .badge circle{fill:var(--paper);stroke:var(--accent);stroke-width:1.5}
svg .badge.first circle{fill:var(--accent)}
svg .badge text{fill:var(--ink);font-size:11px;text-anchor:middle;dominant-baseline:central}
svg .badge.first text{fill:var(--paper)}
.number{display:inline-block;min-width:1.5em;padding:0 .3em;margin-right:.5em;border:1px solid var(--accent);
border-radius:1em;text-align:center;font-size:.75rem;color:var(--ink)}
.first .number{background:var(--accent);color:var(--paper)}
fieldset{border:0;padding:0;margin:0 0 1rem;display:flex;flex-wrap:wrap;gap:.4rem 1.2rem}
legend{float:left;margin-right:1rem;color:var(--soft)}
label{display:inline-flex;gap:.4rem;align-items:center}
body:has(#show-some:checked) details.none,body:has(#show-some:checked) details.every,
body:has(#show-none:checked) details.some,body:has(#show-none:checked) details.every,
body:has(#show-some:checked) details.open,body:has(#show-none:checked) details.open{display:none}
details{border:1px solid var(--line);border-radius:8px;margin-bottom:.5rem}
details[open]{border-color:var(--soft)}
summary{padding:.6rem .9rem;cursor:pointer;display:flex;gap:.3rem 1rem;flex-wrap:wrap;justify-content:space-between}
summary::-webkit-details-marker{display:none}
summary .ask::before{content:"\\25B8";display:inline-block;width:1.2em;color:var(--soft)}
details[open] summary .ask::before{content:"\\25BE"}
summary .ask{flex:1 1 20rem}
.body{padding:0 .9rem .9rem}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,21rem),1fr));gap:.75rem}
.card{border:1px solid var(--line);border-left:4px solid var(--line);border-radius:6px;padding:.6rem .8rem;
background:var(--wash)}
.card.right{border-left-color:var(--good)}.card.wrong{border-left-color:var(--bad)}
.answer{font-size:1.02rem;font-weight:600;margin:0 0 .3rem;white-space:pre-line}
.answer.not{font-weight:400;font-style:italic;color:var(--soft)}
.ways{margin:0 0 .5rem;padding:0;list-style:none}
.ways li{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 .8rem}
.ways li span:last-child{color:var(--soft)}
blockquote{margin:.5rem 0 0;padding:.4rem .7rem;border-left:2px solid var(--line);font-size:.88rem;white-space:pre-line}
mark{background:var(--mark);color:var(--ink);padding:0 .1em;border-radius:2px}
.gold{text-decoration:underline 2px var(--gold);text-underline-offset:3px}
.facts{color:var(--soft)}
ul.notes{padding-left:1.1rem;margin:.4rem 0 .8rem;max-width:46rem}
@media (max-width:600px){body{font-size:15px}header{padding-top:1.2rem}h1{font-size:1.35rem}
svg text{font-size:19px}svg .badge text{font-size:15px}svg .badge circle{r:13px}}
@media print{.scroll{overflow:visible}details{break-inside:avoid}}
"""
