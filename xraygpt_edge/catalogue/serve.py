"""E-SRV: the server, and what programs ask of it."""

from __future__ import annotations

from xraygpt_edge.catalogue.entry import Entry

_NOT_ASKED = "Nothing was asked of the model."

SERVE: dict[str, Entry] = {
    "E-SRV-001": Entry(
        11,
        "the port is taken",
        "Another program listens there, perhaps another xraygpt-edge serve.",
        "End the other one, or choose another with --port; --port 0 takes any free one.",
    ),
    "E-SRV-002": Entry(
        2,
        "this address can be reached from other computers",
        "Without encryption and a password, everybody on the network could read what is asked and answered.",
        "Leave --host out: the server then listens for this computer alone. Or give all of --tls-cert, --tls-key and "
        "--password-file; docs/serve.md says how to make them.",
    ),
    "E-SRV-003": Entry(
        15,
        "too many questions wait already",
        "One question is answered at a time, and only so many may wait that none waits longer than a client does.",
        "Ask again in a while.",
        _NOT_ASKED,
    ),
    "E-SRV-004": Entry(
        2,
        "the token is missing or wrong",
        "Every program on this computer could reach the server, so those that may use it show the token that was "
        "printed at its start. It is another one after each start, unless --token-file is given. On a ward people sign "
        "in with its password on the page, and programs need --token-file.",
        "Send the header Authorization: Bearer TOKEN; OpenAI's clients call it api_key.",
    ),
    "E-SRV-005": Entry(
        2,
        "the request comes from another web page, or by a name that is not this server's",
        "A page of a foreign site that is open in the browser must not be able to use this server. Host, Origin and "
        "Sec-Fetch-Site say where a request comes from.",
        "Address the server as 127.0.0.1 or localhost, or by a name that it was given with --name, with its port, and "
        "from no page but its own.",
    ),
    "E-SRV-006": Entry(
        2,
        "the request is too large",
        "It is larger than --max-upload allows.",
        "Send a smaller file, or start the server with a larger --max-upload.",
        _NOT_ASKED,
    ),
    "E-SRV-007": Entry(
        2,
        "the request came too slowly",
        "Its body stood still for 10 seconds, or was not complete after 120.",
        "Send it again.",
        _NOT_ASKED,
    ),
    "E-SRV-008": Entry(
        2,
        "the request is not of the described form",
        "A field is missing, or is not what the description of the API says; `param` names it.",
        "Compare it with docs/serve.md.",
        _NOT_ASKED,
    ),
    "E-SRV-009": Entry(
        4,
        "the conversation has no radiograph",
        "The model answers questions about a chest radiograph and nothing else.",
        "Send the picture with the question, as image_url or file with a data URL.",
        _NOT_ASKED,
    ),
    "E-SRV-010": Entry(
        4,
        "the conversation has different radiographs",
        "The model sees one radiograph at a time; what it says of one must not be taken for the other.",
        "Begin a conversation for each of them.",
        _NOT_ASKED,
    ),
    "E-SRV-011": Entry(
        4,
        "this is an address, not the picture itself",
        "The server fetches nothing and opens no file for others.",
        "Send the picture's bytes in a data URL: data:application/dicom;base64,...",
        _NOT_ASKED,
    ),
    "E-SRV-012": Entry(
        2,
        "this model cannot do that",
        "It gives one answer in plain text: no tools, no log-probabilities, no response format, no sound, n = 1.",
        "Leave out the field that `param` names.",
        _NOT_ASKED,
    ),
    "E-SRV-013": Entry(
        2,
        "there is nothing of this address or id",
        "It never was, belongs to another session, or was forgotten: radiographs are kept in memory for a while only.",
        "Send the radiograph again.",
    ),
    "E-SRV-014": Entry(
        15,
        "the model is still being loaded",
        "It takes seconds, on a slow disk a minute.",
        "Ask again in a while; GET /api/v1/status says when it is ready.",
        _NOT_ASKED,
    ),
    "E-SRV-015": Entry(
        19,
        "the process that runs the model died under this question",
        "A native library crashed, or the system ended the process because memory ran out. It is started again.",
        "Ask again; when it happens with this radiograph only, look at the file with xraygpt-edge inspect.",
        "Other questions keep their places.",
    ),
    "E-SRV-016": Entry(
        2,
        "there is no model of this name",
        "A server answers with one bundle.",
        "Take the name that GET /v1/models gives.",
        _NOT_ASKED,
    ),
    "E-SRV-017": Entry(
        2,
        "a certificate, key, password or token file cannot be used",
        "A secret must be readable by its owner alone; a token has at least 32 visible characters, a password at least "
        "8; a certificate must be valid now, and its key must not ask for a password of its own.",
        "Set its mode to 0600. --token-file and --make-password make a file that is not there yet.",
    ),
    "E-SRV-018": Entry(
        15,
        "the memory for files is used up",
        "Files are held in memory alone, and --hold limits how much of it.",
        "Forget radiographs that are no longer needed, or start the server with a larger --hold.",
        _NOT_ASKED,
    ),
    "E-SRV-019": Entry(
        19,
        "the process that runs the model died twice with this radiograph",
        "A third time would hold up everybody else.",
        "Look at the file with xraygpt-edge inspect, and report it without patient data.",
        _NOT_ASKED,
    ),
    "E-SRV-020": Entry(
        15,
        "the question was ended before it was answered",
        "It was stopped while it waited, or the server is ending.",
        "Ask again.",
    ),
    "E-SRV-021": Entry(
        15,
        "the run has as many files as it can use now",
        "Few files of a folder are sent ahead, so that the server holds no folder in memory.",
        "Send the file again when GET /api/v1/runs/{id} says that there is room.",
        "Nothing was asked about this file yet; the run goes on.",
    ),
    "E-SRV-022": Entry(
        2,
        "this session has as many folder runs as it may have",
        "Each is held in memory, with its answers, until it is forgotten.",
        "Save what you need, and forget runs: on the page, or with DELETE /api/v1/runs/{id}.",
        "The other runs go on.",
    ),
    "E-SRV-025": Entry(
        2,
        "too many wrong passwords came from this computer",
        "After five within five minutes none is taken for five minutes, so that nobody can try them all.",
        "Wait five minutes, then type the password with care.",
    ),
    "E-SRV-026": Entry(
        2,
        "the password is wrong",
        "It is the one that was typed twice when the server was set up with --make-password.",
        "Type it again, with care for capitals; who looks after the server can set a new one.",
    ),
}
