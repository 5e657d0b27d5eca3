"""A DICOM node: radiographs arrive by themselves, draft reports go back to the archive.

    modality ──C-STORE──▶ receiver ──file, row──▶ queue ──▶ node ──Task──▶ host.ModelHost
                                                   │ ▲       │
    archive ◀──C-STORE─── sender ◀──row, file──────┘ └─rows──┘ records, results

settings     the one file of settings
database     the queue's file: owner of sqlite3; films, deliveries are its tables
spool        the folders of films and results; part10 writes a film's head, intake takes in what a crash left
server       pynetdicom's listener; door says who may come in, connection reads whole PDUs
receiver     the listening process
archive      one association with a destination; retries says when again
sender       the sending process
working      films through the model; asking says what, answers are their records, results the objects about them
running      the process that owns the queue; children keeps the others going, keeping deletes
audit        who sent what when, in a chain
status       what can be seen from outside

An acknowledged film is in the queue and on the disk, whatever dies: every process may, at any time.
"""

from __future__ import annotations
