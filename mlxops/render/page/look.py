"""The style of the page: light and dark, narrow and wide, and on paper."""

from __future__ import annotations

CSS = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1d1d1f;--dim:#6a6a70;--line:#dcdce0;--lane:#f2f2f4;
--bad:#c0261c;--accent:#2563c9;--fill:#2563c933;--bar-l:82%;--bar-s:62%;--bar-fg:#16161a}
@media(prefers-color-scheme:dark){:root{--bg:#17181b;--fg:#e8e8ea;--dim:#9c9ca4;--line:#34353b;
--lane:#22242a;--bad:#ff7a70;--accent:#7fb0ff;--fill:#7fb0ff33;--bar-l:30%;--bar-s:42%;
--bar-fg:#f4f4f6}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:80rem;padding:1.5rem;background:var(--bg);color:var(--fg);
font:15px/1.45 system-ui,-apple-system,"Segoe UI",sans-serif}
h1{font-size:1.5rem;margin:0 0 .2rem}h2{font-size:1.1rem;margin:2rem 0 .6rem}
p{margin:.2rem 0}.dim,.note{color:var(--dim)}.bad{color:var(--bad)}
.port{margin:0 0 1rem;break-inside:avoid}
.head{display:flex;flex-wrap:wrap;gap:0 .8rem;align-items:baseline;margin-bottom:.15rem}
.head b{font-variant-numeric:tabular-nums}
.lane{position:relative;height:1.7rem;background:var(--lane);border-radius:4px;overflow:hidden}
.bar{position:absolute;top:0;bottom:0;min-width:2px;padding:0 .35rem;overflow:hidden;
white-space:nowrap;text-overflow:ellipsis;line-height:1.7rem;font-size:.8rem;color:var(--bar-fg);
background:hsl(var(--h) var(--bar-s) var(--bar-l));border-right:1px solid var(--bg)}
.bar.thin{padding:0}.bar.lost{border-right:3px solid var(--bad)}
.fail{position:absolute;top:0;bottom:0;width:3px;margin-left:-1px;background:var(--bad)}
.chart{position:relative;height:3rem;margin-top:2px;border-bottom:1px solid var(--line)}
.area{display:block;width:100%;height:100%}
.area polygon{fill:var(--fill)}
.area polyline{fill:none;stroke:var(--accent);stroke-width:1.5;vector-effect:non-scaling-stroke}
.axis{position:relative;height:1.3rem;font-size:.72rem;color:var(--dim);overflow:hidden}
.axis span{position:absolute;padding-left:.2rem;border-left:1px solid var(--line);
white-space:nowrap}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.86rem}
th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);
vertical-align:top}
th{color:var(--dim);font-weight:600;white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.t{white-space:nowrap}td.w{overflow-wrap:anywhere;min-width:8rem}
@media(max-width:600px){body{padding:.8rem}.axis span:nth-child(even){display:none}}
@media print{body{max-width:none;padding:0;font-size:11px}.bar,.fail,.lane,.area polygon{
-webkit-print-color-adjust:exact;print-color-adjust:exact}.scroll{overflow:visible}
tr{break-inside:avoid}}
"""
HUES = (210, 145, 28, 275, 190, 340, 55, 100)
