"""Reading in a process of its own: no hostile file can crash, hang or fill the program.

reader   what the program uses: one child after another, each for some files
process  one child as the program sees it: started, asked, killed at its deadline
starter  the thread that starts children, for all threads that use them
messages what the two say to each other
child    what runs in it: protect itself, read, answer

The child imports pydicom and the codecs while the parent loads the model. A request is one line of JSON,
with the file's bytes behind it where the child is given no path; the answer is one line of JSON and, for a
picture, its raw pixels. Nothing that the child sends is executed or unpickled here.
"""

from xraygpt_edge.imaging.isolated.reader import Reader

__all__ = ["Reader"]
