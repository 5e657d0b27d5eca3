"""E-BND, E-RUN: model bundles, native libraries and what the model computes."""

from __future__ import annotations

from xraygpt_edge.catalogue.entry import Entry

UNTOUCHED = "The file and the bundle were not changed."

MODEL: dict[str, Entry] = {
    "E-BND-001": Entry(
        10,
        "no model bundle was found",
        "A bundle is a folder with a manifest.json. It is taken from --bundle, else from the environment "
        "variable XRAYGPT_BUNDLE, else from the installed bundles, else from the built-in demonstration.",
        "Name a bundle folder with --bundle, or see what is installed: xraygpt-edge bundle list.",
    ),
    "E-BND-010": Entry(
        12,
        "the bundle is not what its manifest says",
        "A file is missing, was added, has another size or other bytes, or is a link. A model with one "
        "changed bit still answers fluently, so nothing of an altered bundle is used.",
        "Copy the bundle again from its source, then run: xraygpt-edge bundle verify.",
        "No answer was computed from it.",
    ),
    "E-BND-020": Entry(
        13,
        "the bundle was written for another version of this program",
        "The manifest's schema number, or the architecture of its language model, is none that this version knows.",
        "Update xraygpt-edge, or export the bundle again with this version.",
    ),
    "E-BND-021": Entry(
        13,
        "the image encoder and the language model do not belong together",
        "The encoder makes embeddings of another width or number than the language model or the manifest expects. "
        "llama.cpp would read past their end and answer something plausible and wrong.",
        "Export the bundle again from files of one model.",
        "No answer was computed from it.",
    ),
    "E-BND-022": Entry(
        13,
        "the bundle has no such file",
        "A bundle may hold the encoder and the language model in several precisions; this one was not exported.",
        "Choose one that is there, or export it.",
    ),
    "E-BND-023": Entry(
        13,
        "a model file of the bundle cannot be opened by this version of its library",
        "The file is intact, but ONNX Runtime or llama.cpp refuses it: it was made for another version, or it "
        "is not a model of the kind that the manifest names.",
        "Export the bundle again with the versions of this program; `xraygpt-edge --version` lists them.",
    ),
    "E-BND-024": Entry(
        13,
        "the picture does not fit the image encoder",
        "The bundle's image recipe gives a tensor of another shape than its encoder takes.",
        "Export the bundle again.",
    ),
    "E-BND-025": Entry(
        13,
        "the name of the bundle's folder is not UTF-8",
        "ONNX Runtime opens files by names in UTF-8 alone. The bundle's own files have plain names; a folder above "
        "them has not.",
        "Move the bundle to a folder with a plain name, or install it: xraygpt-edge bundle install DIR.",
        "The bundle was not changed.",
    ),
    "E-BND-026": Entry(
        13,
        "the language model's vocabulary has no such control token",
        "A prompt template of the bundle names a token by its text, as {token:</s>} does. It must be one token of the "
        "vocabulary, of exactly that text and of the kind that no text can become.",
        "Export the bundle again from the files of one model.",
        "No answer was computed.",
    ),
    "E-BND-027": Entry(
        13,
        "the image is longer than the language model's window",
        "This language model looks at all rows of an image at once, and most of its layers see a window of positions. "
        "llama.cpp computes that exactly for images that fit into the window.",
        "Export the bundle again from the files of one model.",
        "No answer was computed.",
    ),
    "W-BND-001": Entry(
        0,
        "the language model was exported with rounded rotary frequencies",
        "Version 0.1.0 rounded them to float16 for a float16 original and stored what that changes in the GGUF "
        "(rope_freqs.weight). The published program uses exact ones. Answers from such a bundle drift from the "
        "original's, the more the later the word: first logits of small models are off by up to 0.05.",
        "Export the bundle again from the original files: docs/export.md.",
        "The bundle is intact and answers.",
    ),
    "E-RUN-001": Entry(
        14,
        "ONNX Runtime is missing or cannot be loaded",
        "It runs the image encoder, and comes in two packages of which exactly one must be installed: "
        "onnxruntime for CPUs, onnxruntime-gpu for CUDA. Both together break each other.",
        "Install one: pip install 'xraygpt-edge[cpu]', or 'xraygpt-edge[cuda]' for an NVIDIA GPU.",
    ),
    "E-RUN-002": Entry(
        14,
        "llama.cpp is missing or cannot be loaded",
        "It runs the language model. It comes with llama-cpp-python and must be built for this computer's CPU.",
        "Build it as docs/install.md describes, or run: make demo.",
    ),
    "E-RUN-003": Entry(
        14,
        "CUDA was asked for and cannot be used",
        "--device cuda needs onnxruntime-gpu, a llama-cpp-python built with CUDA, and a driver for both.",
        "Use --device cpu, or install the CUDA builds as docs/install.md describes.",
    ),
    "E-RUN-004": Entry(
        14,
        "llama.cpp has no code that works on this computer's processor",
        "A llama.cpp made for many computers has a library for each kind of CPU, from SSE 4.2 to AVX-512. Before the "
        "first model is loaded on a computer, a child process decodes with the best one that fits; where that fails, "
        "with the next.",
        "Install xraygpt-edge again; for a CPU without SSE 4.2 build llama.cpp there: docs/install.md.",
        "No answer was computed.",
    ),
    "E-RUN-015": Entry(
        15,
        "there is not enough memory",
        "The weights must fit into the memory that is free; a computer that swaps takes minutes a word.",
        "Close other programs, or use a smaller bundle.",
        UNTOUCHED,
    ),
    "E-RUN-016": Entry(
        15,
        "the language model's context is full",
        "Prompt, image embeddings and answer share one context.",
        "Ask for fewer tokens with --max-tokens.",
    ),
    "E-RUN-017": Entry(
        17,
        "the time given was not enough",
        "--timeout counts reading, encoding and answering.",
        "Give more time with --timeout, or ask for fewer tokens with --max-tokens.",
        UNTOUCHED,
    ),
    "E-RUN-020": Entry(
        20,
        "this process cannot be kept offline",
        "ONNX Runtime's telemetry can be switched off only before its first import, and it was imported "
        "before xraygpt_edge in this process.",
        "Import xraygpt_edge first, or set ORT_DISABLE_TELEMETRY=1 before Python starts.",
    ),
    "E-RUN-021": Entry(
        20,
        "the system does not take the network away from this process",
        "--strict asks the kernel for it, so that nothing could be sent even by a fault. Linux does this with an empty "
        "network namespace, or on x86-64 and arm64 with a filter of system calls; other systems do not.",
        "Disconnect the machine, or ask without --strict: no connection is opened either way.",
        "Nothing was read.",
    ),
    "E-RUN-031": Entry(
        18,
        "the model computed values that are not numbers",
        "NaN or Inf appeared in the image tensor, the image embeddings or the logits. ONNX Runtime and llama.cpp go on "
        "silently and produce text about nothing.",
        "Check the bundle with: xraygpt-edge bundle verify.",
        "The answer was discarded.",
    ),
    "E-RUN-032": Entry(
        18,
        "the model gave an empty answer",
        "It ended its answer before the first word.",
        "Ask the question in other words.",
    ),
    "E-RUN-033": Entry(
        18,
        "llama.cpp could not compute a decode",
        "Its library or the device that it runs on reported a failure of its own.",
        "Try again with --device cpu; if it stays, run: xraygpt-edge doctor.",
        "The answer was discarded.",
    ),
    "E-RUN-034": Entry(
        18,
        "this computer computes something else from the bundle than the exporter did",
        "A bundle carries receipts: pictures, questions and what the original model computes for them. Recomputed here "
        "with the bundle's own files, a figure misses its gate or is not the one that the exporter measured. A model "
        "that is a little wrong still answers fluently.",
        "Do not ask this bundle. Run `bundle prove` on the demonstration as well: if that holds, get the bundle anew "
        "from its source; if not, install xraygpt-edge again.",
        "The bundle was not changed.",
    ),
}
