"""Reading in a process of its own: no hostile file can crash, hang or fill the program.

reader   what the program uses: one child after another, each for some files
process  one child as the program sees it: started, asked, killed at its deadline
child    what runs in it: protect itself, read, answer

The child imports pydicom and the codecs while the parent loads the model. It gets a request as one line
of JSON and answers with one line of JSON and, for a picture, its raw pixels. Nothing that it sends is
executed or unpickled here.
"""

from xraygpt_edge.worker.reader import Reader

__all__ = ["Reader"]
