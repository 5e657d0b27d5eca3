"""What an answer rests on: the statements in it, the checks that need no model, and what the model says to it.

claims       text into sentences, and sentences into statements about findings
tokens       which tokens wrote which sentence
checks       rules that mark sentences; comparison: words that compare with another film
assess       all that is known of an answer, in one object: the way in for whoever shows it
panel        the model's own answer about each finding
support      how far panel and certainty agree with a sentence
film         whether a film is like the reference films
reliance     whether a sentence rests on the image
calibration  log-odds into probabilities and verdicts
profile      the file that holds what reference films say
reference    films into a profile; observation: what is measured of one; labels: what is true of them
checking     a profile's figures on other films; metrics: each with its interval
"""

from __future__ import annotations

from xraygpt_edge.findings import CHEXPERT, Finding, Place, places
from xraygpt_edge.records import Polarity
from xraygpt_edge.trust.checks import Film, check, film_of
from xraygpt_edge.trust.claims import Claim, Sentence, claims, places_said
from xraygpt_edge.trust.tokens import with_tokens

__all__ = [
    "CHEXPERT",
    "Claim",
    "Film",
    "Finding",
    "Place",
    "Polarity",
    "Sentence",
    "check",
    "claims",
    "film_of",
    "places",
    "places_said",
    "with_tokens",
]
