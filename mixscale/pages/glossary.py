"""Words of the field that a page explains where it uses them."""

from __future__ import annotations

import re

from mixscale.pages.elements import Html, element

DEFINITIONS = {
    "domain": "A part of the training text that a mixture gives one share to, such as web or code.",
    "mixture": "The share of the training tokens that each domain gets; the shares sum to 100 %.",
    "proxy run": "A small and short training run that measures what one mixture does.",
    "mixing law": "A formula, fitted to the proxy runs, from a mixture to the losses it gives.",
    "token budget": "How many tokens a run is trained on.",
    "epochs": "How often a run reads a domain's text: the tokens it takes of the domain, over the "
    "unique tokens there are.",
    "objective": "The one number that the mixture is chosen for: a mean of validation losses or "
    "task scores.",
    "validation loss": "Mean surprise per token on text that was not trained on; lower is better.",
    "nats": "The unit of a loss per token; 0.01 nats is a perplexity lower by 1 %.",
    "gain": "How much better the objective is predicted to be than with the mixture in use. Above "
    "zero is better.",
    "interval": "The range that holds the true value in about 90 of 100 such experiments.",
    "tokens saved": "How many tokens fewer the run would need to be as good as with the mixture in "
    "use.",
    "scale": "The token budget of a proxy run. Several scales show how the best mixture moves.",
    "seed": "Fixes the random start and order of a run. Runs that differ in it alone show the "
    "noise.",
    "noise": "How much the results of equal runs differ when only the seed does.",
    "base run": "The run of the mixture in use, which runs with one domain changed are compared "
    "with.",
    "left-out error": "How far a law is off, on average, on mixtures that it was not fitted to.",
    "projected": "For a budget that was not measured: continued from the runs that were.",
    "floor": "The least share that a domain may get.",
    "constraint": "A rule that the mixture has to keep, such as a least share or a most of epochs.",
    "shard set": "The folder of training text in MDS files that Streaming reads.",
    "shard": "One MDS file of a shard set.",
    "stream": "The entry of a domain in the settings of a training run.",
    "sample": "A piece of text of fixed length in tokens; what training draws.",
    "duplicate": "A text whose copy, exact or near, is kept elsewhere.",
    "rejected": "Left out of training, with a reason that can be looked up.",
    "tokens per byte": "How many tokens the tokenizer makes of a byte of text; less is denser.",
}
"""What each term means, in a sentence that needs no other."""

_LINK = re.compile(r'href="#term-([a-z-]+)"')


def term(name: str, text: str | None = None) -> Html:
    """Write a word that shows what it means on hover, focus or touch.

    Args:
        name: A key of `DEFINITIONS`.
        text: The word as it stands in the sentence; the name itself if not given.
    """
    shown = element("span", DEFINITIONS[name], class_="definition", aria_hidden="true")
    place = _anchor(name)
    return element(
        "a", text or name, shown, class_="term", href=f"#{place}", aria_describedby=place
    )


def glossary(body: Html) -> Html | None:
    """List what the terms of a page mean; None when it uses none."""
    used = set(_LINK.findall(body))
    entries = [
        element("div", element("dt", name), element("dd", meaning, id=_anchor(name)))
        for name, meaning in DEFINITIONS.items()
        if _anchor(name).removeprefix("term-") in used
    ]
    if not entries:
        return None
    return element(
        "section",
        element("h2", "Words", id="words"),
        element("dl", *entries),
        class_="glossary",
        aria_labelledby="words",
    )


def _anchor(name: str) -> str:
    return "term-" + name.replace(" ", "-")
