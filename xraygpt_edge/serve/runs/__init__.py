"""Folder runs: films that a browser sends one after another, each asked the same questions, answered many at once.

    PUT files/{n} ──▶ reading ──▶ Film ──▶ queue ══Task══▶ ModelHost
                                    │                         │
    GET runs/{u} ◀── Run ◀── keeping (where --keep is) ◀──Record

routes   what can be asked for; look: what of a folder is a film, by the rules of batch
run      one run: its films, their records, what is told of them
queue    which film is next: a person's question goes first, runs take turns
keeping  a run as a batch's folder
exports  a run as files, made in memory

The server holds a film's picture as the model sees it until its answer is there, and its file not at all.
"""
