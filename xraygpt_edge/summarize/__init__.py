"""Radiology reports into clean texts, without a cloud: the published recipe by rules, or rewritten and checked.

    sources ──▶ sections ──▶ rules ──▶ (rewrite ──▶ check) ──▶ records ──▶ outputs

sources    a folder, a table, standard input; `openi` and `tables` read two of the forms
sections   what each heading means, and where its words are; `headings` finds them
sentences  a section's words, as they are laid out
rules      what is left out, and what is taken out of the rest
clauses    the smallest part that a sentence can do without: for `marks`, `views` and what was `told`
rewrite    the language model; `check` holds claims against claims
records    what is kept; `totals` counts it
outputs    views of it: for training, evaluation, a spreadsheet, a reader
run        all of this in one call
"""
