"""A server for programs on this computer: OpenAI's API and one of its own, one model, one queue.

    request ──▶ wire ──▶ guard ──▶ app ──▶ openai, native ──▶ reading ──▶ questions ══Task══▶ host.ModelHost
       ▲                                        │  isolated readers          │ one at a time
       └───────────── events ◀── telling ◀──────┴────────────────────────────┘

server   the process: sockets, the network left behind, signals, the end
wire     limits of a connection; guard: who comes in, and what every answer carries
openai, chat_request           `/v1`
native, radiographs, answers   `/api/v1`
bodies, asked                  what a request may hold
service  what all share: settings, sessions, held files, reading, questions
ward, passwords, addresses     what lets other computers in

The only part of the program with sockets, and none of them opens a connection outwards. The server holds no model and
parses no file: both happen in processes that may die.
"""

from __future__ import annotations

from xraygpt_edge.serve.running import Running
from xraygpt_edge.serve.running import found as running
from xraygpt_edge.serve.server import bound, run
from xraygpt_edge.serve.service import Service
from xraygpt_edge.serve.settings import PORT, Limits, Settings

__all__ = ["PORT", "Limits", "Running", "Service", "Settings", "bound", "run", "running"]
